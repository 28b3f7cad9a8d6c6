"""A customer says: I have paid, and am not online. Found, the payment buys what waits for it, or is theirs to spend.

What proves it is both: M-Pesa's own word of the payment (a confirmation, Pull or Transaction Status), and the phone of
its payer. Whoever has the code alone is told the same as somebody who made one up. Nobody is told more than what came
of their own payment.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.dialects.postgresql import insert

from tenants import access, mpesa, payments, subscribers
from tenants.checkout import balance, fulfilment, purchases
from tenants.checkout.models import PaymentClaim, Purchase
from tenants.ledger import NotEnoughMoney
from tenants.payments import Claim, Known
from wavu import clock, ids, outbox
from wavu.db import db, one_at_a_time
from wavu.errors import N_, Kind, NotFound, Refused
from wavu.outbox import Queue
from wavu.phone import Phone

# When a claim of which nothing is known yet is looked at again, in seconds after it was made.
LOOK_AFTER = (4, 8, 15, 30, 60, 120, 300, 900, 3600, 21_600, 86_400)
# Transaction Status is asked at these looks; one in doubt may be too young for it.
_ASKS_STATUS = (0, 5, 7, 9)
# So long a customer is told that we are looking; then, that we cannot tell yet.
_LOOKS_FOR = timedelta(minutes=3)
# Pull has told of a payment by then, or there is none. How late it may be is not documented.
_PULL_IS_LATE = timedelta(hours=1)
_OPEN = ("looking", "unknown", "not_ours")
_PER_PHONE_AND_HOUR, _PHONES_PER_CODE = 6, 5


class NoCode(Refused):
    message = N_("There is no M-Pesa code in that. It has ten letters and digits, such as UKO7RT61SV.")


class TooManyClaims(Refused):
    kind = Kind.TOO_MANY
    message = N_("That was tried too often. Wait an hour, or show our team your M-Pesa message.")


def begin_claim(*, text: str, phone: Phone, purchase: Purchase | None = None) -> PaymentClaim:
    """Looks for the payment that a message of M-Pesa's, or a code, names; M-Pesa is asked where nothing is known of it.
    `purchase` is what it shall pay, if the customer comes from there. The same code and phone is the same claim.

    Raises NoCode or TooManyClaims.
    """
    code = payments.code_in(text)
    if code is None:
        raise NoCode
    one_at_a_time(f"claim {code}")
    claim = db.session.scalar(select(PaymentClaim).where(PaymentClaim.code == code, PaymentClaim.phone == phone.e164))
    if claim is None:
        claim = _new(code, phone, purchase)
    elif purchase is not None and purchase.state == "open" and not claim.cents:
        claim.purchase_id, claim.subscriber_id, claim.channel = purchase.id, purchase.subscriber_id, purchase.channel
    elif purchase is not None and purchase.state == "open" and purchase.subscriber_id == claim.subscriber_id:
        claim.purchase_id = purchase.id
    _look(claim, 0)
    return claim


def find_claim(nonce: str) -> PaymentClaim:
    """Raises NotFound, for another tenant's nonce too."""
    claim = db.session.scalar(select(PaymentClaim).where(PaymentClaim.nonce == nonce))
    if claim is None:
        raise NotFound
    return claim


def purchase_of(claim: PaymentClaim) -> Purchase | None:
    """What the payment has paid for, for the page of a claim that came to something."""
    if claim.purchase_id is None or claim.state not in {"found", "used"}:
        return None
    return db.session.scalar(select(Purchase).where(Purchase.id == claim.purchase_id))


def look_for_claim(claim_id: UUID, number: int) -> None:
    """A job's: looks again, for the number-th time, and plans the next time where there is still nothing."""
    claim = _locked(claim_id)
    if claim is not None and claim.state in _OPEN:
        _look(claim, number)


def settle_status(claim_id: UUID) -> None:
    """A job's: M-Pesa has answered about the receipt of a claim. That credits a payment of which nobody had told us,
    and buys what it was for. Does nothing for what is no claim."""
    claim = _locked(claim_id)
    if claim is None or claim.state not in _OPEN:
        return
    phone, denied = Phone(claim.phone), set()
    for said in mpesa.answers_about(claim.id):
        told = said.transaction
        if told is not None and payments.is_theirs(told, claim.code, phone):
            account = mpesa.find_account(said.account_id)
            purchases.arrived(payments.credit_proven(account, claim.code, told, phone))
            _weigh(claim)
            return
        if told is not None or said.denies:
            denied.add(said.account_id)
    if denied >= {account.id for account in mpesa.list_accounts() if mpesa.may_ask(account.id)}:
        # Another payer's, and one that there is not, are told alike.
        claim.state = "not_ours"


def _new(code: str, phone: Phone, purchase: Purchase | None) -> PaymentClaim:
    hour_ago = clock.now() - timedelta(hours=1)
    made = select(func.count()).select_from(PaymentClaim)
    of_phone = made.where(PaymentClaim.phone == phone.e164, PaymentClaim.created_at > hour_ago)
    of_code = made.where(PaymentClaim.code == code)
    if (db.session.scalar(of_phone) or 0) >= _PER_PHONE_AND_HOUR or (
        db.session.scalar(of_code) or 0
    ) >= _PHONES_PER_CODE:
        raise TooManyClaims
    mine = purchase is not None and purchase.state == "open"
    claim: PaymentClaim = db.session.scalars(
        insert(PaymentClaim)
        .values(
            id=ids.new_id(),
            tenant_id=func.app.tenant_id(),
            nonce=ids.new_token()[:32],
            code=code,
            phone=phone.e164,
            channel=purchase.channel if mine and purchase else "hotspot",
            subscriber_id=purchase.subscriber_id if mine and purchase else subscribers.by_phone(phone).id,
            purchase_id=purchase.id if mine and purchase else None,
            created_at=clock.now(),
        )
        .returning(PaymentClaim)
    ).one()
    return claim


def _look(claim: PaymentClaim, number: int) -> None:
    _weigh(claim)
    if claim.state not in _OPEN:
        return
    if number in _ASKS_STATUS:
        payments.ask_status(claim.code, claim.id)
    age = clock.now() - claim.created_at
    if claim.state == "looking" and age >= _LOOKS_FOR:
        claim.state = "unknown"
    if claim.state == "unknown" and _pull_has_told(claim.created_at):
        claim.state = "not_ours"
    _look_later(claim, number)


def _look_later(claim: PaymentClaim, number: int) -> None:
    if number < len(LOOK_AFTER):
        payload = {"claim_id": str(claim.id), "number": number + 1}
        due = claim.created_at + timedelta(seconds=LOOK_AFTER[number])
        outbox.put(Queue.SETTLEMENT, "look_for_claim", f"{claim.id}:{number + 1}", payload, run_at=due)


def _pull_has_told(since: datetime) -> bool:
    """Whether each account's Pull has told of everything that was paid until an hour after."""
    accounts = mpesa.list_accounts()
    told = [account.pulled_until for account in accounts]
    return bool(told) and all(until is not None and until > since + _PULL_IS_LATE for until in told)


def _weigh(claim: PaymentClaim) -> None:
    """What is known of the payment by now, and what follows."""
    phone = Phone(claim.phone)
    known = payments.known_payment(claim.code, phone)
    if claim.state == "found" and claim.receipt_id is not None:
        _spend(claim)
    elif known is None:
        # Asks M-Pesa, once a minute at most.
        payments.claim(claim.code, phone, claim.subscriber_id)
    elif known.left_cents == known.receipt.amount_cents:
        if payments.claim(claim.code, phone, claim.subscriber_id) is Claim.MATCHED:
            _give(claim, known, known.receipt.amount_cents)
    else:
        _weigh_credited(claim, known)


def _weigh_credited(claim: PaymentClaim, known: Known) -> None:
    """The payment has come in and gone somewhere: into a purchase, or into somebody's wallet."""
    purchase = fulfilment.lock_if_any(known.purchase_id) if known.purchase_id is not None else None
    if purchase is not None:
        if not (known.asked_them or _is_theirs(purchase, claim)):
            claim.state = "used"
            return
        right = access.entitlement_of(purchase.id)
        over = right is None or right.ends_at <= clock.now()
        claim.purchase_id = purchase.id
        claim.state = "used" if purchase.state == "bought" and over else "found"
        return
    owner = subscribers.get(known.owner_id) if known.owner_id is not None else None
    left = balance.unclaimed_cents(owner.id) if owner is not None else 0
    if owner is None or left <= 0 or _is_taken(known.receipt.id):
        claim.state = "used"
        return
    if claim.subscriber_id != owner.id:
        claim.subscriber_id, claim.purchase_id = owner.id, None
        claim.channel = "hotspot" if owner.username is None else "pppoe"
    _give(claim, known, min(left, known.receipt.amount_cents))


def _is_theirs(purchase: Purchase, claim: PaymentClaim) -> bool:
    """They come from the purchase's own page, or it is their own phone's: whoever pays for a friend's by its account
    number has done that, and gets no key to it."""
    return purchase.id == claim.purchase_id or subscribers.get(purchase.subscriber_id).phone == claim.phone


def _is_taken(receipt_id: UUID) -> bool:
    return db.session.scalar(select(PaymentClaim.id).where(PaymentClaim.receipt_id == receipt_id)) is not None


def _give(claim: PaymentClaim, known: Known, cents: int) -> None:
    claim.state, claim.receipt_id, claim.cents = "found", known.receipt.id, cents
    db.session.flush()
    _spend(claim)


def _spend(claim: PaymentClaim) -> None:
    """Buys the purchase that the claim was made for, or else the first one that waits for money and that this pays."""
    one_at_a_time(f"wallet {claim.subscriber_id}")
    wanted = [claim.purchase_id] if claim.purchase_id else balance.waiting(claim.subscriber_id, clock.now())
    for purchase_id in wanted:
        purchase = fulfilment.lock_if_any(purchase_id)
        if purchase is None or purchase.state != "open" or purchase.subscriber_id != claim.subscriber_id:
            continue
        own = balance.balance_of([purchase.nonce], purchase.channel)
        missing = max(0, purchase.price_cents - (own.cents if own is not None else 0))
        if missing > claim.cents - claim.moved_cents or purchase.wallet_cents + missing > purchase.price_cents:
            continue
        try:
            fulfilment.buy(purchase)
        except NotEnoughMoney:
            continue
        purchase.wallet_cents += missing
        claim.moved_cents += missing
        claim.purchase_id = purchase.id
        db.session.flush()
        return
    bought = fulfilment.lock_if_any(claim.purchase_id) if claim.purchase_id else None
    if bought is not None and bought.state == "open":
        # It is not enough: what came is theirs to spend on something else.
        claim.purchase_id = None
        db.session.flush()


def _locked(claim_id: UUID) -> PaymentClaim | None:
    query = select(PaymentClaim).where(PaymentClaim.id == claim_id).with_for_update()
    return db.session.scalar(query.execution_options(populate_existing=True))
