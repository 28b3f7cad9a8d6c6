"""Virtual time: what the routers believe the time to be, and when something is due on one of them.

A router says when its next session ends, reports or redials; the clock asks again after every change, so that a rate or
a limit can be changed under way and nothing has to be cancelled.
"""

from __future__ import annotations

import logging
import threading
import time
from datetime import UTC, datetime
from typing import Protocol

log = logging.getLogger(__name__)


class Timed(Protocol):
    def due(self) -> float | None:
        """The next moment at which `perform` has something to do."""

    def perform(self, now: float) -> None:
        """Do what is due. Called with the lock held; must move `due` on."""

    def settle(self) -> None:
        """Wait for what `perform` caused. Called without the lock, by `advance` only."""


class Clock:
    """Runs with real time until frozen. `lock` guards all routers on this clock."""

    def __init__(self, start: datetime | None = None, *, frozen: bool = False) -> None:
        self.lock = threading.Condition()
        self._virtual = (start or datetime.now(UTC)).timestamp()
        self._real = time.monotonic()
        self._frozen = frozen
        self._timed: list[Timed] = []
        self._thread: threading.Thread | None = None
        self._closed = False

    @property
    def frozen(self) -> bool:
        return self._frozen

    def now(self) -> float:
        """Seconds since 1970, virtual."""
        with self.lock:
            return self._virtual if self._frozen else self._virtual + time.monotonic() - self._real

    def iso(self) -> str:
        return datetime.fromtimestamp(self.now(), UTC).isoformat(timespec="milliseconds")

    def freeze(self, frozen: bool = True) -> None:
        with self.lock:
            self._set(self.now())
            self._frozen = frozen
            self.lock.notify_all()

    def attach(self, timed: Timed) -> None:
        with self.lock:
            self._timed.append(timed)
            self.lock.notify_all()

    def detach(self, timed: Timed) -> None:
        with self.lock:
            self._timed = [other for other in self._timed if other is not timed]

    def changed(self) -> None:
        """Something may be due earlier than it was."""
        with self.lock:
            self.lock.notify_all()

    def advance(self, seconds: float) -> None:
        """Move time forward. Everything that falls due happens in order, at its own moment, and is waited for."""
        if seconds < 0:
            raise ValueError("time only moves forward")
        target = self.now() + seconds
        while True:
            with self.lock:
                due, timed = self._next()
                if timed is None or due > target:
                    self._set(max(target, self.now()))
                    self.lock.notify_all()
                    return
                self._set(max(due, self.now()))
                timed.perform(self.now())
            timed.settle()

    def start(self) -> None:
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="router-clock", daemon=True)
            self._thread.start()

    def close(self) -> None:
        with self.lock:
            self._closed = True
            self.lock.notify_all()
        if self._thread is not None:
            self._thread.join(timeout=5)

    def _next(self) -> tuple[float, Timed | None]:
        best: tuple[float, Timed | None] = (float("inf"), None)
        for timed in self._timed:
            due = timed.due()
            if due is not None and due < best[0]:
                best = (due, timed)
        return best

    def _set(self, now: float) -> None:
        self._virtual, self._real = now, time.monotonic()

    def _run(self) -> None:
        with self.lock:
            while not self._closed:
                due, timed = self._next()
                if timed is not None and not self._frozen and due <= self.now():
                    self._perform(timed)
                    continue
                idle = timed is None or self._frozen
                self.lock.wait(None if idle else max(0.0, due - self.now()))

    def _perform(self, timed: Timed) -> None:
        try:
            timed.perform(self.now())
        except Exception:  # one bad event must not stop time for all routers of a rehearsal
            log.exception("an event of the router simulator failed")
            self.lock.wait(1.0)
