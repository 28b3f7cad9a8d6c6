from __future__ import annotations

from datetime import datetime, time, timedelta
from typing import Any, Literal, NamedTuple
from uuid import UUID
from zoneinfo import ZoneInfo

from sqlalchemy import func, select

from tenants.catalog.models import Package
from wavu.db import db
from wavu.errors import N_, Kind, Refused

Channel = Literal["hotspot", "pppoe"]


class NotOnSale(Refused):
    kind = Kind.CONFLICT
    message = N_("This package is not sold any more. Choose another.")


def on_sale(channel: Channel) -> list[Package]:
    """What the current tenant sells on a channel, in its own order."""
    where = Package.sold_on_hotspot if channel == "hotspot" else Package.sold_on_pppoe
    query = select(Package).where(Package.on_sale, where).order_by(Package.position, Package.price_cents, Package.id)
    return list(db.session.scalars(query))


class Offer(NamedTuple):
    """A package as it is shown to somebody who may buy it."""

    id: UUID
    price_cents: int
    popular: bool
    name: str
    name_sw: str | None
    validity: str
    validity_count: int
    time_cap_seconds: int | None
    data_cap_bytes: int | None
    speed_down_bps: int
    devices: int


_PACKAGE = Package.__table__.c
_OFFERS = (
    select(*(_PACKAGE[name] for name in Offer._fields), _PACKAGE.sold_on_hotspot, _PACKAGE.sold_on_pppoe)
    .where(_PACKAGE.tenant_id == func.app.tenant_id(), _PACKAGE.on_sale)
    .order_by(_PACKAGE.position, _PACKAGE.price_cents, _PACKAGE.id)
)


def offers() -> dict[Channel, tuple[Offer, ...]]:
    """What on_sale() lists for each channel, in one statement and without entities: a portal asks for it."""
    rows, fields = db.session.execute(_OFFERS).all(), len(Offer._fields)
    return {
        "hotspot": tuple(Offer._make(row[:fields]) for row in rows if row.sold_on_hotspot),
        "pppoe": tuple(Offer._make(row[:fields]) for row in rows if row.sold_on_pppoe),
    }


def find_on_sale(package_id: UUID, channel: Channel) -> Package:
    """Raises NotOnSale, for another tenant's package too."""
    where = Package.sold_on_hotspot if channel == "hotspot" else Package.sold_on_pppoe
    package = db.session.scalar(select(Package).where(Package.id == package_id, Package.on_sale, where))
    if package is None:
        raise NotOnSale
    return package


def terms_of(package: Package) -> dict[str, Any]:
    """What is sold, as it stands at this moment: kept with the purchase, so that a later change touches nobody."""
    kept = (
        "name", "name_sw", "validity", "validity_count", "time_cap_seconds", "data_cap_bytes", "speed_down_bps",
        "speed_up_bps", "devices",
    )  # fmt: skip
    return {name: getattr(package, name) for name in kept}


def ends_at(
    terms: dict[str, Any], starts_at: datetime, timezone: str, *, bought_at: datetime | None = None
) -> datetime:
    """When service that starts at an instant ends, by the tenant's calendar. Pure; all instants in UTC.

    `until_midnight` counts the running day; a month ends on the same day and hour of a later month, or on that
    month's last day (half-open: service has ended at the instant itself). Bought before it starts, `until_midnight`
    lasts no shorter than it would have from then on: who waits for an earlier package to end does not pay for minutes.
    """
    ends = _ends_at(terms, starts_at, timezone)
    if bought_at is not None and terms["validity"] == "until_midnight":
        while ends - starts_at < _ends_at(terms, bought_at, timezone) - bought_at:
            ends = _ends_at({**terms, "validity_count": 1}, ends, timezone)
    return ends


def _ends_at(terms: dict[str, Any], starts_at: datetime, timezone: str) -> datetime:
    count, zone = int(terms["validity_count"]), ZoneInfo(timezone)
    if terms["validity"] == "hours":
        return starts_at + timedelta(hours=count)
    local = starts_at.astimezone(zone)
    if terms["validity"] == "days":
        return starts_at + timedelta(days=count)
    if terms["validity"] == "until_midnight":
        midnight = datetime.combine(local.date() + timedelta(days=count), time(), zone)
        return midnight.astimezone(starts_at.tzinfo)
    month = local.month - 1 + count
    year, month = local.year + month // 12, month % 12 + 1
    return local.replace(year=year, month=month, day=min(local.day, _last_day(year, month))).astimezone(
        starts_at.tzinfo
    )


def _last_day(year: int, month: int) -> int:
    following = datetime(year + month // 12, month % 12 + 1, 1)  # noqa: DTZ001 - a calendar day, not an instant
    return (following - timedelta(days=1)).day
