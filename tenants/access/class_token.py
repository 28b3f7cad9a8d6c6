"""The Class attribute (RFC 2865 5.25) of our Access-Accept: the router repeats it in accounting, so that a session is
known by it for ever, whatever session ids the router uses again."""

from __future__ import annotations

import hashlib
import hmac
from typing import NamedTuple
from uuid import UUID

_MARK = b"S1"
_LENGTH = len(_MARK) + 16 + 16 + 8


class ClassToken(NamedTuple):
    """One log-in, and the entitlement under which it was let in."""

    session_id: UUID
    entitlement_id: UUID


def seal_class(key: bytes, router_id: UUID, token: ClassToken) -> bytes:
    """42 bytes that open only with the same key and router."""
    body = _MARK + token.session_id.bytes + token.entitlement_id.bytes
    return body + _signature(key, router_id, body)


def open_class(key: bytes, router_id: UUID, value: bytes) -> ClassToken | None:
    """None for a Class that is not ours, of another router or made with another key."""
    body, signature = value[:-8], value[-8:]
    if len(value) != _LENGTH or not hmac.compare_digest(signature, _signature(key, router_id, body)):
        return None
    return ClassToken(UUID(bytes=body[2:18]), UUID(bytes=body[18:34]))


def _signature(key: bytes, router_id: UUID, body: bytes) -> bytes:
    return hmac.new(key, b"radius class|" + router_id.bytes + body, hashlib.sha256).digest()[:8]
