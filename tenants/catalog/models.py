from __future__ import annotations

from sqlalchemy.orm import Mapped, mapped_column

from wavu.db import TenantRow


class Package(TenantRow):
    """What a tenant sells. Caps that are None do not limit; speeds are bits per second, price whole shillings."""

    __tablename__ = "package"

    name: Mapped[str]
    name_sw: Mapped[str | None]
    price_cents: Mapped[int]
    validity: Mapped[str]
    validity_count: Mapped[int] = mapped_column(default=1)
    time_cap_seconds: Mapped[int | None]
    data_cap_bytes: Mapped[int | None]
    speed_down_bps: Mapped[int]
    speed_up_bps: Mapped[int]
    devices: Mapped[int] = mapped_column(default=1)
    sold_on_hotspot: Mapped[bool] = mapped_column(default=True)
    sold_on_pppoe: Mapped[bool] = mapped_column(default=False)
    position: Mapped[int] = mapped_column(default=0)
    popular: Mapped[bool] = mapped_column(default=False)
    on_sale: Mapped[bool] = mapped_column(default=True)
