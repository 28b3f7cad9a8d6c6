"""Money out of the wallet and service into the hands: committed together, or not at all."""

from __future__ import annotations

from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import select

from tenants import access, ledger, subscribers
from tenants.access import Entitlement
from tenants.checkout import balance
from tenants.checkout.models import Purchase
from tenants.ledger import Leg, NotEnoughMoney
from wavu import clock
from wavu.db import db, one_at_a_time

# What service is given on when a payment is proven and its receipt is not here yet (money-and-reliability 3.4).
PROVISIONAL = timedelta(hours=2)


def buy(purchase: Purchase) -> None:
    """The wallet pays for a purchase that is locked and open. Raises NotEnoughMoney, with nothing done."""
    ledger.post(
        "purchase",
        f"buy:{purchase.id}",
        [
            Leg(ledger.wallet(purchase.subscriber_id), -purchase.price_cents),
            Leg(ledger.INCOME_ACCESS, purchase.price_cents),
        ],
        facts={"purchase": str(purchase.id)},
    )
    grant(purchase, provisional=False)
    purchase.state, purchase.bought_at = "bought", clock.now()
    db.session.flush()


def money_arrived(subscriber_id: UUID) -> None:
    """Money came into a wallet that was not what a prompt had asked for: buys what waits for it and can be paid."""
    for purchase_id in balance.waiting(subscriber_id, clock.now()):
        purchase = lock(purchase_id)
        if purchase.state == "open":
            try:
                buy(purchase)
            except NotEnoughMoney:
                continue


def grant(purchase: Purchase, *, provisional: bool) -> None:
    """The right to be online, from now or from the end of what its device, or its line, has already."""
    now = clock.now()
    known = access.entitlement_of(purchase.id)
    before = _last_in_line(purchase, now) if known is None else None
    starts_at = max(now, known.starts_at) if known is not None else before.ends_at if before is not None else now
    ends_at = access.ends_at(purchase.terms, starts_at, now)
    access.grant(
        purchase.id,
        purchase.subscriber_id,
        purchase.terms,
        min(ends_at, starts_at + PROVISIONAL) if provisional else ends_at,
        starts_at=starts_at,
        provisional=provisional,
        service=purchase.channel,
        follows=before,
    )
    if purchase.mac is not None:
        subscribers.bind_device(purchase.mac, purchase.subscriber_id)


def _last_in_line(purchase: Purchase, now: datetime) -> Entitlement | None:
    """What a purchase must wait for, locked: of all that was bought for its device, whoever paid, or for its line, what
    ends last and is not used up."""
    if purchase.mac is not None:
        place = Purchase.mac == purchase.mac
    else:
        place = Purchase.mac.is_(None) & (Purchase.subscriber_id == purchase.subscriber_id)
    one_at_a_time(f"queue {purchase.tenant_id} {purchase.channel} {purchase.mac or purchase.subscriber_id}")
    query = (
        select(Entitlement)
        .join(Purchase, (Purchase.tenant_id == Entitlement.tenant_id) & (Purchase.id == Entitlement.purchase_id))
        .where(place, Purchase.channel == purchase.channel, Entitlement.ends_at > now)
        # Locked in the order in which one waits behind another, as those that move them do.
        .order_by(Entitlement.ends_at, Entitlement.id)
        .with_for_update(of=Entitlement)
        .execution_options(populate_existing=True)
    )
    return next((found for found in reversed(db.session.scalars(query).all()) if access.used_up(found) is None), None)


def lock(purchase_id: UUID) -> Purchase:
    query = select(Purchase).where(Purchase.id == purchase_id).with_for_update()
    return db.session.scalars(query.execution_options(populate_existing=True)).one()
