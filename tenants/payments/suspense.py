"""Suspense: money that came and nobody is known to own. It is in sight until it is matched, to the shilling."""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import func, or_, select

from tenants import ledger
from tenants.ledger import Leg
from tenants.mpesa import MpesaAccount
from tenants.payments.models import ProviderReceipt, SuspenseItem, SuspenseMatch
from tenants.payments.refusals import MoreThanLeft
from wavu import audit, ids
from wavu.db import db
from wavu.errors import NotFound


class Unmatched(NamedTuple):
    """A receipt in suspense, and what of it is left there."""

    item: SuspenseItem
    receipt: ProviderReceipt


def list_unmatched(*, before: UUID | None = None, limit: int = 50) -> list[Unmatched]:
    """The current tenant's, newest first, paged by key: pass the last item's id as `before`."""
    query = (
        select(SuspenseItem, ProviderReceipt)
        .join(ProviderReceipt, ProviderReceipt.id == SuspenseItem.receipt_id)
        .where(SuspenseItem.left_cents > 0)
        .order_by(SuspenseItem.id.desc())
        .limit(limit)
    )
    if before is not None:
        query = query.where(SuspenseItem.id < before)
    return [Unmatched(*row) for row in db.session.execute(query)]


def find_unmatched(item_id: UUID, *, lock: bool = False) -> Unmatched:
    """Raises NotFound, for another tenant's too."""
    query = (
        select(SuspenseItem, ProviderReceipt)
        .join(ProviderReceipt, ProviderReceipt.id == SuspenseItem.receipt_id)
        .where(SuspenseItem.id == item_id)
        .execution_options(populate_existing=True)
    )
    row = db.session.execute(query.with_for_update(of=SuspenseItem) if lock else query).one_or_none()
    if row is None:
        raise NotFound
    return Unmatched(*row)


def match(item_id: UUID, subscriber_id: UUID, amount_cents: int) -> None:
    """A person says whose money it is, or a part of it: into that wallet. Audited. Raises NotFound or MoreThanLeft."""
    if amount_cents <= 0:
        raise MoreThanLeft
    found = find_unmatched(item_id, lock=True)
    _move(found, subscriber_id, amount_cents)
    audit.record(
        "payment.matched", subject=found.receipt.id, receipt=found.receipt.receipt, amount_cents=str(amount_cents)
    )


def match_all(receipt_id: UUID, subscriber_id: UUID, *, guessed_intent_id: UUID | None = None) -> bool:
    """A proof, or a guess, says whose money a receipt in suspense is. False where it is not all there any more."""
    item_id = db.session.scalar(select(SuspenseItem.id).where(SuspenseItem.receipt_id == receipt_id))
    if item_id is None:
        return False
    found = find_unmatched(item_id, lock=True)
    if found.item.left_cents != found.receipt.amount_cents:
        return False
    _move(found, subscriber_id, found.item.left_cents, guessed_intent_id=guessed_intent_id)
    return True


def left_of(receipt_id: UUID) -> int:
    """What of a receipt lies in suspense, in cents; 0 for one that never did."""
    return db.session.scalar(select(SuspenseItem.left_cents).where(SuspenseItem.receipt_id == receipt_id)) or 0


def owners_of(receipt_id: UUID) -> list[UUID]:
    """The subscribers to whom the money of a receipt was matched, and not taken back."""
    query = (
        select(SuspenseMatch.subscriber_id)
        .join(SuspenseItem, SuspenseItem.id == SuspenseMatch.item_id)
        .where(SuspenseItem.receipt_id == receipt_id)
        .group_by(SuspenseMatch.subscriber_id)
        .having(func.sum(SuspenseMatch.amount_cents) > 0)
        .order_by(SuspenseMatch.subscriber_id)
    )
    return list(db.session.scalars(query))


def set_aside(receipt_id: UUID, amount_cents: int) -> None:
    """Takes money of a receipt out of suspense, for it goes back to its payer; below nothing puts it there again. The
    caller posts it, in the same transaction. Raises MoreThanLeft."""
    item = db.session.scalar(select(SuspenseItem).where(SuspenseItem.receipt_id == receipt_id).with_for_update())
    if item is None or item.left_cents < amount_cents:
        raise MoreThanLeft
    item.left_cents -= amount_cents
    db.session.flush()


def nobodys(account: MpesaAccount, amount_cents: int, spans: list[tuple[datetime, datetime]]) -> ProviderReceipt | None:
    """The oldest payment of so much to an account, made in one of these spans without an account number, of which
    nothing has been matched."""
    query = (
        select(ProviderReceipt)
        .join(SuspenseItem, SuspenseItem.receipt_id == ProviderReceipt.id)
        .where(
            SuspenseItem.left_cents == amount_cents,
            ProviderReceipt.amount_cents == amount_cents,
            ProviderReceipt.environment == account.environment,
            ProviderReceipt.shortcode_group == account.shortcode_group,
            ProviderReceipt.reference.is_(None),
            or_(*(ProviderReceipt.paid_at.between(*span) for span in spans)),
        )
        .order_by(SuspenseItem.id)
        .limit(1)
        .with_for_update(of=SuspenseItem, skip_locked=True)
    )
    return db.session.scalar(query)


def guess_of(intent_id: UUID) -> SuspenseMatch | None:
    """The payment that was guessed to be an attempt's, and was not taken back."""
    matches = db.session.scalars(select(SuspenseMatch).where(SuspenseMatch.guessed_intent_id == intent_id)).all()
    return matches[0] if len(matches) == 1 else None


def guessed_for(receipt_id: UUID) -> UUID | None:
    """The attempt that a payment was guessed to be of, where that was not taken back."""
    query = (
        select(SuspenseMatch.guessed_intent_id)
        .join(SuspenseItem, SuspenseItem.id == SuspenseMatch.item_id)
        .where(SuspenseItem.receipt_id == receipt_id, SuspenseMatch.guessed_intent_id.is_not(None))
        .group_by(SuspenseMatch.guessed_intent_id)
        .having(func.sum(SuspenseMatch.amount_cents) > 0)
        .limit(1)
    )
    return db.session.scalar(query)


def take_back_guess(intent_id: UUID) -> bool:
    """The attempt was paid by another receipt: the money that was guessed to be its goes back into suspense. False
    where there is no guess. Raises NotEnoughMoney where the wallet has spent it."""
    guess = guess_of(intent_id)
    if guess is None:
        return False
    found = find_unmatched(guess.item_id, lock=True)
    _move(found, guess.subscriber_id, -guess.amount_cents, guessed_intent_id=intent_id)
    return True


def take_out(receipt_id: UUID, most_cents: int) -> int:
    """Money of a receipt that M-Pesa took back waits for no owner any more: as much of it as is left, up to so much.
    Returns the cents; the caller books them."""
    item_id = db.session.scalar(select(SuspenseItem.id).where(SuspenseItem.receipt_id == receipt_id))
    if item_id is None:
        return 0
    item = find_unmatched(item_id, lock=True).item
    taken = min(item.left_cents, most_cents)
    item.left_cents -= taken
    db.session.flush()
    return taken


def owner_found(receipt_id: UUID) -> UUID | None:
    """The one subscriber to whom a receipt in suspense was matched; None where there is none, or more than one."""
    query = (
        select(SuspenseMatch.subscriber_id)
        .join(SuspenseItem, SuspenseItem.id == SuspenseMatch.item_id)
        .where(SuspenseItem.receipt_id == receipt_id)
        .group_by(SuspenseMatch.subscriber_id)
        .having(func.sum(SuspenseMatch.amount_cents) > 0)
        .limit(2)
    )
    found = db.session.scalars(query).all()
    return found[0] if len(found) == 1 else None


def _move(found: Unmatched, subscriber_id: UUID, amount_cents: int, *, guessed_intent_id: UUID | None = None) -> None:
    if amount_cents == 0 or not 0 <= found.item.left_cents - amount_cents <= found.receipt.amount_cents:
        raise MoreThanLeft
    match_id = ids.new_id()
    posted = ledger.post(
        "suspense_match",
        f"match:{match_id}",
        [Leg(ledger.SUSPENSE, -amount_cents), Leg(ledger.wallet(subscriber_id), amount_cents)],
        facts={"receipt": found.receipt.receipt},
    )
    assert posted is not None
    found.item.left_cents -= amount_cents
    db.session.add(
        SuspenseMatch(
            id=match_id,
            item_id=found.item.id,
            subscriber_id=subscriber_id,
            guessed_intent_id=guessed_intent_id,
            amount_cents=amount_cents,
            transaction_id=posted,
        )
    )
    db.session.flush()
