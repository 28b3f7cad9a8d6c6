from __future__ import annotations

from datetime import datetime
from uuid import UUID

from sqlalchemy import CheckConstraint, FetchedValue, ForeignKey, PrimaryKeyConstraint, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from wavu import clock, ids
from wavu.db import PlatformRow

# The deployment's own book, staff and audit trail live under a tenant of their own, made by the first migration.
PLATFORM_ID = UUID("00000000-0000-7000-8000-000000000001")


class Tenant(PlatformRow):
    """One ISP, or (kind `platform`) the deployment itself."""

    __tablename__ = "tenant"
    __table_args__ = (
        UniqueConstraint("slug"),
        CheckConstraint("kind IN ('platform', 'isp')", name="kind"),
        CheckConstraint("status IN ('active', 'suspended')", name="status"),
        CheckConstraint("brand_color ~ '^#[0-9a-f]{6}$'", name="brand_color"),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, default=ids.new_id)
    kind: Mapped[str] = mapped_column(default="isp")
    slug: Mapped[str]
    name: Mapped[str]
    status: Mapped[str] = mapped_column(default="active")
    suspended_at: Mapped[datetime | None]
    suspended_because: Mapped[str | None]
    timezone: Mapped[str] = mapped_column(default="Africa/Nairobi")
    currency: Mapped[str] = mapped_column(default="KES")
    locale: Mapped[str] = mapped_column(default="en")
    theme: Mapped[str] = mapped_column(default="mtaa")
    brand_color: Mapped[str] = mapped_column(default="#00853e")
    help_phone: Mapped[str | None]
    # Changes with all that the tenant's portal shows: this row, its packages, its routers' log-in addresses.
    version: Mapped[UUID] = mapped_column(server_default=FetchedValue(), server_onupdate=FetchedValue())
    created_at: Mapped[datetime] = mapped_column(default=clock.now)

    @property
    def is_active(self) -> bool:
        return self.status == "active"


class DirectoryEntry(PlatformRow):
    """One outside name of a tenant. Unique over the whole deployment, yet each tenant sees only its own rows."""

    __tablename__ = "directory_entry"
    __table_args__ = (
        PrimaryKeyConstraint("kind", "name"),
        CheckConstraint("kind IN ('host', 'nas', 'shortcode', 'token')", name="kind"),
    )

    kind: Mapped[str]
    name: Mapped[str]
    tenant_id: Mapped[UUID] = mapped_column(ForeignKey("tenant.id"), index=True)
    created_at: Mapped[datetime] = mapped_column(default=clock.now)
