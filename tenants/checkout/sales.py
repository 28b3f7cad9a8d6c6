"""Staff sell a package at the desk: from what the customer has here, and for cash or a bank transfer for the rest."""

from __future__ import annotations

from typing import NamedTuple
from uuid import UUID

from sqlalchemy import select

from tenants import catalog, ledger, payments
from tenants.catalog import Package
from tenants.checkout import fulfilment, promo, renewals
from tenants.checkout.models import DeskSale, Purchase
from tenants.checkout.renewals import Place
from tenants.ledger import NotEnoughMoney
from tenants.payments import DeskPayment
from wavu import audit, clock, ids, money
from wavu.db import db
from wavu.errors import N_, Kind, NotFound, Refused

SERIES = "desk sale"


class NoDeviceYet(Refused):
    kind = Kind.CONFLICT
    message = N_("This customer has no device here yet. They buy once at the hotspot; after that, here too.")


class DueChanged(Refused):
    kind = Kind.CONFLICT
    message = N_("The price or the balance has changed meanwhile. Look at what is to pay and press again.")


class Offered(NamedTuple):
    """A package for one customer: what its price takes of their credit and their balance, and what is left to pay."""

    package: Package
    promo_cents: int
    wallet_cents: int
    due_cents: int


class Sale(NamedTuple):
    """A sale as its receipt shows it. `payment` is what was taken for it."""

    sale: DeskSale
    purchase: Purchase
    payment: DeskPayment | None


def offered(subscriber_id: UUID) -> list[Offered]:
    """What a customer can be sold: for their line if they have one, else for the device that bought last. Raises
    NotFound."""
    place = renewals.place_of(subscriber_id)
    credit, wallet = promo.usable_cents(subscriber_id), ledger.balance(ledger.wallet(subscriber_id))
    return [
        _offered(package, credit, wallet)
        for package in catalog.on_sale("pppoe" if place.channel == "pppoe" else "hotspot")
    ]


def _offered(package: Package, credit: int, wallet: int) -> Offered:
    from_credit = min(credit, package.price_cents)
    from_wallet = min(max(0, wallet), package.price_cents - from_credit)
    return Offered(package, from_credit, from_wallet, package.price_cents - from_credit - from_wallet)


def sell(
    *, nonce: str, subscriber_id: UUID, package_id: UUID, due_cents: int, method: str | None, by_id: UUID, by: str
) -> DeskSale:
    """Sells a package: credit pays first, then the balance; `due_cents`, which the seller has seen, are taken by
    `method` (None: nothing is). The same nonce again is the same sale. Audited. Raises NotFound, NotOnSale,
    NoDeviceYet, DueChanged, or NotEnoughMoney where something is due and nothing was taken."""
    known = db.session.scalar(
        select(DeskSale).join(Purchase, Purchase.id == DeskSale.purchase_id).where(Purchase.nonce == nonce)
    )
    if known is not None:
        return known
    place = renewals.place_of(subscriber_id)
    if place.channel == "hotspot" and place.mac is None:
        raise NoDeviceYet
    package = catalog.find_on_sale(package_id, "pppoe" if place.channel == "pppoe" else "hotspot")
    found = _offered(package, promo.usable_cents(subscriber_id), ledger.balance(ledger.wallet(subscriber_id)))
    if found.due_cents != due_cents:
        raise DueChanged
    if due_cents and method is None:
        raise NotEnoughMoney
    payment = None
    if due_cents and method is not None:
        payment = payments.take(
            nonce=nonce, subscriber_id=subscriber_id, method=method, amount_cents=due_cents, reference=None,
            by_id=by_id, by=by,
        )  # fmt: skip
    purchase = _purchase(nonce, place, package)
    fulfilment.buy(purchase, promo_pays=True)
    # What of it was money is shown to its holder again, if the package is taken back.
    purchase.wallet_cents = package.price_cents - purchase.promo_cents
    sale = DeskSale(
        id=ids.new_id(), number=ledger.next_number(SERIES), purchase_id=purchase.id,
        payment_id=payment.id if payment is not None else None, sold_by_id=by_id, sold_by=by,
    )  # fmt: skip
    db.session.add(sale)
    db.session.flush()
    audit.record(
        "desk.sold", subject=sale.id, number=str(sale.number), package=package.name,
        amount=money.show(package.price_cents),
    )  # fmt: skip
    # What is left may be what a renewal waits for, and what was sold may have taken what it counted on.
    fulfilment.try_renewals(subscriber_id)
    return sale


def _purchase(nonce: str, place: Place, package: Package) -> Purchase:
    before = renewals.last_purchase(place)
    made = Purchase(
        id=ids.new_id(), nonce=nonce, channel=place.channel, package_id=package.id, subscriber_id=place.subscriber_id,
        price_cents=package.price_cents, terms=catalog.terms_of(package), mac=place.mac,
        router_id=before.router_id if before is not None else None,
        login_url=before.login_url if before is not None else None, created_at=clock.now(),
    )  # fmt: skip
    db.session.add(made)
    db.session.flush()
    return made


def find_sale(sale_id: UUID) -> Sale:
    """Raises NotFound, for another tenant's too."""
    row = db.session.execute(
        select(DeskSale, Purchase, DeskPayment)
        .join(Purchase, Purchase.id == DeskSale.purchase_id)
        .outerjoin(DeskPayment, DeskPayment.id == DeskSale.payment_id)
        .where(DeskSale.id == sale_id)
    ).one_or_none()
    if row is None:
        raise NotFound
    return Sale(*row)
