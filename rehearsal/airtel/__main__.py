"""`python -m rehearsal.airtel`: the simulator as a process.

AIRTEL_PORT (8110), AIRTEL_BIND (127.0.0.1, loopback only), AIRTEL_SEED (0), and AIRTEL_APPS, a JSON file
{"apps": [...], "knobs": {...}} with applications as `AirtelSimulator.add_app` takes them; it is waited for.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping
from pathlib import Path

from rehearsal.simulation import read_when_there, run, say

from .simulator import AirtelSimulator


def serve(environment: Mapping[str, str], stop: threading.Event) -> None:
    with AirtelSimulator(int(environment.get("AIRTEL_SEED", "0"))) as sim:
        if apps := environment.get("AIRTEL_APPS"):
            content = read_when_there(Path(apps), stop) or {}
            for app in content.get("apps", []):
                sim.add_app(**app)
            sim.set_knobs(content.get("knobs", {}))
        sim.serve(int(environment.get("AIRTEL_PORT", "8110")), environment.get("AIRTEL_BIND", "127.0.0.1"))
        say(f"airtel simulator on {sim.base_url}  phones {sim.base_url}/phone/  control {sim.base_url}/control/")
        stop.wait()


def main(environment: Mapping[str, str]) -> int:
    return run("airtel simulator", lambda stop: serve(environment, stop))


if __name__ == "__main__":
    raise SystemExit(main(os.environ))
