from __future__ import annotations

from datetime import datetime
from uuid import UUID

from sqlalchemy import ForeignKeyConstraint, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from wavu.db import TenantRow


class PayoutSetting(TenantRow):
    """How much one person may pay out alone within a day, in cents. A higher limit waits before it holds."""

    __tablename__ = "payout_setting"
    __table_args__ = (UniqueConstraint("tenant_id"),)

    alone_cents: Mapped[int]
    next_alone_cents: Mapped[int | None]
    next_from: Mapped[datetime | None]


class Payout(TenantRow):
    """Money that leaves, once. `original_id` is the name under which M-Pesa takes it, written before it is sent.

    `source_code` is the account of the ledger that pays. With `ends_purchase_id` the package that the money bought is
    taken back first, when the payout is approved.
    """

    __tablename__ = "payout"
    __table_args__ = (
        UniqueConstraint("tenant_id", "original_id"),
        ForeignKeyConstraint(
            ["tenant_id", "mpesa_account_id"],
            ["mpesa_account.tenant_id", "mpesa_account.id"],
            name="fk_payout_account",
        ),
        ForeignKeyConstraint(
            ["tenant_id", "subscriber_id"], ["subscriber.tenant_id", "subscriber.id"], name="fk_payout_subscriber"
        ),
        ForeignKeyConstraint(
            ["tenant_id", "receipt_id"],
            ["provider_receipt.tenant_id", "provider_receipt.id"],
            name="fk_payout_receipt",
        ),
        ForeignKeyConstraint(
            ["tenant_id", "ends_purchase_id"], ["purchase.tenant_id", "purchase.id"], name="fk_payout_ends_purchase"
        ),
    )

    method: Mapped[str]
    mpesa_account_id: Mapped[UUID]
    source_code: Mapped[str]
    subscriber_id: Mapped[UUID | None]
    receipt_id: Mapped[UUID | None]
    ends_purchase_id: Mapped[UUID | None]
    phone: Mapped[str | None]
    amount_cents: Mapped[int]
    reason: Mapped[str]
    state: Mapped[str] = mapped_column(default="draft")
    code: Mapped[str | None]
    needs_second: Mapped[bool]
    requested_by: Mapped[UUID]
    requested_name: Mapped[str]
    approved_by: Mapped[UUID | None]
    approved_name: Mapped[str | None]
    approved_at: Mapped[datetime | None]
    original_id: Mapped[str]
    receipt: Mapped[str | None]
    fee_cents: Mapped[int | None]
    sent_at: Mapped[datetime | None]
    settled_at: Mapped[datetime | None]
