"""From callback to entitlement: `./run bench`. 50 purchases are answered at once; the product's own processes settle.

Prints the distribution of the time between a callback's arrival and the grant that its settlement committed. The
whole system runs on this machine: web, relay, workers, RADIUS, PostgreSQL (fsync on) and Valkey.
"""

from __future__ import annotations

import random
import statistics
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from config import load
from rehearsal.daraja.simulator import Simulator
from tests.chaos.stage import Stage, ask, until
from tests.chaos.test_purchases import COMMANDS, Buyer, buy
from tests.conftest import environment
from tests.payments.conftest import open_shop
from tests.stack import Stack
from tests.world import World, build_world
from wavu.db import db, transaction
from wavu.surfaces import create_web
from wavu.tenancy import tenant_scope

IN_FLIGHT = 50
ROUNDS = 4

_DELAYS = """
SELECT extract(epoch FROM e.created_at - i.created_at) * 1000 FROM inbound_event i
JOIN payment_intent p ON p.id = i.intent_id JOIN entitlement e ON e.purchase_id = p.purchase_id
WHERE i.outcome = 'settled' ORDER BY i.created_at
"""


@pytest.fixture
def sim() -> Iterator[Simulator]:
    with Simulator(seed=1).serve() as simulator:
        simulator.set_knobs({"stk.repeat_window": 0})
        yield simulator


@pytest.fixture
def stage(servers: Stack, tmp_path: Path, sim: Simulator) -> Iterator[Stage]:
    made = Stage(
        environment(servers, "unused", 0), tmp_path, COMMANDS,
        PLATFORM_DOMAIN="wavu.localhost", PUBLIC_SCHEME="http", DARAJA_REHEARSAL_URL=sim.base_url,
    )  # fmt: skip
    yield made
    made.stop()


def test_settlement(stage: Stage, sim: Simulator) -> None:
    app = create_web(load(stage.environ))
    world = build_world(app)
    for isp in (world.a, world.b):
        with app.app_context(), tenant_scope(isp.id), transaction():
            open_shop(world, sim, isp.id)
    for number in range(ROUNDS):
        _round(stage, sim, [_buyer(world, number * IN_FLIGHT + n) for n in range(IN_FLIGHT)])
    with app.app_context():
        db.engine.dispose()
    rows = ask(stage, _DELAYS) or []
    delays = sorted(float(row[0]) for row in rows)
    cut = statistics.quantiles(delays, n=100)
    print(f"\ncallback to entitlement, {len(delays)} purchases, {IN_FLIGHT} answered at once, ms:")
    print(f"p50 {cut[49]:.0f}  p90 {cut[89]:.0f}  p99 {cut[98]:.0f}  most {delays[-1]:.0f}")


def _buyer(world: World, n: int) -> Buyer:
    isp = world.a if n % 2 else world.b
    return Buyer(isp, f"07{20_000_000 + n}", f"02:00:00:01:{n // 256:02X}:{n % 256:02X}")


def _round(stage: Stage, sim: Simulator, buyers: list[Buyer]) -> None:
    threads = [threading.Thread(target=buy, args=(stage, buyer)) for buyer in buyers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    until(stage, lambda: len(sim.prompts()) == len(buyers), 60)
    prompts = sim.prompts()
    random.Random(1).shuffle(prompts)
    answers = [threading.Thread(target=sim.answer, args=(prompt.checkout_request_id, "pin")) for prompt in prompts]
    for thread in answers:
        thread.start()
    for thread in answers:
        thread.join()
    open_ = "SELECT count(*) FROM inbound_event WHERE processed_at IS NULL"
    until(stage, lambda: sim.wait_idle() and (ask(stage, open_) or [(1,)])[0][0] == 0, 60)
