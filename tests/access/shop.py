"""Customers who have bought something, without the checkout."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from tenants import access, catalog, subscribers
from tenants.access import Entitlement
from tenants.catalog import Package
from tenants.checkout.models import Purchase
from wavu import clock, ids
from wavu.db import db
from wavu.phone import Phone

PACKAGE: dict[str, Any] = {
    "name": "One hour", "price_cents": 1_000, "validity": "hours", "validity_count": 1,
    "speed_down_bps": 5_000_000, "speed_up_bps": 2_000_000, "devices": 1,
}  # fmt: skip


def customer(number: int) -> UUID:
    """A subscriber known by phone. In the tenant's scope."""
    return subscribers.by_phone(Phone.parse(f"07{number:08d}")).id


def line(username: str, password: str) -> UUID:
    """A subscriber with a PPPoE line."""
    return subscribers.add_line(username=username, password=password, name=username).id


def purchase(subscriber_id: UUID, **changes: Any) -> Purchase:
    package = Package(id=ids.new_id(), **(PACKAGE | changes))
    db.session.add(package)
    db.session.flush()
    made = Purchase(
        id=ids.new_id(), nonce=ids.new_token(), package_id=package.id, subscriber_id=subscriber_id,
        price_cents=package.price_cents, terms=catalog.terms_of(package), state="bought",
    )  # fmt: skip
    db.session.add(made)
    db.session.flush()
    return made


def buy(
    subscriber_id: UUID,
    *,
    at: datetime | None = None,
    ends_at: datetime | None = None,
    service: str = "hotspot",
    follows: Entitlement | None = None,
    **changes: Any,
) -> Entitlement:
    """What a customer has after paying at an instant, now unless said; or after what it `follows`."""
    bought, starts_at = purchase(subscriber_id, **changes), at or (follows.ends_at if follows else clock.now())
    end = ends_at or catalog.ends_at(bought.terms, starts_at, "Africa/Nairobi")
    return access.grant(
        bought.id, subscriber_id, bought.terms, end, starts_at=starts_at, service=service, follows=follows
    )


HOUR = timedelta(hours=1)
