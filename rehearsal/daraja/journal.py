"""The JSONL log of every exchange, secrets masked (build sheet 23), kept in memory and, if wanted, in a file."""

from __future__ import annotations

import json
import re
import threading
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

from flask import Request, Response

_SECRET_KEYS = re.compile(r"password|passkey|secret|credential|access_token|authorization", re.IGNORECASE)
_PHONE = re.compile(r"(?<!\d)(?:254|0)?[17]\d{5}(\d{3})(?!\d)")
_CHECKOUT = re.compile(r"ws_CO_\d+(\d{3})")
_URL_TOKEN = re.compile(r"(?<=/)[0-9A-Za-z_-]{24,}")
_LONGEST_BODY = 4000


def masked(value: Any, key: str = "") -> Any:
    """A copy fit for a log: no credentials, the last three digits of a phone, the head of a callback token."""
    if isinstance(value, dict):
        return {k: masked(v, k) for k, v in value.items()}
    if isinstance(value, list):
        return [masked(item, key) for item in value]
    if _SECRET_KEYS.search(key):
        return "***"
    if isinstance(value, bool) or not isinstance(value, str | int):
        return value
    text = _CHECKOUT.sub(r"ws_CO_***\1", _URL_TOKEN.sub(lambda m: m[0][:6] + "***", str(value)))
    text = _PHONE.sub(r"******\1", text)
    return value if text == str(value) else text


class Journal:
    def __init__(self, now: Callable[[], str], path: Path | None = None) -> None:
        self._now, self._path = now, path
        self._lock = threading.Lock()
        self.lines: deque[dict[str, Any]] = deque(maxlen=2000)

    def exchange(self, name: str, request: Request, response: Response | None) -> None:
        """One request and its answer; None: the connection was cut."""
        answered = response and {"status": response.status_code, "body": _readable(response.get_data())}
        asked = {"verb": request.method, "path": request.path, "body": _readable(request.get_data())}
        self.write(name, asked=asked, answered=answered)

    def write(self, name: str, **facts: Any) -> None:
        line = {"at": self._now(), "exchange": name} | masked(facts)
        with self._lock:
            self.lines.append(line)
            if self._path is not None:
                with self._path.open("a", encoding="utf-8") as file:
                    file.write(json.dumps(line) + "\n")


def _readable(body: bytes) -> Any:
    try:
        return json.loads(body)
    except ValueError:
        return body[:_LONGEST_BODY].decode("utf-8", "replace")
