"""A simulator as a process of the rehearsal."""

from __future__ import annotations

import json
import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

_LOOK_AGAIN_SECONDS = 0.25


def run(name: str, work: Callable[[threading.Event], None]) -> int:
    """The exit code: 2 if `work` finds that it was set up wrongly. SIGTERM and SIGINT set the event that it gets."""
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    try:
        work(stop)
    except (OSError, ValueError, TypeError, OverflowError) as error:
        sys.stderr.write(f"{name}: {error}\n")
        return 2
    return 0


def read_when_there(path: Path, stop: threading.Event) -> Any:
    """The JSON of a file that is made while this process starts, once it is whole. None if `stop` is set first."""
    while not stop.is_set():
        try:
            return json.loads(path.read_text(encoding="utf-8"))
        except (OSError, json.JSONDecodeError):
            stop.wait(_LOOK_AGAIN_SECONDS)
    return None


def say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()
