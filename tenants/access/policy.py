"""The decision: may this user be online, and how."""

from __future__ import annotations

from typing import NamedTuple


class Refusal(NamedTuple):
    """Why not, in words that fit into a Reply-Message (RFC 2865 5.18: at most 253 octets)."""

    message: str


def authorize(user: str) -> Refusal:
    """Decides for the current tenant. Nothing is sold yet, so nobody has a right to be online."""
    del user
    return Refusal("No active package.")
