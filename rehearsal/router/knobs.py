"""The fault knobs of one router. A knob is `group.name` outside (`acct.lose`) and `group_name` inside.

Groups: `radius` concerns every request, `auth` and `acct` one kind, `coa` what the router is asked, `hotspot` the page.
Where the sheet marks RouterOS's behaviour unconfirmed there is a knob, and its default is the sheet's reading.
"""

from __future__ import annotations

import dataclasses
import ipaddress
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from .wire import MALFORMED

Check = Callable[[object], object]


class BadKnob(ValueError):
    """Unknown knob or a value it cannot take; the message says which."""


def flag(value: object) -> object:
    if not isinstance(value, bool):
        raise BadKnob("takes true or false")
    return value


def number(least: float = 0.0) -> Check:
    def check(value: object) -> object:
        if isinstance(value, bool) or not isinstance(value, int | float) or not least <= value < float("inf"):
            raise BadKnob(f"takes a number, {least:g} or more")
        return float(value)

    return check


def count(least: int = 0) -> Check:
    def check(value: object) -> object:
        if isinstance(value, bool) or not isinstance(value, int) or value < least:
            raise BadKnob(f"takes a whole number, {least} or more")
        return value

    return check


def one_of(*choices: str) -> Check:
    def check(value: object) -> object:
        if value not in choices:
            raise BadKnob(f"takes one of {', '.join(repr(c) for c in choices)}")
        return value

    return check


def names(*choices: str) -> Check:
    def check(value: object) -> object:
        if not isinstance(value, list | tuple) or any(item not in choices for item in value):
            raise BadKnob(f"takes a list of {', '.join(choices)}")
        return tuple(value)

    return check


def loopback(value: object) -> object:
    try:
        good = value == "" or (isinstance(value, str) and ipaddress.IPv4Address(value).is_loopback)
    except ValueError:
        good = False
    if not good:
        raise BadKnob("takes a loopback address or empty text")
    return value


def knob(default: object, check: Check, doc: str) -> Any:
    return field(default=default, metadata={"check": check, "doc": doc})


@dataclass(frozen=True)
class Knobs:
    """One consistent setting of every knob."""

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

    def changed(self, settings: Mapping[str, object]) -> Knobs:
        """A copy with `group.name` settings applied. Raises BadKnob."""
        changes: dict[str, Any] = {}
        for name, value in settings.items():
            attribute = name.replace(".", "_", 1)
            if "." not in name or attribute not in _CHECKS:
                raise BadKnob(f"there is no knob {name!r}")
            try:
                changes[attribute] = _CHECKS[attribute](value)
            except BadKnob as refusal:
                raise BadKnob(f"{name} {refusal}") from None
        return dataclasses.replace(self, **changes)

    def as_json(self) -> dict[str, object]:
        return {outer(f.name): getattr(self, f.name) for f in dataclasses.fields(self)}


def outer(attribute: str) -> str:
    return attribute.replace("_", ".", 1)


def describe() -> dict[str, str]:
    """Every knob with its one-line explanation, for the control API."""
    return {outer(f.name): str(f.metadata["doc"]) for f in dataclasses.fields(Knobs)}


_CHECKS: dict[str, Check] = {f.name: f.metadata["check"] for f in dataclasses.fields(Knobs)}
