"""Virtual time: what the simulator believes the time to be, and what is due when.

Section 23 of the build sheet asks for a clock that lets tests of 60 s, 48 h and 90 d run at once. Everything that
happens later (a prompt's expiry, a delayed callback) is an event here, so `advance` replays it in order and at its own
moment.
"""

from __future__ import annotations

import heapq
import itertools
import logging
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone

# Build sheet 2.5: TransactionDate and the times inside identifiers are East Africa Time, which has no summer time.
EAT = timezone(timedelta(hours=3), "EAT")

log = logging.getLogger(__name__)


class Clock:
    """Runs with real time until frozen.

    `lock` guards the whole simulator; actions run while holding it, so they do no I/O.
    """

    def __init__(self, start: datetime | None = None, *, frozen: bool = False) -> None:
        self.lock = threading.Condition()
        self._virtual = (start or datetime.now(UTC)).timestamp()
        self._real = time.monotonic()
        self._frozen = frozen
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._order = itertools.count()
        self._thread: threading.Thread | None = None
        self._closed = False

    @property
    def frozen(self) -> bool:
        return self._frozen

    def epoch(self) -> float:
        """Seconds since 1970, virtual."""
        with self.lock:
            return self._virtual if self._frozen else self._virtual + time.monotonic() - self._real

    def eat(self, epoch: float | None = None) -> datetime:
        """The given moment, or now, as East Africa Time."""
        return datetime.fromtimestamp(self.epoch() if epoch is None else epoch, EAT)

    def freeze(self, frozen: bool = True) -> None:
        with self.lock:
            self._set(self.epoch())
            self._frozen = frozen
            self.lock.notify_all()

    def after(self, seconds: float, action: Callable[[], None]) -> None:
        """Run `action` once `seconds` of virtual time have passed, on the clock's own thread or inside `advance`."""
        with self.lock:
            heapq.heappush(self._events, (self.epoch() + seconds, next(self._order), action))
            self.lock.notify_all()

    def advance(self, seconds: float) -> None:
        """Move time forward. Returns when all that fell due has happened (callbacks may still be on the wire)."""
        if seconds < 0:
            raise ValueError("time only moves forward")
        with self.lock:
            target = self.epoch() + seconds
            while self._events and self._events[0][0] <= target:
                due, _, action = heapq.heappop(self._events)
                self._set(max(due, self.epoch()))
                action()
            self._set(max(target, self.epoch()))
            self.lock.notify_all()

    def start(self) -> None:
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="daraja-clock", daemon=True)
            self._thread.start()

    def close(self) -> None:
        with self.lock:
            self._closed = True
            self._events.clear()
            self.lock.notify_all()
        if self._thread is not None:
            self._thread.join(timeout=5)

    def forget(self) -> None:
        """Drop every event that has not happened yet."""
        with self.lock:
            self._events.clear()

    def _set(self, epoch: float) -> None:
        self._virtual, self._real = epoch, time.monotonic()

    def _run(self) -> None:
        with self.lock:
            while not self._closed:
                if self._events and self._events[0][0] <= self.epoch():
                    self._perform(heapq.heappop(self._events)[2])
                    continue
                idle = not self._events or self._frozen
                self.lock.wait(None if idle else max(0.0, self._events[0][0] - self.epoch()))

    @staticmethod
    def _perform(action: Callable[[], None]) -> None:
        try:
            action()
        except Exception:  # one bad event must not stop time for all tenants of a rehearsal
            log.exception("an event of the simulator failed")
