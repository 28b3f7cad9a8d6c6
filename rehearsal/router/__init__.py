"""MikroTik routers of one's own, on loopback, for the rehearsal and the tests.

Promise: towards RADIUS these behave as sheet sections 1 and 3 (routeros-radius.md) say RouterOS does, over real UDP
from a loopback address of their own: hotspot and PPPoE log-ins, accounting, CoA and Disconnect, limits that the router
itself enforces; towards people they are a hotspot with real pages. They share no code with the product.

    with VirtualRouter("pendo", address="127.0.1.10", secret="s", radius=("127.0.0.1", 1812, 1813)) as router:
        router.join("02:00:00:00:00:01")
        assert router.login("02:00:00:00:00:01", "K7PM2QX9", "K7PM2QX9").ok
        router.advance(3600)
"""

from rehearsal.simulation import BadKnob, NotPossible, Unknown

from .fleet import Fleet
from .knobs import Knobs
from .people import Device, Outcome, require_loopback
from .router import VirtualRouter
from .session import Session

__all__ = [
    "BadKnob", "Device", "Fleet", "Knobs", "NotPossible", "Outcome", "Session", "Unknown", "VirtualRouter",
    "require_loopback",
]  # fmt: skip
