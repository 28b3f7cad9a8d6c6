"""What a router says, read out of a packet that the gate let through."""

from __future__ import annotations

import ipaddress
from datetime import UTC, datetime, timedelta
from enum import Enum, IntEnum
from typing import NamedTuple
from uuid import UUID

from pyrad.packet import AcctPacket, AuthPacket, PacketError

from tenants import subscribers
from tenants.access.class_token import ClassToken, open_class
from tenants.access.gate import Packet

# Attribute numbers: RFC 2865 5, RFC 2866 5, RFC 2869 5.
USER_NAME, USER_PASSWORD, CHAP_PASSWORD, SERVICE_TYPE, FRAMED_PROTOCOL, FRAMED_ADDRESS = 1, 2, 3, 6, 7, 8
CLASS, CALLING_STATION, ACCT_STATUS, ACCT_DELAY = 25, 31, 40, 41
INPUT_OCTETS, OUTPUT_OCTETS, ACCT_SESSION_ID, SESSION_TIME, TERMINATE_CAUSE = 42, 43, 44, 46, 49
INPUT_GIGAWORDS, OUTPUT_GIGAWORDS, EVENT_TIMESTAMP, CHAP_CHALLENGE = 52, 53, 55, 60

_LOGIN, _FRAMED, _ADMINISTRATIVE, _NAS_PROMPT = 1, 2, 6, 7
# What no counter of a session reaches, so that sums of them stay within 64 bits.
_MOST = 2**56
_CAUSES = (
    "User-Request", "Lost-Carrier", "Lost-Service", "Idle-Timeout", "Session-Timeout", "Admin-Reset", "Admin-Reboot",
    "Port-Error", "NAS-Error", "NAS-Request", "NAS-Reboot", "Port-Unneeded", "Port-Preempted", "Port-Suspended",
    "Service-Unavailable", "Callback", "User-Error", "Host-Request",
)  # fmt: skip


class Service(Enum):
    """What somebody wants to use. LOGIN is the router's own administration: nobody's, by RADIUS."""

    HOTSPOT = "hotspot"
    PPPOE = "pppoe"
    LOGIN = "login"


class Status(IntEnum):
    """Acct-Status-Type (RFC 2866 5.1)."""

    START = 1
    STOP = 2
    INTERIM = 3
    ON = 7
    OFF = 8


class Chap(NamedTuple):
    """A CHAP response (RFC 1994 4.1; RFC 2865 5.3)."""

    identifier: bytes
    response: bytes
    challenge: bytes


class AccessRequest(NamedTuple):
    """Somebody asks to get online. `mac` is normalised, and None where the router says none."""

    router_id: UUID
    service: Service
    user_name: str
    mac: str | None
    password: str | None
    chap: Chap | None


class AccountingUpdate(NamedTuple):
    """What a router reports of a session, or of itself (ON, OFF). `happened_at` is never later than our clock;
    upload is what the router received from the customer (RFC 2866 5.3)."""

    router_id: UUID
    status: Status
    service: Service
    token: ClassToken | None
    class_value: bytes | None
    acct_session_id: str
    user_name: str
    calling_station_id: str | None
    mac: str | None
    framed_address: str | None
    happened_at: datetime
    received_at: datetime
    seconds: int
    bytes_up: int
    bytes_down: int
    cause: str | None

    @property
    def began_at(self) -> datetime:
        return self.happened_at - timedelta(seconds=self.seconds)


class _Attributes:
    """First values of a packet's attributes; what has a wrong length counts as absent."""

    def __init__(self, packet: AuthPacket | AcctPacket) -> None:
        self._packet = packet

    def octets(self, number: int) -> bytes | None:
        values = self._packet.get(number)
        return bytes(values[0]) if values else None

    def text(self, number: int) -> str | None:
        """What is no UTF-8 is replaced; NUL, which no column takes, is left out."""
        value = self.octets(number)
        return None if value is None else value.decode(errors="replace").replace("\0", "")

    def number(self, number: int) -> int | None:
        value = self.octets(number)
        return int.from_bytes(value) if value is not None and len(value) == 4 else None

    def mac(self) -> str | None:
        return subscribers.normalise_mac(self.text(CALLING_STATION) or "")

    def service(self) -> Service:
        """Framed is PPP. RouterOS says Login for its hotspot too, but an administrator calls from no MAC address."""
        kind = self.number(SERVICE_TYPE)
        if kind == _FRAMED or self.octets(FRAMED_PROTOCOL) is not None:
            return Service.PPPOE
        if kind in (_ADMINISTRATIVE, _NAS_PROMPT) or (kind == _LOGIN and self.mac() is None):
            return Service.LOGIN
        return Service.HOTSPOT


def read_request(packet: Packet, secret: bytes, router_id: UUID) -> AccessRequest:
    """An Access-Request of a router of the current tenant."""
    parsed = AuthPacket(packet=packet.raw, secret=secret)
    found = _Attributes(parsed)
    return AccessRequest(
        router_id, found.service(), found.text(USER_NAME) or "", found.mac(), _password(parsed), _chap(parsed, found)
    )


def _password(parsed: AuthPacket) -> str | None:
    hidden = parsed.get(USER_PASSWORD)
    if not hidden:
        return None
    try:
        return str(parsed.PwDecrypt(hidden[0]))
    except PacketError:
        return None


def _chap(parsed: AuthPacket, found: _Attributes) -> Chap | None:
    """The challenge is attribute 60, or the Request Authenticator where there is none (RFC 2865 2.2)."""
    value = found.octets(CHAP_PASSWORD)
    if value is None or len(value) != 17:
        return None
    challenge = found.octets(CHAP_CHALLENGE)
    return Chap(value[:1], value[1:], parsed.authenticator if challenge is None else challenge)


def read_accounting(
    packet: Packet, router_id: UUID, *, class_key: bytes, received_at: datetime
) -> AccountingUpdate | None:
    """An Accounting-Request; None for a status that says nothing of sessions, which is acknowledged all the same."""
    found = _Attributes(AcctPacket(packet=packet.raw))
    number = found.number(ACCT_STATUS)
    if number not in set(Status):
        return None
    class_value = found.octets(CLASS)
    service = Service.PPPOE if found.service() is Service.PPPOE else Service.HOTSPOT
    return AccountingUpdate(
        router_id=router_id,
        status=Status(number),
        service=_service_of_session(found, service),
        token=None if class_value is None else open_class(class_key, router_id, class_value),
        class_value=class_value,
        acct_session_id=found.text(ACCT_SESSION_ID) or "",
        user_name=found.text(USER_NAME) or "",
        calling_station_id=found.text(CALLING_STATION),
        mac=found.mac(),
        framed_address=_address(found.octets(FRAMED_ADDRESS)),
        happened_at=_happened_at(found, received_at),
        received_at=received_at,
        seconds=found.number(SESSION_TIME) or 0,
        bytes_up=_counter(found, INPUT_OCTETS, INPUT_GIGAWORDS),
        bytes_down=_counter(found, OUTPUT_OCTETS, OUTPUT_GIGAWORDS),
        cause=_cause(found.number(TERMINATE_CAUSE)),
    )


def _service_of_session(found: _Attributes, service: Service) -> Service:
    """RouterOS may leave Service-Type out of accounting, but Acct-Session-Id begins with 81 for PPP there."""
    session_id = found.text(ACCT_SESSION_ID) or ""
    return Service.PPPOE if len(session_id) == 8 and session_id.startswith("81") else service


def _happened_at(found: _Attributes, received_at: datetime) -> datetime:
    """Event-Timestamp (RFC 2869 5.3) where it is of the last day, for many routers begin in 1970; never the future."""
    stated = found.number(EVENT_TIMESTAMP)
    if stated is not None:
        moment = datetime.fromtimestamp(stated, UTC)
        if received_at - timedelta(days=1) <= moment:
            return min(moment, received_at)
    delay = min(found.number(ACCT_DELAY) or 0, 86_400)
    return received_at - timedelta(seconds=delay)


def _counter(found: _Attributes, octets: int, gigawords: int) -> int:
    """64 bits out of two attributes (RFC 2869 5.1)."""
    return min((found.number(octets) or 0) + ((found.number(gigawords) or 0) << 32), _MOST)


def _cause(number: int | None) -> str | None:
    """RFC 2866 5.10."""
    if number is None:
        return None
    return _CAUSES[number - 1] if 1 <= number <= len(_CAUSES) else f"cause {number}"


def _address(value: bytes | None) -> str | None:
    return str(ipaddress.IPv4Address(value)) if value is not None and len(value) == 4 else None
