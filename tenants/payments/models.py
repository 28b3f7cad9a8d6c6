from __future__ import annotations

from datetime import datetime
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKeyConstraint, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from wavu.db import TenantRow
from wavu.vault import Sealed


class PaymentIntent(TenantRow):
    """Our expectation of a payment. Money is proven by a receipt, never by an intent."""

    __tablename__ = "payment_intent"
    __table_args__ = (
        UniqueConstraint("tenant_id", "token_fingerprint"),
        ForeignKeyConstraint(
            ["tenant_id", "mpesa_account_id"],
            ["mpesa_account.tenant_id", "mpesa_account.id"],
            name="fk_payment_intent_account",
        ),
        ForeignKeyConstraint(
            ["tenant_id", "airtel_account_id"],
            ["airtel_account.tenant_id", "airtel_account.id"],
            name="fk_payment_intent_airtel_account",
        ),
        ForeignKeyConstraint(
            ["tenant_id", "subscriber_id"],
            ["subscriber.tenant_id", "subscriber.id"],
            name="fk_payment_intent_subscriber",
        ),
    )

    # Through which gateway, `mpesa` or `airtel`; of the two accounts it has that one's.
    provider: Mapped[str] = mapped_column(default="mpesa")
    mpesa_account_id: Mapped[UUID | None]
    airtel_account_id: Mapped[UUID | None]
    subscriber_id: Mapped[UUID]
    # What is paid for. The purchase knows nothing of its intents: a late one may still pay it.
    purchase_id: Mapped[UUID]
    phone: Mapped[str]
    amount_cents: Mapped[int]
    reference: Mapped[str]
    description: Mapped[str]
    token_fingerprint: Mapped[str]
    token_sealed: Mapped[bytes]
    state: Mapped[str] = mapped_column(default="created")
    code: Mapped[str | None]
    merchant_request_id: Mapped[str | None]
    checkout_request_id: Mapped[str | None]
    receipt: Mapped[str | None]
    submitted_at: Mapped[datetime | None]
    # When the gateway said that it took the push.
    answered_at: Mapped[datetime | None]
    queries: Mapped[int] = mapped_column(default=0)
    settled_at: Mapped[datetime | None]

    token = Sealed("token_sealed")

    @property
    def account_id(self) -> UUID:
        """Of its provider's accounts."""
        found = self.mpesa_account_id if self.provider == "mpesa" else self.airtel_account_id
        assert found is not None
        return found


class InboundEvent(TenantRow):
    """What a machine said, as it came: stored before anything reads it."""

    __tablename__ = "inbound_event"
    __table_args__ = (
        UniqueConstraint("tenant_id", "intent_id", "body_digest"),
        ForeignKeyConstraint(
            ["tenant_id", "intent_id"],
            ["payment_intent.tenant_id", "payment_intent.id"],
            name="fk_inbound_event_intent",
        ),
        ForeignKeyConstraint(
            ["tenant_id", "mpesa_account_id"],
            ["mpesa_account.tenant_id", "mpesa_account.id"],
            name="fk_inbound_event_account",
        ),
        ForeignKeyConstraint(
            ["tenant_id", "airtel_account_id"],
            ["airtel_account.tenant_id", "airtel_account.id"],
            name="fk_inbound_event_airtel_account",
        ),
    )

    # `stk` answers an intent, `airtel` the one that it names; `c2b` and `pull` tell of any payment to an account.
    kind: Mapped[str]
    intent_id: Mapped[UUID | None]
    mpesa_account_id: Mapped[UUID | None]
    airtel_account_id: Mapped[UUID | None]
    body_digest: Mapped[bytes]
    body: Mapped[bytes]
    peer: Mapped[str | None]
    outcome: Mapped[str | None]
    processed_at: Mapped[datetime | None]


class ProviderReceipt(TenantRow):
    """Money that arrived, once per receipt, whoever reported it first."""

    __tablename__ = "provider_receipt"
    __table_args__ = (
        UniqueConstraint("tenant_id", "environment", "shortcode_group", "receipt", name="uq_provider_receipt_receipt"),
        ForeignKeyConstraint(
            ["tenant_id", "intent_id"],
            ["payment_intent.tenant_id", "payment_intent.id"],
            name="fk_provider_receipt_intent",
        ),
        ForeignKeyConstraint(
            ["tenant_id", "transaction_id"],
            ["ledger_transaction.tenant_id", "ledger_transaction.id"],
            name="fk_provider_receipt_transaction",
        ),
    )

    provider: Mapped[str] = mapped_column(default="mpesa")
    environment: Mapped[str]
    # Which account took it: an M-Pesa number or two, or `airtel` and the merchant's.
    shortcode_group: Mapped[str]
    receipt: Mapped[str]
    amount_cents: Mapped[int]
    source: Mapped[str]
    intent_id: Mapped[UUID | None]
    subscriber_id: Mapped[UUID | None]
    transaction_id: Mapped[UUID]
    paid_at: Mapped[datetime | None]
    # What the payer typed as account number; the payer as M-Pesa shows them, masked or hashed, and their first name.
    reference: Mapped[str | None]
    payer: Mapped[str | None]
    payer_name: Mapped[str | None]


class ReceiptWitness(TenantRow):
    """A source that told of a receipt after the first one did."""

    __tablename__ = "receipt_witness"
    __table_args__ = (
        UniqueConstraint("tenant_id", "receipt_id", "source", name="uq_receipt_witness_source"),
        ForeignKeyConstraint(
            ["tenant_id", "receipt_id"],
            ["provider_receipt.tenant_id", "provider_receipt.id"],
            name="fk_receipt_witness_receipt",
        ),
    )

    receipt_id: Mapped[UUID]
    source: Mapped[str]


class SuspenseItem(TenantRow):
    """A receipt whose money, or a part of it, nobody is known to own."""

    __tablename__ = "suspense_item"
    __table_args__ = (
        UniqueConstraint("tenant_id", "receipt_id", name="uq_suspense_item_receipt"),
        CheckConstraint("left_cents >= 0", name="left"),
        ForeignKeyConstraint(
            ["tenant_id", "receipt_id"],
            ["provider_receipt.tenant_id", "provider_receipt.id"],
            name="fk_suspense_item_receipt",
        ),
    )

    receipt_id: Mapped[UUID]
    left_cents: Mapped[int]


class SuspenseMatch(TenantRow):
    """Money that was found to be a subscriber's."""

    __tablename__ = "suspense_match"
    __table_args__ = (
        CheckConstraint("amount_cents <> 0", name="amount"),
        ForeignKeyConstraint(
            ["tenant_id", "item_id"], ["suspense_item.tenant_id", "suspense_item.id"], name="fk_suspense_match_item"
        ),
        ForeignKeyConstraint(
            ["tenant_id", "subscriber_id"],
            ["subscriber.tenant_id", "subscriber.id"],
            name="fk_suspense_match_subscriber",
        ),
        ForeignKeyConstraint(
            ["tenant_id", "guessed_intent_id"],
            ["payment_intent.tenant_id", "payment_intent.id"],
            name="fk_suspense_match_intent",
        ),
        ForeignKeyConstraint(
            ["tenant_id", "transaction_id"],
            ["ledger_transaction.tenant_id", "ledger_transaction.id"],
            name="fk_suspense_match_transaction",
        ),
    )

    item_id: Mapped[UUID]
    subscriber_id: Mapped[UUID]
    # The attempt that seemed to have brought it, where nobody said so. Below nothing where that was taken back.
    guessed_intent_id: Mapped[UUID | None]
    amount_cents: Mapped[int]
    transaction_id: Mapped[UUID]


class DeskPayment(TenantRow):
    """Cash that a member of staff took, or a transfer to the bank that they saw. `number` is on the receipt."""

    __tablename__ = "desk_payment"
    __table_args__ = (
        UniqueConstraint("tenant_id", "nonce", name="uq_desk_payment_nonce"),
        UniqueConstraint("tenant_id", "number", name="uq_desk_payment_number"),
        CheckConstraint("method IN ('cash', 'bank')", name="method"),
        CheckConstraint("amount_cents > 0", name="amount"),
        ForeignKeyConstraint(
            ["tenant_id", "subscriber_id"],
            ["subscriber.tenant_id", "subscriber.id"],
            name="fk_desk_payment_subscriber",
        ),
        ForeignKeyConstraint(
            ["tenant_id", "transaction_id"],
            ["ledger_transaction.tenant_id", "ledger_transaction.id"],
            name="fk_desk_payment_transaction",
        ),
    )

    nonce: Mapped[str]
    number: Mapped[int]
    subscriber_id: Mapped[UUID]
    method: Mapped[str]
    amount_cents: Mapped[int]
    reference: Mapped[str | None]
    taken_by_id: Mapped[UUID]
    taken_by: Mapped[str]
    transaction_id: Mapped[UUID]


class DeskVoid(TenantRow):
    """A payment at the desk that was written down by mistake."""

    __tablename__ = "desk_void"
    __table_args__ = (
        UniqueConstraint("tenant_id", "payment_id", name="uq_desk_void_payment"),
        ForeignKeyConstraint(
            ["tenant_id", "payment_id"], ["desk_payment.tenant_id", "desk_payment.id"], name="fk_desk_void_payment"
        ),
        ForeignKeyConstraint(
            ["tenant_id", "transaction_id"],
            ["ledger_transaction.tenant_id", "ledger_transaction.id"],
            name="fk_desk_void_transaction",
        ),
    )

    payment_id: Mapped[UUID]
    reason: Mapped[str]
    voided_by: Mapped[str]
    transaction_id: Mapped[UUID]
