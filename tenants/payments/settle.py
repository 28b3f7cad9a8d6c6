"""The only place that credits M-Pesa money. One receipt is credited once, whoever reports it, in whatever order."""

from __future__ import annotations

from typing import NamedTuple
from uuid import UUID

import structlog
from sqlalchemy import select

from tenants import ledger, mpesa
from tenants.ledger import Leg
from tenants.mpesa import MpesaAccount, classify
from tenants.mpesa.classify import Verdict
from tenants.payments import callbacks, stk
from tenants.payments.callbacks import StkResult
from tenants.payments.models import InboundEvent, PaymentIntent, ProviderReceipt
from wavu import clock, ids
from wavu.db import db

log = structlog.get_logger(__name__)

# Above this a callback alone is not enough, wherever it comes from: Daraja is asked first (money-and-reliability 3.4).
TRUSTED_CENTS = 500_000


class Settled(NamedTuple):
    """Money is in the wallet. `pays` tells whether it is what the intent asked for; then the purchase can be made."""

    intent: PaymentIntent
    pays: bool


class PaidNoReceipt(NamedTuple):
    """A payment is proven and its receipt is still to come."""

    intent: PaymentIntent


def settle_callback(event_id: UUID) -> Settled | None:
    """Works off one stored callback. None where it changes nothing for the customer. Running twice is harmless."""
    found = _open(event_id)
    if found is None:
        return None
    event, intent, account = found
    event.outcome, settled = _read(event, intent, account)
    event.processed_at = clock.now()
    return settled


def _read(event: InboundEvent, intent: PaymentIntent, account: MpesaAccount) -> tuple[str, Settled | None]:
    """What an event comes to, in a word or two, and the money that it brings."""
    said = callbacks.parse(event.body)
    if said is None:
        return "malformed", None
    if _is_of_another(intent, said):
        return "refused: another checkout", None
    meaning = classify.result(said.code)
    if meaning.verdict is not Verdict.SUCCESS:
        return _failure(intent, said.code, meaning), None
    if intent.state == "succeeded" and said.receipt not in {None, intent.receipt}:
        # One push is paid once: the second receipt is made up, or the first one was.
        log.error("two receipts for one push", intent=str(intent.id))
        return "refused: a second receipt", None
    if (
        said.receipt is None
        or said.amount_cents is None
        or said.amount_cents != intent.amount_cents
        or said.amount_cents >= TRUSTED_CENTS
        or not callbacks.comes_from_daraja(account.environment, event.peer)
    ):
        _ask_daraja(intent, event)
        return "held", None
    settled = _credit(account, intent, said, "stk callback")
    return "settled" if settled else "duplicate", settled


def _open(event_id: UUID) -> tuple[InboundEvent, PaymentIntent, MpesaAccount] | None:
    """Locks an event that was not worked on yet, and the intent that it speaks of."""
    query = (
        select(InboundEvent, PaymentIntent, MpesaAccount)
        .join(PaymentIntent, PaymentIntent.id == InboundEvent.intent_id)
        .join(MpesaAccount, MpesaAccount.id == PaymentIntent.mpesa_account_id)
        .where(InboundEvent.id == event_id, InboundEvent.processed_at.is_(None))
        .with_for_update(of=[InboundEvent, PaymentIntent])
    )
    return db.session.execute(query.execution_options(populate_existing=True)).one_or_none()


def _is_of_another(intent: PaymentIntent, said: StkResult) -> bool:
    """A CheckoutRequestID that is not ours refuses the event; ours may not be known yet, and is learnt then."""
    if said.checkout_request_id is None:
        return True
    if intent.checkout_request_id is None:
        taken = select(PaymentIntent.id).where(PaymentIntent.checkout_request_id == said.checkout_request_id)
        if db.session.scalar(taken) is not None:
            return True
        intent.checkout_request_id, intent.merchant_request_id = said.checkout_request_id, said.merchant_request_id
    return intent.checkout_request_id != said.checkout_request_id


def _failure(intent: PaymentIntent, code: str, meaning: classify.Meaning) -> str:
    if intent.state not in stk.OPEN:
        return f"late: {intent.state} stays"
    if meaning.verdict is Verdict.PENDING:
        return "pending"
    intent.code = code
    intent.state = "review" if meaning.verdict is Verdict.REVIEW else "failed"
    mpesa.note_fault(intent.mpesa_account_id, meaning.fix)
    return intent.state


def _ask_daraja(intent: PaymentIntent, event: InboundEvent) -> None:
    """A claim that we do not take on its word: the chaser asks now, and settles from it if Daraja says so too."""
    if intent.state in {"failed", "expired", "review"}:
        intent.state = "pending"
    if intent.state != "succeeded":
        stk.chase_claim(intent, event.id)


def settle_query(intent_id: UUID) -> Settled | PaidNoReceipt | None:
    """Daraja itself said that this push was paid: settles from a callback that was held, or waits for the receipt."""
    intent = _lock(intent_id)
    if intent.state == "succeeded":
        return None
    held = callbacks.held_success(intent.id)
    if held is not None and held.receipt is not None and held.amount_cents is not None:
        return _credit(mpesa.find_account(intent.mpesa_account_id), intent, held, "stk callback and query")
    intent.state = "paid_no_receipt"
    return PaidNoReceipt(intent)


def _credit(account: MpesaAccount, intent: PaymentIntent, said: StkResult, source: str) -> Settled | None:
    """Receipt, ledger and state in one go. None where the receipt was credited before."""
    assert said.receipt is not None
    assert said.amount_cents is not None
    group = account.shortcode_group
    posted = ledger.post(
        "mpesa_in",
        f"receipt:{account.environment}:{group}:{said.receipt}",
        [
            Leg(ledger.mpesa(group), -said.amount_cents),
            Leg(ledger.wallet(intent.subscriber_id), said.amount_cents),
        ],
        facts={"receipt": said.receipt, "intent": str(intent.id), "source": source},
    )
    if posted is None:
        return None
    db.session.add(
        ProviderReceipt(
            id=ids.new_id(),
            environment=account.environment,
            shortcode_group=group,
            receipt=said.receipt,
            amount_cents=said.amount_cents,
            source=source,
            intent_id=intent.id,
            subscriber_id=intent.subscriber_id,
            transaction_id=posted,
        )
    )
    mpesa.note_works(account.id, paid=True)
    pays = intent.state != "succeeded" and said.amount_cents == intent.amount_cents
    if pays:
        intent.state, intent.receipt, intent.code, intent.settled_at = "succeeded", said.receipt, None, clock.now()
    elif intent.state != "succeeded":
        intent.state, intent.code = "review", "amount"
    return Settled(intent, pays)


def _lock(intent_id: UUID) -> PaymentIntent:
    query = select(PaymentIntent).where(PaymentIntent.id == intent_id).with_for_update()
    return db.session.scalars(query.execution_options(populate_existing=True)).one()
