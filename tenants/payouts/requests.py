"""Asking for a refund, and letting it go: DRAFT → APPROVED. Approval sets the money aside in the same transaction."""

from __future__ import annotations

import secrets
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import func, select

from tenants import checkout, ledger, mpesa, payments, subscribers
from tenants.checkout import Purchase
from tenants.ledger import Leg
from tenants.payments import PaymentIntent, ProviderReceipt
from tenants.payouts import limits
from tenants.payouts.events import PayoutApproved
from tenants.payouts.models import Payout
from tenants.payouts.refusals import (
    AlreadyUnderWay,
    MoreThanCameIn,
    NoPayerPhone,
    NotBought,
    NotOpen,
    NotProvenYet,
    OnlyWhole,
    PaidWithAirtel,
    SamePerson,
    TooLittleToSend,
)
from wavu import audit, clock, ids, money
from wavu.db import db, one_at_a_time
from wavu.errors import NotFound
from wavu.events import announce
from wavu.phone import Phone

LEAST_CENTS, MOST_CENTS = 1000, 25_000_000


class Who(NamedTuple):
    """A member of the team, as they are named at the time."""

    id: UUID
    name: str


class Refundable(NamedTuple):
    """A receipt as the person who refunds it needs it. `left_cents` may still go back; `purchase` is what it bought,
    where that can be taken back; the phone is the one that paid, where it is known."""

    receipt: ProviderReceipt
    source_code: str
    phone: Phone | None
    left_cents: int
    wallet_cents: int
    purchase: Purchase | None


def refundable(receipt: str) -> Refundable:
    """The current tenant's receipt with what can be given back of it. Raises NotFound."""
    found = db.session.scalar(select(ProviderReceipt).where(ProviderReceipt.receipt == receipt.strip().upper()))
    if found is None:
        raise NotFound
    return _refundable(found, _source_of(found))


def _source_of(receipt: ProviderReceipt) -> str:
    """Where a receipt's money lies: in its subscriber's wallet, or in suspense until it is matched to one."""
    if receipt.subscriber_id is not None:
        return ledger.wallet(receipt.subscriber_id)
    owners = payments.owners_of(receipt.id) if payments.left_of(receipt.id) == 0 else []
    return ledger.wallet(owners[0]) if len(owners) == 1 else ledger.SUSPENSE


def _refundable(found: ProviderReceipt, source_code: str) -> Refundable:
    gone = db.session.scalar(
        select(func.coalesce(func.sum(Payout.amount_cents), 0)).where(
            Payout.receipt_id == found.id, Payout.state.not_in(["failed", "withdrawn"])
        )
    )
    intent = db.session.scalar(select(PaymentIntent).where(PaymentIntent.id == found.intent_id))
    return Refundable(
        found,
        source_code,
        Phone(intent.phone) if intent is not None else _payer(found),
        found.amount_cents - int(gone or 0),
        payments.left_of(found.id) if source_code == ledger.SUSPENSE else ledger.balance(source_code),
        _bought_with(intent.purchase_id if intent is not None else _purchase_of(found)),
    )


def _payer(receipt: ProviderReceipt) -> Phone | None:
    """Who paid by hand, where M-Pesa told the number and neither masked nor hashed it."""
    try:
        phone = Phone.parse(receipt.payer or "")
    except ValueError:
        return None
    return phone if phone.is_kenyan_mobile else None


def _purchase_of(receipt: ProviderReceipt) -> UUID | None:
    """What was paid for by hand, by its own account number."""
    owner = subscribers.by_account_number(receipt.reference or "")
    return owner.purchase_id if owner is not None else None


def _bought_with(purchase_id: UUID | None) -> Purchase | None:
    return db.session.scalar(select(Purchase).where(Purchase.id == purchase_id, Purchase.state == "bought"))


def request_refund(
    receipt_id: UUID, *, method: str, amount_cents: int, reason: str, by: Who, end_package: bool = False,
    from_account_code: str | None = None, paid_by: Phone | None = None,
) -> Payout:  # fmt: skip
    """Asks for money of one receipt to go back to the phone that paid it: by `b2c`, or by a `reversal` of the whole.

    `from_account_code` is what pays, if it is not the wallet of the receipt's subscriber; `paid_by` is the phone, where
    a witness of Safaricom's named it and the receipt does not. With `end_package` the package that the money bought is
    taken back first. Within what one person may alone it is approved at once: ask for the password before. Raises
    NotFound, NotProvenYet, MoreThanCameIn, OnlyWhole, AlreadyUnderWay, NoPayerPhone, TooLittleToSend, NotBought,
    NotEnoughMoney, MoreThanLeft, InitiatorNotReady or InitiatorFrozen.
    """
    one_at_a_time(f"refund {receipt_id}")
    found = db.session.scalar(select(ProviderReceipt).where(ProviderReceipt.id == receipt_id))
    if found is None:
        raise NotFound
    source = from_account_code or _source_of(found)
    known = _refundable(found, source)
    phone = known.phone or paid_by
    _check(known, method, amount_cents, phone, end_package)
    # Two requests of one person must not each overlook the other's part of the day's limit.
    one_at_a_time(f"payouts of {by.id}")
    payout = Payout(
        id=ids.new_id(),
        method=method,
        mpesa_account_id=_account_of(found),
        source_code=source,
        subscriber_id=found.subscriber_id,
        receipt_id=found.id,
        ends_purchase_id=known.purchase.id if end_package and known.purchase else None,
        phone=phone.e164 if phone and method == "b2c" else None,
        amount_cents=amount_cents,
        reason=reason,
        needs_second=limits.needs_second(by.id, amount_cents),
        requested_by=by.id,
        requested_name=by.name,
        # Fewer than 20 characters, as the portal wants it (build sheet 2.6).
        original_id=f"W{secrets.token_hex(9)}",
    )
    db.session.add(payout)
    db.session.flush()
    audit.record("payouts.requested", subject=payout.id, amount=money.show(amount_cents), receipt=found.receipt)
    if not payout.needs_second:
        _approve(payout, by)
    return payout


def _check(known: Refundable, method: str, amount_cents: int, phone: Phone | None, end_package: bool) -> None:
    if not payments.is_proven(known.receipt):
        raise NotProvenYet
    if method == "reversal":
        open_ = select(Payout.id).where(
            Payout.receipt_id == known.receipt.id,
            Payout.method == "reversal",
            Payout.state.not_in(["failed", "withdrawn"]),
        )
        if db.session.scalar(open_) is not None:
            raise AlreadyUnderWay
        if amount_cents != known.receipt.amount_cents or known.left_cents != amount_cents:
            raise OnlyWhole
    elif phone is None:
        raise NoPayerPhone
    elif not LEAST_CENTS <= amount_cents <= MOST_CENTS or amount_cents % 100:
        raise TooLittleToSend
    if amount_cents > known.left_cents:
        raise MoreThanCameIn(left=money.show(known.left_cents))
    if end_package and known.purchase is None:
        raise NotBought
    returned = known.purchase.price_cents - known.purchase.promo_cents if end_package and known.purchase else 0
    if amount_cents > known.wallet_cents + returned:
        raise ledger.NotEnoughMoney
    account = _account_of(known.receipt)
    initiator = mpesa.initiator_of(account)
    if initiator is None:
        raise mpesa.InitiatorNotReady
    if initiator.frozen_at is not None:
        raise mpesa.InitiatorFrozen


def _account_of(receipt: ProviderReceipt) -> UUID:
    """The account that took the money gives it back. Raises NotFound for one that is gone, and PaidWithAirtel: that
    money is at Airtel, and M-Pesa cannot send it back."""
    if receipt.provider == "airtel":
        raise PaidWithAirtel
    for account in mpesa.list_accounts():
        if account.environment == receipt.environment and account.shortcode_group == receipt.shortcode_group:
            return account.id
    raise NotFound


def approve(payout_id: UUID, *, by: Who) -> Payout:
    """Lets a payout go and sets its money aside. Raises NotFound, NotOpen, SamePerson or NotEnoughMoney."""
    payout = locked(payout_id)
    if payout.state != "draft":
        raise NotOpen
    _approve(payout, by)
    return payout


def _approve(payout: Payout, by: Who) -> None:
    if payout.needs_second and by.id == payout.requested_by:
        raise SamePerson
    if payout.ends_purchase_id is not None:
        _take_back(payout.ends_purchase_id)
    if payout.source_code == ledger.SUSPENSE and payout.receipt_id is not None:
        payments.set_aside(payout.receipt_id, payout.amount_cents)
    ledger.post(
        "refund_reserved",
        f"rf:{payout.id}",
        [Leg(payout.source_code, -payout.amount_cents), Leg(ledger.REFUND_PENDING, payout.amount_cents)],
        facts={"payout": str(payout.id)},
    )
    payout.state, payout.approved_by, payout.approved_name, payout.approved_at = "approved", by.id, by.name, clock.now()
    db.session.flush()
    audit.record("payouts.approved", subject=payout.id, amount=money.show(payout.amount_cents))
    announce(PayoutApproved(payout.id))


def withdraw(payout_id: UUID, *, by: Who) -> Payout:
    """Ends a payout that has not gone out, and gives set-aside money back to where it came from. Raises NotOpen."""
    payout = locked(payout_id)
    if payout.state == "approved":
        release(payout)
    elif payout.state != "draft":
        raise NotOpen
    payout.state, payout.settled_at = "withdrawn", clock.now()
    db.session.flush()
    audit.record("payouts.withdrawn", subject=payout.id, amount=money.show(payout.amount_cents), by=by.name)
    return payout


def release(payout: Payout) -> None:
    """Set-aside money goes back: nothing of it has left, for certain."""
    if payout.source_code == ledger.SUSPENSE and payout.receipt_id is not None:
        payments.set_aside(payout.receipt_id, -payout.amount_cents)
    ledger.post(
        "refund_released",
        f"rf-no:{payout.id}",
        [Leg(ledger.REFUND_PENDING, -payout.amount_cents), Leg(payout.source_code, payout.amount_cents)],
        facts={"payout": str(payout.id)},
    )


def refund_to_wallet(receipt_id: UUID, *, reason: str, by: Who) -> Purchase:
    """Takes back what a receipt bought: the money returns to the wallet and the package ends, in one transaction.

    Raises NotFound or NotBought; a second time it is NotBought.
    """
    one_at_a_time(f"refund {receipt_id}")
    found = db.session.scalar(select(ProviderReceipt).where(ProviderReceipt.id == receipt_id))
    if found is None:
        raise NotFound
    purchase = _refundable(found, _source_of(found)).purchase
    if purchase is None:
        raise NotBought
    _take_back(purchase.id)
    audit.record(
        "payouts.to_wallet", subject=purchase.id, amount=money.show(purchase.price_cents), receipt=found.receipt,
        reason=reason, by=by.name,
    )  # fmt: skip
    return purchase


def _take_back(purchase_id: UUID) -> None:
    if not checkout.give_back(purchase_id):
        raise NotBought


def locked(payout_id: UUID) -> Payout:
    """Raises NotFound, for another tenant's too."""
    query = select(Payout).where(Payout.id == payout_id).with_for_update()
    payout = db.session.scalar(query.execution_options(populate_existing=True))
    if payout is None:
        raise NotFound
    return payout


def find_payout(payout_id: UUID) -> Payout:
    """Raises NotFound, for another tenant's too."""
    payout = db.session.scalar(select(Payout).where(Payout.id == payout_id))
    if payout is None:
        raise NotFound
    return payout


def list_payouts(*, before: UUID | None = None, only_open: bool = False, limit: int = 50) -> list[Payout]:
    """The current tenant's, newest first, paged by key: pass the last id seen as `before`."""
    query = select(Payout).order_by(Payout.id.desc()).limit(limit)
    if before is not None:
        query = query.where(Payout.id < before)
    if only_open:
        query = query.where(Payout.state.not_in(["paid", "failed", "withdrawn"]))
    return list(db.session.scalars(query))
