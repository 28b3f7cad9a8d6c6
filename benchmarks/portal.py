"""What a customer costs, and that it stays the same with a hundred times as many: `./run bench`.

The same calls go to two throw-away databases, one with 2,000 customers and one with 200,000, each with a purchase, a
payment, a right, a device and a session. Printed are processor time, statements, and time including PostgreSQL's, with
the ratio of the last. Compare ratios: absolute times are the machine's. Fails only where a big table was read from end
to end.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from itertools import count
from typing import NamedTuple
from uuid import UUID

import psycopg
from sqlalchemy import select

from benchmarks.meter import Cost, Visit, measure
from config import load
from tenants import access, checkout, payments
from tenants.access.requests import AccessRequest, Service
from tenants.payments import InboundEvent, PaymentIntent
from tests.portal.counter import Counter, login_url, open_counter
from tests.stack import Stack, environment
from tests.world import Isp, build_world
from wavu import clock
from wavu.db import db, transaction
from wavu.phone import Phone
from wavu.surfaces import create_web
from wavu.tenancy import PLATFORM_ID, tenant_scope

SIZES = (2_000, 200_000)
ROUNDS, TURNS = 100, 3
BIG = 1_500  # rows of a table that must not be read from end to end

# One in five has a running right, and one in twenty a session that is open.
_CUSTOMERS = """
SET session_replication_role = replica;
CREATE TEMP TABLE customer AS
    SELECT n, gen_random_uuid() AS subscriber, gen_random_uuid() AS purchase, gen_random_uuid() AS intent,
        gen_random_uuid() AS entitlement, upper(lpad(to_hex(n), 12, '0')) AS mac,
        CASE WHEN n %% 5 = 0 THEN now() ELSE now() - make_interval(mins => n) - interval '2 hours' END AS at,
        (SELECT p FROM package p WHERE p.tenant_id = %(tenant)s AND p.name = '1 hour') AS package,
        (SELECT id FROM router WHERE tenant_id = %(tenant)s LIMIT 1) AS router,
        (SELECT id FROM mpesa_account WHERE tenant_id = %(tenant)s) AS account
    FROM generate_series(1, %(customers)s) n;
INSERT INTO subscriber (tenant_id, id, phone)
    SELECT %(tenant)s, subscriber, '+2547' || lpad(n::text, 8, '0') FROM customer;
INSERT INTO device (tenant_id, id, mac, subscriber_id, seen_at)
    SELECT %(tenant)s, gen_random_uuid(), mac, subscriber, at FROM customer;
INSERT INTO purchase (tenant_id, id, nonce, package_id, subscriber_id, price_cents, terms, mac, state, bought_at)
    SELECT %(tenant)s, purchase, md5(%(tenant)s::text || n), (package).id, subscriber, (package).price_cents,
        to_jsonb(package), mac, 'bought', at FROM customer;
INSERT INTO payment_intent (tenant_id, id, mpesa_account_id, subscriber_id, purchase_id, phone, amount_cents, reference,
        description, token_fingerprint, token_sealed, state, checkout_request_id, receipt, submitted_at, created_at)
    SELECT %(tenant)s, intent, account, subscriber, purchase, '+2547' || lpad(n::text, 8, '0'), 1000, 'W' || n, 'x',
        md5('token' || n), '', 'succeeded', 'ws_CO_' || n, lpad(n::text, 10, '0'), at, at FROM customer;
INSERT INTO entitlement (tenant_id, id, purchase_id, subscriber_id, policy, starts_at, ends_at, activated_at)
    SELECT %(tenant)s, entitlement, purchase, subscriber, to_jsonb(package), at, at + interval '1 hour', at
    FROM customer;
INSERT INTO access_session (tenant_id, id, router_id, subscriber_id, entitlement_id, session_key, acct_session_id,
        user_name, mac, service, started_at, updated_at, stopped_at, check_at)
    SELECT %(tenant)s, gen_random_uuid(), router, subscriber, entitlement, 'key' || n, n::text, mac, mac, 'hotspot', at,
        at, CASE WHEN n %% 20 <> 0 THEN at END, at + interval '1 hour' FROM customer;
DROP TABLE customer;
SET session_replication_role = DEFAULT;
"""

_READ_WHOLE = """
SELECT c.relname, seq_scan FROM pg_stat_user_tables JOIN pg_class c ON c.oid = relid WHERE reltuples >= %s
"""


class Town(NamedTuple):
    """The product on a database with so many customers of A, and a tenth as many of B beside them."""

    counter: Counter
    isp: Isp
    admin_url: str

    @contextmanager
    def inside(self, tenant_id: UUID | None = None) -> Iterator[None]:
        with self.counter.app.app_context(), tenant_scope(tenant_id or self.isp.id), transaction():
            yield

    def read_whole(self) -> dict[str, int]:
        """How often each big table was read from end to end so far."""
        with self.counter.app.app_context():
            db.engine.dispose()
        with psycopg.connect(self.admin_url, autocommit=True) as admin:
            admin.execute("SELECT pg_stat_force_next_flush()")
            admin.execute("SELECT pg_sleep(0.2)")
            return dict(admin.execute(_READ_WHOLE, (BIG,)).fetchall())


@contextmanager
def _town(servers: Stack, customers: int) -> Iterator[Town]:
    database = f"bench_{uuid.uuid4().hex[:8]}"
    servers.clone(database)
    app = create_web(load(environment(servers, database, 7)))
    try:
        world = build_world(app)
        town = Town(open_counter(app, world), world.a, servers.admin(database))
        with psycopg.connect(town.admin_url, autocommit=True, cursor_factory=psycopg.ClientCursor) as admin:
            for isp, number in ((world.a, customers), (world.b, customers // 10)):
                admin.execute(_CUSTOMERS.encode(), {"tenant": isp.id, "customers": number})
            admin.execute("VACUUM ANALYZE")
        yield town
        with app.app_context():
            db.engine.dispose()
    finally:
        servers.drop(database)


def _nonce(town: Town) -> str:
    with town.inside():
        return str(db.session.scalar(select(checkout.Purchase.nonce).limit(1)))


def _begin(town: Town, number: int) -> str:
    nonce = uuid.uuid4().hex
    with town.inside():
        checkout.begin(
            nonce=nonce, package_id=town.counter.packages[town.isp.id]["hour"],
            phone=Phone.parse(f"01{number:08d}"), mac=f"0A{number:010X}", router_id=town.isp.router_id,
            login_url=login_url(town.isp), original_url=None,
        )  # fmt: skip
    return nonce


def _callback(town: Town, number: int) -> UUID:
    """A payment that Safaricom has told us of, and nobody has read yet."""
    nonce = _begin(town, number)
    with town.inside():
        intent = payments.latest_intent(checkout.find_purchase(nonce).id)
        assert isinstance(intent, PaymentIntent)
        items = {"Amount": 10, "MpesaReceiptNumber": f"B{number:09d}", "PhoneNumber": 254_100_000_000}
        result = {
            "MerchantRequestID": f"m-{number}", "CheckoutRequestID": f"ws_CO_bench{number}", "ResultCode": 0,
            "ResultDesc": "ok",
            "CallbackMetadata": {"Item": [{"Name": name, "Value": value} for name, value in items.items()]},
        }  # fmt: skip
        body = json.dumps({"Body": {"stkCallback": result}})
        assert payments.receive_callback(str(intent.token), body.encode(), "127.0.0.1")
        return db.session.scalars(select(InboundEvent.id).where(InboundEvent.intent_id == intent.id)).one()


def _calls(town: Town) -> dict[str, Callable[[], object]]:
    isp, app, numbers, known = town.isp, town.counter.app, count(1), count(1)
    waiting = [_callback(town, next(numbers)) for _ in range(TURNS * (ROUNDS + 30))]

    def settle() -> None:
        event_id = waiting.pop()
        with town.inside():
            checkout.settle_callback(event_id)

    def authorize() -> None:
        mac = f"{5 * (next(known) % 400 + 1):012X}"
        with town.inside():
            said = access.authorize(AccessRequest(isp.router_id, Service.HOTSPOT, mac, mac, None, None))
            assert isinstance(said, access.Grant), said

    def look_for_ended() -> None:
        with town.inside(PLATFORM_ID):
            access.tenants_with_sessions_to_end(clock.now())

    return {
        "package page": Visit(app, isp.host, "/", town.counter.arrive(isp)),
        "status.json": Visit(app, isp.host, f"/w/{_nonce(town)}/status.json"),
        "waiting page": Visit(app, isp.host, f"/w/{_nonce(town)}"),
        "begin purchase": lambda: _begin(town, next(numbers)),
        "settle callback": settle,
        "authorize": authorize,
        "sessions to end": look_for_ended,
    }


def test_portal(servers: Stack) -> None:
    with ExitStack() as stack:
        towns = [stack.enter_context(_town(servers, size)) for size in SIZES]
        calls = [_calls(town) for town in towns]
        before = towns[1].read_whole()
        print(f"\n{'':16}{'CPU ms':>8} {'statements':>11} {'ms with':>9} {SIZES[0]:9,} {SIZES[1]:9,} {'ratio':>7}")
        for name in calls[0]:
            few, many = _compare(calls[0][name], calls[1][name])
            print(
                f"{name:16}{many.cpu:8.2f} {many.statements:11} {'':9} {few.wall:9.2f} {many.wall:9.2f} "
                f"{many.wall / few.wall:7.2f}"
            )
        floor = measure(Visit(towns[0].counter.app, towns[0].isp.host, "/livez"), ROUNDS)
        print(f"{'(no page: livez)':16}{floor.cpu:8.2f}")
        whole = {name: seen - before.get(name, 0) for name, seen in towns[1].read_whole().items()}
        assert not {name: times for name, times in whole.items() if times}, "read from end to end"


def _compare(few: Callable[[], object], many: Callable[[], object]) -> tuple[Cost, Cost]:
    """In turns, so that what else the machine does weighs on both; the best turn of each."""
    turns = [(measure(few, ROUNDS), measure(many, ROUNDS)) for _ in range(TURNS)]
    return min(one for one, _ in turns), min(other for _, other in turns)
