from __future__ import annotations

from datetime import datetime
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKeyConstraint, UniqueConstraint
from sqlalchemy.orm import Mapped

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
