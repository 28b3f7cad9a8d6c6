"""The desk: money that staff take. It goes into the customer's wallet; the cash is the collector's to hand over."""

from __future__ import annotations

from typing import NamedTuple
from uuid import UUID

from sqlalchemy import select

from tenants import ledger
from tenants.ledger import Leg, NotEnoughMoney
from tenants.payments.models import DeskPayment, DeskVoid
from tenants.payments.refusals import AlreadySpent, AlreadyVoided
from wavu import audit, ids
from wavu.db import db
from wavu.errors import NotFound

METHODS = ("cash", "bank")
SERIES = "desk receipt"


class Taken(NamedTuple):
    """A payment at the desk, and what undid it."""

    payment: DeskPayment
    void: DeskVoid | None


def take(
    *, nonce: str, subscriber_id: UUID, method: str, amount_cents: int, reference: str | None, by_id: UUID, by: str
) -> DeskPayment:
    """Writes down what a member of staff (`by_id`, called `by`) has taken, and fills the customer's wallet. The same
    nonce again is the same payment, whatever else it says. Audited."""
    known = db.session.scalar(select(DeskPayment).where(DeskPayment.nonce == nonce))
    if known is not None:
        return known
    payment_id = ids.new_id()
    posted = ledger.post(
        "desk_in",
        f"desk:{nonce}",
        [
            Leg(_place(method, by_id), -amount_cents),
            Leg(ledger.wallet(subscriber_id), amount_cents),
        ],
        facts={"payment": str(payment_id), "method": method},
    )
    if posted is None:
        # Somebody pressed twice, and the first press has committed meanwhile.
        return db.session.scalars(select(DeskPayment).where(DeskPayment.nonce == nonce)).one()
    taken = DeskPayment(
        id=payment_id,
        nonce=nonce,
        number=ledger.next_number(SERIES),
        subscriber_id=subscriber_id,
        method=method,
        amount_cents=amount_cents,
        reference=reference,
        taken_by_id=by_id,
        taken_by=by,
        transaction_id=posted,
    )
    db.session.add(taken)
    db.session.flush()
    audit.record("payment.taken", subject=taken.id, number=str(taken.number), amount_cents=str(amount_cents))
    return taken


def _place(method: str, by_id: UUID) -> str:
    """Where the money is."""
    return ledger.BANK if method == "bank" else ledger.cash(by_id)


def void(payment_id: UUID, *, reason: str, by: str) -> DeskVoid:
    """It was a mistake: the money leaves the wallet again. Audited. Raises NotFound, AlreadyVoided, or AlreadySpent
    where the wallet does not hold it any more."""
    payment = find(payment_id).payment
    try:
        posted = ledger.post(
            "desk_void",
            f"desk void:{payment.id}",
            [
                Leg(
                    ledger.BANK if payment.method == "bank" else ledger.cash(payment.taken_by_id), payment.amount_cents
                ),
                Leg(ledger.wallet(payment.subscriber_id), -payment.amount_cents),
            ],
            facts={"payment": str(payment.id)},
            reverses=payment.transaction_id,
        )
    except NotEnoughMoney:
        raise AlreadySpent from None
    except ledger.AlreadyReversed:
        raise AlreadyVoided from None
    if posted is None:
        raise AlreadyVoided
    voided = DeskVoid(id=ids.new_id(), payment_id=payment.id, reason=reason, voided_by=by, transaction_id=posted)
    db.session.add(voided)
    db.session.flush()
    audit.record("payment.voided", subject=payment.id, number=str(payment.number), reason=reason)
    return voided


def find(payment_id: UUID) -> Taken:
    """Raises NotFound, for another tenant's too."""
    query = select(DeskPayment, DeskVoid).outerjoin(DeskVoid, DeskVoid.payment_id == DeskPayment.id)
    row = db.session.execute(query.where(DeskPayment.id == payment_id)).one_or_none()
    if row is None:
        raise NotFound
    return Taken(*row)


def list_taken(*, before: UUID | None = None, limit: int = 50) -> list[Taken]:
    """The current tenant's, newest first, paged by key: pass the last one's id as `before`."""
    query = select(DeskPayment, DeskVoid).outerjoin(DeskVoid, DeskVoid.payment_id == DeskPayment.id)
    if before is not None:
        query = query.where(DeskPayment.id < before)
    return [Taken(*row) for row in db.session.execute(query.order_by(DeskPayment.id.desc()).limit(limit))]


def cash_held(person_id: UUID) -> int:
    """What a member of staff has taken in cash and not handed over, in cents."""
    return -ledger.balance(ledger.cash(person_id))
