"""`python -m rehearsal.daraja`: the simulator as a process.

DARAJA_PORT (8100), DARAJA_BIND (127.0.0.1, loopback only), DARAJA_SEED (0), DARAJA_JOURNAL (a JSONL file), and
DARAJA_APPS, a JSON file with a list of apps as `Simulator.add_app` takes them, or an object
{"apps": [...], "subscribers": [...], "knobs": {...}}.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .simulator import Simulator, require_loopback


def prepare(sim: Simulator, path: Path) -> None:
    """Register what the file names. Raises ValueError or TypeError if it is not as described above."""
    content = json.loads(path.read_text(encoding="utf-8"))
    settings: dict[str, Any] = {"apps": content} if isinstance(content, list) else content
    for app in settings.get("apps", []):
        sim.add_app(**app)
    for subscriber in settings.get("subscribers", []):
        sim.subscriber(**subscriber)
    sim.set_knobs(settings.get("knobs", {}))


def wait_for(path: Path, seconds: float = 120) -> None:
    """The rehearsal's data is made while this process starts."""
    until = time.monotonic() + seconds
    while not path.exists() and time.monotonic() < until:
        time.sleep(0.2)


def main(environment: Mapping[str, str]) -> int:
    try:
        bind = require_loopback(environment.get("DARAJA_BIND", "127.0.0.1"))
        journal = environment.get("DARAJA_JOURNAL")
        sim = Simulator(int(environment.get("DARAJA_SEED", "0")), journal=Path(journal) if journal else None)
        if apps := environment.get("DARAJA_APPS"):
            wait_for(Path(apps))
            prepare(sim, Path(apps))
        sim.serve(int(environment.get("DARAJA_PORT", "8100")), bind)
    except (OSError, ValueError, TypeError) as error:
        sys.stderr.write(f"daraja simulator: {error}\n")
        return 2
    stop = threading.Event()
    for name in (signal.SIGTERM, signal.SIGINT):
        signal.signal(name, lambda *_: stop.set())
    sys.stdout.write(f"daraja simulator on {sim.base_url}  phones {sim.base_url}/phone/  control {sim.control_url}/\n")
    sys.stdout.flush()
    stop.wait()
    sim.close()
    return 0


if __name__ == "__main__":
    raise SystemExit(main(os.environ))
