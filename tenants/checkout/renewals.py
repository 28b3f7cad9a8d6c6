"""Packages that renew themselves from the wallet.

The rules, which portal and console tell the customer:
- It renews a day before the end, or in the last quarter of a shorter package, and the next period begins at the end.
  Only time counts: a data cap that is used up early buys nothing.
- Whoever buys by hand meanwhile is not charged twice: the renewal follows whatever ends last on that line or device.
- The whole price is there, or nothing is posted. It is tried again when money comes in, and each hour, until three days
  after the end; then it switches itself off.
- It never pays more than was agreed to: a higher price waits until somebody agrees, a lower one is paid.
- A package that is not sold any more is not renewed, and a package that is given back switches its renewal off.

Whose money: a line's wallet pays for the line alone, so all of it may. A phone's wallet may be somebody else's than the
browser's in front (balance.py): there, what came in for the purchases of whoever switched it on, and nothing else.
Staff, who know the customer, may have all of it used, and promotional credit.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import Text, bindparam, func, select, text, update
from sqlalchemy.dialects.postgresql import ARRAY

from tenants import catalog, subscribers
from tenants.access import Entitlement
from tenants.checkout import balance, fulfilment
from tenants.checkout.models import Purchase, Renewal
from tenants.ledger import NotEnoughMoney
from wavu import audit, clock, ids, outbox
from wavu.db import db, one_at_a_time
from wavu.errors import N_, Kind, NotFound, Refused
from wavu.failpoint import failpoint, failpoint_at_commit
from wavu.outbox import Queue
from wavu.tenancy import current_tenant

LONGEST_LEAD = timedelta(days=1)
# How long after the end it is still tried.
GRACE = timedelta(days=3)
_AGAIN = timedelta(hours=1)
# A right that has no receipt yet gets one, or ends, within hours.
_NO_RECEIPT_YET = timedelta(minutes=5)
# What is due beyond these is put with the next tick.
_AT_ONCE = 1000


class NothingToRenew(Refused):
    kind = Kind.CONFLICT
    message = N_("There is no package to renew: buy one first.")


class AlreadyRenews(Refused):
    kind = Kind.CONFLICT
    message = N_("Auto-renew is on already for this line or device.")


class PriceChanged(Refused):
    kind = Kind.CONFLICT
    message = N_("The price has changed. Look at it and press again.")


class SwitchedOffMeanwhile(Refused):
    kind = Kind.CONFLICT
    message = N_("Auto-renew was switched off a moment ago.")


class Place(NamedTuple):
    """One line, or one device of a customer: what a package is bought for."""

    subscriber_id: UUID
    channel: str
    mac: str | None


def due_at(starts_at: datetime, ends_at: datetime) -> datetime:
    """When a package is renewed: a day before its end, or in its last quarter if that is shorter."""
    return ends_at - min(LONGEST_LEAD, (ends_at - starts_at) / 4)


def _last(place: Place) -> Entitlement | None:
    """What ends last of all that was bought for a place, whoever paid, running or over."""
    query = (
        select(Entitlement)
        .join(Purchase, (Purchase.tenant_id == Entitlement.tenant_id) & (Purchase.id == Entitlement.purchase_id))
        .where(
            Purchase.channel == place.channel,
            Purchase.state != "returned",
            Purchase.mac == place.mac
            if place.mac is not None
            else Purchase.mac.is_(None) & (Purchase.subscriber_id == place.subscriber_id),
        )
        .order_by(Entitlement.ends_at.desc(), Entitlement.id.desc())
        .limit(1)
        .execution_options(populate_existing=True)
    )
    return db.session.scalar(query)


def last_purchase(place: Place) -> Purchase | None:
    """The purchase of what ends last there; None where nothing was ever bought."""
    last = _last(place)
    return None if last is None else _bought(last)


def _bought(right: Entitlement) -> Purchase:
    return db.session.scalars(select(Purchase).where(Purchase.id == right.purchase_id)).one()


# -- switching


def switch_on_held(nonce: str, held: Collection[str], agreed_cents: int) -> Renewal:
    """The holder of a purchase's name has its package renewed, at a price that they have seen. Once more agrees to a
    new price. Raises NotFound, NotOnSale, PriceChanged, NothingToRenew or AlreadyRenews."""
    purchase = _held(nonce, held)
    place = Place(purchase.subscriber_id, purchase.channel, purchase.mac)
    made = _switch_on(place, purchase.package_id, agreed_cents, held=held, purchase_id=purchase.id)
    if purchase.channel == "hotspot":
        # Where money for it can be paid to by hand.
        subscribers.number_for(purchase.subscriber_id, purchase.id)
    return made


def switch_off_held(nonce: str, held: Collection[str]) -> None:
    """Raises NotFound where it is on by nobody's wish that this holder has."""
    purchase = _held(nonce, held)
    found = _on(Place(purchase.subscriber_id, purchase.channel, purchase.mac))
    if found is None or not _is_theirs(found, held):
        raise NotFound
    _switch_off(found.id)


def _held(nonce: str, held: Collection[str]) -> Purchase:
    purchase = db.session.scalar(select(Purchase).where(Purchase.nonce == nonce, Purchase.state == "bought"))
    if purchase is None or nonce not in held:
        raise NotFound
    return purchase


def _is_theirs(found: Renewal, held: Collection[str]) -> bool:
    query = select(Purchase.id).where(Purchase.id == found.purchase_id, Purchase.nonce.in_(list(held)))
    return found.purchase_id is not None and db.session.scalar(query) is not None


def switch_on(subscriber_id: UUID, package_id: UUID, *, by: str) -> Renewal:
    """Staff have a package renewed from a customer's wallet and credit: for the line if they have one, else for the
    device that bought last. Once more is another package, or agrees to a new price. Audited. Raises NotOnSale,
    NothingToRenew or NotFound."""
    place = place_of(subscriber_id)
    package = catalog.find_on_sale(package_id, "pppoe" if place.channel == "pppoe" else "hotspot")
    made = _switch_on(place, package.id, package.price_cents, by=by)
    audit.record("renewal.on", subject=made.id, package=package.name)
    return made


def switch_off(renewal_id: UUID) -> None:
    """Staff switch it off; what is paid stays. Audited. Raises NotFound."""
    if db.session.scalar(select(Renewal.id).where(Renewal.id == renewal_id, Renewal.state == "on")) is None:
        raise NotFound
    _switch_off(renewal_id)
    audit.record("renewal.off", subject=renewal_id)


def place_of(subscriber_id: UUID) -> Place:
    """Where a customer's package is used: their line, or the device that they bought for last (None: they have none).
    Raises NotFound."""
    customer = subscribers.get(subscriber_id)
    if customer.username is not None:
        return Place(subscriber_id, "pppoe", None)
    mac = db.session.scalar(
        select(Purchase.mac)
        .where(
            Purchase.subscriber_id == subscriber_id,
            Purchase.channel == "hotspot",
            Purchase.mac.is_not(None),
            Purchase.state != "open",
        )
        .order_by(Purchase.id.desc())
        .limit(1)
    )
    return Place(subscriber_id, "hotspot", mac)


def _on(place: Place) -> Renewal | None:
    query = select(Renewal).where(
        Renewal.state == "on",
        Renewal.subscriber_id == place.subscriber_id,
        Renewal.channel == place.channel,
        Renewal.mac.is_not_distinct_from(place.mac),
    )
    return db.session.scalar(query.execution_options(populate_existing=True))


def _switch_on(
    place: Place, package_id: UUID, agreed_cents: int, *, held: Collection[str] = (), purchase_id: UUID | None = None,
    by: str | None = None,
) -> Renewal:  # fmt: skip
    one_at_a_time(f"renewal of {place}")
    package = catalog.find_on_sale(package_id, "pppoe" if place.channel == "pppoe" else "hotspot")
    if package.price_cents != agreed_cents:
        raise PriceChanged
    last = _last(place)
    if last is None or last.ends_at + GRACE <= clock.now():
        raise NothingToRenew
    known, now = _on(place), clock.now()
    if known is not None and by is None and not _is_theirs(known, held):
        raise AlreadyRenews
    if known is not None and (known.package_id, known.purchase_id) == (package_id, purchase_id):
        _write(known.id, agreed_cents=agreed_cents, said=None, check_at=min(known.check_at, now))
        _look_now(known.id)
        return known
    if known is not None:
        _switch_off(known.id)
    made = Renewal(
        id=ids.new_id(), subscriber_id=place.subscriber_id, package_id=package_id, channel=place.channel, mac=place.mac,
        purchase_id=purchase_id, agreed_cents=agreed_cents, set_by=by, check_at=due_at(last.starts_at, last.ends_at),
    )  # fmt: skip
    db.session.add(made)
    db.session.flush()
    if made.check_at <= now:
        _look_now(made.id)
    return made


def _switch_off(renewal_id: UUID) -> None:
    _write(renewal_id, state="off", said="switched_off")


def _look_now(renewal_id: UUID) -> None:
    payload = {"renewal_id": str(renewal_id)}
    outbox.put(Queue.SETTLEMENT, "renew_package", f"{renewal_id}:{ids.new_id()}", payload)


def _write(renewal_id: UUID, **values: Any) -> None:
    """Raises SwitchedOffMeanwhile for one that is off: then nothing of what led here may stay."""
    done = db.session.scalar(
        update(Renewal)
        .where(Renewal.id == renewal_id, Renewal.state == "on")
        .values(values)
        .returning(Renewal.id)
        .execution_options(synchronize_session=False)
    )
    if done is None:
        raise SwitchedOffMeanwhile


# -- renewing


def tenants_with_wallet_work(at: datetime) -> list[UUID]:
    """The tenants with a package to renew or credit that has ended. Across tenants: their ids and nothing else."""
    return list(db.session.scalars(select(func.app.tenants_with_wallet_work(at))))


def put_due() -> None:
    """Puts a job for each of the current tenant's renewals that must be looked at. Twice names the same jobs. None
    while the tenant is suspended: its customers can see nothing of it."""
    if not current_tenant().is_active:
        return
    due = select(Renewal.id, Renewal.check_at).where(Renewal.state == "on", Renewal.check_at <= clock.now())
    for renewal_id, check_at in db.session.execute(due.order_by(Renewal.check_at).limit(_AT_ONCE)).all():
        payload = {"renewal_id": str(renewal_id)}
        # The same job where the last one has not come by yet; another one in an hour, should it have gone astray.
        key = f"{renewal_id}:{check_at.isoformat()}:{clock.now():%Y%m%dT%H}"
        outbox.put(Queue.SETTLEMENT, "renew_package", key, payload)


def renew(renewal_id: UUID) -> None:
    """Looks at one renewal: pays the next period if it is time and everything is there, else says why not and when to
    look again. Exactly once per period, in the running transaction; looking twice is harmless."""
    one_at_a_time(f"renewal {renewal_id}")
    query = select(Renewal).where(Renewal.id == renewal_id, Renewal.state == "on")
    found = db.session.scalar(query.execution_options(populate_existing=True))
    if found is None:
        return
    now, last = clock.now(), _last(Place(found.subscriber_id, found.channel, found.mac))
    if last is None:
        _write(found.id, state="off", said="nothing")
        return
    due = due_at(last.starts_at, last.ends_at)
    if last.provisional:
        _write(found.id, check_at=now + _NO_RECEIPT_YET)
    elif now < due:
        _write(found.id, said=None, check_at=due)
    elif now >= last.ends_at + GRACE:
        _write(found.id, state="off", said="gave_up")
    else:
        _try(found, last)


def _try(found: Renewal, last: Entitlement) -> None:
    now = clock.now()
    wait: dict[str, Any] = {"tried_at": now, "check_at": min(now + _AGAIN, last.ends_at + GRACE)}
    try:
        package = catalog.find_on_sale(found.package_id, "pppoe" if found.channel == "pppoe" else "hotspot")
    except catalog.NotOnSale:
        _write(found.id, state="off", said="withdrawn", tried_at=now)
        return
    if package.price_cents > found.agreed_cents:
        _write(found.id, said="price", **wait)
        return
    failpoint("renew.before")
    try:
        with db.session.begin_nested():
            made = _buy(found, package, last)
    except NotEnoughMoney:
        _write(found.id, said="short", **wait)
        return
    failpoint("renew.after")
    failpoint_at_commit(db.session(), "renewed")
    right = _right_of(made)
    # After the money and the right, in the order in which others come by: the right's end moves this row too.
    _write(found.id, said=None, tried_at=now, check_at=due_at(right.starts_at, right.ends_at))


def _right_of(purchase: Purchase) -> Entitlement:
    query = select(Entitlement).where(Entitlement.purchase_id == purchase.id)
    return db.session.scalars(query.execution_options(populate_existing=True)).one()


_CHAIN = text(f"SELECT nonce FROM ({balance.MINE_RENEWED}) mine").bindparams(bindparam("nonces", type_=ARRAY(Text)))  # noqa: S608


def _buy(found: Renewal, package: catalog.Package, last: Entitlement) -> Purchase:
    """Raises NotEnoughMoney."""
    before, price = _bought(last), package.price_cents
    names: list[str] = []
    if found.channel == "hotspot" and found.purchase_id is not None:
        names = _names_of(found.purchase_id)
        # Two who spend must not both find the same money.
        one_at_a_time(f"wallet {found.subscriber_id}")
        if balance.balance_in(names, "hotspot", found.subscriber_id) < price:
            raise NotEnoughMoney
    made = Purchase(
        id=ids.new_id(), nonce=ids.new_token()[:32], channel=found.channel, package_id=package.id,
        subscriber_id=found.subscriber_id, price_cents=price, terms=catalog.terms_of(package), mac=found.mac,
        router_id=before.router_id, login_url=before.login_url, renewal_id=found.id,
        # money-and-reliability 2.4: what pays a period is called after it, and so it is paid once.
        posting_key=f"renew:{found.id}:{last.ends_at.isoformat()}", created_at=clock.now(),
    )  # fmt: skip
    db.session.add(made)
    db.session.flush()
    fulfilment.buy(made, promo_pays=not names)
    # What of it was money is shown to the holder again, if the package is taken back.
    made.wallet_cents = price - made.promo_cents
    db.session.flush()
    if names:
        balance.take(names, "hotspot", found.subscriber_id, price)
    return made


def _names_of(purchase_id: UUID) -> list[str]:
    nonce = db.session.scalars(select(Purchase.nonce).where(Purchase.id == purchase_id)).one()
    return list(db.session.scalars(_CHAIN, {"nonces": [nonce]}))
