"""Virtual time: what the routers believe the time to be, and when something is due on one of them.

A router says when its next session ends, reports or redials; the clock asks again after every change, so that a rate or
a limit can be changed under way and nothing has to be cancelled.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Protocol

from rehearsal import simulation


class Timed(Protocol):
    def due(self) -> float | None:
        """The next moment at which `perform` has something to do."""

    def perform(self, now: float) -> None:
        """Do what is due. Called with the lock held; must move `due` on."""

    def settle(self) -> None:
        """Wait for what `perform` caused. Called without the lock, by `advance` only."""


class Clock(simulation.Clock):
    """Its lock guards all routers on this clock."""

    def __init__(self, start: datetime | None = None, *, frozen: bool = False) -> None:
        super().__init__(start, frozen=frozen)
        self._timed: list[Timed] = []

    def iso(self) -> str:
        return datetime.fromtimestamp(self.now(), UTC).isoformat(timespec="milliseconds")

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
                    self._set(target)
                    self.lock.notify_all()
                    return
                self._set(due)
                timed.perform(self.now())
            timed.settle()

    def _next(self) -> tuple[float, Timed | None]:
        best: tuple[float, Timed | None] = (float("inf"), None)
        for timed in self._timed:
            due = timed.due()
            if due is not None and due < best[0]:
                best = (due, timed)
        return best

    def _step(self) -> float | None:
        due, timed = self._next()
        if timed is None or self.frozen:
            return None
        if due <= self.now():
            timed.perform(self.now())
            return 0.0
        return due - self.now()
