"""The log of every packet, secrets masked."""

from __future__ import annotations

from typing import Any

from rehearsal import simulation

from .wire import BadPacket, Value, parse

_SECRET = {"User-Password", "CHAP-Password", "CHAP-Challenge", "Message-Authenticator"}


def shown(name: str, value: Value) -> Value:
    """An attribute as a log may hold it: no credentials, the last three digits of a phone."""
    if name in _SECRET:
        return "***"
    if isinstance(value, bytes):
        return value.hex()
    return simulation.mask_phones(value) if isinstance(value, str) else value


def attributes(datagram: bytes) -> list[list[Value]]:
    try:
        return [[name, shown(name, value)] for name, value in parse(datagram).attributes]
    except BadPacket:
        return []


class Journal(simulation.Journal):
    def packet(self, router: str, direction: str, peer: str, datagram: bytes, remark: str) -> None:
        """`direction`: sent, received, refused (and thrown away), lost (on purpose) or gave up."""
        try:
            packet = parse(datagram)
            about: dict[str, Any] = {"packet": packet.name, "id": packet.identifier}
        except BadPacket as error:
            about = {"packet": f"malformed: {error}", "id": None}
        self.write(
            router=router, direction=direction, peer=peer, octets=len(datagram), remark=remark,
            attributes=attributes(datagram), **about,
        )  # fmt: skip
