"""The database itself refuses what a book may not suffer, whoever asks."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from uuid import UUID, uuid4

import psycopg
import pytest
from psycopg import errors

from tests.ledger.conftest import MPESA, Book
from tests.world import Isp

ROLES = ("wavu_app", "wavu_owner", "wavu_admin")
Cursor = psycopg.Cursor[tuple[object, ...]]


@contextmanager
def _as(book: Book, role: str, tenant: Isp) -> Iterator[Cursor]:
    """A transaction of a role, in a tenant's name; commits at the end."""
    connection = book.connect(role)
    try:
        with connection.cursor() as cursor:
            cursor.execute(f"SET LOCAL app.tenant_id = '{tenant.id}'".encode())
            yield cursor
            connection.commit()
    finally:
        connection.close()


def _account(cursor: Cursor, tenant: Isp, code: str) -> UUID:
    row = cursor.execute(
        "SELECT id FROM ledger_account WHERE tenant_id = %s AND code = %s", (tenant.id, code)
    ).fetchone()
    assert row is not None
    assert isinstance(row[0], UUID)
    return row[0]


def _begin(cursor: Cursor, tenant: Isp) -> UUID:
    made = uuid4()
    cursor.execute(
        "INSERT INTO ledger_transaction (tenant_id, id, key, kind, facts) VALUES (%s, %s, %s, 'test', '{}')",
        (tenant.id, made, str(made)),
    )
    return made


def _leg(cursor: Cursor, tenant: Isp, transaction_id: object, account: UUID, cents: int) -> None:
    cursor.execute(
        "INSERT INTO ledger_entry (tenant_id, id, transaction_id, account_id, currency, amount_cents) "
        "VALUES (%s, %s, %s, %s, 'KES', %s)",
        (tenant.id, uuid4(), transaction_id, account, cents),
    )


def test_what_does_not_balance_is_refused_at_commit(book: Book) -> None:
    for role in ROLES:
        a = book.world.a
        for amounts in ((), (5,), (5, -4), (5, 5)):
            with pytest.raises(errors.CheckViolation, match="does not balance"), _as(book, role, a) as cursor:
                made, account = _begin(cursor, a), _account(cursor, a, MPESA)
                for cents in amounts:
                    _leg(cursor, a, made, account, cents)


def test_a_late_leg_is_refused_even_if_it_balances(book: Book) -> None:
    for role in ROLES:
        a = book.world.a
        with pytest.raises(errors.CheckViolation, match="sealed"), _as(book, role, a) as cursor:
            account = _account(cursor, a, MPESA)
            row = cursor.execute("SELECT id FROM ledger_transaction WHERE tenant_id = %s", (a.id,)).fetchone()
            assert row is not None
            _leg(cursor, a, row[0], account, 5)


BY_HAND = [
    "UPDATE ledger_entry SET amount_cents = amount_cents * 2",
    "UPDATE ledger_transaction SET key = 'x'",
    "DELETE FROM ledger_entry",
    "DELETE FROM ledger_transaction",
    "TRUNCATE ledger_entry",
    "TRUNCATE ledger_transaction CASCADE",
    "TRUNCATE ledger_account CASCADE",
    "UPDATE ledger_account SET balance_cents = 1000000",
    "UPDATE ledger_account SET floor_cents = -1000000",
    "DELETE FROM ledger_account",
    "INSERT INTO ledger_account (tenant_id, id, code, currency, balance_cents) "
    "SELECT tenant_id, gen_random_uuid(), 'rich', 'KES', 100 FROM ledger_account LIMIT 1",
]


def test_nothing_is_changed_or_deleted_by_hand(book: Book) -> None:
    for role in ROLES:
        refusals = (errors.InsufficientPrivilege, errors.RestrictViolation)
        for statement in BY_HAND:
            with pytest.raises(refusals), _as(book, role, book.world.a) as cursor:
                cursor.execute(statement.encode())


def test_a_wallet_cannot_be_overdrawn(book: Book) -> None:
    for role in ROLES:
        a = book.world.a
        with pytest.raises(errors.CheckViolation, match="ck_ledger_account_floor"), _as(book, role, a) as cursor:
            made = _begin(cursor, a)
            _leg(cursor, a, made, _account(cursor, a, MPESA), 5_001)
            _leg(cursor, a, made, _account(cursor, a, book.wallet), -5_001)


def test_the_same_event_twice_is_refused(book: Book) -> None:
    for role in ROLES:
        with pytest.raises(errors.UniqueViolation), _as(book, role, book.world.a) as cursor:
            cursor.execute(
                "INSERT INTO ledger_transaction (tenant_id, id, key, kind, facts) "
                "VALUES (%s, %s, 'receipt:174379:SAMEINBOTH', 'test', '{}')",
                (book.world.a.id, uuid4()),
            )


def test_a_leg_cannot_reach_another_tenants_account(book: Book) -> None:
    a, b = book.world.a, book.world.b
    with _as(book, "wavu_admin", b) as cursor:
        theirs = _account(cursor, b, MPESA)
    with pytest.raises(psycopg.IntegrityError), _as(book, "wavu_app", a) as cursor:
        made = _begin(cursor, a)
        _leg(cursor, a, made, _account(cursor, a, MPESA), 5)
        _leg(cursor, a, made, theirs, -5)
    with pytest.raises(errors.InsufficientPrivilege), _as(book, "wavu_app", a) as cursor:
        _leg(cursor, b, _begin(cursor, a), theirs, -5)
    with pytest.raises(errors.InsufficientPrivilege, match="another tenant"), _as(book, "wavu_admin", a) as cursor:
        _leg(cursor, b, _begin(cursor, b), theirs, -5)


def test_a_tenant_reads_its_own_book_only(book: Book) -> None:
    for tenant in (book.world.a, book.world.b):
        with _as(book, "wavu_app", tenant) as cursor:
            for table in ("ledger_account", "ledger_transaction", "ledger_entry"):
                owners = cursor.execute(f"SELECT DISTINCT tenant_id FROM {table}".encode()).fetchall()
                assert owners == [(tenant.id,)]
