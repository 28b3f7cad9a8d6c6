from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from rehearsal.router import VirtualRouter
from rehearsal.router.clock import Clock
from tests.virtual_router.server import SECRET, RadiusServer

NOON = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)


@pytest.fixture
def server() -> Iterator[RadiusServer]:
    made = RadiusServer()
    yield made
    made.close()


@pytest.fixture
def clock() -> Iterator[Clock]:
    """Stands still until a test moves it."""
    made = Clock(NOON, frozen=True)
    yield made
    made.close()


@pytest.fixture
def router(server: RadiusServer, clock: Clock) -> Iterator[VirtualRouter]:
    """A router without pages that asks `server` and makes no sound of its own at boot."""
    made = VirtualRouter(
        "pendo-kasarani", address="127.0.9.10", secret=SECRET, radius=server.address, hotspot_port=None,
        tenant="pendo", clock=clock, knobs={"acct.on_off": False},
        login_by=("mac-cookie", "http-pap"),
    )  # fmt: skip
    with made:
        yield made
