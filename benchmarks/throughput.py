"""How much money a machine takes: `./run bench`. Callbacks accepted in a second, then purchases settled in a second.

CALLBACKS customers have been asked, and all of them pay at once: their callbacks come over CONNECTIONS connections that
stay open, each as soon as the last is answered. Printed are how many were accepted in a second and how long each took,
and then how many purchases a second the workers made of them. Then the same at a steady rate of PER_SECOND callbacks.
The product's own processes with a durable PostgreSQL, and the sender too, share this machine.
"""

from __future__ import annotations

import http.client
import json
import os
import statistics
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple
from uuid import UUID

import pytest
from flask import Flask

from config import load
from tenants import checkout, payments
from tests.chaos.stage import Stage, ask, until
from tests.shop import open_account
from tests.stack import Stack, environment
from tests.world import Isp, build_world
from wavu import ids
from wavu.db import db, transaction
from wavu.phone import Phone
from wavu.surfaces import create_web
from wavu.tenancy import tenant_scope

CALLBACKS = int(os.environ.get("CALLBACKS", "2000"))
CONNECTIONS = int(os.environ.get("CONNECTIONS", "8"))
PER_SECOND = float(os.environ.get("PER_SECOND", "100"))
COMMANDS = {
    "workers": "python -m workers.runtime settlement",
    "relay": "python -m workers.relay",
    "web": "gunicorn -c config/gunicorn.py wsgi:app",
}
_SETTLED = """
SELECT count(*), extract(epoch FROM max(processed_at) - min(created_at)),
    percentile_cont(ARRAY[0.5, 0.99]) WITHIN GROUP (ORDER BY extract(epoch FROM processed_at - created_at))
FROM inbound_event WHERE outcome = 'settled' AND created_at >= '{since}'
"""


class Letter(NamedTuple):
    host: str
    path: str
    body: bytes


@pytest.fixture
def stage(servers: Stack, tmp_path: Path) -> Iterator[Stage]:
    made = Stage(
        environment(servers, "unused", 0), tmp_path, COMMANDS, PLATFORM_DOMAIN="wavu.localhost", PUBLIC_SCHEME="http",
        DARAJA_REHEARSAL_URL="http://127.0.0.1:9", LOG_LEVEL="WARNING", WEB_WORKERS="2",
    )  # fmt: skip
    yield made
    made.stop()


def test_throughput(stage: Stage) -> None:
    app = create_web(load(stage.environ))
    world = build_world(app)
    shops = []
    for isp in (world.a, world.b):
        with app.app_context(), tenant_scope(isp.id), transaction():
            shops.append((isp, open_account(world, isp.id)))
    letters = _asked(stage, app, shops, 2 * CALLBACKS)
    _send(stage, letters[:20], 0)  # warm
    for name, batch, per_second in (
        ("as fast as they are taken", letters[20:CALLBACKS], 0.0),
        (f"{PER_SECOND:.0f} a second", letters[CALLBACKS:], PER_SECOND),
    ):
        (since,) = (ask(stage, "SELECT now()") or [])[0]
        began = time.monotonic()
        waits = _send(stage, batch, per_second)
        seconds = time.monotonic() - began
        cut = statistics.quantiles(waits, n=100)
        print(f"\n{len(waits)} callbacks, {name}: {len(waits) / seconds:.0f}/s accepted, ms to the answer:")
        print(f"p50 {cut[49] * 1000:.0f}  p99 {cut[98] * 1000:.0f}  most {max(waits) * 1000:.0f}")
        query = _SETTLED.format(since=since.isoformat())
        until(stage, lambda query=query, batch=batch: (ask(stage, query) or [(0,)])[0][0] == len(batch), 600)  # type: ignore[misc]
        count, took, (p50, p99) = (ask(stage, query) or [])[0]
        print(
            f"settled: {count / float(took):.0f} purchases/s, from callback to purchase p50 {p50:.2f} s p99 {p99:.2f} s"
        )
    with app.app_context():
        db.engine.dispose()


def _asked(stage: Stage, app: Flask, shops: list[tuple[Isp, UUID]], number: int) -> list[Letter]:
    """So many customers of two ISPs who were asked for money, and the callback that tells of each one's payment."""
    letters = []
    for n in range(number):
        isp, package_id = shops[n % 2]
        with app.app_context(), tenant_scope(isp.id), transaction():
            bought = checkout.begin(
                nonce=ids.new_token()[:32], package_id=package_id, phone=Phone.parse(f"07{20_000_000 + n}"),
                mac=f"0200{n:08X}", router_id=None, login_url=None,
                original_url=None,
            )  # fmt: skip
            intent = payments.latest_intent(bought.id)
            assert intent is not None
            intent.state, intent.checkout_request_id = "pending", f"ws_CO_{n}"
            items = {
                "Amount": intent.amount_cents // 100,
                "MpesaReceiptNumber": f"T{n:09d}",
                "PhoneNumber": 254_700_000_000,
            }
            said = {
                "MerchantRequestID": f"m-{n}", "CheckoutRequestID": f"ws_CO_{n}", "ResultCode": 0, "ResultDesc": "ok",
                "CallbackMetadata": {"Item": [{"Name": name, "Value": value} for name, value in items.items()]},
            }  # fmt: skip
            body = json.dumps({"Body": {"stkCallback": said}}).encode()
            letters.append(Letter("hooks.wavu.localhost", f"/h/s/{isp.id}/{intent.token}", body))
    # Nothing is sent: their prompts are taken as sent.
    ask(stage, "UPDATE outbox SET state = 'done', done_at = now() WHERE job = 'send_stk' RETURNING 1")
    return letters


def _send(stage: Stage, letters: list[Letter], per_second: float) -> list[float]:
    """Over all connections; seconds to each answer. At a steady rate an answer that is late counts from when it was to
    be sent."""
    waits: list[float] = []
    queue = iter(enumerate(letters))
    lock, began = threading.Lock(), time.monotonic()

    def work() -> None:
        wire = http.client.HTTPConnection("127.0.0.1", stage.port, timeout=60)
        while True:
            with lock:
                place, letter = next(queue, (0, None))
            if letter is None:
                break
            start = time.monotonic()
            if per_second:
                due = began + place / per_second
                time.sleep(max(0.0, due - start))
                start = due
            headers = {"Host": f"{letter.host}:{stage.port}", "Content-Type": "application/json"}
            wire.request("POST", letter.path, letter.body, headers)
            answer = wire.getresponse()
            answer.read()
            assert answer.status == 200, answer.status
            waits.append(time.monotonic() - start)
        wire.close()

    threads = [threading.Thread(target=work) for _ in range(CONNECTIONS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(waits) == len(letters)
    return waits
