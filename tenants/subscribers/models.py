from __future__ import annotations

from datetime import datetime
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKeyConstraint, UniqueConstraint
from sqlalchemy.orm import Mapped

from wavu import phone
from wavu.db import TenantRow
from wavu.vault import Sealed


class Subscriber(TenantRow):
    """An end customer: known by phone (hotspot) or by user name and password (PPPoE), or both."""

    __tablename__ = "subscriber"
    __table_args__ = (UniqueConstraint("tenant_id", "phone"), UniqueConstraint("tenant_id", "username"))

    phone: Mapped[str | None]
    name: Mapped[str | None]
    username: Mapped[str | None]
    password_sealed: Mapped[bytes | None]

    @property
    def label(self) -> str:
        """How staff tell one from another: the name, else the user name, else the phone, masked."""
        return self.name or self.username or (phone.mask(self.phone) if self.phone else "")

    # Sealed and not hashed: CHAP (RFC 1994) can only be checked against the password itself.
    password = Sealed("password_sealed")


class Device(TenantRow):
    """A device that a subscriber used or paid for. A MAC address is 12 upper-case hex digits, and no secret: others may
    pay for the same one, and take nothing from anybody by it."""

    __tablename__ = "device"
    __table_args__ = (
        UniqueConstraint("tenant_id", "mac", "subscriber_id"),
        CheckConstraint("mac ~ '^[0-9A-F]{12}$'", name="mac"),
        ForeignKeyConstraint(["tenant_id", "subscriber_id"], ["subscriber.tenant_id", "subscriber.id"]),
    )

    mac: Mapped[str]
    subscriber_id: Mapped[UUID]
    seen_at: Mapped[datetime]


class AccountNumber(TenantRow):
    """What a customer types at a PayBill: a subscriber's own number, or that of one purchase or standing order of
    theirs, whose id is `purchase_id`. Never given to others."""

    __tablename__ = "account_number"
    __table_args__ = (
        UniqueConstraint("tenant_id", "number", name="uq_account_number_number"),
        UniqueConstraint(
            "tenant_id", "subscriber_id", "purchase_id", name="uq_account_number_owner",
            postgresql_nulls_not_distinct=True,
        ),
        ForeignKeyConstraint(
            ["tenant_id", "subscriber_id"], ["subscriber.tenant_id", "subscriber.id"],
            name="fk_account_number_subscriber",
        ),
    )  # fmt: skip

    number: Mapped[str]
    subscriber_id: Mapped[UUID]
    purchase_id: Mapped[UUID | None]
