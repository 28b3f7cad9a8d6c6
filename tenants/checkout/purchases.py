"""From the pay button to the entitlement: money in and service out commit together, or not at all."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.dialects.postgresql import insert

from tenants import access, catalog, mpesa, payments, subscribers
from tenants.catalog import Channel, Package
from tenants.checkout import balance, fulfilment, standing
from tenants.checkout.models import Purchase
from tenants.ledger import NotEnoughMoney
from tenants.payments import Settled
from wavu import clock, ids
from wavu.db import db, one_at_a_time
from wavu.errors import N_, Kind, NotFound, Refused
from wavu.failpoint import failpoint, failpoint_at_commit
from wavu.phone import Phone


class AlreadyBought(Refused):
    kind = Kind.CONFLICT
    message = N_("This is paid already.")


class NoBalance(Refused):
    kind = Kind.CONFLICT
    message = N_("That money is spent already. Pay with M-Pesa.")


class NoRoom(Refused):
    kind = Kind.CONFLICT
    message = N_("All devices of this package are online already. Disconnect one of them first.")


def begin(
    *, nonce: str, package_id: UUID, phone: Phone, mac: str | None, router_id: UUID | None, login_url: str | None,
    original_url: str | None, provider: str | None = None,
) -> Purchase:  # fmt: skip
    """Starts a purchase and asks the phone for the money: through the gateway `provider`, or the one that the number
    says. The same nonce again is the same purchase, whatever else it says. Raises NotOnSale, NotReady, PromptOpen or
    TooManyPrompts, and then nothing was begun.
    """
    failpoint("cp2.before")
    known = db.session.scalar(select(Purchase).where(Purchase.nonce == nonce))
    if known is not None:
        return known
    package = catalog.find_on_sale(package_id, "hotspot")
    return _begin(
        package, phone, nonce=nonce, subscriber_id=subscribers.by_phone(phone).id, channel="hotspot", mac=mac,
        router_id=router_id, login_url=login_url, original_url=original_url, provider=provider,
    )  # fmt: skip


def begin_for_line(
    *, nonce: str, package_id: UUID, phone: Phone, line_id: UUID, provider: str | None = None
) -> Purchase:
    """As begin(), for a line at home: its subscriber gets the service and whatever the phone pays too much."""
    known = db.session.scalar(select(Purchase).where(Purchase.nonce == nonce))
    if known is not None:
        return known
    package = catalog.find_on_sale(package_id, "pppoe")
    return _begin(package, phone, nonce=nonce, subscriber_id=line_id, channel="pppoe", provider=provider)


def begin_with_balance(
    *, nonce: str, package_id: UUID, held: Collection[str], channel: Channel = "hotspot", mac: str | None = None,
    router_id: UUID | None = None, login_url: str | None = None, original_url: str | None = None,
) -> Purchase:  # fmt: skip
    """As begin(), paid from what the holder of these purchases has (balance.py says what that is): at once where it is
    enough, and for the rest the number that paid it in is asked. Raises NoBalance too.
    """
    found = balance.balance_of(held, channel)
    if found is not None:
        # Two taps must not both find the same money.
        one_at_a_time(f"wallet {found.subscriber_id}")
        found = balance.balance_of(held, channel)
    known = db.session.scalar(select(Purchase).where(Purchase.nonce == nonce))
    if known is not None:
        return known
    package = catalog.find_on_sale(package_id, channel)
    if found is None:
        raise NoBalance
    made = _begin(
        package, Phone(found.phone) if found.phone else None, nonce=nonce, subscriber_id=found.subscriber_id,
        channel=channel, mac=mac, router_id=router_id, login_url=login_url, original_url=original_url,
        wallet_cents=min(found.cents, package.price_cents),
    )  # fmt: skip
    balance.take(held, channel, found.subscriber_id, made.wallet_cents)
    return made


def _begin(
    package: Package, phone: Phone | None, *, nonce: str, provider: str | None = None, **values: Any
) -> Purchase:
    made: Purchase | None = db.session.scalar(
        insert(Purchase)
        .values(
            id=ids.new_id(),
            tenant_id=func.app.tenant_id(),
            nonce=nonce,
            package_id=package.id,
            price_cents=package.price_cents,
            terms=catalog.terms_of(package),
            created_at=clock.now(),
            **values,
        )
        .on_conflict_do_nothing(index_elements=["tenant_id", "nonce"])
        .returning(Purchase)
    )
    if made is None:
        return find_purchase(nonce)
    _pay(made, phone, provider)
    failpoint("cp2.after")
    failpoint_at_commit(db.session(), "cp3")
    return made


def _pay(purchase: Purchase, phone: Phone | None, provider: str | None = None) -> None:
    """From the balance where it is enough; else the phone is asked for what is missing."""
    missing = balance.missing_cents(purchase)
    if not missing:
        fulfilment.buy(purchase)
    elif phone is None:
        raise NoBalance
    else:
        # Shown beside the prompt: whoever cannot use it pays by hand.
        subscribers.number_for(purchase.subscriber_id, purchase.id)
        payments.request_stk(
            purchase_id=purchase.id,
            subscriber_id=purchase.subscriber_id,
            phone=phone,
            amount_cents=missing,
            description=purchase.terms["name"],
            account=payments.account_for(phone, provider),
        )


def find_purchase(nonce: str) -> Purchase:
    """Raises NotFound, for another tenant's nonce too."""
    purchase = db.session.scalar(select(Purchase).where(Purchase.nonce == nonce))
    if purchase is None:
        raise NotFound
    return purchase


def try_again(purchase: Purchase, phone: Phone | None = None, provider: str | None = None) -> None:
    """A new prompt for what is missing of the same purchase, at the customer's own tap; none where nothing is missing.
    To the same phone through the same gateway, or to another `phone` through `provider`. Raises AlreadyBought and what
    begin() raises.
    """
    locked = fulfilment.lock(purchase.id)
    latest = payments.latest_intent(purchase.id)
    if locked.state == "bought" or latest is None or latest.state in {"succeeded", "paid_no_receipt"}:
        raise AlreadyBought
    chosen = provider or (None if phone else latest.provider)
    if chosen not in {None, latest.provider}:
        payments.withdraw(latest.id)
    _pay(locked, phone or Phone(latest.phone), chosen)


def settle_callback(event_id: UUID) -> None:
    """A stored callback: credits the money and makes the purchase, in the running transaction."""
    arrived(payments.settle_callback(event_id))


def settle_report(event_id: UUID) -> None:
    """A report of a payment that may be anybody's: credits the money and makes the purchase that it was for."""
    arrived(payments.settle_report(event_id))


def arrived(settled: Settled | None) -> None:
    """Money is in a wallet: the purchase that it was for is made, a standing order's next, or another that waits. Else
    it stays there."""
    if settled is None:
        return
    failpoint("cp11.before")
    # Too much buys it as well, and too little together with what lies in the wallet (crash point 18).
    named = settled.intent.purchase_id if settled.intent is not None else settled.purchase_id
    if named is None or not (_complete(named) or standing.renew(named)):
        fulfilment.money_arrived(settled.subscriber_id)
    else:
        fulfilment.try_renewals(settled.subscriber_id)
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
    fulfilment.money_arrived(owner.id)
    return owner.label


def enter_payment(receipt: str, amount_cents: int, customer: str) -> str:
    """A member of staff types in a receipt that a customer shows. Returns how the customer is called. Raises
    NobodyHasThat, NotReady and what payments.enter() raises."""
    owner = subscribers.find(customer)
    if owner is None:
        raise NobodyHasThat
    account = mpesa.active_account()
    payments.enter(account, receipt=receipt, amount_cents=amount_cents, subscriber_id=owner.id)
    fulfilment.money_arrived(owner.id)
    return owner.label


def settle_query(intent_id: UUID, receipt: str | None = None) -> None:
    """The gateway says that it was paid, and by which receipt if it tells that: makes the purchase, or gives service
    for a while until the receipt comes."""
    proven = payments.settle_query(intent_id, receipt)
    if isinstance(proven, payments.PaidNoReceipt):
        purchase = fulfilment.lock_if_any(proven.intent.purchase_id)
        if purchase is not None and purchase.state == "open":
            fulfilment.grant(purchase, provisional=True)
    else:
        arrived(proven)


def _complete(purchase_id: UUID) -> bool:
    """The wallet pays for the purchase, if it is open and that is enough."""
    purchase = fulfilment.lock_if_any(purchase_id)
    if purchase is None or purchase.state != "open":
        return False
    try:
        fulfilment.buy(purchase, promo_pays=True)
    except NotEnoughMoney:
        return False
    return True


def use_on(purchase: Purchase, *, mac: str, router_id: UUID | None, login_url: str | None) -> None:
    """Lets one more device use what was bought, at the wish of who holds the purchase's name. A purchase without a
    device gets this one for its own. Raises NotFound where nothing runs, and NoRoom.
    """
    right = access.entitlement_of(purchase.id)
    now = clock.now()
    if right is None or purchase.channel != "hotspot" or not right.starts_at <= now < right.ends_at:
        raise NotFound
    if not access.has_room(right, mac, now):
        raise NoRoom
    subscribers.bind_device(mac, purchase.subscriber_id)
    if purchase.mac is None:
        purchase.mac, purchase.router_id, purchase.login_url = mac, router_id, login_url
        db.session.flush()


def hand_back(purchase: Purchase, mac: str | None, login_url: str | None) -> str | None:
    """A router's log-in address with a fresh one-time code, for a phone that came through a hotspot; else None.

    The device must be the purchase's, or one that was let use it; the caller has checked that the address is a router's
    of this tenant.
    """
    if login_url is None or mac is None or access.entitlement_of(purchase.id) is None:
        return None
    if mac != purchase.mac and purchase.subscriber_id not in subscribers.owners_of(mac):
        return None
    code = access.make_login_code(purchase.subscriber_id, mac)
    return f"{login_url}?{urlencode({'username': code, 'password': code})}"
