from __future__ import annotations

from datetime import date, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKeyConstraint, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from wavu.db import TenantRow
from wavu.vault import Sealed


class Purchase(TenantRow):
    """One press of the pay button. The nonce was made with the page, so a second press or a reload is the same one."""

    __tablename__ = "purchase"
    __table_args__ = (
        UniqueConstraint("tenant_id", "nonce"),
        ForeignKeyConstraint(
            ["tenant_id", "package_id"], ["package.tenant_id", "package.id"], name="fk_purchase_package"
        ),
        ForeignKeyConstraint(
            ["tenant_id", "subscriber_id"], ["subscriber.tenant_id", "subscriber.id"], name="fk_purchase_subscriber"
        ),
        CheckConstraint("channel IN ('hotspot', 'pppoe')", name="channel"),
        CheckConstraint("wallet_cents BETWEEN 0 AND price_cents", name="wallet_cents"),
        CheckConstraint("moved_cents >= 0", name="moved_cents"),
        CheckConstraint("promo_cents BETWEEN 0 AND price_cents", name="promo_cents"),
        ForeignKeyConstraint(["tenant_id", "router_id"], ["router.tenant_id", "router.id"], name="fk_purchase_router"),
        ForeignKeyConstraint(
            ["tenant_id", "renewal_id"], ["renewal.tenant_id", "renewal.id"], name="fk_purchase_renewal", use_alter=True
        ),
    )

    nonce: Mapped[str]
    channel: Mapped[str] = mapped_column(default="hotspot")
    package_id: Mapped[UUID]
    subscriber_id: Mapped[UUID]
    price_cents: Mapped[int]
    # So much was moved here from what earlier purchases had not used; and so much was moved on to later ones.
    wallet_cents: Mapped[int] = mapped_column(default=0)
    moved_cents: Mapped[int] = mapped_column(default=0)
    # So much of the price was promotional credit, and no money.
    promo_cents: Mapped[int] = mapped_column(default=0)
    terms: Mapped[dict[str, Any]]
    mac: Mapped[str | None]
    router_id: Mapped[UUID | None]
    login_url: Mapped[str | None]
    original_url: Mapped[str | None]
    state: Mapped[str] = mapped_column(default="open")
    bought_at: Mapped[datetime | None]
    # What renewed it by itself, and the key under which that period is paid once.
    renewal_id: Mapped[UUID | None]
    posting_key: Mapped[str | None]


class PaymentClaim(TenantRow):
    """Somebody says that a payment was theirs (claims.py). One for each receipt and phone; its nonce is in the hands of
    whoever typed both. `cents` of the payment were found to be theirs to spend, and `moved_cents` of them are spent.

    `purchase_id` is the purchase that they claim it for, and then the one that it has paid.
    """

    __tablename__ = "payment_claim"
    __table_args__ = (
        UniqueConstraint("tenant_id", "nonce", name="uq_payment_claim_nonce"),
        UniqueConstraint("tenant_id", "code", "phone", name="uq_payment_claim_code"),
        UniqueConstraint("tenant_id", "receipt_id", name="uq_payment_claim_receipt"),
        CheckConstraint("channel IN ('hotspot', 'pppoe')", name="channel"),
        CheckConstraint("moved_cents BETWEEN 0 AND cents", name="cents"),
        ForeignKeyConstraint(
            ["tenant_id", "subscriber_id"], ["subscriber.tenant_id", "subscriber.id"],
            name="fk_payment_claim_subscriber",
        ),
        ForeignKeyConstraint(
            ["tenant_id", "purchase_id"], ["purchase.tenant_id", "purchase.id"], name="fk_payment_claim_purchase"
        ),
        ForeignKeyConstraint(
            ["tenant_id", "receipt_id"], ["provider_receipt.tenant_id", "provider_receipt.id"],
            name="fk_payment_claim_receipt",
        ),
    )  # fmt: skip

    nonce: Mapped[str]
    code: Mapped[str]
    phone: Mapped[str]
    channel: Mapped[str]
    subscriber_id: Mapped[UUID]
    purchase_id: Mapped[UUID | None]
    # looking, found, used, not_ours, or unknown: M-Pesa could not be asked, or has not said.
    state: Mapped[str] = mapped_column(default="looking")
    receipt_id: Mapped[UUID | None]
    cents: Mapped[int] = mapped_column(default=0)
    moved_cents: Mapped[int] = mapped_column(default=0)


class StandingOrder(TenantRow):
    """A customer lets M-Pesa pay for a package again and again (standing.py). Its reference is an account number."""

    __tablename__ = "standing_order"
    __table_args__ = (
        UniqueConstraint("tenant_id", "nonce", name="uq_standing_order_nonce"),
        UniqueConstraint("tenant_id", "token_fingerprint", name="uq_standing_order_token"),
        CheckConstraint("amount_cents > 0", name="amount"),
        CheckConstraint("starts_on < ends_on", name="days"),
        ForeignKeyConstraint(
            ["tenant_id", "mpesa_account_id"], ["mpesa_account.tenant_id", "mpesa_account.id"],
            name="fk_standing_order_account",
        ),
        ForeignKeyConstraint(
            ["tenant_id", "subscriber_id"], ["subscriber.tenant_id", "subscriber.id"],
            name="fk_standing_order_subscriber",
        ),
        ForeignKeyConstraint(
            ["tenant_id", "package_id"], ["package.tenant_id", "package.id"], name="fk_standing_order_package"
        ),
    )  # fmt: skip

    nonce: Mapped[str]
    mpesa_account_id: Mapped[UUID]
    subscriber_id: Mapped[UUID]
    package_id: Mapped[UUID]
    terms: Mapped[dict[str, Any]]
    phone: Mapped[str]
    amount_cents: Mapped[int]
    name: Mapped[str]
    reference: Mapped[str]
    starts_on: Mapped[date]
    ends_on: Mapped[date]
    # created, submitting, asked, stands, refused, or unknown: nobody answered.
    state: Mapped[str] = mapped_column(default="created")
    code: Mapped[str | None]
    token_fingerprint: Mapped[str]
    token_sealed: Mapped[bytes]
    # What M-Pesa calls the request.
    order_reference: Mapped[str | None]
    submitted_at: Mapped[datetime | None]
    told_at: Mapped[datetime | None]
    last_paid_at: Mapped[datetime | None]

    token = Sealed("token_sealed")


class StandingOrderEvent(TenantRow):
    """What M-Pesa told of a standing order, as it came."""

    __tablename__ = "standing_order_event"
    __table_args__ = (
        UniqueConstraint("tenant_id", "order_id", "body_digest", name="uq_standing_order_event_body"),
        ForeignKeyConstraint(
            ["tenant_id", "order_id"], ["standing_order.tenant_id", "standing_order.id"],
            name="fk_standing_order_event_order",
        ),
    )  # fmt: skip

    order_id: Mapped[UUID]
    body_digest: Mapped[bytes]
    body: Mapped[bytes]
    peer: Mapped[str | None]
    outcome: Mapped[str | None]
    processed_at: Mapped[datetime | None]


class PromoSetting(TenantRow):
    """How much promotional credit may be granted at once, in cents."""

    __tablename__ = "promo_setting"
    __table_args__ = (UniqueConstraint("tenant_id"), CheckConstraint("most_cents >= 0", name="most"))

    most_cents: Mapped[int]


class PromoGrant(TenantRow):
    """Promotional credit that staff gave a customer. What is left of all of a customer's is what the ledger holds."""

    __tablename__ = "promo_grant"
    __table_args__ = (
        UniqueConstraint("tenant_id", "nonce", name="uq_promo_grant_nonce"),
        CheckConstraint(
            "left_cents >= 0 AND expired_cents >= 0 AND left_cents + expired_cents <= amount_cents", name="left"
        ),
        ForeignKeyConstraint(
            ["tenant_id", "subscriber_id"], ["subscriber.tenant_id", "subscriber.id"], name="fk_promo_grant_subscriber"
        ),
        ForeignKeyConstraint(
            ["tenant_id", "transaction_id"],
            ["ledger_transaction.tenant_id", "ledger_transaction.id"],
            name="fk_promo_grant_transaction",
        ),
    )

    nonce: Mapped[str]
    subscriber_id: Mapped[UUID]
    amount_cents: Mapped[int]
    left_cents: Mapped[int]
    expired_cents: Mapped[int] = mapped_column(default=0)
    reason: Mapped[str]
    expires_at: Mapped[datetime]
    granted_by_id: Mapped[UUID]
    granted_by: Mapped[str]
    transaction_id: Mapped[UUID]


class PromoUse(TenantRow):
    """How much of a grant paid for a purchase; below zero where that was taken back."""

    __tablename__ = "promo_use"
    __table_args__ = (
        ForeignKeyConstraint(
            ["tenant_id", "grant_id"], ["promo_grant.tenant_id", "promo_grant.id"], name="fk_promo_use_grant"
        ),
        ForeignKeyConstraint(
            ["tenant_id", "purchase_id"], ["purchase.tenant_id", "purchase.id"], name="fk_promo_use_purchase"
        ),
    )

    grant_id: Mapped[UUID]
    purchase_id: Mapped[UUID]
    amount_cents: Mapped[int]


class Renewal(TenantRow):
    """A package that a customer's wallet pays again, for one line or one device, until somebody switches it off.

    `purchase_id` is the purchase whose holder switched it on; None where staff did (`set_by`). It costs no more than
    `agreed_cents`. `said` is why it waits while it is on, or why it is off.
    """

    __tablename__ = "renewal"
    __table_args__ = (
        CheckConstraint("channel IN ('hotspot', 'pppoe')", name="channel"),
        CheckConstraint("state IN ('on', 'off')", name="state"),
        ForeignKeyConstraint(
            ["tenant_id", "subscriber_id"], ["subscriber.tenant_id", "subscriber.id"], name="fk_renewal_subscriber"
        ),
        ForeignKeyConstraint(
            ["tenant_id", "package_id"], ["package.tenant_id", "package.id"], name="fk_renewal_package"
        ),
        ForeignKeyConstraint(
            ["tenant_id", "purchase_id"], ["purchase.tenant_id", "purchase.id"], name="fk_renewal_purchase"
        ),
    )

    subscriber_id: Mapped[UUID]
    package_id: Mapped[UUID]
    channel: Mapped[str]
    mac: Mapped[str | None]
    purchase_id: Mapped[UUID | None]
    agreed_cents: Mapped[int]
    state: Mapped[str] = mapped_column(default="on")
    said: Mapped[str | None]
    set_by: Mapped[str | None]
    check_at: Mapped[datetime]
    tried_at: Mapped[datetime | None]


class DeskSale(TenantRow):
    """A package that staff sold; `payment_id` is what was taken for it at the desk, if anything was."""

    __tablename__ = "desk_sale"
    __table_args__ = (
        UniqueConstraint("tenant_id", "number", name="uq_desk_sale_number"),
        UniqueConstraint("tenant_id", "purchase_id", name="uq_desk_sale_purchase"),
        ForeignKeyConstraint(
            ["tenant_id", "purchase_id"], ["purchase.tenant_id", "purchase.id"], name="fk_desk_sale_purchase"
        ),
        ForeignKeyConstraint(
            ["tenant_id", "payment_id"], ["desk_payment.tenant_id", "desk_payment.id"], name="fk_desk_sale_payment"
        ),
    )

    number: Mapped[int]
    purchase_id: Mapped[UUID]
    payment_id: Mapped[UUID | None]
    sold_by_id: Mapped[UUID]
    sold_by: Mapped[str]
