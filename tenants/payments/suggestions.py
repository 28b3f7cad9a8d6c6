"""Whose an unmatched payment may be. Suggestions only: a person decides, and nothing is credited for likeness."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from sqlalchemy import select

from tenants import subscribers
from tenants.payments.models import ProviderReceipt, SuspenseItem, SuspenseMatch
from tenants.subscribers import Subscriber
from wavu.db import db
from wavu.errors import N_

_MOST = 5
_LOOKS_LIKE = str.maketrans("OIL", "011")


class Suggestion(NamedTuple):
    """A subscriber, their account number, and why, in words for translation."""

    subscriber: Subscriber
    number: str
    why: str


def suggest_owners(receipt: ProviderReceipt) -> list[Suggestion]:
    """Whose number the payer may have meant, and whom they paid for before; the best guess first."""
    found: dict[str, Suggestion] = {}
    for subscriber, why in _likely(receipt):
        number = subscribers.number_for(subscriber.id)
        found.setdefault(number, Suggestion(subscriber, number, why))
        if len(found) == _MOST:
            break
    return list(found.values())


def _likely(receipt: ProviderReceipt) -> Iterator[tuple[Subscriber, str]]:
    if receipt.reference:
        named = subscribers.find(receipt.reference)
        if named is not None:
            yield named, N_("The payer typed this phone or user name")
        for subscriber in subscribers.by_numbers(_slips(receipt.reference.translate(_LOOKS_LIKE))):
            yield subscriber, N_("The payer typed nearly this account number")
    if receipt.payer:
        for subscriber in _paid_for(receipt):
            yield subscriber, N_("The same payer paid for this customer before")


def _slips(typed: str) -> list[str]:
    """What was meant, if one digit is wrong, missing or too many, or two changed places."""
    if not typed.isdigit() or not 5 <= len(typed) <= 13:
        return []
    made = {typed}
    for at in range(len(typed)):
        made.add(typed[:at] + typed[at + 1 :])
        made.add(typed[:at] + typed[at + 1 : at + 2] + typed[at] + typed[at + 2 :])
        made.update(typed[:at] + digit + typed[at + 1 :] for digit in "0123456789")
        made.update(typed[:at] + digit + typed[at:] for digit in "0123456789")
    return [number for number in made if subscribers.is_account_number(number)]


def _paid_for(receipt: ProviderReceipt) -> list[Subscriber]:
    """Whom the same payer paid for: M-Pesa shows payers masked, so the first name must be the same too."""
    same = (
        ProviderReceipt.payer == receipt.payer,
        ProviderReceipt.payer_name.is_not_distinct_from(receipt.payer_name),
        ProviderReceipt.id != receipt.id,
    )
    straight = select(ProviderReceipt.subscriber_id).where(*same, ProviderReceipt.subscriber_id.is_not(None))
    matched = (
        select(SuspenseMatch.subscriber_id)
        .join(SuspenseItem, SuspenseItem.id == SuspenseMatch.item_id)
        .join(ProviderReceipt, ProviderReceipt.id == SuspenseItem.receipt_id)
        .where(*same, SuspenseMatch.amount_cents > 0)
    )
    query = select(Subscriber).where(Subscriber.id.in_(straight.limit(_MOST).union(matched.limit(_MOST))))
    return list(db.session.scalars(query.limit(_MOST)))
