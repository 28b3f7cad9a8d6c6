"""Identifiers and secrets that we make ourselves."""

from __future__ import annotations

import hashlib
import secrets
from uuid import UUID

from uuid_utils.compat import uuid7


def new_id() -> UUID:
    """A UUIDv7 (RFC 9562 5.7): unique everywhere and ordered by time, so that index pages stay together."""
    return uuid7()


def new_token() -> str:
    """256 random bits in hex. Hex, because a payment gateway refuses URLs that happen to contain words."""
    return secrets.token_hex(32)


def fingerprint(token: str) -> str:
    """What is stored of a token: its SHA-256 in hex. A token has too many bits to need a slow hash."""
    return hashlib.sha256(token.encode()).hexdigest()
