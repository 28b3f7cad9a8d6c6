"""What RouterOS puts into its requests, in its order: sheet 1.2 (access), 1.3 (accounting), from the trace there.

Pure: a router and a session in, attributes out. Accounting-On and -Off follow RFC 2866, no trace of them exists.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from .session import Session
from .wire import Attributes, Value

ETHERNET, WIRELESS = 15, 19
START, STOP, INTERIM, ON, OFF = 1, 2, 3, 7, 8
STATUS = {"start": START, "stop": STOP, "interim": INTERIM, "on": ON, "off": OFF}
# Sheet 1.2, radius-mac-format: where the separators stand in twelve digits.
MAC_FORMATS = {
    "XX:XX:XX:XX:XX:XX": (2, ":"), "XX-XX-XX-XX-XX-XX": (2, "-"), "XX XX XX XX XX XX": (2, " "),
    "XXXXXXXXXXXX": (12, ""), "XXXX:XXXX:XXXX": (4, ":"), "XXXXXX-XXXXXX": (6, "-"), "XXXXXX:XXXXXX": (6, ":"),
}  # fmt: skip
_AVERAGE_PACKET = 900  # bytes; only so that packet counters are not zero


@dataclass(frozen=True)
class Box:
    """How a router names itself and its services."""

    address: str
    identifier: str
    hotspot: str
    service: str
    logoff_url: str
    mac_format: str = "XX:XX:XX:XX:XX:XX"
    wireless_interface: str = "bridge-hs"
    ppp_interface: str = "vlan100"
    port_type: int = WIRELESS


def plain_mac(text: str) -> str | None:
    """Twelve upper-case hex digits, however they were written."""
    digits = re.sub(r"[:\-. ]", "", text).upper()
    return digits if re.fullmatch(r"[0-9A-F]{12}", digits) else None


def looks_like_mac(user: str) -> bool:
    """As errors.txt means it: `12:34:56:78:9a:bc`. Twelve plain digits may be a phone number."""
    return re.fullmatch(r"[0-9A-Fa-f]{2}([:-][0-9A-Fa-f]{2}){5}", user) is not None


def write_mac(mac: str, form: str) -> str:
    size, separator = MAC_FORMATS[form]
    digits = plain_mac(mac) or mac
    return separator.join(digits[at : at + size] for at in range(0, 12, size))


def colons(mac: str) -> str:
    return write_mac(mac, "XX:XX:XX:XX:XX:XX")


def access(box: Box, session: Session, credentials: Attributes) -> Attributes:
    """Without Message-Authenticator; `credentials` stand where RouterOS has them."""
    hotspot = session.kind == "hotspot"
    return [
        *(_station(box, session) if hotspot else _line(box, session)), *credentials,
        *((("Service-Type", 1), ("WISPr-Logoff-URL", box.logoff_url)) if hotspot else ()),
        ("NAS-Identifier", box.identifier), ("NAS-IP-Address", box.address),
    ]  # fmt: skip


def _station(box: Box, session: Session) -> list[tuple[str, Value]]:
    return [
        ("NAS-Port-Type", box.port_type), ("Calling-Station-Id", write_mac(session.mac, box.mac_format)),
        ("Called-Station-Id", box.hotspot), ("NAS-Port-Id", box.wireless_interface), ("User-Name", session.user),
        ("NAS-Port", int(session.id, 16)), ("Acct-Session-Id", session.id), ("Framed-IP-Address", session.ip),
        ("Mikrotik-Host-IP", session.host_ip),
    ]  # fmt: skip


def _line(box: Box, session: Session) -> list[tuple[str, Value]]:
    return [
        ("Service-Type", 2), ("Framed-Protocol", 1), ("NAS-Port", int(session.id, 16)), ("NAS-Port-Type", ETHERNET),
        ("User-Name", session.user), ("Calling-Station-Id", colons(session.mac)),
        ("Called-Station-Id", box.service), ("NAS-Port-Id", box.ppp_interface), ("Acct-Session-Id", session.id),
    ]  # fmt: skip


def accounting(box: Box, session: Session, status: int, now: float, *, swap: bool = False) -> Attributes:
    """Start, Interim-Update or Stop. A hotspot sends no Service-Type and no Acct-Authentic (sheet 1.3)."""
    listed: list[tuple[str, Value]] = [("Acct-Status-Type", status)]
    if status == STOP:
        listed.insert(0, ("Acct-Terminate-Cause", session.cause))
    if session.kind == "hotspot":
        listed += _station(box, session)
    else:
        listed += [*_line(box, session), ("Framed-IP-Address", session.ip), ("Acct-Authentic", 1)]
    listed += [("Class", value) for value in session.classes]
    if status != START:
        listed += _counters(session, now, swap)
    return [
        *listed, ("Event-Timestamp", int(now)), ("NAS-Identifier", box.identifier), ("Acct-Delay-Time", 0),
        ("NAS-IP-Address", box.address),
    ]  # fmt: skip


def _counters(session: Session, now: float, swap: bool) -> list[tuple[str, Value]]:
    """Input is what the client uploaded (RFC 2866 5.3, sheet 1.3); gigawords are sent even when 0."""
    received, sent = session.usage(now)
    if swap:
        received, sent = sent, received
    listed: list[tuple[str, Value]] = [("Acct-Session-Time", int(now - session.started))]
    for way, total in (("Input", received), ("Output", sent)):
        listed += [
            (f"Acct-{way}-Octets", total & 0xFFFFFFFF), (f"Acct-{way}-Gigawords", total >> 32),
            (f"Acct-{way}-Packets", -(-total // _AVERAGE_PACKET) & 0xFFFFFFFF),
        ]  # fmt: skip
    return listed


def whole_router(box: Box, status: int, now: float, boot: int) -> Attributes:
    """Accounting-On or -Off (RFC 2866 5.1)."""
    return [
        ("Acct-Status-Type", status), ("Acct-Session-Id", f"00{boot:x}00000"), ("Event-Timestamp", int(now)),
        ("NAS-Identifier", box.identifier), ("Acct-Delay-Time", 0), ("NAS-IP-Address", box.address),
    ]  # fmt: skip
