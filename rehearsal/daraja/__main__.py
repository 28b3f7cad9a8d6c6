"""`python -m rehearsal.daraja`: the simulator as a process.

DARAJA_PORT (8100), DARAJA_BIND (127.0.0.1, loopback only), DARAJA_SEED (0), DARAJA_JOURNAL (a JSONL file),
DARAJA_MEMORY (a file that keeps what organisations registered), and DARAJA_APPS, a JSON file with a list of apps as
`Simulator.add_app` takes them, or an object {"apps": [...], "subscribers": [...], "knobs": {...}}; it is waited for.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rehearsal.simulation import read_when_there, run, say

from .simulator import Simulator, require_loopback


def prepare(sim: Simulator, content: Any) -> None:
    """Register what the file names. Raises ValueError or TypeError if it is not as described above."""
    settings: dict[str, Any] = {"apps": content} if isinstance(content, list) else content
    for app in settings.get("apps", []):
        sim.add_app(**app)
    for subscriber in settings.get("subscribers", []):
        sim.subscriber(**subscriber)
    sim.set_knobs(settings.get("knobs", {}))


_FILES = ("DARAJA_JOURNAL", "DARAJA_MEMORY")


def serve(environment: Mapping[str, str], stop: threading.Event) -> None:
    bind = require_loopback(environment.get("DARAJA_BIND", "127.0.0.1"))
    journal, memory = (Path(path) if (path := environment.get(name)) else None for name in _FILES)
    with Simulator(int(environment.get("DARAJA_SEED", "0")), journal=journal, memory=memory) as sim:
        if apps := environment.get("DARAJA_APPS"):
            prepare(sim, read_when_there(Path(apps), stop) or {})
        sim.serve(int(environment.get("DARAJA_PORT", "8100")), bind)
        say(f"daraja simulator on {sim.base_url}  phones {sim.base_url}/phone/  control {sim.control_url}/")
        stop.wait()


def main(environment: Mapping[str, str]) -> int:
    return run("daraja simulator", lambda stop: serve(environment, stop))


if __name__ == "__main__":
    raise SystemExit(main(os.environ))
