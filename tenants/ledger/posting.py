from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import BigInteger, Text, Uuid, bindparam, select, text
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

from tenants.ledger.accounts import floor_of
from tenants.ledger.models import LedgerAccount, LedgerEntry, LedgerTransaction
from tenants.ledger.refusals import AlreadyReversed, NotEnoughMoney
from wavu import ids, tenancy
from wavu.db import db

_POST = text(
    "SELECT app.ledger_post(:id, :kind, :key, :currency, :facts, :reverses_id, :codes, :floors, :amounts,"
    " :account_ids, :entry_ids)"
).bindparams(
    bindparam("id", type_=Uuid),
    bindparam("kind", type_=Text),
    bindparam("key", type_=Text),
    bindparam("currency", type_=Text),
    bindparam("facts", type_=JSONB),
    bindparam("reverses_id", type_=Uuid),
    bindparam("codes", type_=ARRAY(Text)),
    bindparam("floors", type_=ARRAY(BigInteger)),
    bindparam("amounts", type_=ARRAY(BigInteger)),
    bindparam("account_ids", type_=ARRAY(Uuid)),
    bindparam("entry_ids", type_=ARRAY(Uuid)),
)
_REFUSALS = {
    "ck_ledger_account_floor": NotEnoughMoney,
    "uq_ledger_transaction_tenant_id_reverses_id": AlreadyReversed,
}


class Leg(NamedTuple):
    """One side of a transaction: credit is positive, debit negative."""

    account_code: str
    amount_cents: int


def post(
    kind: str, key: str, legs: Sequence[Leg], *, facts: dict[str, Any] | None = None, reverses: UUID | None = None
) -> UUID | None:
    """Posts one business event of the current tenant and returns the transaction's id; None where its `key` has posted
    already.

    Accounts are made on first use. Raises NotEnoughMoney or AlreadyReversed with nothing of it posted; the caller's
    transaction may go on. Raises ValueError for legs that cannot balance.

    Safe under concurrency: the same key twice waits for the first; legs go in by account, so that no two single
    postings deadlock. A transaction that posts several events keeps to one order of them everywhere.
    """
    if len(legs) < 2 or sum(leg.amount_cents for leg in legs) != 0 or not all(leg.amount_cents for leg in legs):
        raise ValueError(f"the legs of {kind} {key!r} do not balance")
    posting_id = ids.new_id()
    said = db.session.execute(
        _POST,
        {
            "id": posting_id,
            "kind": kind,
            "key": key,
            "currency": tenancy.current_tenant().currency,
            "facts": facts or {},
            "reverses_id": reverses,
            "codes": [leg.account_code for leg in legs],
            "floors": [floor_of(leg.account_code) for leg in legs],
            "amounts": [leg.amount_cents for leg in legs],
            "account_ids": [ids.new_id() for _ in legs],
            "entry_ids": [ids.new_id() for _ in legs],
        },
    ).scalar_one()
    if said in _REFUSALS:
        raise _REFUSALS[said]
    return posting_id if said == "posted" else None


def find(key: str) -> LedgerTransaction | None:
    """The current tenant's transaction with a key."""
    return db.session.scalar(select(LedgerTransaction).where(LedgerTransaction.key == key))


def reverse(kind: str, posting: LedgerTransaction, *, facts: dict[str, Any] | None = None) -> UUID:
    """Takes a transaction back by its mirror image, once: raises AlreadyReversed, and NotEnoughMoney as post() does."""
    legs = db.session.execute(
        select(LedgerAccount.code, LedgerEntry.amount_cents)
        .join(LedgerAccount, LedgerAccount.id == LedgerEntry.account_id)
        .where(LedgerEntry.transaction_id == posting.id)
        .order_by(LedgerEntry.id)
    ).all()
    mirrored = [Leg(code, -cents) for code, cents in legs]
    made = post(kind, f"rev:{posting.id}", mirrored, facts=facts, reverses=posting.id)
    if made is None:
        raise AlreadyReversed
    return made


def balance(account_code: str) -> int:
    """The balance of the current tenant's account in cents, credits minus debits; 0 for one that was never used."""
    currency = tenancy.current_tenant().currency
    query = select(LedgerAccount.balance_cents).where(
        LedgerAccount.code == account_code, LedgerAccount.currency == currency
    )
    return db.session.scalar(query) or 0
