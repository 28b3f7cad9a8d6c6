"""Virtual time: runs with real time until it is frozen, and then moves only when told to."""

from __future__ import annotations

import logging
import threading
import time
from abc import ABC, abstractmethod
from datetime import UTC, datetime

_AFTER_A_FAULT_SECONDS = 1.0

log = logging.getLogger(__name__)


class Clock(ABC):
    """`lock` guards the whole simulation; what falls due happens while it is held, on a thread of the clock's own.

    A simulator says in `_step` what is due on it, and in `advance` how that happens on the way to a later moment.
    """

    def __init__(self, start: datetime | None = None, *, frozen: bool = False) -> None:
        self.lock = threading.Condition()
        self._virtual = (start or datetime.now(UTC)).timestamp()
        self._real = time.monotonic()
        self._frozen = frozen
        self._thread: threading.Thread | None = None
        self._closed = False

    @property
    def frozen(self) -> bool:
        return self._frozen

    def now(self) -> float:
        """Seconds since 1970, virtual."""
        with self.lock:
            return self._virtual if self._frozen else self._virtual + time.monotonic() - self._real

    def freeze(self, frozen: bool = True) -> None:
        with self.lock:
            self._set(self.now())
            self._frozen = frozen
            self.lock.notify_all()

    @abstractmethod
    def advance(self, seconds: float) -> None:
        """Move time forward: everything that falls due has happened, in order and at its own moment."""

    def start(self) -> None:
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="virtual-clock", daemon=True)
            self._thread.start()

    def close(self) -> None:
        with self.lock:
            self._closed = True
            self.lock.notify_all()
        if self._thread is not None:
            self._thread.join(timeout=5)

    @abstractmethod
    def _step(self) -> float | None:
        """Do the first thing that is due. Returns the seconds until the next, or None: only a change brings one."""

    def _set(self, now: float) -> None:
        """To this moment, unless it is past."""
        self._virtual, self._real = max(now, self.now()), time.monotonic()

    def _run(self) -> None:
        with self.lock:
            while not self._closed:
                try:
                    idle = self._step()
                except Exception:  # one bad event must not stop time for the whole rehearsal
                    log.exception("an event of the simulator failed")
                    idle = _AFTER_A_FAULT_SECONDS
                self.lock.wait(idle)
