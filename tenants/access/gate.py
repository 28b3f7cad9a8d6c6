"""The gate in front of every RADIUS packet: what is malformed or unauthenticated is dropped before anything reads it.

pyrad up to 2.5.4 could be sent into an endless loop by one spoofed packet; nothing reaches it unchecked.
"""

from __future__ import annotations

import hashlib
import hmac
from enum import IntEnum
from typing import NamedTuple

_HEADER = 20
_MAX_LENGTH = 4096
_MAX_ATTRIBUTES = 200
_MESSAGE_AUTHENTICATOR = 80
_VENDOR_SPECIFIC = 26
_PROXY_STATE = 33


class Code(IntEnum):
    ACCESS_REQUEST = 1
    ACCESS_ACCEPT = 2
    ACCESS_REJECT = 3
    ACCOUNTING_REQUEST = 4
    ACCOUNTING_RESPONSE = 5
    STATUS_SERVER = 12


class Packet(NamedTuple):
    """A packet whose lengths all add up. `raw` has exactly the length that its header says."""

    code: Code
    raw: bytes
    signature_at: int | None
    has_proxy_state: bool


def read(data: bytes) -> Packet | None:
    """Walks a packet (RFC 2865 3 and 5, 5.26); None for anything malformed. Trailing padding is cut off."""
    if not _HEADER <= len(data) <= _MAX_LENGTH:
        return None
    length = int.from_bytes(data[2:4])
    if not _HEADER <= length <= len(data) or data[0] not in set(Code):
        return None
    raw, at, count, signature_at, proxy_state = data[:length], _HEADER, 0, None, False
    while at < length:
        kind, size = raw[at], raw[at + 1] if at + 1 < length else 0
        count += 1
        if size < 2 or at + size > length or count > _MAX_ATTRIBUTES:
            return None
        if kind == _VENDOR_SPECIFIC and not _vendor_is_sound(raw[at + 2 : at + size]):
            return None
        if kind == _MESSAGE_AUTHENTICATOR:
            if size != 18 or signature_at is not None:
                return None
            signature_at = at
        proxy_state = proxy_state or kind == _PROXY_STATE
        at += size
    return Packet(Code(raw[0]), raw, signature_at, proxy_state)


def _vendor_is_sound(value: bytes) -> bool:
    """A vendor number and at least one sub-attribute whose lengths add up, as RouterOS and pyrad write them."""
    if len(value) < 7:
        return False
    at = 4
    while at < len(value):
        size = value[at + 1] if at + 1 < len(value) else 0
        if size < 2 or at + size > len(value):
            return False
        at += size
    return True


def is_sound(packet: Packet, secret: bytes, *, require_signature: bool = True) -> bool:
    """Whether a request comes from someone who knows the secret, as far as its kind can prove it.

    Access-Request and Status-Server need a Message-Authenticator (RFC 3579 3.2; CVE-2024-3596) unless the router is
    excused, and then never with Proxy-State; accounting is signed as a whole (RFC 2866 3).
    """
    if packet.signature_at is not None and not _signature_is_right(packet, secret):
        return False
    if packet.code is Code.ACCOUNTING_REQUEST:
        raw = packet.raw
        expected = hashlib.md5(raw[:4] + bytes(16) + raw[20:] + secret).digest()  # noqa: S324 - RFC 2866 3
        return hmac.compare_digest(expected, raw[4:20])
    if packet.signature_at is None:
        return packet.code is Code.ACCESS_REQUEST and not require_signature and not packet.has_proxy_state
    return True


def _signature_is_right(packet: Packet, secret: bytes) -> bool:
    raw, at = packet.raw, packet.signature_at
    assert at is not None
    head = raw[:4] + bytes(16) if packet.code is Code.ACCOUNTING_REQUEST else raw[:20]
    blank = head + raw[20 : at + 2] + bytes(16) + raw[at + 18 :]
    return hmac.compare_digest(hmac.new(secret, blank, hashlib.md5).digest(), raw[at + 2 : at + 18])
