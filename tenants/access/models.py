from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKeyConstraint, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from wavu import clock
from wavu.db import TenantRow

_SUBSCRIBER = ["tenant_id", "subscriber_id"], ["subscriber.tenant_id", "subscriber.id"]


class Entitlement(TenantRow):
    """The right of a subscriber to be online from one instant until another, under a policy. What RADIUS reads.

    `policy` has speed_down_bps, speed_up_bps, devices, time_cap_seconds and data_cap_bytes (None: no cap).
    """

    __tablename__ = "entitlement"
    __table_args__ = (
        UniqueConstraint("tenant_id", "purchase_id"),
        UniqueConstraint("tenant_id", "follows_id"),
        CheckConstraint("ends_at > starts_at", name="order"),
        CheckConstraint("service IN ('hotspot', 'pppoe')", name="service"),
        ForeignKeyConstraint(
            ["tenant_id", "purchase_id"], ["purchase.tenant_id", "purchase.id"], name="fk_entitlement_purchase"
        ),
        ForeignKeyConstraint(*_SUBSCRIBER, name="fk_entitlement_subscriber"),
        ForeignKeyConstraint(
            ["tenant_id", "follows_id"], ["entitlement.tenant_id", "entitlement.id"], name="fk_entitlement_follows"
        ),
    )

    purchase_id: Mapped[UUID]
    subscriber_id: Mapped[UUID]
    # What it lets its subscriber use: a line's right opens no hotspot, and a phone's no line.
    service: Mapped[str] = mapped_column(default="hotspot")
    # The one that it waits behind. Where that one ends at another time than was foreseen, this one moves along.
    follows_id: Mapped[UUID | None]
    policy: Mapped[dict[str, Any]]
    starts_at: Mapped[datetime]
    ends_at: Mapped[datetime]
    # Given on a proof of payment that has no receipt yet; the same row becomes final when it comes.
    provisional: Mapped[bool] = mapped_column(default=False)
    # When its first session began: paid time starts to count then, once (money-and-reliability 3.2).
    activated_at: Mapped[datetime | None]
    used_seconds: Mapped[int] = mapped_column(default=0)
    used_bytes: Mapped[int] = mapped_column(default=0)


class LoginCode(TenantRow):
    """A one-time user name that brings a browser from the portal back to its router. Kept as a fingerprint."""

    __tablename__ = "login_code"
    __table_args__ = (
        UniqueConstraint("tenant_id", "code_fingerprint"),
        ForeignKeyConstraint(*_SUBSCRIBER, name="fk_login_code_subscriber"),
    )

    code_fingerprint: Mapped[str]
    subscriber_id: Mapped[UUID]
    mac: Mapped[str]
    expires_at: Mapped[datetime]
    used_at: Mapped[datetime | None]


class Admission(TenantRow):
    """When a device was last let in, and under which right: it has a place from then on, though its session is told of
    a moment later."""

    __tablename__ = "admission"
    __table_args__ = (
        UniqueConstraint("tenant_id", "mac"),
        ForeignKeyConstraint(
            ["tenant_id", "entitlement_id"],
            ["entitlement.tenant_id", "entitlement.id"],
            name="fk_admission_entitlement",
        ),
        ForeignKeyConstraint(*_SUBSCRIBER, name="fk_admission_subscriber"),
    )

    mac: Mapped[str]
    entitlement_id: Mapped[UUID]
    subscriber_id: Mapped[UUID]
    admitted_at: Mapped[datetime]


class AccessSession(TenantRow):
    """A session as accounting tells of it. Counters only grow; `session_key` is our Class token, or made of what the
    router sent where there is none."""

    __tablename__ = "access_session"
    __table_args__ = (
        UniqueConstraint("tenant_id", "session_key"),
        CheckConstraint("service IN ('hotspot', 'pppoe')", name="service"),
        ForeignKeyConstraint(
            ["tenant_id", "router_id"], ["router.tenant_id", "router.id"], name="fk_access_session_router"
        ),
        ForeignKeyConstraint(*_SUBSCRIBER, name="fk_access_session_subscriber"),
        ForeignKeyConstraint(
            ["tenant_id", "entitlement_id"],
            ["entitlement.tenant_id", "entitlement.id"],
            name="fk_access_session_entitlement",
        ),
    )

    router_id: Mapped[UUID]
    subscriber_id: Mapped[UUID | None]
    entitlement_id: Mapped[UUID | None]
    class_token: Mapped[str | None]
    session_key: Mapped[str]
    # As the router wrote them, for orders to it must repeat them byte for byte (RFC 5176 3).
    acct_session_id: Mapped[str]
    user_name: Mapped[str]
    calling_station_id: Mapped[str | None]
    framed_address: Mapped[str | None]
    mac: Mapped[str | None]
    service: Mapped[str]
    started_at: Mapped[datetime]
    updated_at: Mapped[datetime]
    stopped_at: Mapped[datetime | None]
    seconds: Mapped[int] = mapped_column(default=0)
    bytes_up: Mapped[int] = mapped_column(default=0)
    bytes_down: Mapped[int] = mapped_column(default=0)
    cause: Mapped[str | None]
    disconnect_asked_at: Mapped[datetime | None]
    # Never later than its right ends: when to look whether it may go on.
    check_at: Mapped[datetime] = mapped_column(default=clock.now)
