"""What people do about a difference: credit what never reached us, book what was taken back, explain, follow up."""

from __future__ import annotations

from datetime import date
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm import aliased

from tenants import access, checkout, ledger, payments
from tenants.ledger import LedgerTransaction, Leg, NotEnoughMoney
from tenants.mpesa import MpesaAccount
from tenants.payments import PaymentIntent, ProviderReceipt
from tenants.reconciliation.matching import Difference, match
from tenants.reconciliation.models import BookedRow, DifferenceDecision, StatementRow
from tenants.reconciliation.refusals import NoSuchDifference
from wavu import audit, clock, ids
from wavu.db import db, one_at_a_time
from wavu.errors import NotFound
from wavu.tenancy import current_tenant

_TRIES = 3
# What one press credits at most; the next press takes the next ones.
CREDIT_AT_ONCE = 200


def lock_books() -> None:
    """Holds back whoever closes a day or settles differences of the current tenant, until this transaction ends."""
    one_at_a_time(f"books of {current_tenant().id}")


def _of(day: date, kind: str, subject: str | None) -> list[Difference]:
    """The open differences of a kind, or the one of a subject. Raises NoSuchDifference where there is none."""
    lock_books()
    found = [each for each in match(day).open if each.kind == kind and subject in {None, each.subject}]
    if not found:
        raise NoSuchDifference
    return found


def _row(difference: Difference, kind: str) -> StatementRow:
    return db.session.scalars(
        select(StatementRow).where(
            StatementRow.environment == difference.environment,
            StatementRow.shortcode_group == difference.shortcode_group,
            StatementRow.receipt == difference.subject,
            StatementRow.kind == kind,
        )
    ).one()


def credit(day: date, subject: str | None = None) -> int:
    """Credits what Safaricom's statement has and we do not: one receipt, or all of a day. Returns how many. Audited.

    The statement is one more witness, and goes the way of all others: to the attempt or the account number that the
    payment names, else into suspense. At a Till it may take two minutes. Raises NoSuchDifference.
    """
    found = _of(day, "missing_with_us", subject)[:CREDIT_AT_ONCE]
    accounts = {(each.environment, each.shortcode_group): each for each in db.session.scalars(select(MpesaAccount))}
    for difference in found:
        row = _row(difference, "payment")
        account = accounts[difference.environment, difference.shortcode_group]
        told = {
            "transactionId": row.receipt,
            "trxDate": row.completed_at.isoformat(),
            "amount": f"{row.amount_cents // 100}.{row.amount_cents % 100:02}",
            "billreference": row.account_reference,
            "msisdn": row.other_party[:80],
        }
        event_id = payments.store_statement_row(account.id, told)
        if event_id is not None:
            checkout.settle_report(event_id)
        audit.record(
            "books.credited_from_statement", subject=row.id, receipt=row.receipt, amount_cents=str(row.amount_cents)
        )
    return len(found)


def accept(day: date, kind: str, subject: str | None, note: str) -> int:
    """Explains one difference, or all open ones of a kind: a day can be closed with it. Returns how many. Audited.

    It holds for this very amount: where the facts change, the difference is open again. Raises NoSuchDifference.
    """
    return _decide(day, _of(day, kind, subject), "accepted", note)


def open_case(day: date, kind: str, subject: str, note: str) -> None:
    """Says that somebody follows a difference up; the day can be closed meanwhile. Audited. Raises NoSuchDifference."""
    _decide(day, _of(day, kind, subject), "case_opened", note)


def _decide(day: date, found: list[Difference], decision: str, note: str) -> int:
    for each in found:
        _write(day, each.kind, each.subject, each.amount_cents, decision, note)
    return len(found)


def _write(day: date, kind: str, subject: str, amount_cents: int, decision: str, note: str) -> None:
    db.session.add(
        DifferenceDecision(
            id=ids.new_id(), day=day, kind=kind, subject=subject, amount_cents=amount_cents, decision=decision,
            note=note, actor=audit.actor().name,
        )
    )  # fmt: skip
    db.session.flush()
    what = {
        "accepted": "books.difference_accepted",
        "case_opened": "books.case_opened",
        "case_resolved": "books.case_resolved",
    }
    _record(what[decision], day, subject, amount_cents, note)


def _record(action: str, day: date, subject: str, amount_cents: int, note: str) -> None:
    audit.record(action, subject=subject, day=day.isoformat(), about=subject, amount_cents=str(amount_cents), note=note)


def open_cases(*, before: UUID | None = None, case_id: UUID | None = None, limit: int = 50) -> list[DifferenceDecision]:
    """The current tenant's cases that nobody resolved, newest first, paged by key: pass the last one's id."""
    later = aliased(DifferenceDecision)
    resolved = select(later.id).where(
        later.kind == DifferenceDecision.kind,
        later.subject == DifferenceDecision.subject,
        later.decision == "case_resolved",
        later.id > DifferenceDecision.id,
    )
    query = select(DifferenceDecision).where(DifferenceDecision.decision == "case_opened", ~resolved.exists())
    if case_id is not None:
        query = query.where(DifferenceDecision.id == case_id)
    if before is not None:
        query = query.where(DifferenceDecision.id < before)
    return list(db.session.scalars(query.order_by(DifferenceDecision.id.desc()).limit(limit)))


def find_case(case_id: UUID) -> DifferenceDecision:
    """An open case. Raises NotFound, for another tenant's and a resolved one too."""
    lock_books()
    found = open_cases(case_id=case_id)
    if not found:
        raise NotFound
    return found[0]


def resolve_case(case: DifferenceDecision, note: str) -> None:
    """Ends a case with what came of it. Audited."""
    _write(case.day, case.kind, case.subject, case.amount_cents, "case_resolved", note)


def take_back(day: date, subject: str, note: str) -> None:
    """Books a reversal that was made outside: out of the wallet what is there, the rest is owed by the customer.

    The right that was bought with it ends, and a case is opened: somebody should talk to the customer. Audited. Raises
    NoSuchDifference.
    """
    (difference,) = _of(day, "reversed_outside", subject)
    row = _row(difference, "reversal")
    receipt = db.session.scalars(
        select(ProviderReceipt).where(
            ProviderReceipt.environment == row.environment,
            ProviderReceipt.shortcode_group == row.shortcode_group,
            ProviderReceipt.receipt == row.linked_receipt,
        )
    ).one()
    posted = _post_reversal(row, receipt)
    db.session.add(BookedRow(id=ids.new_id(), statement_row_id=row.id, transaction_id=posted))
    ended = _end_service(receipt)
    _record("books.reversal_booked", day, subject, row.amount_cents, note)
    _write(day, difference.kind, subject, row.amount_cents, "case_opened", note)
    if ended is not None:
        audit.record("access.ended", subject=ended, because="reversed", receipt=receipt.receipt)


def _post_reversal(row: StatementRow, receipt: ProviderReceipt) -> UUID:
    """Takes money that is gone out of the wallet, as far as it goes, and makes the rest a debt; out of suspense where
    nobody is known to own it. Returns the posting, which may be an earlier one: a receipt is taken back once."""
    key, back = f"srev:{receipt.receipt}", -row.amount_cents
    earlier = db.session.scalar(select(LedgerTransaction.id).where(LedgerTransaction.key == key))
    if earlier is not None:
        return earlier
    waiting = payments.take_out(receipt.id, back)
    owner = receipt.subscriber_id or payments.owner_found(receipt.id)
    for _ in range(_TRIES):
        there = 0 if owner is None else min(back - waiting, max(0, ledger.balance(ledger.wallet(owner))))
        legs = [
            Leg(ledger.mpesa(row.shortcode_group), back),
            Leg(ledger.SUSPENSE, -waiting),
            Leg(ledger.wallet(owner or receipt.id), -there),
            Leg(ledger.receivable(owner or receipt.id), waiting + there - back),
        ]
        facts = {"receipt": receipt.receipt, "reversal": row.receipt, "source": "statement"}
        try:
            posted = ledger.post("reversed_outside", key, [leg for leg in legs if leg.amount_cents], facts=facts)
        except NotEnoughMoney:  # It was spent meanwhile.
            continue
        assert posted is not None
        return posted
    raise NotEnoughMoney


def _end_service(receipt: ProviderReceipt) -> UUID | None:
    """Ends the right that a receipt's attempt bought; None where there is none that still runs."""
    if receipt.intent_id is None:
        return None
    purchase_id = db.session.scalars(
        select(PaymentIntent.purchase_id).where(PaymentIntent.id == receipt.intent_id)
    ).one()
    ended = access.end(purchase_id, clock.now())
    return ended.id if ended is not None else None
