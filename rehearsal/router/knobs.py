"""The fault knobs of one router.

Groups: `radius` concerns every request, `auth` and `acct` one kind, `coa` what the router is asked, `hotspot` the page.
Where the sheet marks RouterOS's behaviour unconfirmed there is a knob, and its default is the sheet's reading.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass

from rehearsal.simulation import BadKnob, KnobSet, count, flag, knob, names, number, one_of

from .wire import MALFORMED


def loopback(value: object) -> object:
    try:
        good = value == "" or (isinstance(value, str) and ipaddress.IPv4Address(value).is_loopback)
    except ValueError:
        good = False
    if not good:
        raise BadKnob("takes a loopback address or empty text")
    return value


@dataclass(frozen=True)
class Knobs(KnobSet):
    """The knobs of one router."""

    radius_timeout: float = knob(1.1, number(0.001), "real seconds until a request is sent again (sheet 1.1)")
    radius_tries: int = knob(3, count(1), "times a request is sent before the router gives up (sheet 1.8)")
    radius_drop_replies: int = knob(0, count(), "replies of each request that get lost before one arrives")
    radius_copies: int = knob(1, count(1), "times each datagram is sent, all at once")
    radius_wrong_secret: bool = knob(False, flag, "the router and the server do not agree on the secret")
    radius_source: str = knob("", loopback, "loopback address to send from instead of the router's own; empty: own")
    radius_malformed: tuple[str, ...] = knob((), names(*MALFORMED), "broken datagrams sent before each request")

    auth_message_authenticator: str = knob(
        "sent", one_of("sent", "absent", "wrong"), "on Access-Request; absent is RouterOS before 7.15 (sheet 1.2)"
    )
    auth_require: str = knob("first", one_of("first", "any", "no"), "where a reply must have Message-Authenticator")
    auth_mac_protocol: str = knob("pap", one_of("pap", "chap"), "MAC authentication; which is unconfirmed (sheet 1.2)")

    acct_lose: tuple[str, ...] = knob(
        (), names("start", "interim", "stop", "on", "off"), "accounting records that are never sent"
    )
    acct_reorder: int = knob(0, count(), "hold this many accounting requests, then send them last first; 0 off")
    acct_on_off: bool = knob(True, flag, "Accounting-On at boot and Off at stop; undocumented for RouterOS (sheet 1.3)")
    acct_swap_octets: bool = knob(False, flag, "count download as Input (the doubt of sheet 1.3)")

    coa_delay: float = knob(0.0, number(), "real seconds before the router acts and answers")
    coa_nak: int = knob(0, count(), "refuse with this Error-Cause, such as 501; 0 off")
    coa_ignore: bool = knob(False, flag, "no answer, as with `/radius/incoming accept=no`")
    coa_from: str = knob("any", one_of("any", "radius"), "addresses that may give orders; unconfirmed (sheet 1.7)")
    coa_need_signature: bool = knob(False, flag, "ignore orders without Message-Authenticator")

    hotspot_redirect: str = knob("meta", one_of("meta", "302"), "how login.html sends the phone on (sheet 3.2)")
