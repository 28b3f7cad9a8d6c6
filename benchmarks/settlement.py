"""From callback to entitlement: `./run bench`. 50 purchases are in flight; the product's own processes settle.

Prints the distribution of the time between a callback's arrival and the grant that its settlement committed: once with
people who type their PIN at some moment of four seconds, and once with all 50 in the same instant, which nobody ever
sees and which shows what a flood costs. The whole system runs on this machine, the simulator of Daraja too: web, relay,
workers, RADIUS, PostgreSQL (fsync on) and Valkey.
"""

from __future__ import annotations

import itertools
import random
import statistics
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from config import load
from rehearsal.daraja.simulator import Simulator
from tests.chaos.stage import Stage, ask, until
from tests.chaos.test_purchases import COMMANDS, Buyer, buy
from tests.shop import open_shop
from tests.stack import Stack, environment
from tests.world import World, build_world
from wavu.db import db, transaction
from wavu.surfaces import create_web
from wavu.tenancy import tenant_scope

IN_FLIGHT = 50
ROUNDS = 4
TYPING_SECONDS = (4.0, 0.0)

_DELAYS = """
SELECT extract(epoch FROM e.created_at - i.created_at) * 1000 FROM inbound_event i
JOIN payment_intent p ON p.id = i.intent_id JOIN entitlement e ON e.purchase_id = p.purchase_id
WHERE i.outcome = 'settled' AND i.created_at > '{since}'
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
    numbers = itertools.count()
    for seconds in TYPING_SECONDS:
        since = datetime.now(UTC)
        for _ in range(ROUNDS):
            _round(stage, sim, [_buyer(world, next(numbers)) for _ in range(IN_FLIGHT)], seconds)
        rows = ask(stage, _DELAYS.format(since=since.isoformat())) or []
        delays = sorted(float(row[0]) for row in rows)
        cut = statistics.quantiles(delays, n=100)
        print(f"\ncallback to entitlement, {len(delays)} purchases, {IN_FLIGHT} answered within {seconds:.0f} s, ms:")
        print(f"p50 {cut[49]:.0f}  p90 {cut[89]:.0f}  p99 {cut[98]:.0f}  most {delays[-1]:.0f}")
    with app.app_context():
        db.engine.dispose()


def _buyer(world: World, n: int) -> Buyer:
    isp = world.a if n % 2 else world.b
    return Buyer(isp, f"07{20_000_000 + n}", f"02:00:00:01:{n // 256:02X}:{n % 256:02X}")


def _round(stage: Stage, sim: Simulator, buyers: list[Buyer], typing_seconds: float) -> None:
    threads = [threading.Thread(target=buy, args=(stage, buyer)) for buyer in buyers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    until(stage, lambda: len(sim.prompts()) == len(buyers), 60)
    prompts = sim.prompts()
    dice = random.Random(1)
    dice.shuffle(prompts)
    answers = [
        threading.Timer(dice.uniform(0, typing_seconds), sim.answer, (prompt.checkout_request_id, "pin"))
        for prompt in prompts
    ]
    for thread in answers:
        thread.start()
    for thread in answers:
        thread.join()
    # A Till's confirmation may wait two minutes for the callback that claims it: it is no callback.
    open_ = "SELECT count(*) FROM inbound_event WHERE kind = 'stk' AND processed_at IS NULL"
    until(stage, lambda: sim.wait_idle() and (ask(stage, open_) or [(1,)])[0][0] == 0, 60)
