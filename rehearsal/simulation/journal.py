"""The log of everything that happened."""

from __future__ import annotations

import json
import re
import threading
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

_PHONE = re.compile(r"(?<!\d)(?:254|0)?[17]\d{5}(\d{3})(?!\d)")


def mask_phones(text: str) -> str:
    """Of every phone number the last three digits only."""
    return _PHONE.sub(r"******\1", text)


class Journal:
    """`lines` are the newest 2000; with a `path` all are kept, as JSON lines. Who writes has masked what is secret."""

    def __init__(self, now: Callable[[], str], path: Path | None = None) -> None:
        self._now, self._path = now, path
        self._lock = threading.Lock()
        self.lines: deque[dict[str, Any]] = deque(maxlen=2000)

    def write(self, **facts: Any) -> None:
        line = {"at": self._now()} | facts
        with self._lock:
            self.lines.append(line)
            if self._path is not None:
                with self._path.open("a", encoding="utf-8") as file:
                    file.write(json.dumps(line) + "\n")
