"""The one source of the present. Rules take time as an argument or ask here; nothing else reads a clock."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, date, datetime
from zoneinfo import ZoneInfo

_fixed: ContextVar[datetime | None] = ContextVar("wavu_fixed_now", default=None)


def now() -> datetime:
    """The present instant, aware, in UTC."""
    return _fixed.get() or datetime.now(UTC)


def now_by(seconds: Callable[[], float]) -> datetime:
    """The present by a clock that several machines share, as seconds since the epoch; this one where it is fixed."""
    return _fixed.get() or datetime.fromtimestamp(seconds(), UTC)


def local_date(instant: datetime, timezone: str) -> date:
    """The calendar day of an instant where the tenant lives. `timezone` is an IANA name."""
    return instant.astimezone(ZoneInfo(timezone)).date()


@contextmanager
def fixed(instant: datetime) -> Iterator[None]:
    """Stops this context's clock at an instant: for tests and for replaying the past."""
    if instant.tzinfo is None:
        raise ValueError("an instant needs a time zone")
    token = _fixed.set(instant.astimezone(UTC))
    try:
        yield
    finally:
        _fixed.reset(token)
