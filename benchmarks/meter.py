"""What one call costs: processor time of this process, and SQL statements."""

from __future__ import annotations

import contextvars
import itertools
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple
from urllib.parse import urlencode

from flask import Flask
from flask.globals import _cv_app
from sqlalchemy import Engine, event
from werkzeug.test import EnvironBuilder, run_wsgi_app


class Cost(NamedTuple):
    """Medians in milliseconds, and the statements of one call, the naming of the tenant among them."""

    wall: float
    cpu: float
    statements: int


@contextmanager
def statements() -> Iterator[list[tuple[str, Any]]]:
    """Every statement that is sent in the block, with its values."""
    seen: list[tuple[str, Any]] = []

    def note(_c: object, _cursor: object, statement: str, values: object, *_: object) -> None:
        seen.append((statement, values))

    event.listen(Engine, "before_cursor_execute", note)
    try:
        yield seen
    finally:
        event.remove(Engine, "before_cursor_execute", note)


def measure(call: Callable[[], object], rounds: int = 200) -> Cost:
    """Of a warm call."""
    for _ in range(20):
        call()
    with statements() as seen:
        call()
    walls, cpus = [], []
    for _ in range(rounds):
        wall, cpu = time.perf_counter(), time.process_time()
        call()
        walls.append((time.perf_counter() - wall) * 1000)
        cpus.append((time.process_time() - cpu) * 1000)
    return Cost(statistics.median(walls), statistics.median(cpus), len(seen))


class Visit:
    """A request made once and sent at will, straight into the application: without the cost of a client."""

    def __init__(self, app: Flask, host: str, path: str, arguments: dict[str, str] | None = None) -> None:
        self._app = app
        query = urlencode(arguments or {})
        headers = [("User-Agent", "Mozilla/5.0 (Linux; Android 14)"), ("Accept-Language", "en-KE,en;q=0.9")]
        self._phones = itertools.count()
        self._environ = EnvironBuilder(path, f"https://{host}", query_string=query, headers=headers).get_environ()

    def __call__(self) -> str:
        body, status, _headers = contextvars.Context().run(self._send)
        assert status.startswith("200"), status
        return b"".join(body).decode()

    def _send(self) -> Any:
        _cv_app.set(None)  # type: ignore[arg-type]
        # From another address each time: the flood limit counts, and stays out of the way.
        phone = next(self._phones)
        return run_wsgi_app(self._app, self._environ | {"REMOTE_ADDR": f"10.1.{phone >> 8 & 255}.{phone & 255}"})
