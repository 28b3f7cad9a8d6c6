"""A big ISP's day: `./run bench`. Imports the statement of 100,000 payments, matches them with as many receipts and
purchases, and closes the day.

Prints seconds and rows per second of each step, on a PostgreSQL without its safeties, as tests have it. Another tenant
has as many rows beside it. Then a report over all of it, and every page of an export of 200,000 payments: the last page
must cost what the first does.
"""

from __future__ import annotations

import io
import statistics
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from uuid import UUID

import psycopg
import pytest
from flask import Flask
from sqlalchemy import text

from config import load
from tenants import ledger, reconciliation
from tests.reconciliation.books import DAY, MIDNIGHT, Moved, open_books, receipt, statement, subscriber, the_account
from tests.stack import Stack, database_of
from tests.world import build_world
from wavu import clock
from wavu.db import db, transaction
from wavu.surfaces import create_web
from wavu.tenancy import tenant_scope

PAYMENTS = 100_000
LIMIT_SECONDS = 60


@pytest.fixture
def app(own_database: dict[str, str]) -> Iterator[Flask]:
    app = create_web(load(own_database))
    yield app
    with app.app_context():
        db.engine.dispose()


@contextmanager
def timed(what: str, rows: int = PAYMENTS) -> Iterator[list[float]]:
    took: list[float] = []
    began = time.perf_counter()
    yield took
    took.append(time.perf_counter() - began)
    print(f"{what:34} {took[0]:6.1f} s  {rows / took[0]:9,.0f} rows/s")


# Written in sets, without triggers: what is measured is not how they came to be there. One payment each 0.864 seconds.
_N = """(SELECT n, md5('posting' || n || %(group)s)::uuid AS posting,
    md5('buying' || n || %(group)s)::uuid AS buying, md5('purchase' || n || %(group)s)::uuid AS purchase,
    'UC' || lpad(n::text, 8, '0') AS receipt,
    cast(%(midnight)s AS timestamptz) + (n - 1) * interval '0.864 s' AS at FROM generate_series(1, %(most)s) AS n) n"""
_FILL = (
    f"""INSERT INTO ledger_transaction (tenant_id, id, key, kind, facts, created_at)
        SELECT %(tenant)s, posting, 'receipt:' || %(group)s || receipt, 'mpesa_in', '{{}}'::jsonb, at FROM {_N}
        UNION ALL SELECT %(tenant)s, buying, 'buy:' || purchase, 'purchase', '{{}}', at FROM {_N}""",
    f"""INSERT INTO purchase (tenant_id, id, nonce, package_id, subscriber_id, price_cents, terms, state, bought_at,
        created_at) SELECT %(tenant)s, purchase, purchase, (SELECT id FROM package WHERE tenant_id = %(tenant)s
        LIMIT 1),
        %(subscriber)s, 1000, '{{"name": "1 hour"}}', 'bought', at, at FROM {_N}""",
    f"""INSERT INTO entitlement (tenant_id, id, purchase_id, subscriber_id, policy, starts_at, ends_at, created_at)
        SELECT %(tenant)s, gen_random_uuid(), purchase, %(subscriber)s, '{{}}', at, at + interval '1 hour', at
        FROM {_N}""",
    f"""INSERT INTO provider_receipt (tenant_id, id, environment, shortcode_group, receipt, amount_cents, source,
        subscriber_id, transaction_id, paid_at, created_at) SELECT %(tenant)s, gen_random_uuid(), 'rehearsal',
        %(group)s,
        receipt, 1000, 'stk callback', %(subscriber)s, posting, at, at FROM {_N}""",
    f"""INSERT INTO ledger_entry (tenant_id, id, transaction_id, account_id, currency, amount_cents)
        SELECT %(tenant)s, gen_random_uuid(), leg.posting, a.id, 'KES', leg.cents FROM {_N}, LATERAL (VALUES
            (n.posting, 'asset:mpesa:' || %(group)s, -1000),
            (n.posting, 'liab:wallet:' || %(owner)s, 1000),
            (n.buying, 'liab:wallet:' || %(owner)s, -1000),
            (n.buying, 'income:access', 1000)) AS leg (posting, code, cents)
        JOIN ledger_account a ON a.tenant_id = %(tenant)s AND a.code = leg.code""",
)


def _fill(admin: psycopg.Connection, tenant_id: UUID, shortcode: str, days: int) -> None:
    with transaction():
        open_books(shortcode)
        owner = subscriber()
        for code in (ledger.mpesa(shortcode), ledger.wallet(owner), ledger.INCOME_ACCESS):
            db.session.execute(
                text("INSERT INTO ledger_account (tenant_id, id, code, currency) VALUES"
                     " (app.tenant_id(), gen_random_uuid(), :code, 'KES')"),
                {"code": code},
            )  # fmt: skip
    values = {
        "tenant": tenant_id, "owner": str(owner), "subscriber": owner, "group": shortcode,
        "midnight": MIDNIGHT, "most": PAYMENTS * days,
    }  # fmt: skip
    with admin.transaction():
        admin.execute("SET LOCAL session_replication_role = replica")
        for statement_ in _FILL:
            admin.execute(statement_.encode(), values)


def test_daily_close(app: Flask, own_database: dict[str, str], servers: Stack) -> None:
    world = build_world(app)
    with psycopg.connect(servers.admin(database_of(own_database)), autocommit=True) as admin:
        for isp, shortcode, days in ((world.b, "600300", 1), (world.a, "600100", 2)):
            with app.app_context(), tenant_scope(isp.id), timed(f"(filling {shortcode})", PAYMENTS * days):
                _fill(admin, isp.id, shortcode, days)
        admin.execute("ANALYZE")
    moved = [Moved(receipt(n), 1000, (n - 1) * 864 // 60_000) for n in range(1, PAYMENTS + 1)]
    moved += [Moved(receipt(n), -5, (n - 1) * 864 // 60_000, reason="Pay Bill Charge") for n in range(1, 1001)]
    content = statement(moved)
    with app.app_context(), tenant_scope(world.a.id):
        _close(content)
        _report()


def _close(content: bytes) -> None:
    print(f"\nstatement of {len(content) / 1e6:.1f} MB")
    with timed("import the statement"), transaction():
        reconciliation.import_statement(the_account().id, "day.csv", io.BytesIO(content))
    with timed("match the day") as matched, transaction():
        assert reconciliation.match(DAY).differences == []
    with timed("close it (match, book, seal)") as closed, transaction():
        assert reconciliation.close_day(DAY).posting_count == 2 * PAYMENTS
    with timed("verify the seal"), transaction():
        assert reconciliation.first_broken_seal() is None
    print(f"matched and closed in {matched[0] + closed[0]:.1f} s")
    assert matched[0] + closed[0] < LIMIT_SECONDS
    with transaction(), timed("the list of days", 31):
        reconciliation.list_days(until=clock.local_date(clock.now(), "Africa/Nairobi"))


def _report() -> None:
    last_day = DAY + timedelta(days=1)
    for name in reconciliation.REPORTS:
        with timed(f"report by {name}", 2 * PAYMENTS), transaction():
            reconciliation.report(name, DAY, last_day)
    pages: list[float] = []

    def page(after: reconciliation.Payment | None) -> list[reconciliation.Payment]:
        began = time.perf_counter()
        with transaction():
            found = reconciliation.payments_page(DAY, last_day, after)
        pages.append(time.perf_counter() - began)
        return found

    seen: set[UUID] = set()
    with timed("export every payment", 2 * PAYMENTS):
        seen.update(payment.id for payment in reconciliation.walk(page))
    assert len(seen) == 2 * PAYMENTS
    first, last = statistics.median(pages[1:11]), statistics.median(pages[-11:-1])
    print(f"a page of {reconciliation.PAGE}: first ten {first * 1000:.0f} ms, last ten {last * 1000:.0f} ms")
    assert last < 2 * first + 0.02
