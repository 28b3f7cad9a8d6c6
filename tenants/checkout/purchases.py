"""From the pay button to the entitlement: money in and service out commit together, or not at all."""

from __future__ import annotations

from datetime import timedelta
from urllib.parse import urlencode
from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.dialects.postgresql import insert

from tenants import access, catalog, ledger, payments, subscribers
from tenants.checkout.models import Purchase
from tenants.ledger import Leg, NotEnoughMoney
from tenants.payments import Settled
from wavu import clock, ids
from wavu.db import db
from wavu.errors import N_, Kind, NotFound, Refused
from wavu.failpoint import failpoint, failpoint_at_commit
from wavu.phone import Phone
from wavu.tenancy import current_tenant

# What service is given on when a payment is proven and its receipt is not here yet (money-and-reliability 3.4).
PROVISIONAL = timedelta(hours=2)


class AlreadyBought(Refused):
    kind = Kind.CONFLICT
    message = N_("This is paid already.")


def begin(
    *, nonce: str, package_id: UUID, phone: Phone, mac: str | None, router_id: UUID | None, login_url: str | None,
    original_url: str | None,
) -> Purchase:  # fmt: skip
    """Starts a purchase and asks the phone for the money. The same nonce again is the same purchase, whatever else it
    says. Raises NotOnSale, NotReady, PromptOpen or TooManyPrompts, and then nothing was begun.
    """
    failpoint("cp2.before")
    known = db.session.scalar(select(Purchase).where(Purchase.nonce == nonce))
    if known is not None:
        return known
    package = catalog.find_on_sale(package_id, "hotspot")
    subscriber = subscribers.by_phone(phone)
    made: Purchase | None = db.session.scalar(
        insert(Purchase)
        .values(
            id=ids.new_id(),
            tenant_id=func.app.tenant_id(),
            nonce=nonce,
            package_id=package.id,
            subscriber_id=subscriber.id,
            price_cents=package.price_cents,
            terms=catalog.terms_of(package),
            mac=mac,
            router_id=router_id,
            login_url=login_url,
            original_url=original_url,
            created_at=clock.now(),
        )
        .on_conflict_do_nothing(index_elements=["tenant_id", "nonce"])
        .returning(Purchase)
    )
    if made is None:
        return find_purchase(nonce)
    _ask(made, phone)
    failpoint("cp2.after")
    failpoint_at_commit(db.session(), "cp3")
    return made


def _ask(purchase: Purchase, phone: Phone) -> None:
    payments.request_stk(
        purchase_id=purchase.id,
        subscriber_id=purchase.subscriber_id,
        phone=phone,
        amount_cents=purchase.price_cents,
        description=purchase.terms["name"],
    )


def find_purchase(nonce: str) -> Purchase:
    """Raises NotFound, for another tenant's nonce too."""
    purchase = db.session.scalar(select(Purchase).where(Purchase.nonce == nonce))
    if purchase is None:
        raise NotFound
    return purchase


def try_again(purchase: Purchase) -> None:
    """A new prompt for the same purchase, at the customer's own tap. Raises AlreadyBought and what begin() raises."""
    locked = _lock(purchase.id)
    latest = payments.latest_intent(purchase.id)
    if locked.state == "bought" or latest is None or latest.state in {"succeeded", "paid_no_receipt"}:
        raise AlreadyBought
    _ask(locked, Phone(latest.phone))


def settle_callback(event_id: UUID) -> None:
    """A stored callback: credits the money and makes the purchase, in the running transaction."""
    _arrived(payments.settle_callback(event_id))


def settle_report(event_id: UUID) -> None:
    """A report of a payment that may be anybody's: credits the money and makes the purchase that it was for."""
    _arrived(payments.settle_report(event_id))


def _arrived(settled: Settled | None) -> None:
    """Money is in a wallet: the purchase that it was for is made."""
    if settled is None:
        return
    failpoint("cp11.before")
    if settled.intent is not None:
        # Too much buys it too, and too little together with what lies in the wallet (crash point 18).
        _complete(settled.intent.purchase_id)
    elif settled.purchase_id is not None:
        _complete(settled.purchase_id)
    failpoint("cp11.after")
    failpoint_at_commit(db.session(), "cp12")


class NobodyHasThat(Refused):
    message = N_("No customer has this account number, phone or user name.")


def match_unmatched(item_id: UUID, customer: str, amount_cents: int) -> str:
    """A member of staff says whose an unmatched payment is, or a part of it: by account number, phone or user name.
    Returns how the customer is called. Raises NobodyHasThat, MoreThanLeft or NotFound."""
    owner = subscribers.find(customer)
    if owner is None:
        raise NobodyHasThat
    payments.match(item_id, owner.id, amount_cents)
    return owner.label


def settle_query(intent_id: UUID) -> None:
    """Daraja says that it was paid: makes the purchase, or gives service for a while until the receipt comes."""
    proven = payments.settle_query(intent_id)
    if isinstance(proven, payments.PaidNoReceipt):
        purchase = _lock(proven.intent.purchase_id)
        if purchase.state == "open":
            _grant(purchase, provisional=True)
    else:
        _arrived(proven)


def _complete(purchase_id: UUID) -> None:
    """The wallet pays for the purchase. Where it cannot, the money stays in the wallet, in sight."""
    purchase = _lock(purchase_id)
    if purchase.state != "open":
        return
    try:
        ledger.post(
            "purchase",
            f"buy:{purchase.id}",
            [
                Leg(ledger.wallet(purchase.subscriber_id), -purchase.price_cents),
                Leg(ledger.INCOME_ACCESS, purchase.price_cents),
            ],
            facts={"purchase": str(purchase.id)},
        )
    except NotEnoughMoney:
        return
    _grant(purchase, provisional=False)
    purchase.state, purchase.bought_at = "bought", clock.now()


def _grant(purchase: Purchase, *, provisional: bool) -> None:
    now = clock.now()
    ends_at = catalog.ends_at(purchase.terms, now, current_tenant().timezone)
    access.grant(
        purchase.id,
        purchase.subscriber_id,
        purchase.terms,
        min(ends_at, now + PROVISIONAL) if provisional else ends_at,
        starts_at=now,
        provisional=provisional,
    )
    if purchase.mac is not None:
        subscribers.bind_device(purchase.mac, purchase.subscriber_id)


def _lock(purchase_id: UUID) -> Purchase:
    query = select(Purchase).where(Purchase.id == purchase_id).with_for_update()
    return db.session.scalars(query.execution_options(populate_existing=True)).one()


def hand_back(purchase: Purchase) -> str | None:
    """The router's log-in address with a fresh one-time code, for a phone that came through a hotspot; else None."""
    if purchase.login_url is None or purchase.mac is None or access.entitlement_of(purchase.id) is None:
        return None
    code = access.make_login_code(purchase.subscriber_id, purchase.mac)
    return f"{purchase.login_url}?{urlencode({'username': code, 'password': code})}"
