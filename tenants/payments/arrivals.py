"""What staff see of the money that came: receipts, and reports that nobody has proven."""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import or_, select

from tenants import airtel
from tenants.gateway import Told
from tenants.payments import by_staff, c2b, callbacks
from tenants.payments.models import InboundEvent, ProviderReceipt, ReceiptWitness, SuspenseItem
from tenants.payments.receipts import Report
from wavu.db import db


class Arrival(NamedTuple):
    """A receipt, and what of its money lies in suspense, in cents. One that staff typed in is not `proven` until M-Pesa
    has told of it too."""

    receipt: ProviderReceipt
    left_cents: int
    was_unmatched: bool
    proven: bool


class Unproven(NamedTuple):
    """A payment that somebody reported, and that M-Pesa has not confirmed."""

    receipt: str | None
    amount_cents: int | None
    reported_at: datetime


def list_arrivals(*, before: UUID | None = None, receipt: str | None = None, limit: int = 50) -> list[Arrival]:
    """The current tenant's receipts, newest first, paged by key: pass the last one's id as `before`. With `receipt`
    those of that code only."""
    witnessed = select(ReceiptWitness.id).where(ReceiptWitness.receipt_id == ProviderReceipt.id).exists()
    query = (
        select(ProviderReceipt, SuspenseItem.left_cents, or_(ProviderReceipt.source != by_staff.SOURCE, witnessed))
        .outerjoin(SuspenseItem, SuspenseItem.receipt_id == ProviderReceipt.id)
        .order_by(ProviderReceipt.id.desc())
        .limit(limit)
    )
    if before is not None:
        query = query.where(ProviderReceipt.id < before)
    if receipt is not None:
        query = query.where(ProviderReceipt.receipt == receipt)
    rows = db.session.execute(query)
    return [Arrival(receipt, left or 0, left is not None, proven) for receipt, left, proven in rows]


def is_proven(receipt: ProviderReceipt) -> bool:
    """Whether M-Pesa itself has told of a receipt: staff may have typed it in."""
    witness = select(ReceiptWitness.id).where(ReceiptWitness.receipt_id == receipt.id).limit(1)
    return receipt.source != by_staff.SOURCE or db.session.scalar(witness) is not None


def list_unproven(*, limit: int = 50) -> list[Unproven]:
    """Reports that are held, newest first, without those whose receipt has been credited since."""
    query = select(InboundEvent).where(InboundEvent.outcome == "held").order_by(InboundEvent.id.desc()).limit(limit)
    found = [_unproven(event) for event in db.session.scalars(query)]
    named = [claim.receipt for claim in found if claim.receipt]
    known = set(db.session.scalars(select(ProviderReceipt.receipt).where(ProviderReceipt.receipt.in_(named))))
    return [claim for claim in found if claim.receipt not in known]


def _unproven(event: InboundEvent) -> Unproven:
    said: Told | Report | None
    if event.kind == "airtel":
        said = airtel.GATEWAY.read(event.body)
    else:
        said = callbacks.parse(event.body) if event.kind == "stk" else c2b.parse(event.body)
    return Unproven(said.receipt if said else None, said.amount_cents if said else None, event.created_at)
