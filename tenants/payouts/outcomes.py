"""How a payout ends, and what its end posts. The only place that lets set-aside money go."""

from __future__ import annotations

from uuid import UUID

import structlog
from sqlalchemy import select

from tenants import ledger, mpesa, payments
from tenants.gateway import Meaning, Verdict
from tenants.ledger import Leg
from tenants.mpesa import initiator
from tenants.mpesa.initiator import Result
from tenants.payments import ProviderReceipt
from tenants.payouts.models import Payout
from tenants.payouts.refusals import NotOpen, SamePerson
from tenants.payouts.requests import Who, locked, release
from wavu import audit, clock, money
from wavu.db import db

log = structlog.get_logger(__name__)

# Life of a transaction: Initiated → Authorized → one of these (build sheet 8). Only the first moved money.
_DONE, _OVER = "Completed", {"Cancelled", "Declined", "Expired", "Failed"}


def settle_result(event_id: UUID) -> Payout | None:
    """Works off what M-Pesa told about a request, and the payout that it is about. Twice, late and out of order are
    harmless. Returns a payout that M-Pesa must be asked about now: it does not know itself, or we do not believe it."""
    answered = mpesa.read_result(event_id)
    if answered is None or answered.request.subject_id is None or answered.request.receipt is not None:
        return None
    payout = locked(answered.request.subject_id)
    if answered.result is None or answered.meaning is None:
        # A time-out of M-Pesa's queue says that nobody knows. A result may still come.
        if answered.request.api != "status" and payout.state in {"sending", "accepted"}:
            payout.state = "unknown"
            return payout
        return None
    if not answered.trusted:
        return payout if payout.state not in {"paid", "withdrawn"} and answered.request.api != "status" else None
    if answered.request.api == "status":
        _weigh_status(payout, answered.result)
        return None
    return _weigh_result(payout, answered.result, answered.meaning)


def _weigh_result(payout: Payout, result: Result, meaning: Meaning) -> Payout | None:
    if meaning.verdict is Verdict.SUCCESS:
        said = initiator.cents(result.first("TransactionAmount") or result.first("Amount"))
        receipt = result.receipt or initiator.receipt_in(result.first("TransactionReceipt"))
        if said is not None and said != payout.amount_cents:
            _to_review(payout, "amount")
        else:
            # R000001 says that it was reversed before: it brings no receipt of ours.
            pay(payout, receipt if result.code == "0" else None, initiator.fee_in(result), result.code)
        return None
    if meaning.verdict in {Verdict.FINAL, Verdict.CONFIG, Verdict.WAIT}:
        fail(payout, result.code)
        return None
    if payout.state in {"sending", "accepted", "unknown"}:
        # A code that nobody has seen is no definite no.
        payout.state, payout.code = ("review" if meaning.verdict is Verdict.REVIEW else "unknown"), result.code
        return payout
    return None


def _weigh_status(payout: Payout, result: Result) -> None:
    """What Transaction Status says. That it knows of no such payment is no proof: it may be on its way still."""
    found = initiator.transaction_in(result)
    if found is None:
        return
    if found.status == _DONE:
        if found.amount_cents is not None and found.amount_cents != payout.amount_cents:
            _to_review(payout, "amount")
        else:
            pay(payout, found.receipt, found.fee_cents, "0")
    elif found.status in _OVER:
        fail(payout, found.status.lower())


def pay(payout: Payout, receipt: str | None, fee_cents: int | None, code: str) -> None:
    """The money has left. After a failure that was told before it counts all the same."""
    if payout.state == "paid":
        if receipt is not None and payout.receipt is None:
            payout.receipt = receipt
        elif receipt is not None and receipt != payout.receipt:
            log.critical("two receipts for one payout", payout=str(payout.id))
        return
    if payout.state in {"draft", "withdrawn"}:
        log.critical("a payout was paid that was never sent", payout=str(payout.id))
        return
    out = _paid_from(payout)
    if payout.state == "failed":
        log.critical("a payout was paid that had failed", payout=str(payout.id))
        _take_late(payout, out)
    else:
        ledger.post(
            "refund_paid",
            f"rf-ok:{payout.id}",
            [Leg(ledger.REFUND_PENDING, -payout.amount_cents), Leg(out, payout.amount_cents)],
            facts={"payout": str(payout.id), "receipt": receipt},
        )
    if fee_cents:
        fee = [Leg(ledger.MPESA_FEES, -fee_cents), Leg(out, fee_cents)]
        ledger.post("refund_fee", f"rf-fee:{payout.id}", fee, facts={"payout": str(payout.id)})
    payout.state, payout.code, payout.receipt = "paid", code, receipt
    payout.fee_cents, payout.settled_at = fee_cents, clock.now()
    db.session.flush()
    audit.record("payouts.paid", subject=payout.id, amount=money.show(payout.amount_cents))


def _paid_from(payout: Payout) -> str:
    """B2C leaves the account that pays out; a reversal, the one that the payment came to."""
    if payout.method == "b2c":
        return ledger.MPESA_PAYOUTS
    query = select(ProviderReceipt.shortcode_group).where(ProviderReceipt.id == payout.receipt_id)
    return ledger.mpesa(db.session.scalars(query).one())


def _take_late(payout: Payout, out: str) -> None:
    """Its money was given back: what is left of it there pays, and the customer owes the rest."""
    there = min(payout.amount_cents, max(0, ledger.balance(payout.source_code)))
    if payout.source_code == ledger.SUSPENSE and payout.receipt_id is not None:
        there = min(there, payments.left_of(payout.receipt_id))
        payments.set_aside(payout.receipt_id, there)
    owed = payout.amount_cents - there
    sources = [(payout.source_code, there), (ledger.receivable(payout.subscriber_id), owed)]
    legs = [Leg(code, -cents) for code, cents in sources if cents]
    ledger.post(
        "refund_paid", f"rf-late:{payout.id}", [*legs, Leg(out, payout.amount_cents)],
        facts={"payout": str(payout.id)},
    )  # fmt: skip


def fail(payout: Payout, code: str) -> None:
    """A definite no: the set-aside money goes back. A no after a yes, or a second one, changes nothing."""
    if payout.state not in {"sending", "accepted", "unknown", "review"}:
        return
    release(payout)
    payout.state, payout.code, payout.settled_at = "failed", code[:40], clock.now()
    db.session.flush()
    audit.record("payouts.failed", subject=payout.id, amount=money.show(payout.amount_cents), code=code[:40])


def _to_review(payout: Payout, code: str) -> None:
    if payout.state in {"sending", "accepted", "unknown"}:
        payout.state, payout.code = "review", code


def decide(payout_id: UUID, *, receipt: str | None, by: Who) -> Payout:
    """A person has looked at M-Pesa's statement: the payout has left with this receipt, or (None) it never did.

    Only where M-Pesa has not told in a day, or told something that nobody understands. Raises NotOpen, or SamePerson
    where a second person had to approve: then it is not for who asked for it to say. Raises ValueError for what cannot
    be a receipt.
    """
    payout = locked(payout_id)
    if payout.state != "review":
        raise NotOpen
    if payout.needs_second and by.id == payout.requested_by:
        raise SamePerson
    if receipt is not None and initiator.receipt_in(receipt) is None:
        raise ValueError("this is no receipt of M-Pesa's")
    audit.record(
        "payouts.decided", subject=payout.id, amount=money.show(payout.amount_cents), receipt=receipt or "-", by=by.name
    )
    if receipt is None:
        fail(payout, "statement")
    else:
        pay(payout, receipt, None, "statement")
    return payout
