"""A closed day never changes, and its seal shows it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import psycopg
import pytest
from click.testing import CliRunner, Result
from flask import Flask
from sqlalchemy import text

from config import load
from tenants import access, ledger, reconciliation
from tenants.ledger import Leg
from tenants.reconciliation.refusals import NoSuchDifference
from tests.reconciliation.books import (
    DAY,
    MIDNIGHT,
    Moved,
    bought,
    credited,
    found,
    open_books,
    receipt,
    statement,
    subscriber,
    take,
)  # fmt: skip
from tests.reconciliation.test_match import PAID
from tests.stack import Stack, database_of
from tests.world import World
from wavu import audit, clock
from wavu.db import db, savepoint, transaction
from wavu.surfaces import create_web
from wavu.tenancy import PLATFORM_ID, tenant_scope
from workers import bookkeeping
from workers.manage import verify_books

FEE, BANK = Moved(receipt(70), -700, reason="Pay Bill Charge"), Moved(receipt(71), -9_000, reason="Settlement to bank")


def balances() -> dict[str, int]:
    rows = db.session.execute(text("SELECT code, balance_cents FROM ledger_account WHERE balance_cents <> 0"))
    return {code: cents for code, cents in rows if not code.startswith(("liab:wallet", "income"))}


def test_a_day_closes_once_and_books_what_the_statement_says(books: World) -> None:
    credited(PAID)
    take(statement([*PAID, FEE, BANK]))
    closed = reconciliation.close_day(DAY)
    assert (closed.sequence, closed.closed_by, closed.posting_count, len(closed.seal)) == (1, "Wavu", 0, 32)
    assert balances() == {"asset:mpesa:600100": -5_300, "expense:mpesa_fees": -700, "asset:bank": -9_000}
    with pytest.raises(reconciliation.AlreadyClosed), savepoint():
        reconciliation.close_day(DAY)
    late = Moved(receipt(72), -300, reason="Pay Bill Charge")
    take(statement([late]))
    take(statement([], first=DAY + timedelta(days=1)))
    reconciliation.close_day(DAY + timedelta(days=1))
    assert balances()["expense:mpesa_fees"] == -1_000
    assert ledger.audit() == []
    assert [entry.facts["day"] for entry in audit.trail() if entry.action == "books.day_closed"] == [
        str(DAY + timedelta(days=1)), str(DAY),
    ]  # fmt: skip


def test_what_does_not_fit_keeps_a_day_open_until_a_person_explains_it(books: World) -> None:
    credited(PAID[:4])
    take(statement(PAID[:4]))
    bought(subscriber(), served=False)
    bought(subscriber(), served=False)
    with pytest.raises(reconciliation.DifferencesLeft, match=r"^2 "), savepoint():
        reconciliation.close_day(DAY)
    assert reconciliation.list_days(until=DAY)[0].close is None
    assert reconciliation.accept(DAY, "paid_without_service", None, "Given by hand") == 2
    closed = reconciliation.close_day(DAY)
    assert {(each["kind"], each["amount_cents"], each["note"]) for each in closed.differences} == {
        ("paid_without_service", 1_000, "Given by hand")
    }
    with pytest.raises(NoSuchDifference):
        reconciliation.accept(DAY, "paid_without_service", None, "again")


def test_an_explanation_holds_for_its_amount_only(books: World) -> None:
    credited(PAID[:1])
    reconciliation.accept(DAY, "no_statement", "rehearsal 600100", "They were down")
    assert found() == {}
    credited(PAID[1:2])
    assert found() == {("no_statement", "rehearsal 600100"): -3_000}


def test_what_is_missing_with_us_is_credited_from_the_statement(books: World) -> None:
    take(statement([PAID[0], Moved(receipt(2), 2_500_000)]))
    assert reconciliation.credit(DAY, PAID[0].receipt) == 1
    assert reconciliation.credit(DAY) == 1
    assert set(found()) == {("unmatched", PAID[0].receipt), ("unmatched", receipt(2))}
    rows = db.session.execute(text("SELECT source, paid_at FROM provider_receipt ORDER BY receipt")).all()
    assert [tuple(row) for row in rows] == [
        ("statement", MIDNIGHT + timedelta(minutes=PAID[0].minute)), ("statement", MIDNIGHT + timedelta(minutes=600)),
    ]  # fmt: skip
    with pytest.raises(NoSuchDifference):
        reconciliation.credit(DAY)
    assert ledger.audit() == []


@pytest.mark.parametrize("spent", [0, 3_000, 5_000])
def test_a_reversal_made_outside_takes_what_is_there_and_the_rest_is_owed(books: World, spent: int) -> None:
    owner = subscriber()
    credited([Moved(receipt(91), 5_000)], owner)
    if spent:
        assert ledger.post("purchase", "x", [Leg(ledger.wallet(owner), -spent), Leg(ledger.INCOME_ACCESS, spent)])
    take(statement([Moved(receipt(91), 5_000), Moved(receipt(60), -5_000, linked=receipt(91), reason="Reversal")]))
    reconciliation.take_back(DAY, receipt(60), "Customer care took it back")
    assert found() == {}
    assert ledger.balance(ledger.wallet(owner)) == 0
    assert ledger.balance(ledger.receivable(owner)) == -spent
    assert ledger.balance("asset:mpesa:600100") == 0
    (case,) = reconciliation.open_cases()
    assert (case.kind, case.subject, case.amount_cents) == ("reversed_outside", receipt(60), -5_000)
    reconciliation.resolve_case(reconciliation.find_case(case.id), "They paid again")
    assert reconciliation.open_cases() == []
    reconciliation.close_day(DAY)
    assert ledger.audit() == []


def test_a_reversal_of_money_in_suspense(books: World) -> None:
    paid = Moved(receipt(91), 5_000)
    take(statement([paid, Moved(receipt(60), -5_000, linked=receipt(91), reason="Reversal")]))
    reconciliation.credit(DAY)
    reconciliation.take_back(DAY, receipt(60), "Gone")
    assert ledger.balance(ledger.SUSPENSE) == 0
    assert found() == {}


def test_access_ends_at_once_and_only_once(books: World) -> None:
    at = MIDNIGHT + timedelta(minutes=610)
    purchase = bought(subscriber(), posted=False)
    ended = access.end(purchase, at)
    assert ended is not None
    assert ended.ends_at == at
    assert access.end(purchase, at) is None


def test_a_day_that_is_not_over_stays_open(books: World) -> None:
    with clock.fixed(MIDNIGHT + timedelta(hours=23)), pytest.raises(reconciliation.NotOver):
        reconciliation.close_day(DAY)


def test_the_night_closes_what_fits_and_lists_what_does_not(books: World) -> None:
    take(statement([PAID[0]], days=2))
    with clock.fixed(MIDNIGHT + timedelta(days=2, hours=3)):
        assert reconciliation.days_to_close() == [DAY, DAY + timedelta(days=1)]
        for day in reconciliation.days_to_close():
            bookkeeping.close_day({"day": day.isoformat()})
        states = reconciliation.list_days(until=DAY + timedelta(days=1))
    later, first = states
    assert later.close is not None
    assert first.close is None
    assert first.check is not None
    assert (first.check.open_count, first.check.open_cents) == (1, 1_000)


def test_each_isp_is_looked_after_in_its_own_night(world: World) -> None:
    with tenant_scope(PLATFORM_ID), transaction():
        db.session.execute(text("UPDATE tenant SET timezone = 'America/Lima' WHERE id = :b"), {"b": world.b.id})
        with clock.fixed(MIDNIGHT + timedelta(hours=3, minutes=20)):
            bookkeeping.close_days({})
            bookkeeping.close_days({})
    for isp, jobs in ((world.a, 1), (world.b, 0)):
        with tenant_scope(isp.id), transaction():
            count = db.session.execute(text("SELECT count(*) FROM outbox WHERE job = 'close_days_of'")).scalar_one()
            assert count == jobs


# -- with commits of their own


@pytest.fixture
def app_of_its_own(own_world: tuple[dict[str, str], World]) -> Iterator[Flask]:
    app = create_web(load(own_world[0]))
    yield app
    with app.app_context():
        db.engine.dispose()


@pytest.fixture
def closed(app_of_its_own: Flask, own_world: tuple[dict[str, str], World]) -> World:
    """Two days of A and one of B, closed, with postings in them."""
    world = own_world[1]
    for isp, shortcode, days in ((world.a, "600100", 2), (world.b, "600300", 1)):
        with app_of_its_own.app_context(), tenant_scope(isp.id):
            with transaction():
                open_books(shortcode)
                credited(PAID)
                take(statement(PAID, shortcode=shortcode, days=2))
            _post_on(app_of_its_own, isp.id, MIDNIGHT + timedelta(minutes=600))
            for n in range(days):
                with transaction():
                    reconciliation.close_day(DAY + timedelta(days=n))
    return world


def _post_on(app: Flask, tenant_id: Any, at: datetime) -> None:
    """Posts something as if it were that time."""
    with transaction():
        account = "SELECT id FROM ledger_account WHERE code = 'asset:mpesa:' || :group"
        group = db.session.execute(text("SELECT shortcode_group FROM provider_receipt LIMIT 1")).scalar_one()
        db.session.execute(
            text(f"""WITH t AS (INSERT INTO ledger_transaction (tenant_id, id, key, kind, facts, created_at)
                VALUES (app.tenant_id(), gen_random_uuid(), 'test:' || cast(:at AS timestamptz), 'test', '{{}}', :at)
                RETURNING id)
                INSERT INTO ledger_entry (tenant_id, id, transaction_id, account_id, currency, amount_cents)
                SELECT app.tenant_id(), gen_random_uuid(), t.id, ({account}), 'KES', cents
                FROM t, (VALUES (5), (-5)) AS legs (cents)"""),
            {"at": at, "group": group},
        )


def _verify(app: Flask) -> Result:
    """The command `books verify`."""
    with app.app_context():
        return CliRunner().invoke(verify_books)


def _broken(app: Flask, world: World) -> list[str | None]:
    found = []
    for isp in (world.a, world.b):
        with app.app_context(), tenant_scope(isp.id), transaction():
            found.append(reconciliation.first_broken_seal())
    return found


def test_a_closed_day_takes_no_posting(app_of_its_own: Flask, closed: World) -> None:
    before = clock.now()
    with app_of_its_own.app_context(), tenant_scope(closed.a.id):
        _post_on(app_of_its_own, closed.a.id, MIDNIGHT + timedelta(minutes=700))
        with transaction():
            at = db.session.execute(text("SELECT max(created_at) FROM ledger_transaction")).scalar_one()
    assert at >= before
    assert _broken(app_of_its_own, closed) == [None, None]
    assert _verify(app_of_its_own).output == "Every closed day is as it was.\n"


TAMPERED = {
    "a leg": ("ledger_entry", "UPDATE ledger_entry SET amount_cents = amount_cents * 2 WHERE abs(amount_cents) = 5", 1),
    "a posting": ("ledger_transaction", "UPDATE ledger_transaction SET facts = '{\"a\": 1}' WHERE kind = 'test'", 1),
    "a posting moved": (
        "ledger_transaction",
        "UPDATE ledger_transaction SET created_at = created_at + interval '1 d' WHERE kind = 'test'",
        1,
    ),
    "the figures": ("day_close", "UPDATE day_close SET totals = '{}' WHERE sequence = 2", 2),
    "a seal": ("day_close", "UPDATE day_close SET seal = sha256('x') WHERE sequence = 1", 1),
    "a close": ("day_close", "DELETE FROM day_close WHERE sequence = 1", 1),
    "the last close": ("day_close", "DELETE FROM day_close WHERE sequence = 2", 2),
}  # fmt: skip


@pytest.mark.parametrize("what", TAMPERED)
def test_tampering_by_the_owner_of_the_tables_is_found(
    app_of_its_own: Flask, closed: World, own_world: tuple[dict[str, str], World], servers: Stack, what: str
) -> None:
    table, statement_, sequence = TAMPERED[what]
    assert _broken(app_of_its_own, closed) == [None, None]
    with psycopg.connect(servers.url("wavu_owner", database_of(own_world[0]))) as owner:
        owner.execute(f"SET app.tenant_id = '{closed.a.id}'".encode())
        with pytest.raises(psycopg.errors.RestrictViolation), owner.transaction():
            owner.execute(statement_.encode())
        owner.execute(f"ALTER TABLE {table} DISABLE TRIGGER append_only".encode())
        assert owner.execute(statement_.encode()).rowcount > 0
        owner.execute(f"ALTER TABLE {table} ENABLE TRIGGER append_only".encode())
    day = DAY + timedelta(days=sequence - 1)
    said = "missing" if what == "a close" else str(day)
    assert _broken(app_of_its_own, closed) == [f"{said} (close {sequence})", None]
    result = _verify(app_of_its_own)
    assert result.exit_code == 1
    assert f"isp-a: the seal of {said} (close {sequence}) does not hold" in result.output
    assert "isp-b" not in result.output


def test_a_transaction_that_began_on_the_day_is_waited_for(
    app_of_its_own: Flask, closed: World, own_world: tuple[dict[str, str], World]
) -> None:
    with (
        psycopg.connect(own_world[0]["DATABASE_URL"]) as slow,
        app_of_its_own.app_context(), tenant_scope(closed.b.id),
    ):  # fmt: skip
        slow.execute("SELECT 1")
        later = clock.now() + timedelta(days=2)
        with clock.fixed(later), transaction(), pytest.raises(reconciliation.StillPosting):
            reconciliation.close_day(clock.now().date() - timedelta(days=1))
