"""`python -m rehearsal.router`: the routers as a process.

ROUTERS is a JSON file, a list of {tenant, name, address, identifier, secret, portal_url}; it is waited for. Ports:
ROUTER_CONTROL_PORT (8190, the page and the control API), ROUTER_HOTSPOT_PORT (8180, on each router's own address),
RADIUS_AUTH_PORT (1812), RADIUS_ACCT_PORT (1813), RADIUS_COA_PORT (3799, on each router's own address). RADIUS_HOST
(127.0.0.1) is the server, ROUTER_JOURNAL a JSONL file of every packet.
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

from .fleet import Fleet, furnish
from .router import VirtualRouter

_LOOK_AGAIN_SECONDS = 0.25
_TRAFFIC = (40_000, 160_000)  # bit/s of a new device, so that a session is seen to tick


def build(environment: Mapping[str, str]) -> Fleet:
    def port(name: str, default: int) -> int:
        return int(environment.get(name) or default)

    journal = environment.get("ROUTER_JOURNAL")
    return Fleet(
        (environment.get("RADIUS_HOST") or "127.0.0.1", port("RADIUS_AUTH_PORT", 1812), port("RADIUS_ACCT_PORT", 1813)),
        coa_port=port("RADIUS_COA_PORT", 3799), hotspot_port=port("ROUTER_HOTSPOT_PORT", 8180), traffic=_TRAFFIC,
        # A router that comes up again does not repeat the session ids of a moment ago (sheet 1.4).
        boot=int(time.time()) % 16, journal=Path(journal) if journal else None,
    )  # fmt: skip


def wait_for(path: Path, stop: threading.Event) -> list[dict[str, Any]]:
    """What the file lists, as soon as it is there and whole. Raises ValueError if it is no list of objects."""
    while not stop.wait(_LOOK_AGAIN_SECONDS):
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, json.JSONDecodeError):
            continue
        if not isinstance(content, list) or not all(isinstance(entry, dict) for entry in content):
            raise ValueError(f"{path} must hold a list of routers")
        return content
    return []


def main(environment: Mapping[str, str]) -> int:
    stop = threading.Event()
    for name in (signal.SIGTERM, signal.SIGINT):
        signal.signal(name, lambda *_: stop.set())
    try:
        with build(environment) as fleet:
            fleet.serve(int(environment.get("ROUTER_CONTROL_PORT") or 8190))
            _say(f"router simulator: page {fleet.base_url}/  control {fleet.base_url}/control/")
            if listed := environment.get("ROUTERS"):
                furnish(fleet, wait_for(Path(listed), stop))
            for router in fleet.routers.values():
                _say(f"router {router.name} at {router.box.address}, CoA port {router.coa_port}, {_face(router)}")
            stop.wait()
    except (OSError, ValueError, TypeError, OverflowError) as error:
        sys.stderr.write(f"router simulator: {error}\n")
        return 2
    return 0


def _face(router: VirtualRouter) -> str:
    return f"hotspot {router.hotspot.url}/" if router.hotspot else "no hotspot pages"


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    raise SystemExit(main(os.environ))
