"""Money out of the wallet and service into the hands: committed together, or not at all."""

from __future__ import annotations

from contextlib import suppress
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import select, update

from tenants import access, ledger, subscribers
from tenants.access import Entitlement
from tenants.checkout import balance, promo
from tenants.checkout.models import Purchase, Renewal
from tenants.ledger import Leg, NotEnoughMoney
from wavu import clock, ids, outbox
from wavu.db import db, one_at_a_time, savepoint
from wavu.outbox import Queue

# What service is given on when a payment is proven and its receipt is not here yet (money-and-reliability 3.4).
PROVISIONAL = timedelta(hours=2)


def _ledger_key(purchase: Purchase) -> str:
    """What the ledger's transaction of a purchase is called."""
    return purchase.posting_key or f"buy:{purchase.id}"


def buy(purchase: Purchase, *, promo_pays: bool = False) -> None:
    """The wallet pays for a purchase that is locked and open, after promotional credit where that may (promo.py).
    Raises NotEnoughMoney, with nothing done."""
    for _ in range(_TRIES):
        usable = promo.usable_cents(purchase.subscriber_id) if promo_pays or purchase.channel == "pppoe" else 0
        if not usable:
            _pay(purchase, 0)
            break
        with suppress(NotEnoughMoney), savepoint():
            _pay(purchase, min(usable, purchase.price_cents))
            break
    else:
        raise NotEnoughMoney
    grant(purchase, provisional=False)
    purchase.state, purchase.bought_at = "bought", clock.now()
    db.session.flush()


# Somebody else may spend the credit between our look and our posting.
_TRIES = 3


def _pay(purchase: Purchase, promo_cents: int) -> None:
    paid_cents = purchase.price_cents - promo_cents
    legs = [
        Leg(ledger.wallet(purchase.subscriber_id), -paid_cents),
        Leg(ledger.promo(purchase.subscriber_id), -promo_cents),
        Leg(ledger.INCOME_ACCESS, paid_cents),
        Leg(ledger.INCOME_PROMO, promo_cents),
    ]
    facts = {"purchase": str(purchase.id)}
    posted = ledger.post("purchase", _ledger_key(purchase), [leg for leg in legs if leg.amount_cents], facts=facts)
    assert posted is not None, "a purchase that is open was paid before"
    if promo_cents:
        promo.take(purchase, promo_cents)
        purchase.promo_cents = promo_cents
        db.session.flush()


def give_back(purchase_id: UUID) -> bool:
    """Takes a purchase back: its price returns to the wallet, where the purchase's holder sees it, and what was credit
    to the credit; its right ends, and nothing renews it by itself. False where it is not bought."""
    purchase = lock(purchase_id)
    posting = ledger.find(_ledger_key(purchase))
    if purchase.state != "bought" or posting is None:
        return False
    ledger.reverse("purchase_taken_back", posting, facts={"purchase": str(purchase_id)})
    promo.give_back(purchase_id)
    access.end(purchase_id, clock.now())
    purchase.state = "returned"
    # The money that came back must not buy the same thing a moment later.
    db.session.execute(
        update(Renewal)
        .where(
            Renewal.state == "on",
            Renewal.subscriber_id == purchase.subscriber_id,
            Renewal.channel == purchase.channel,
            Renewal.mac.is_not_distinct_from(purchase.mac),
        )
        .values(state="off", said="returned")
        .execution_options(synchronize_session=False)
    )
    db.session.flush()
    return True


def money_arrived(subscriber_id: UUID) -> None:
    """Money came into a wallet that was not what a prompt had asked for: buys what waits for it and can be paid."""
    for purchase_id in balance.waiting(subscriber_id, clock.now()):
        purchase = lock(purchase_id)
        if purchase.state == "open":
            try:
                buy(purchase)
            except NotEnoughMoney:
                continue
    try_renewals(subscriber_id)


def try_renewals(subscriber_id: UUID) -> None:
    """Money or credit came in: what waits for it to renew is tried at once."""
    waits = select(Renewal.id).where(
        Renewal.subscriber_id == subscriber_id, Renewal.state == "on", Renewal.said == "short"
    )
    for renewal_id in db.session.scalars(waits.order_by(Renewal.id)).all():
        payload = {"renewal_id": str(renewal_id)}
        # A job and not here: it takes its locks in another order than what brought the money.
        outbox.put(Queue.SETTLEMENT, "renew_package", f"{renewal_id}:{ids.new_id()}", payload)


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
    purchase = lock_if_any(purchase_id)
    assert purchase is not None
    return purchase


def lock_if_any(purchase_id: UUID) -> Purchase | None:
    """None where the money pays for nothing that is sold: a trial of a new M-Pesa account."""
    query = select(Purchase).where(Purchase.id == purchase_id).with_for_update()
    return db.session.scalar(query.execution_options(populate_existing=True))
