from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKeyConstraint, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from wavu.db import TenantRow


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
        ForeignKeyConstraint(["tenant_id", "router_id"], ["router.tenant_id", "router.id"], name="fk_purchase_router"),
    )

    nonce: Mapped[str]
    channel: Mapped[str] = mapped_column(default="hotspot")
    package_id: Mapped[UUID]
    subscriber_id: Mapped[UUID]
    price_cents: Mapped[int]
    # So much was moved here from what earlier purchases had not used; and so much was moved on to later ones.
    wallet_cents: Mapped[int] = mapped_column(default=0)
    moved_cents: Mapped[int] = mapped_column(default=0)
    terms: Mapped[dict[str, Any]]
    mac: Mapped[str | None]
    router_id: Mapped[UUID | None]
    login_url: Mapped[str | None]
    original_url: Mapped[str | None]
    state: Mapped[str] = mapped_column(default="open")
    bought_at: Mapped[datetime | None]
