"""The log of every packet, secrets masked, kept in memory and, if wanted, in a JSONL file."""

from __future__ import annotations

import json
import re
import threading
from collections import deque
from pathlib import Path
from typing import Any

from .clock import Clock
from .wire import BadPacket, Value, parse

_SECRET = {"User-Password", "CHAP-Password", "CHAP-Challenge", "Message-Authenticator"}
_SECRET_KEYS = re.compile(r"password|secret|challenge", re.IGNORECASE)
_PHONE = re.compile(r"(?<!\d)(?:254|0)?[17]\d{5}(\d{3})(?!\d)")


def shown(name: str, value: Value) -> Value:
    """An attribute as a log may hold it: no credentials, the last three digits of a phone."""
    if name in _SECRET:
        return "***"
    if isinstance(value, bytes):
        return value.hex()
    return _PHONE.sub(r"******\1", value) if isinstance(value, str) else value


def attributes(datagram: bytes) -> list[list[Value]]:
    try:
        return [[name, shown(name, value)] for name, value in parse(datagram).attributes]
    except BadPacket:
        return []


class Journal:
    def __init__(self, clock: Clock, path: Path | None = None) -> None:
        self._clock, self._path = clock, path
        self._lock = threading.Lock()
        self.lines: deque[dict[str, Any]] = deque(maxlen=2000)

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

    def write(self, **facts: Any) -> None:
        line = {"at": self._clock.iso()} | {k: "***" if _SECRET_KEYS.search(k) else v for k, v in facts.items()}
        with self._lock:
            self.lines.append(line)
            if self._path is not None:
                with self._path.open("a", encoding="utf-8") as file:
                    file.write(json.dumps(line) + "\n")
