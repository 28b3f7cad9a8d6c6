from __future__ import annotations

from typing import Any
from uuid import UUID

from sqlalchemy import CheckConstraint, FetchedValue, ForeignKeyConstraint, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from wavu.db import TenantRow


class LedgerAccount(TenantRow):
    """An account of the tenant's book. The balance is credits minus debits; the database alone writes it."""

    __tablename__ = "ledger_account"
    __table_args__ = (
        UniqueConstraint("tenant_id", "code", "currency"),
        UniqueConstraint("tenant_id", "id", "currency"),
        CheckConstraint("floor_cents IS NULL OR balance_cents >= floor_cents", name="floor"),
    )

    code: Mapped[str]
    currency: Mapped[str]
    balance_cents: Mapped[int] = mapped_column(default=0)
    floor_cents: Mapped[int | None]


class LedgerTransaction(TenantRow):
    """One business event. `key` names it within the tenant: it posts once."""

    __tablename__ = "ledger_transaction"
    __table_args__ = (
        UniqueConstraint("tenant_id", "key"),
        UniqueConstraint("tenant_id", "reverses_id"),
        ForeignKeyConstraint(
            ["tenant_id", "reverses_id"],
            ["ledger_transaction.tenant_id", "ledger_transaction.id"],
            name="fk_ledger_transaction_tenant_id_reverses_id_ledger_transaction",
        ),
    )

    key: Mapped[str]
    kind: Mapped[str]
    reverses_id: Mapped[UUID | None]
    facts: Mapped[dict[str, Any]]


class LedgerEntry(TenantRow):
    """One leg: positive is credit, negative debit."""

    __tablename__ = "ledger_entry"
    __table_args__ = (
        ForeignKeyConstraint(
            ["tenant_id", "transaction_id"],
            ["ledger_transaction.tenant_id", "ledger_transaction.id"],
            name="fk_ledger_entry_transaction",
        ),
        ForeignKeyConstraint(
            ["tenant_id", "account_id", "currency"],
            ["ledger_account.tenant_id", "ledger_account.id", "ledger_account.currency"],
            name="fk_ledger_entry_account",
        ),
        CheckConstraint("amount_cents <> 0", name="amount"),
    )

    transaction_id: Mapped[UUID]
    account_id: Mapped[UUID]
    currency: Mapped[str]
    amount_cents: Mapped[int]
    balance_after_cents: Mapped[int] = mapped_column(server_default=FetchedValue())


class NumberSeries(TenantRow):
    """The last number that was given of a series."""

    __tablename__ = "number_series"
    __table_args__ = (
        UniqueConstraint("tenant_id", "name", name="uq_number_series_name"),
        CheckConstraint("last > 0", name="last"),
    )

    name: Mapped[str]
    last: Mapped[int]
