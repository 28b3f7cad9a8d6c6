"""Orders to a router: Disconnect-Request (RFC 5176 2), built and read here, sent by whoever may wait for the answer."""

from __future__ import annotations

import ipaddress
from datetime import datetime
from enum import Enum
from typing import NamedTuple

from pyrad.packet import CoAPacket, DisconnectACK, DisconnectNAK, DisconnectRequest, PacketError

from tenants.access.requests import ACCT_SESSION_ID, CALLING_STATION, EVENT_TIMESTAMP, FRAMED_ADDRESS, USER_NAME

_ERROR_CAUSE, _NO_SESSION = 101, 503


class Answer(Enum):
    """What a router made of an order."""

    DONE = "done"
    GONE = "gone"
    REFUSED = "refused"


class Order(NamedTuple):
    """One Disconnect-Request, and where it goes. Sent again it is the same bytes (RFC 5176 2.3)."""

    address: str
    datagram: bytes
    request: CoAPacket

    def read(self, datagram: bytes) -> Answer | None:
        """The router's answer; None for bytes that are no answer to this order, or not from who knows the secret."""
        if len(datagram) < 20 or datagram[0] not in (DisconnectACK, DisconnectNAK):
            return None
        try:
            reply = self.request.CreateReply(packet=datagram)
            if not self.request.VerifyReply(reply, datagram):
                return None
        except (PacketError, ValueError):
            return None
        if reply.code == DisconnectACK:
            return Answer.DONE
        causes = reply.get(_ERROR_CAUSE) or [b""]
        return Answer.GONE if int.from_bytes(causes[0]) == _NO_SESSION else Answer.REFUSED


class Names(NamedTuple):
    """What tells a session from others, as the router itself wrote it."""

    user_name: str
    framed_address: str | None
    acct_session_id: str
    calling_station_id: str | None


def disconnect(address: str, secret: bytes, names: Names, now: datetime) -> Order:
    """Ends one session. RouterOS needs the user name and the address for a hotspot, and two names at least; a router
    may ignore what has no Event-Timestamp (RFC 5176 6.3)."""
    request = CoAPacket(code=DisconnectRequest, secret=secret)
    request.add_message_authenticator()
    request[USER_NAME] = [names.user_name.encode()]
    if names.framed_address is not None:
        request[FRAMED_ADDRESS] = [ipaddress.IPv4Address(names.framed_address).packed]
    request[ACCT_SESSION_ID] = [names.acct_session_id.encode()]
    if names.calling_station_id is not None:
        request[CALLING_STATION] = [names.calling_station_id.encode()]
    request[EVENT_TIMESTAMP] = [int(now.timestamp()).to_bytes(4)]
    return Order(address, bytes(request.RequestPacket()), request)
