"""500 purchases over HTTP while everything is killed and callbacks are dropped, doubled and delayed.

Afterwards: each shilling of the simulator's book is in a wallet or waits for its receipt in sight, each paid purchase
has one entitlement, and RADIUS lets in exactly those who paid.
"""

from __future__ import annotations

import http.client
import os
import random
import re
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlencode

import pytest

from config import load
from rehearsal.daraja.simulator import Simulator
from rehearsal.servers import free_port
from tenants import ledger
from tests.chaos.stage import SEED, Stage, ask, until
from tests.radius.conftest import hotspot
from tests.shop import open_shop
from tests.stack import Stack, environment
from tests.world import Isp, World, build_world
from wavu.db import db, transaction
from wavu.surfaces import create_web
from wavu.tenancy import tenant_scope

PURCHASES = int(os.environ.get("CHAOS_PURCHASES", "500"))
COMMANDS = {
    "workers": "python -m workers.runtime",
    "relay": "python -m workers.relay",
    "web": "gunicorn -c config/gunicorn.py wsgi:app",
    "radius": "python -m workers.radius",
}
KNOBS = {
    "stk.auto": {"pay": 8, "cancel": 1, "wrong_pin": 1},
    "stk.auto_after": 1,
    "stk.repeat_window": 0,
    "callback.drop": 0.2,
    "callback.duplicate": 3,
    "callback.duplicate_chance": 0.3,
    "callback.delay": 2,
}


class Buyer(NamedTuple):
    isp: Isp
    phone: str
    mac: str


def _buyers(world: World) -> list[Buyer]:
    return [
        Buyer(world.a if n % 2 else world.b, f"07{10_000_000 + n}", f"02:00:00:00:{n // 256:02X}:{n % 256:02X}")
        for n in range(PURCHASES)
    ]


def _talk(stage: Stage, isp: Isp, method: str, path: str, body: str = "") -> tuple[int, str]:
    wire = http.client.HTTPConnection("127.0.0.1", stage.port, timeout=5)
    try:
        kind = {"Content-Type": "application/x-www-form-urlencoded"} if body else {}
        wire.request(method, path, body or None, {"Host": isp.host} | kind)
        answer = wire.getresponse()
        return answer.status, answer.read().decode()
    finally:
        wire.close()


def buy(stage: Stage, buyer: Buyer) -> None:
    """As a phone does, and again while the page does not come: the same form is the same purchase."""
    form: str | None = None
    while True:
        try:
            if form is None:
                status, page = _talk(stage, buyer.isp, "GET", "/?" + urlencode({"mac": buyer.mac}))
                if status != 200:
                    raise OSError(status)
                form = _filled(page, buyer.phone)
            status, answer = _talk(stage, buyer.isp, "POST", "/buy", form)
            if status == 303 and "said=" in answer:
                raise AssertionError("the form was refused")
            if status == 303:
                return
        except (OSError, http.client.HTTPException):
            pass
        time.sleep(0.5)


def _filled(page: str, phone: str) -> str:
    state = re.search(r'name="state" value="([^"]+)"', page)
    package = re.search(r'name="package"[^>]* value="([^"]+)"|value="([^"]+)"[^>]* name="package"', page)
    assert state is not None
    assert package is not None
    return urlencode({"state": state[1], "package": package[1] or package[2], "phone": phone})


@pytest.fixture
def sim() -> Iterator[Simulator]:
    with Simulator(seed=SEED).serve() as simulator:
        simulator.set_knobs(KNOBS)
        yield simulator


@pytest.fixture
def stage(servers: Stack, tmp_path: Path, sim: Simulator) -> Iterator[Stage]:
    made = Stage(
        environment(servers, "unused", 0), tmp_path, COMMANDS, PLATFORM_DOMAIN="wavu.localhost", PUBLIC_SCHEME="http",
        DARAJA_REHEARSAL_URL=sim.base_url, RADIUS_AUTH_PORT=str(free_port()), RADIUS_ACCT_PORT=str(free_port()),
    )  # fmt: skip
    yield made
    made.stop()


def _accepted(stage: Stage, buyer: Buyer) -> bool:
    """Whether RADIUS lets the phone in by its MAC address; asked again while nobody answers, as a router does."""
    packet = hotspot(buyer.isp, buyer.mac, buyer.mac, buyer.mac).RequestPacket()
    for _ in range(20):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as wire:
            wire.bind((buyer.isp.nas_address, 0))
            wire.settimeout(1)
            wire.sendto(packet, ("127.0.0.1", int(stage.environ["RADIUS_AUTH_PORT"])))
            try:
                return wire.recv(4096)[0] == 2
            except OSError:
                continue
    raise AssertionError("RADIUS does not answer")


def _number(stage: Stage, query: str) -> int:
    rows = ask(stage, query)
    return int(rows[0][0] or 0) if rows else -1


def test_no_shilling_is_lost_and_everyone_who_paid_is_online(stage: Stage, sim: Simulator) -> None:
    print(f"\nseed {SEED} (CHAOS_SEED), {PURCHASES} purchases")
    dice = random.Random(SEED)
    app = create_web(load(stage.environ))
    world = build_world(app)
    for isp in (world.a, world.b):
        with app.app_context(), tenant_scope(isp.id), transaction():
            open_shop(world, sim, isp.id)
    buyers = _buyers(world)
    waiting = list(reversed(buyers))

    def shop() -> None:
        while True:
            try:
                buyer = waiting.pop()
            except IndexError:
                return
            buy(stage, buyer)

    shoppers = [threading.Thread(target=shop, daemon=True) for _ in range(6)]
    for shopper in shoppers:
        shopper.start()
    next_kill = [time.monotonic() + 5]

    def harm() -> None:
        if time.monotonic() > next_kill[0]:
            stage.kill_something(dice)
            next_kill[0] = time.monotonic() + dice.uniform(2, 6)

    def enough() -> bool:
        return not any(each.is_alive() for each in shoppers) and sum(stage.kills.values()) >= 5

    until(stage, enough, 300, harm)
    open_ = "SELECT count(*) FROM payment_intent WHERE state IN ('created', 'submitting')"
    # A job whose worker dies is handed out again when its lease has run out, after 90 seconds.
    calm = time.monotonic() + 20
    until(stage, lambda: _number(stage, open_) == 0, 120, lambda: harm() if time.monotonic() < calm else None)
    sim.reset_knobs()
    for attempt in sim.attempts():
        if attempt.receipt is not None and dice.random() < 0.5:
            sim.resend(attempt.checkout_request_id)
    undone = "SELECT count(*) FROM outbox WHERE state = 'ready' AND run_at <= now()"
    unknown = "SELECT count(*) FROM payment_intent WHERE state IN ('pending', 'unknown') AND queries < 1 AND " \
              "checkout_request_id IS NOT NULL"  # fmt: skip
    until(stage, lambda: _number(stage, undone) == 0 and _number(stage, unknown) == 0, 150)
    _check(stage, sim, world, buyers, app)


def _check(stage: Stage, sim: Simulator, world: World, buyers: list[Buyer], app: object) -> None:
    web = create_web(load(stage.environ))
    for isp in (world.a, world.b):
        with web.app_context(), tenant_scope(isp.id), transaction():
            assert ledger.audit() == []
    with web.app_context():
        db.engine.dispose()
    states = dict(ask(stage, "SELECT state, count(*) FROM payment_intent GROUP BY 1") or [])
    print(f"kills {stage.kills}; intents {states}; book {len(sim.book())}")
    booked = {line.receipt: line.amount * 100 for line in sim.book()}
    credited = dict(ask(stage, "SELECT receipt, amount_cents FROM provider_receipt") or [])
    assert credited.items() <= booked.items(), "nothing was invented"
    for name, query in {
        "an entitlement too many": "SELECT purchase_id FROM entitlement GROUP BY 1 HAVING count(*) > 1",
        "bought without an entitlement": "SELECT id FROM purchase p WHERE state = 'bought' AND NOT EXISTS "
        "(SELECT FROM entitlement e WHERE e.purchase_id = p.id AND NOT e.provisional)",
        "two purchases of one phone": "SELECT subscriber_id FROM purchase GROUP BY 1 HAVING count(*) > 1",
        "a receipt without a purchase": "SELECT r.receipt FROM provider_receipt r JOIN payment_intent i "
        "ON i.id = r.intent_id JOIN purchase p ON p.id = i.purchase_id WHERE p.state <> 'bought'",
    }.items():
        assert ask(stage, query) == [], f"{name} (seed {SEED})"
    paid = {phone for (phone,) in ask(
        stage, "SELECT s.phone FROM entitlement e JOIN subscriber s ON s.id = e.subscriber_id")  or []}  # fmt: skip
    moved = {f"+{line.msisdn}" for line in sim.book()}
    known = {phone for (phone,) in ask(
        stage, "SELECT phone FROM payment_intent WHERE state NOT IN ('unknown', 'pending')") or []}  # fmt: skip
    assert paid <= moved, "nobody is online who did not pay"
    assert moved & known <= paid, f"everyone who is known to have paid has service (seed {SEED})"
    sample = random.Random(SEED).sample(buyers, min(60, len(buyers)))
    for buyer in sample:
        assert _accepted(stage, buyer) is (f"+254{buyer.phone[1:]}" in paid), buyer.phone
    assert sum(stage.kills.values()) >= 5
