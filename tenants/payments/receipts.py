"""The only place that credits money from a gateway. One receipt is credited once, whoever reports it and whenever."""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple
from uuid import UUID

import structlog
from sqlalchemy import func, select
from sqlalchemy.dialects.postgresql import insert

from tenants import ledger
from tenants.gateway import Account
from tenants.ledger import Leg
from tenants.payments import gateways, suspense
from tenants.payments.models import PaymentIntent, ProviderReceipt, ReceiptWitness, SuspenseItem
from wavu import clock, ids
from wavu.db import db

log = structlog.get_logger(__name__)


class Report(NamedTuple):
    """What a source says of one payment that a gateway has taken. Money in cents, time with its zone."""

    receipt: str
    amount_cents: int
    source: str
    reference: str | None = None
    payer: str | None = None
    payer_name: str | None = None
    paid_at: datetime | None = None
    shortcode: str | None = None


class Settled(NamedTuple):
    """Money is in a wallet. `pays` tells whether it is what the intent asked for: then its purchase can be made.
    Without an intent it was paid by hand, for `purchase_id` or for nothing yet.
    """

    subscriber_id: UUID
    intent: PaymentIntent | None = None
    pays: bool = False
    purchase_id: UUID | None = None


def find_receipt(account: Account, receipt: str) -> ProviderReceipt | None:
    """A receipt that was credited, under whichever of the account's numbers."""
    return db.session.scalar(
        select(ProviderReceipt).where(
            ProviderReceipt.environment == account.environment,
            ProviderReceipt.shortcode_group == account.shortcode_group,
            ProviderReceipt.receipt == receipt,
        )
    )


def credit(
    account: Account, report: Report, *, intent: PaymentIntent | None = None, subscriber_id: UUID | None = None
) -> bool:
    """Receipt and ledger in one go: into the intent's subscriber's wallet, or the subscriber's, or into suspense.

    False where the receipt was credited before: then the source is remembered as another witness, and money that lay
    in suspense goes to the intent whose attempt is now known to have brought it.
    """
    owner = intent.subscriber_id if intent is not None else subscriber_id
    facts = {"receipt": report.receipt, "source": report.source}
    if intent is not None:
        facts["intent"] = str(intent.id)
    posted = ledger.post(
        f"{account.provider}_in",
        f"receipt:{account.environment}:{account.shortcode_group}:{report.receipt}",
        [
            Leg(account.ledger_code, -report.amount_cents),
            Leg(ledger.SUSPENSE if owner is None else ledger.wallet(owner), report.amount_cents),
        ],
        facts=facts,
    )
    if posted is None:
        return _again(account, report, intent)
    known = ProviderReceipt(
        id=ids.new_id(),
        provider=account.provider,
        environment=account.environment,
        shortcode_group=account.shortcode_group,
        receipt=report.receipt,
        amount_cents=report.amount_cents,
        source=report.source,
        intent_id=intent.id if intent is not None else None,
        subscriber_id=owner,
        transaction_id=posted,
        paid_at=report.paid_at,
        reference=report.reference,
        payer=report.payer,
        payer_name=report.payer_name,
    )
    db.session.add(known)
    if owner is None:
        db.session.flush()
        db.session.add(SuspenseItem(id=ids.new_id(), receipt_id=known.id, left_cents=report.amount_cents))
    if account.fault is not None:
        gateways.GATEWAYS[account.provider].note_works(account.id, paid=True)
    return True


def _again(account: Account, report: Report, intent: PaymentIntent | None) -> bool:
    """Another source tells of a receipt that we have. True where that moved its money out of suspense."""
    known = find_receipt(account, report.receipt)
    assert known is not None
    if known.amount_cents != report.amount_cents:
        log.error("two amounts for one receipt", receipt_id=str(known.id), source=report.source)
    if known.source != report.source:
        db.session.execute(
            insert(ReceiptWitness)
            .values(
                id=ids.new_id(), tenant_id=func.app.tenant_id(), receipt_id=known.id, source=report.source,
                created_at=clock.now(),
            )
            .on_conflict_do_nothing(index_elements=["tenant_id", "receipt_id", "source"])
        )  # fmt: skip
    if intent is None or known.amount_cents != report.amount_cents or known.subscriber_id is not None:
        return False
    return suspense.match_all(known.id, intent.subscriber_id)


def pay(intent: PaymentIntent, report: Report) -> Settled:
    """What was credited to an intent's subscriber moves the intent on: paid where it is what was asked for."""
    pays = intent.state != "succeeded" and report.amount_cents == intent.amount_cents
    if pays:
        intent.state, intent.receipt, intent.code, intent.settled_at = "succeeded", report.receipt, None, clock.now()
    elif intent.state != "succeeded":
        intent.state, intent.code = "review", "amount"
    return Settled(intent.subscriber_id, intent, pays)
