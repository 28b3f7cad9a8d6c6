from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

import pytest

from rehearsal.daraja import Simulator
from rehearsal.daraja.clock import EAT
from tests.daraja_simulator.shop import Receiver, Shop


@pytest.fixture(scope="session")
def served() -> Iterator[Simulator]:
    with Simulator(start=datetime(2026, 11, 21, 14, 5, tzinfo=EAT), frozen=True).serve() as sim:
        yield sim


@pytest.fixture
def sim(served: Simulator) -> Iterator[Simulator]:
    """A simulator as new, its clock standing still."""
    served.reset(seed=1)
    yield served
    served.gateway.release()
    assert served.wait_idle()


@pytest.fixture(scope="session")
def listening() -> Iterator[Receiver]:
    receiver = Receiver()
    yield receiver
    receiver.close()


@pytest.fixture
def receiver(sim: Simulator, listening: Receiver) -> Receiver:
    for seen in (listening.raw, listening.paths, listening.hosts, listening.sources):
        seen.clear()
    listening.status, listening.location, listening.reply, listening.on_callback = 200, "", None, None
    return listening


@pytest.fixture
def paybill(sim: Simulator, receiver: Receiver) -> Shop:
    return Shop(sim, receiver.url).register()


@pytest.fixture
def till(sim: Simulator, receiver: Receiver) -> Shop:
    return Shop(sim, receiver.url, "600100", "till-passkey", "till-key", "till-secret", "600200").register()


@pytest.fixture
def acting(sim: Simulator, paybill: Shop) -> Shop:
    """A shop with an initiator, and 500 shillings on its account."""
    initiator = {"name": "wavuapi", "password": "Secret#2026"}
    sim.add_app(
        paybill.key, paybill.secret, paybill.shortcode, passkey=paybill.passkey, name="PENDO WIFI",
        initiators=[initiator],
    )  # fmt: skip
    sim.merchant(paybill.shortcode, balance=500)
    return paybill
