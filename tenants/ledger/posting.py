from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.exc import IntegrityError

from tenants.ledger.accounts import floor_of
from tenants.ledger.models import LedgerAccount, LedgerEntry, LedgerTransaction
from tenants.ledger.refusals import AlreadyReversed, NotEnoughMoney
from wavu import ids, tenancy
from wavu.db import db, savepoint


class Leg(NamedTuple):
    """One side of a transaction: credit is positive, debit negative."""

    account_code: str
    amount_cents: int


def post(
    kind: str, key: str, legs: Sequence[Leg], *, facts: dict[str, Any] | None = None, reverses: UUID | None = None
) -> LedgerTransaction | None:
    """Posts one business event of the current tenant; None where its `key` has posted already.

    Accounts are made on first use. Raises NotEnoughMoney or AlreadyReversed with nothing of it posted, inside a
    savepoint, so that the caller's transaction may go on. Raises ValueError for legs that cannot balance.

    Safe under concurrency: the same key twice waits for the first; legs go in by account, so that no two single
    postings deadlock. A transaction that posts several events keeps to one order of them everywhere.
    """
    if len(legs) < 2 or sum(leg.amount_cents for leg in legs) != 0 or not all(leg.amount_cents for leg in legs):
        raise ValueError(f"the legs of {kind} {key!r} do not balance")
    currency = tenancy.find_tenant(tenancy.current_tenant_id()).currency
    try:
        with savepoint():
            accounts = _accounts({leg.account_code for leg in legs}, currency)
            made = _begin(kind, key, facts or {}, reverses)
            if made is not None:
                _add_legs(made, accounts, legs, currency)
            return made
    except IntegrityError as error:
        raise _refusal(error) from error


def _refusal(error: IntegrityError) -> Exception:
    constraint = getattr(getattr(error.orig, "diag", None), "constraint_name", None)
    refusals = {
        "ck_ledger_account_floor": NotEnoughMoney,
        "uq_ledger_transaction_tenant_id_reverses_id": AlreadyReversed,
    }
    return refusals[constraint]() if constraint in refusals else error


def _accounts(codes: set[str], currency: str) -> dict[str, UUID]:
    known = _known_accounts(codes, currency)
    missing = sorted(codes - known.keys())
    if not missing:
        return known
    rows = [
        {
            "tenant_id": func.app.tenant_id(),
            "id": ids.new_id(),
            "code": code,
            "currency": currency,
            "balance_cents": 0,
            "floor_cents": floor_of(code),
        }
        for code in missing
    ]
    unique = ["tenant_id", "code", "currency"]
    db.session.execute(insert(LedgerAccount).values(rows).on_conflict_do_nothing(index_elements=unique))
    return _known_accounts(codes, currency)


def _known_accounts(codes: set[str], currency: str) -> dict[str, UUID]:
    query = select(LedgerAccount.code, LedgerAccount.id).where(
        LedgerAccount.code.in_(codes), LedgerAccount.currency == currency
    )
    return {row.code: row.id for row in db.session.execute(query)}


def _begin(kind: str, key: str, facts: dict[str, Any], reverses: UUID | None) -> LedgerTransaction | None:
    return db.session.scalars(
        insert(LedgerTransaction)
        .values(tenant_id=func.app.tenant_id(), id=ids.new_id(), kind=kind, key=key, facts=facts, reverses_id=reverses)
        .on_conflict_do_nothing(index_elements=["tenant_id", "key"])
        .returning(LedgerTransaction)
    ).one_or_none()


def _add_legs(made: LedgerTransaction, accounts: dict[str, UUID], legs: Sequence[Leg], currency: str) -> None:
    ordered = sorted(legs, key=lambda leg: accounts[leg.account_code])
    rows = [
        {
            "tenant_id": func.app.tenant_id(),
            "id": ids.new_id(),
            "transaction_id": made.id,
            "account_id": accounts[leg.account_code],
            "currency": currency,
            "amount_cents": leg.amount_cents,
        }
        for leg in ordered
    ]
    # One statement: its rows are applied, and their accounts locked, in the order in which they stand.
    db.session.execute(insert(LedgerEntry).values(rows))


def balance(account_code: str) -> int:
    """The balance of the current tenant's account in cents, credits minus debits; 0 for one that was never used."""
    currency = tenancy.find_tenant(tenancy.current_tenant_id()).currency
    query = select(LedgerAccount.balance_cents).where(
        LedgerAccount.code == account_code, LedgerAccount.currency == currency
    )
    return db.session.scalar(query) or 0
