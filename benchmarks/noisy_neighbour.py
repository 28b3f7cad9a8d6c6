"""One ISP asks for thousands of payments at once; how long do the customers of another wait? `./run bench`

Prints the time from the press of the pay button to the entitlement of B's customers, two a second, while A is quiet and
while A's flood is worked off, and the ratio of the two p95. Set FLOOD for its size (50000 takes some minutes to
prepare) and SECONDS for how long each is measured. The whole system runs on this machine, the simulator of Daraja too,
at production's pace.
"""

from __future__ import annotations

import itertools
import os
import statistics
import time
from collections.abc import Iterator
from pathlib import Path
from uuid import UUID

import pytest
from flask import Flask

from config import load
from rehearsal.daraja.simulator import Simulator
from tenants import checkout, payments, subscribers
from tests.chaos.stage import Stage, ask, until
from tests.chaos.test_purchases import COMMANDS
from tests.shop import open_shop
from tests.stack import Stack, environment
from tests.world import Isp, build_world
from wavu import ids
from wavu.db import db, transaction
from wavu.phone import Phone
from wavu.surfaces import create_web
from wavu.tenancy import tenant_scope

FLOOD = int(os.environ.get("FLOOD", "4000"))
SECONDS = int(os.environ.get("SECONDS", "30"))
PACE = {"DARAJA_STK_PER_SECOND": "5", "DARAJA_QUERIES_PER_SECOND": "1", "DARAJA_CALLS_PER_SECOND": "20"}

_WAITS = """
SELECT extract(epoch FROM e.created_at - p.created_at) FROM purchase p
JOIN entitlement e ON e.purchase_id = p.id WHERE p.tenant_id = '{tenant}' AND p.id = ANY('{{{ids}}}')
"""
_PARTS = """
SELECT percentile_cont(0.95) WITHIN GROUP (ORDER BY extract(epoch FROM i.submitted_at - p.created_at)),
    percentile_cont(0.95) WITHIN GROUP (ORDER BY extract(epoch FROM i.answered_at - i.submitted_at)),
    percentile_cont(0.95) WITHIN GROUP (ORDER BY extract(epoch FROM e.created_at - i.answered_at)),
    percentile_cont(0.95) WITHIN GROUP (ORDER BY extract(epoch FROM i.settled_at - e.created_at))
FROM purchase p JOIN payment_intent i ON i.purchase_id = p.id JOIN inbound_event e ON e.intent_id = i.id
WHERE p.tenant_id = '{tenant}' AND p.created_at > now() - interval '{seconds} s'
"""
_RELEASE = """
WITH young AS (UPDATE payment_intent SET created_at = now() WHERE tenant_id = '{tenant}' AND submitted_at IS NULL)
UPDATE outbox SET run_at = now() WHERE tenant_id = '{tenant}' AND state = 'ready' AND job = 'send_stk' RETURNING 1
"""
_STATES = "SELECT state, code, count(*) FROM payment_intent WHERE tenant_id = '{tenant}' GROUP BY 1, 2 ORDER BY 3"
_LEFT = "SELECT count(*) FROM payment_intent WHERE tenant_id = '{tenant}' AND state = 'created'"


@pytest.fixture
def sim() -> Iterator[Simulator]:
    with Simulator(seed=1).serve() as simulator:
        simulator.set_knobs({"stk.repeat_window": 0, "stk.auto": {"pay": 1}, "stk.auto_after": 0.3})
        yield simulator


@pytest.fixture
def stage(servers: Stack, tmp_path: Path, sim: Simulator) -> Iterator[Stage]:
    made = Stage(
        environment(servers, "unused", 0) | PACE, tmp_path, COMMANDS,
        PLATFORM_DOMAIN="wavu.localhost", PUBLIC_SCHEME="http", DARAJA_REHEARSAL_URL=sim.base_url,
    )  # fmt: skip
    yield made
    made.stop()


def test_noisy_neighbour(stage: Stage, sim: Simulator) -> None:
    app = create_web(load(stage.environ))
    world = build_world(app)
    packages = {}
    for isp in (world.a, world.b):
        with app.app_context(), tenant_scope(isp.id), transaction():
            packages[isp.id] = open_shop(world, sim, isp.id)
    numbers = itertools.count(20_000_000)
    _buy(stage, app, world.b, packages[world.b.id], numbers, 5)  # warm
    quiet = _buy(stage, app, world.b, packages[world.b.id], numbers, SECONDS)
    _prepare(app, world.a)
    ask(stage, _RELEASE.format(tenant=world.a.id))
    began = time.monotonic()
    noisy = _buy(stage, app, world.b, packages[world.b.id], numbers, SECONDS)
    left = (ask(stage, _LEFT.format(tenant=world.a.id)) or [(0,)])[0][0]
    states = ask(stage, _STATES.format(tenant=world.a.id))
    print(f"\nA pushed {FLOOD}; after {time.monotonic() - began:.0f} s {left} of them wait; all: {states}")
    parts = ask(stage, _PARTS.format(tenant=world.b.id, seconds=SECONDS + 5))
    print(f"B's p95 by part, with the flood: sent, taken, called back, settled: {parts}")
    p95 = {}
    for name, waits in (("quiet", quiet), ("A floods", noisy)):
        cut = statistics.quantiles(waits, n=100)
        p95[name] = cut[94]
        print(f"B, {name}: {len(waits)} purchases, p50 {cut[49]:.2f} s, p95 {cut[94]:.2f} s, most {max(waits):.2f} s")
    print(f"p95 with the flood / without: {p95['A floods'] / p95['quiet']:.2f}")
    with app.app_context():
        db.engine.dispose()


def _buy(stage: Stage, app: Flask, isp: Isp, package: UUID, numbers: Iterator[int], seconds: int) -> list[float]:
    """Two customers a second for so long. Their waits, in seconds."""
    bought: list[UUID] = []
    for _ in range(2 * seconds):
        tick = time.monotonic()
        with app.app_context(), tenant_scope(isp.id), transaction():
            made = checkout.begin(
                nonce=ids.new_token()[:32], package_id=package, phone=Phone.parse(f"07{next(numbers)}"), mac=None,
                router_id=None, login_url=None, original_url=None,
            )  # fmt: skip
            bought.append(made.id)
        time.sleep(max(0.0, 0.5 - (time.monotonic() - tick)))
    query = _WAITS.format(tenant=isp.id, ids=",".join(str(one) for one in bought))
    until(stage, lambda: len(ask(stage, query) or []) == len(bought), 60)
    return [float(row[0]) for row in ask(stage, query) or []]


def _prepare(app: Flask, isp: Isp) -> None:
    """The flood, held back until it is released."""
    numbers = iter(range(30_000_000, 30_000_000 + FLOOD))
    while batch := list(itertools.islice(numbers, 500)):
        with app.app_context(), tenant_scope(isp.id), transaction():
            for number in batch:
                phone = Phone.parse(f"07{number}")
                payer = subscribers.by_phone(phone)
                payments.request_stk(
                    purchase_id=ids.new_id(), subscriber_id=payer.id, phone=phone, amount_cents=1000, description="x"
                )
            held = "UPDATE outbox SET run_at = now() + interval '1 day' WHERE job = 'send_stk' AND state = 'ready'"
            db.session.execute(db.text(held))
