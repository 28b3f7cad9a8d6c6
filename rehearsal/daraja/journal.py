"""The log of every exchange, secrets masked (build sheet 23)."""

from __future__ import annotations

import json
import re
from typing import Any

from flask import Request, Response

from rehearsal import simulation

_SECRET_KEYS = re.compile(r"password|passkey|secret|credential|access_token|authorization", re.IGNORECASE)
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
    text = simulation.mask_phones(text)
    return value if text == str(value) else text


class Journal(simulation.Journal):
    def exchange(self, name: str, request: Request, response: Response | None) -> None:
        """One request and its answer; None: the connection was cut."""
        answered = response and {"status": response.status_code, "body": _readable(response.get_data())}
        asked = {"verb": request.method, "path": request.path, "body": _readable(request.get_data())}
        self.write(exchange=name, asked=asked, answered=answered)

    def write(self, **facts: Any) -> None:
        super().write(**masked(facts))


def _readable(body: bytes) -> Any:
    try:
        return json.loads(body)
    except ValueError:
        return body[:_LONGEST_BODY].decode("utf-8", "replace")
