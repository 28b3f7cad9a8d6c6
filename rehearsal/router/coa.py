"""Disconnect-Request and CoA-Request as sheet 1.7 says RouterOS takes them (RFC 5176)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .session import ADMIN_RESET, Session
from .wire import (
    COA_ACK,
    COA_NAK,
    DISCONNECT_ACK,
    DISCONNECT_NAK,
    DISCONNECT_REQUEST,
    Attributes,
    Packet,
    Value,
)

if TYPE_CHECKING:
    from .router import VirtualRouter

MISSING_ATTRIBUTE, WRONG_NAS, NO_SESSION, MANY_SESSIONS = 402, 403, 503, 508
IDENTIFIERS = ("User-Name", "Framed-IP-Address", "Acct-Session-Id", "Calling-Station-Id", "NAS-Port")
# Sheet 1.7, the whole list of what CoA can change; anything else is ignored (section 7, item 5).
CHANGEABLE = frozenset(
    {
        "Mikrotik-Group", "Mikrotik-Recv-Limit", "Mikrotik-Recv-Limit-Gigawords", "Mikrotik-Xmit-Limit",
        "Mikrotik-Xmit-Limit-Gigawords", "Mikrotik-Rate-Limit", "Ascend-Data-Rate", "Ascend-Xmit-Rate",
        "Mikrotik-Mark-Id", "Filter-Id", "Mikrotik-Advertise-URL", "Mikrotik-Advertise-Interval", "Session-Timeout",
        "Idle-Timeout", "Port-Limit",
    }
)  # fmt: skip


class Refused(Exception):
    def __init__(self, cause: int) -> None:
        super().__init__(f"Error-Cause {cause}")
        self.cause = cause


def obey(router: VirtualRouter, order: Packet) -> tuple[int, Attributes]:
    """Act and answer. Called with the lock held."""
    ack, nak = (DISCONNECT_ACK, DISCONNECT_NAK) if order.code == DISCONNECT_REQUEST else (COA_ACK, COA_NAK)
    try:
        if router.knobs.coa_nak:
            raise Refused(router.knobs.coa_nak)
        session = _meant(router, order)
    except Refused as refusal:
        return nak, [("Error-Cause", refusal.cause)]
    if order.code == DISCONNECT_REQUEST:
        router.end(session, ADMIN_RESET)
    else:
        _change(router, session, order)
    return ack, []


def _meant(router: VirtualRouter, order: Packet) -> Session:
    """The one session that the order names. Raises Refused."""
    for name, own in (("NAS-Identifier", router.box.identifier), ("NAS-IP-Address", router.box.address)):
        if order.all(name) and order.all(name) != [own]:
            raise Refused(WRONG_NAS)
    given = {name: order.all(name)[0] for name in IDENTIFIERS if order.all(name)}
    if len(given) < 2:
        raise Refused(MISSING_ATTRIBUTE)
    found = [session for session in router.sessions() if _is(router, session, given)]
    if len(found) != 1:
        raise Refused(MANY_SESSIONS if found else NO_SESSION)
    return found[0]


def _is(router: VirtualRouter, session: Session, given: dict[str, Value]) -> bool:
    """Byte for byte what the router sent. A hotspot is found by User-Name and Framed-IP-Address only."""
    place = ("Framed-IP-Address",) if session.kind == "hotspot" else ("Acct-Session-Id", "Framed-IP-Address")
    if "User-Name" not in given or not any(name in given for name in place):
        return False
    own = dict(router.identity(session))
    return all(own.get(name) == value for name, value in given.items())


def _change(router: VirtualRouter, session: Session, order: Packet) -> None:
    session.count(router.clock.now())
    known = tuple((name, value) for name, value in order.attributes if name in CHANGEABLE)
    session.policy.take(Packet(order.code, order.identifier, order.authenticator, known, b""))
    ignored = [n for n, _ in order.attributes if n not in CHANGEABLE and n not in IDENTIFIERS and n not in _ENVELOPE]
    if ignored:
        router.note(f"CoA ignored {', '.join(ignored)}")
    router.clock.changed()


_ENVELOPE = ("Message-Authenticator", "Event-Timestamp", "NAS-Identifier", "NAS-IP-Address", "Proxy-State")
