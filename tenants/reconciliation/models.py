from __future__ import annotations

from datetime import date, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import CheckConstraint, FetchedValue, ForeignKeyConstraint, UniqueConstraint
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from wavu.db import TenantRow


class Statement(TenantRow):
    """One file from the M-Pesa organisation portal. `digest` is the file's SHA-256: it is imported once."""

    __tablename__ = "statement"
    __table_args__ = (
        UniqueConstraint("tenant_id", "environment", "shortcode_group", "digest", name="uq_statement_digest"),
        CheckConstraint("covers_until > covers_from", name="period"),
    )

    environment: Mapped[str]
    shortcode_group: Mapped[str]
    digest: Mapped[bytes]
    file_name: Mapped[str]
    # Every movement from the one instant until before the other is in it.
    covers_from: Mapped[datetime]
    covers_until: Mapped[datetime]
    row_count: Mapped[int]
    # Those that no earlier file had, and those that moved nothing.
    new_count: Mapped[int]
    skipped_count: Mapped[int]
    imported_by: Mapped[str]


class StatementRow(TenantRow):
    """What Safaricom says that moved: above zero it came in. Never edited; a payment and its charge share a receipt."""

    __tablename__ = "statement_row"
    __table_args__ = (
        UniqueConstraint(
            "tenant_id", "environment", "shortcode_group", "receipt", "kind", name="uq_statement_row_receipt"
        ),
        ForeignKeyConstraint(
            ["tenant_id", "statement_id"],
            ["statement.tenant_id", "statement.id"],
            name="fk_statement_row_statement",
            deferrable=True,
            initially="DEFERRED",
        ),
    )

    statement_id: Mapped[UUID]
    environment: Mapped[str]
    shortcode_group: Mapped[str]
    receipt: Mapped[str]
    kind: Mapped[str]
    amount_cents: Mapped[int]
    completed_at: Mapped[datetime]
    details: Mapped[str]
    other_party: Mapped[str]
    account_reference: Mapped[str]
    linked_receipt: Mapped[str | None]
    balance_cents: Mapped[int | None]


class BookedRow(TenantRow):
    """The line of our book that a row of a statement was booked by: charges, bank transfers, outside reversals."""

    __tablename__ = "booked_row"
    __table_args__ = (
        UniqueConstraint("tenant_id", "statement_row_id", name="uq_booked_row_statement_row"),
        ForeignKeyConstraint(
            ["tenant_id", "statement_row_id"],
            ["statement_row.tenant_id", "statement_row.id"],
            name="fk_booked_row_statement_row",
        ),
        ForeignKeyConstraint(
            ["tenant_id", "transaction_id"],
            ["ledger_transaction.tenant_id", "ledger_transaction.id"],
            name="fk_booked_row_transaction",
        ),
    )

    statement_row_id: Mapped[UUID]
    transaction_id: Mapped[UUID]


class DifferenceDecision(TenantRow):
    """What a person said of a difference of this kind, subject and amount: accepted, or a case that is followed up."""

    __tablename__ = "difference_decision"

    day: Mapped[date]
    kind: Mapped[str]
    subject: Mapped[str]
    amount_cents: Mapped[int]
    decision: Mapped[str]
    note: Mapped[str]
    actor: Mapped[str]


class DayCheck(TenantRow):
    """What the last look at an open day found: no truth, only what a list of days shows."""

    __tablename__ = "day_check"
    __table_args__ = (UniqueConstraint("tenant_id", "day"),)

    day: Mapped[date]
    totals: Mapped[dict[str, Any]]
    open_count: Mapped[int]
    open_cents: Mapped[int]
    checked_at: Mapped[datetime]


class DayClose(TenantRow):
    """A day that is closed: its figures, and the seal over them, its postings and the close before it. A trigger sets
    the sequence, the postings' digest and the seal."""

    __tablename__ = "day_close"
    __table_args__ = (
        UniqueConstraint("tenant_id", "day"),
        UniqueConstraint("tenant_id", "sequence"),
        CheckConstraint("ends_at > starts_at", name="period"),
    )

    sequence: Mapped[int] = mapped_column(server_default=FetchedValue())
    day: Mapped[date]
    starts_at: Mapped[datetime]
    ends_at: Mapped[datetime]
    closed_by: Mapped[str]
    totals: Mapped[dict[str, Any]]
    differences: Mapped[list[Any]] = mapped_column(JSONB)
    posting_count: Mapped[int] = mapped_column(server_default=FetchedValue())
    last_posting_id: Mapped[UUID | None] = mapped_column(server_default=FetchedValue())
    postings_digest: Mapped[bytes] = mapped_column(server_default=FetchedValue())
    seal: Mapped[bytes] = mapped_column(server_default=FetchedValue())
