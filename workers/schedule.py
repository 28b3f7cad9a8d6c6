"""Every clock of the system on one page. The relay's leader turns each tick into an outbox row, once."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import NamedTuple

from wavu.outbox import Queue


class Clock(NamedTuple):
    """A job of the platform's own tenant, started every so many seconds, counted from the epoch."""

    job: str
    every_seconds: int
    queue: Queue


CLOCKS = (
    Clock("end_expired_sessions", 15, Queue.NETWORK),
    Clock("look_after_wallets", 60, Queue.BULK),
    Clock("ask_balances", 86_400, Queue.BULK),
    Clock("look_for_silence", 300, Queue.BULK),
    Clock("pull_since_last", 900, Queue.BULK),
    Clock("pull_two_days", 86_400, Queue.BULK),
    Clock("close_days", 3600, Queue.BULK),
    Clock("forget_old_sessions", 3600, Queue.BULK),
    Clock("forget_old_keys", 86_400, Queue.BULK),
)


def tick_of(clock: Clock, now: datetime) -> str:
    """The name of the tick that an instant falls into: the same for every process that asks."""
    epoch = int(now.timestamp())
    start = datetime.fromtimestamp(epoch - epoch % clock.every_seconds, UTC)
    return f"{clock.job}-{start:%Y%m%dT%H%M%S}"
