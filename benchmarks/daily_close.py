"""A big ISP's day: `./run bench`. Imports the statement of 100,000 payments, matches them with as many receipts and
purchases, and closes the day.

Prints seconds and rows per second of each step, on a PostgreSQL without its safeties, as tests have it. Another tenant
has as many rows beside it. Then a report over all of it, and every page of an export of 200,000 payments: the last page
must cost what the first does.
"""

from __future__ import annotations

import io
import itertools
import statistics
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from uuid import UUID

import pytest
from flask import Flask
from sqlalchemy import text

from config import load
from tenants import reconciliation
from tests.reconciliation.books import DAY, MIDNIGHT, Moved, open_books, receipt, statement, subscriber, the_account
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


# Written in sets: what is measured is not how they came to be there. Receipts n to m, one each 0.8 seconds.
_BOUGHT = """
WITH n AS (SELECT n, gen_random_uuid() AS posting, gen_random_uuid() AS buying, gen_random_uuid() AS purchase,
        cast(:midnight AS timestamptz) + n * interval '0.8 s' AS at FROM generate_series(:first, :last) AS n),
    posted AS (INSERT INTO ledger_transaction (tenant_id, id, key, kind, facts, created_at)
        SELECT app.tenant_id(), posting, 'receipt:rehearsal:' || :group || ':UC' || lpad(n::text, 8, '0'), 'mpesa_in',
            '{}', at FROM n
        UNION ALL SELECT app.tenant_id(), buying, 'buy:' || purchase, 'purchase', '{}', at FROM n RETURNING id)
    , bought AS (INSERT INTO purchase (tenant_id, id, nonce, package_id, subscriber_id, price_cents, terms, state,
        bought_at, created_at) SELECT app.tenant_id(), purchase, purchase, (SELECT id FROM package LIMIT 1), :owner,
        1000, '{"name": "1 hour"}', 'bought', at, at FROM n RETURNING id)
    , right_ AS (INSERT INTO entitlement (tenant_id, id, purchase_id, subscriber_id, policy, starts_at, ends_at,
        created_at) SELECT app.tenant_id(), gen_random_uuid(), purchase, :owner, '{}', at, at + interval '1 hour', at
        FROM n RETURNING id)
    , received AS (INSERT INTO provider_receipt (tenant_id, id, environment, shortcode_group, receipt, amount_cents,
        source, subscriber_id, transaction_id, paid_at, created_at) SELECT app.tenant_id(), gen_random_uuid(),
        'rehearsal', :group, 'UC' || lpad(n::text, 8, '0'), 1000, 'stk callback', :owner, posting, at, at FROM n
        RETURNING id)
INSERT INTO ledger_entry (tenant_id, id, transaction_id, account_id, currency, amount_cents)
SELECT app.tenant_id(), gen_random_uuid(), leg.posting, a.id, 'KES', leg.cents FROM n, LATERAL (VALUES
    (posting, 'asset:mpesa:' || :group, -1000), (posting, 'liab:wallet:' || :owner, 1000),
    (buying, 'liab:wallet:' || :owner, -1000), (buying, 'income:access', 1000)) AS leg (posting, code, cents)
JOIN ledger_account a ON a.tenant_id = app.tenant_id() AND a.code = leg.code
"""


def _fill(shortcode: str, payments: int = PAYMENTS, days: int = 1) -> None:
    with transaction():
        open_books(shortcode)
        owner = subscriber()
        for code in (f"asset:mpesa:{shortcode}", f"liab:wallet:{owner}", "income:access"):
            db.session.execute(
                text("INSERT INTO ledger_account (tenant_id, id, code, currency) VALUES"
                     " (app.tenant_id(), gen_random_uuid(), :code, 'KES')"),
                {"code": code},
            )  # fmt: skip
    step = 10_000
    for day, first in itertools.product(range(days), range(1, payments + 1, step)):
        with transaction():
            db.session.execute(text("SET LOCAL statement_timeout = '300s'"))
            offset = day * payments
            db.session.execute(
                text(_BOUGHT),
                {
                    "midnight": MIDNIGHT + timedelta(days=day) - offset * timedelta(seconds=0.8),
                    "first": first + offset, "last": first + offset + step - 1, "group": shortcode, "owner": str(owner),
                },
            )  # fmt: skip
    with transaction():
        db.session.execute(text("SET LOCAL statement_timeout = '300s'"))


def test_daily_close(app: Flask) -> None:
    world = build_world(app)
    for isp, shortcode, days in ((world.b, "600300", 1), (world.a, "600100", 2)):
        with app.app_context(), tenant_scope(isp.id), timed(f"(filling {shortcode})", PAYMENTS * days):
            _fill(shortcode, days=days)
    moved = [Moved(receipt(n), 1000, n * 8 // 600) for n in range(1, PAYMENTS + 1)]
    moved += [Moved(receipt(n), -5, n * 8 // 600, reason="Pay Bill Charge") for n in range(1, 1001)]
    content = statement(moved)
    with app.app_context(), tenant_scope(world.a.id):
        _close(content)
        _report()


def _close(content: bytes) -> None:
    print(f"\nstatement of {len(content) / 1e6:.1f} MB")
    with timed("import the statement") as imported, transaction():
        reconciliation.import_statement(the_account().id, "day.csv", io.BytesIO(content))
    with timed("match the day") as matched, transaction():
        assert reconciliation.match(DAY).differences == []
    with timed("close it (match, book, seal)") as closed, transaction():
        assert reconciliation.close_day(DAY).posting_count == 2 * PAYMENTS
    with timed("verify the seal"), transaction():
        assert reconciliation.first_broken_seal() is None
    assert imported[0] + matched[0] + closed[0] < LIMIT_SECONDS
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
