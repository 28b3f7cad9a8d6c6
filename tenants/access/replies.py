"""Replies, byte for byte as RouterOS takes them: Message-Authenticator first (CVE-2024-3596), Proxy-State last."""

from __future__ import annotations

from pyrad.packet import AcctPacket, AuthPacket

from tenants.access.gate import Code, Packet
from tenants.access.policy import Grant

_REPLY_MESSAGE, _CLASS, _SESSION_TIMEOUT, _PROXY_STATE, _PORT_LIMIT, _INTERIM_INTERVAL = 18, 25, 27, 33, 62, 85
_MIKROTIK, _RATE_LIMIT, _TOTAL_LIMIT, _TOTAL_LIMIT_GIGAWORDS = 14988, 8, 17, 18
_MESSAGE_BYTES = 253


def accept(packet: Packet, secret: bytes, grant: Grant, *, class_value: bytes, interim_seconds: int) -> bytes:
    """The Access-Accept that lets a session run within its grant."""
    reply = _begin(packet, secret, Code.ACCESS_ACCEPT)
    reply[_SESSION_TIMEOUT] = [grant.timeout_seconds.to_bytes(4)]
    reply[_INTERIM_INTERVAL] = [interim_seconds.to_bytes(4)]
    reply[_CLASS] = [class_value]
    reply[_MIKROTIK, _RATE_LIMIT] = [rate_limit(grant.speed_up_bps, grant.speed_down_bps).encode()]
    if grant.bytes_left is not None:
        # A byte less where the lower half would be 0, which by itself is no limit.
        left = max(1, grant.bytes_left - (grant.bytes_left & 0xFFFFFFFF == 0))
        reply[_MIKROTIK, _TOTAL_LIMIT] = [(left & 0xFFFFFFFF).to_bytes(4)]
        reply[_MIKROTIK, _TOTAL_LIMIT_GIGAWORDS] = [(left >> 32).to_bytes(4)]
    if grant.port_limit is not None:
        reply[_PORT_LIMIT] = [grant.port_limit.to_bytes(4)]
    return _end(reply, packet)


def rate_limit(up_bps: int, down_bps: int) -> str:
    """Mikrotik-Rate-Limit: what the router receives comes first, and that is the customer's upload. Always in k,
    since no other unit is safe, and never 0, which is no limit."""
    return f"{max(1, up_bps // 1000)}k/{max(1, down_bps // 1000)}k"


def reject(packet: Packet, secret: bytes, message: str) -> bytes:
    """The Access-Reject, with what the customer reads on the log-in page."""
    reply = _begin(packet, secret, Code.ACCESS_REJECT)
    reply[_REPLY_MESSAGE] = [_shortened(message)]
    return _end(reply, packet)


def alive(packet: Packet, secret: bytes) -> bytes:
    """The answer to a Status-Server (RFC 5997 4)."""
    return _end(_begin(packet, secret, Code.ACCESS_ACCEPT), packet)


def acknowledge(packet: Packet, secret: bytes) -> bytes:
    """The Accounting-Response: what was reported is stored."""
    reply = AcctPacket(int(Code.ACCOUNTING_RESPONSE), packet.raw[1], secret, packet.raw[4:20])
    return _end(reply, packet)


def _begin(packet: Packet, secret: bytes, code: Code) -> AuthPacket:
    reply = AuthPacket(code=int(code), id=packet.raw[1], secret=secret, authenticator=packet.raw[4:20])
    reply.request_authenticator = packet.raw[4:20]
    reply.add_message_authenticator()
    return reply


def _end(reply: AuthPacket | AcctPacket, packet: Packet) -> bytes:
    """Proxy-State goes back as it came, in its order (RFC 2865 5.33)."""
    if packet.has_proxy_state:
        reply[_PROXY_STATE] = list(AuthPacket(packet=packet.raw)[_PROXY_STATE])
    return bytes(reply.ReplyPacket())


def _shortened(message: str) -> bytes:
    return message.encode()[:_MESSAGE_BYTES].decode(errors="ignore").encode()
