"""What callbacks, queries and reports come to: whose the money is, and what it pays. receipts.py credits it."""

from __future__ import annotations

from datetime import timedelta
from typing import NamedTuple
from uuid import UUID

import structlog
from sqlalchemy import and_, or_, select

from tenants import mpesa, subscribers
from tenants.gateway import Account, Meaning, Told, Verdict
from tenants.mpesa import MpesaAccount
from tenants.payments import c2b, callbacks, gateways, pull, receipts, stk, suspense
from tenants.payments.models import InboundEvent, PaymentIntent
from tenants.payments.receipts import Report, Settled
from wavu import clock, outbox
from wavu.db import db
from wavu.outbox import Queue

log = structlog.get_logger(__name__)

# Above this a callback alone is not enough, wherever it comes from: the gateway is asked first (money-and-reliability
# 3.4).
TRUSTED_CENTS = 500_000
# The same for payments made by hand, whose token lives long (build sheet 21): Pull must say so too.
TRUSTED_BY_HAND_CENTS = 2_000_000
# A Till knows no references: for so long a payment there waits for the callback of the attempt that brought it.
_UNCLAIMED = timedelta(seconds=120)
# When, around the time of a payment, the attempt that brought it went out.
_PAID_WITHIN, _CLOCKS_DIFFER = timedelta(minutes=5), timedelta(minutes=1)
# Whether Pull's times are East Africa's or universal is not documented (build sheet 7).
_EAT_AHEAD = timedelta(hours=3)


class PaidNoReceipt(NamedTuple):
    """A payment is proven and its receipt is still to come."""

    intent: PaymentIntent


def settle_callback(event_id: UUID) -> Settled | None:
    """Works off one stored callback. None where it changes nothing for the customer. Running twice is harmless."""
    found = _open(event_id)
    if found is None:
        return None
    event, intent = found
    event.outcome, settled = _read(event, intent)
    event.processed_at = clock.now()
    return settled


def _read(event: InboundEvent, intent: PaymentIntent) -> tuple[str, Settled | None]:
    """What an event comes to, in a word or two, and the money that it brings."""
    gateway, account = gateways.of(intent), gateways.account_of(intent)
    said = gateway.read(event.body)
    if said is None:
        return "malformed", None
    if _is_of_another(intent, said):
        return "refused: another checkout", None
    meaning = gateway.meaning(said.code)
    trusted = gateway.trusts(account, event.body, event.peer, meaning)
    if meaning.verdict is not Verdict.SUCCESS:
        return _failure(intent, said.code, meaning, trusted=trusted), None
    second = intent.state == "succeeded" and said.receipt not in {None, intent.receipt}
    if second and not _was_guessed(intent):
        # One push is paid once: the second receipt is made up, or the first one was.
        log.error("two receipts for one push", intent=str(intent.id))
        return "refused: a second receipt", None
    if gateway.names_itself:
        # Its callback has no amount: a prompt is paid as it was asked, or not at all.
        said = said._replace(amount_cents=intent.amount_cents)
    if (
        said.receipt is None
        or said.amount_cents is None
        or said.amount_cents != intent.amount_cents
        or said.amount_cents >= TRUSTED_CENTS
        or not trusted
    ):
        _ask_gateway(intent)
        return "held", None
    settled = _credit(account, intent, said, _SOURCES[intent.provider][0])
    return "settled" if settled else "duplicate", settled


# What a receipt's source is called: told by a callback, and proven by asking.
_SOURCES = {"mpesa": ("stk callback", "stk callback and query"), "airtel": ("airtel callback", "airtel query")}


def _open(event_id: UUID) -> tuple[InboundEvent, PaymentIntent] | None:
    """Locks an event that was not worked on yet, and the intent that it speaks of."""
    query = (
        select(InboundEvent, PaymentIntent)
        .join(PaymentIntent, PaymentIntent.id == InboundEvent.intent_id)
        .where(InboundEvent.id == event_id, InboundEvent.processed_at.is_(None))
        .with_for_update(of=[InboundEvent, PaymentIntent])
    )
    return db.session.execute(query.execution_options(populate_existing=True)).one_or_none()


def _is_of_another(intent: PaymentIntent, said: Told) -> bool:
    """A CheckoutRequestID that is not ours refuses the event; ours may not be known yet, and is learnt then."""
    if said.checkout_request_id is None:
        return True
    if intent.checkout_request_id is None:
        taken = select(PaymentIntent.id).where(PaymentIntent.checkout_request_id == said.checkout_request_id)
        if db.session.scalar(taken) is not None:
            return True
        intent.checkout_request_id, intent.merchant_request_id = said.checkout_request_id, said.merchant_request_id
    return intent.checkout_request_id != said.checkout_request_id


def _failure(intent: PaymentIntent, code: str, meaning: Meaning, *, trusted: bool) -> str:
    if intent.state not in stk.OPEN:
        return f"late: {intent.state} stays"
    if meaning.verdict is Verdict.PENDING:
        return "pending"
    if not trusted:
        stk.ask_once(intent)
        return "a no that is asked about"
    intent.code = code
    intent.state = "review" if meaning.verdict is Verdict.REVIEW else "failed"
    gateways.of(intent).note_fault(intent.account_id, meaning.fix)
    return intent.state


def _ask_gateway(intent: PaymentIntent) -> None:
    """A claim that we do not take on its word: the chaser asks now, and settles from it if the gateway says so too."""
    if intent.state in {"failed", "expired", "review"}:
        intent.state = "pending"
    if intent.state != "succeeded":
        stk.chase_claim(intent, callbacks.held_claims(intent.id))


def settle_query(intent_id: UUID, receipt: str | None = None) -> Settled | PaidNoReceipt | None:
    """The gateway itself said that this push was paid, and by which `receipt` if it tells that: settles from it, or
    from a callback that was held, or waits for the receipt."""
    intent = _lock(intent_id)
    if intent.state == "succeeded":
        return None
    gateway, account, source = gateways.of(intent), gateways.account_of(intent), _SOURCES[intent.provider][1]
    if receipt is not None:
        return _credit(account, intent, Told("", None, None, intent.amount_cents, receipt), source)
    held = callbacks.held_success(intent, gateway.read, names_amount=not gateway.names_itself)
    if held is not None:
        return _credit(account, intent, held._replace(amount_cents=intent.amount_cents), source)
    settled = _left_at_till(account, intent) if isinstance(account, MpesaAccount) else None
    if settled is None:
        intent.state = "paid_no_receipt"
    return settled or PaidNoReceipt(intent)


def _credit(account: Account, intent: PaymentIntent, said: Told, source: str) -> Settled | None:
    """What an attempt brought. None where its receipt was credited before, and nothing moved."""
    assert said.receipt is not None
    assert said.amount_cents is not None
    report = Report(said.receipt, said.amount_cents, source)
    if not receipts.credit(account, report, intent=intent):
        return None
    if intent.state == "succeeded":
        _correct_guess(intent, said.receipt)
    return receipts.pay(intent, report)


def _was_guessed(intent: PaymentIntent) -> bool:
    return suspense.guess_of(intent.id) is not None


def _correct_guess(intent: PaymentIntent, receipt: str) -> None:
    """Another payment was taken for this attempt's, at a Till: that one is whoever's it is."""
    if suspense.take_back_guess(intent.id):
        intent.receipt = receipt


def settle_report(event_id: UUID) -> Settled | None:
    """Works off one report of a payment that may be anybody's: to the attempt that it names, to the subscriber whose
    account number it names, else into suspense. Never by phone, and never by what looks similar. Twice is harmless.
    """
    query = (
        select(InboundEvent, MpesaAccount)
        .join(MpesaAccount, MpesaAccount.id == InboundEvent.mpesa_account_id)
        .where(InboundEvent.id == event_id, InboundEvent.processed_at.is_(None))
        .with_for_update(of=InboundEvent)
    )
    found = db.session.execute(query.execution_options(populate_existing=True)).one_or_none()
    if found is None:
        return None
    event, account = found
    event.outcome, settled = _weigh(event, account)
    if event.outcome != _WAITS:
        event.processed_at = clock.now()
    return settled


_WAITS = "waits for a callback"


def _weigh(event: InboundEvent, account: MpesaAccount) -> tuple[str, Settled | None]:
    """What a report comes to, in a word or two, and the money that it brings."""
    report = pull.parse(event.body, event.kind) if event.kind in pull.PROOFS else c2b.parse(event.body)
    if report is None:
        return "malformed", None
    if event.kind not in pull.PROOFS:
        if report.shortcode not in {account.business_short_code, account.party_b}:
            return "refused: another shortcode", None
        trusted = report.amount_cents < TRUSTED_BY_HAND_CENTS
        if not trusted or not mpesa.comes_from_daraja(account, event.peer):
            return "held", None
    intent = _named(account, report)
    owner = None if intent or report.reference is None else subscribers.by_account_number(report.reference)
    if intent is None and owner is None and account.kind == "till":
        return _unclaimed(event, account, report)
    if not receipts.credit(account, report, intent=intent, subscriber_id=owner.subscriber_id if owner else None):
        return "duplicate", None
    if intent is not None:
        return "settled", receipts.pay(intent, report)
    return ("settled", Settled(owner.subscriber_id, purchase_id=owner.purchase_id)) if owner else ("suspense", None)


def _named(account: MpesaAccount, report: Report) -> PaymentIntent | None:
    """The attempt whose own reference a payment carries."""
    if report.reference is None:
        return None
    return db.session.scalar(
        select(PaymentIntent)
        .where(PaymentIntent.mpesa_account_id == account.id, PaymentIntent.reference == report.reference)
        .with_for_update()
        .execution_options(populate_existing=True)
    )


def _unclaimed(event: InboundEvent, account: MpesaAccount, report: Report) -> tuple[str, Settled | None]:
    """A payment at a Till: an attempt's own callback may still claim it; then it is that of a proven one, or of the
    only one that it can be of; else it lies in suspense."""
    known = receipts.find_receipt(account, report.receipt) is not None
    # Once: whose clock is behind the database's would find it too early again, and nobody would come a third time.
    if not known and event.outcome != _WAITS and clock.now() - event.created_at < _UNCLAIMED:
        again = event.created_at + _UNCLAIMED
        outbox.put(Queue.SETTLEMENT, "settle_report", f"{event.id}:late", {"event_id": str(event.id)}, run_at=again)
        return _WAITS, None
    intent = None if known else _candidate(account, report)
    if not receipts.credit(account, report):
        return "duplicate", None
    if intent is None:
        return "suspense", None
    credited = receipts.find_receipt(account, report.receipt)
    assert credited is not None
    suspense.match_all(credited.id, intent.subscriber_id, guessed_intent_id=intent.id)
    return "settled by its amount", receipts.pay(intent, report)


def _candidate(account: MpesaAccount, report: Report) -> PaymentIntent | None:
    """The attempt for a payment's amount that went out just before it: one that is proven paid, the oldest of them,
    since each of those has one such payment and nothing else tells them apart; else the only one that is open."""
    if report.paid_at is None:
        return None
    times = [report.paid_at, report.paid_at - _EAT_AHEAD] if report.source == pull.SOURCE else [report.paid_at]
    sent = PaymentIntent.submitted_at
    query = (
        select(PaymentIntent)
        .where(
            PaymentIntent.mpesa_account_id == account.id,
            PaymentIntent.state.in_([*stk.OPEN, "paid_no_receipt"]),
            PaymentIntent.amount_cents == report.amount_cents,
            or_(*(and_(sent > at - _PAID_WITHIN, sent < at + _CLOCKS_DIFFER) for at in times)),
        )
        .order_by(sent, PaymentIntent.id)
        .with_for_update()
    )
    found = db.session.scalars(query.execution_options(populate_existing=True)).all()
    proven = [intent for intent in found if intent.state == "paid_no_receipt"]
    if proven:
        return proven[0]
    return found[0] if len(found) == 1 else None


def _left_at_till(account: MpesaAccount, intent: PaymentIntent) -> Settled | None:
    """The other way round: an attempt at a Till is proven paid, and a payment of its time and amount is nobody's."""
    if account.kind != "till" or intent.submitted_at is None:
        return None
    since, until = intent.submitted_at - _CLOCKS_DIFFER, intent.submitted_at + _PAID_WITHIN
    receipt = suspense.nobodys(account, intent.amount_cents, [(since, until), (since + _EAT_AHEAD, until + _EAT_AHEAD)])
    if receipt is None or not suspense.match_all(receipt.id, intent.subscriber_id, guessed_intent_id=intent.id):
        return None
    return receipts.pay(intent, Report(receipt.receipt, receipt.amount_cents, receipt.source))


def _lock(intent_id: UUID) -> PaymentIntent:
    query = select(PaymentIntent).where(PaymentIntent.id == intent_id).with_for_update()
    return db.session.scalars(query.execution_options(populate_existing=True)).one()
