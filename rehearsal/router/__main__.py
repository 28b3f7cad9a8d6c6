"""`python -m rehearsal.router`: the routers as a process.

ROUTERS is a JSON file, a list of {tenant, name, address, identifier, secret, portal_url}; it is waited for. Ports:
ROUTER_CONTROL_PORT (8190, the page and the control API), ROUTER_HOTSPOT_PORT (8180, on each router's own address),
RADIUS_AUTH_PORT (1812), RADIUS_ACCT_PORT (1813), RADIUS_COA_PORT (3799, on each router's own address). RADIUS_HOST
(127.0.0.1) is the server, ROUTER_JOURNAL a JSONL file of every packet.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Mapping
from pathlib import Path

from rehearsal.simulation import read_when_there, run, say

from .fleet import Fleet, furnish
from .router import VirtualRouter

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


def serve(environment: Mapping[str, str], stop: threading.Event) -> None:
    with build(environment) as fleet:
        fleet.serve(int(environment.get("ROUTER_CONTROL_PORT") or 8190))
        say(f"router simulator: page {fleet.base_url}/  control {fleet.base_url}/control/")
        if listed := environment.get("ROUTERS"):
            furnish(fleet, read_when_there(Path(listed), stop) or [])
        for router in fleet.routers.values():
            say(f"router {router.name} at {router.box.address}, CoA port {router.coa_port}, {_face(router)}")
        stop.wait()


def main(environment: Mapping[str, str]) -> int:
    return run("router simulator", lambda stop: serve(environment, stop))


def _face(router: VirtualRouter) -> str:
    return f"hotspot {router.hotspot.url}/" if router.hotspot else "no hotspot pages"


if __name__ == "__main__":
    raise SystemExit(main(os.environ))
