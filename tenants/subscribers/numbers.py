"""Account numbers: what a customer types at a PayBill. Digits, for a feature phone; the last one checks the others."""

from __future__ import annotations

import secrets
from collections.abc import Iterable
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import Select, func, select
from sqlalchemy.dialects.postgresql import insert

from tenants.subscribers.models import AccountNumber, Subscriber
from wavu import clock, ids
from wavu.db import db

_LENGTH = 8
# Of ten million numbers a tenant that uses a tenth meets one taken number in ten tries.
_TRIES = 20


class Owner(NamedTuple):
    """Whose wallet an account number fills, and the purchase that it is for, if it is for one."""

    subscriber_id: UUID
    purchase_id: UUID | None


def check_digit(digits: str) -> str:
    """ISO 7064 MOD 11,10: a wrong digit is always noticed, two that changed places nearly always."""
    rest = 10
    for digit in digits:
        rest = ((rest + int(digit)) % 10 or 10) * 2 % 11
    return str((11 - rest) % 10)


def is_account_number(text: str) -> bool:
    """Whether it can be one: a slip of a finger is told from a stranger's number."""
    return text.isascii() and text.isdigit() and 6 <= len(text) <= 12 and check_digit(text[:-1]) == text[-1]


def number_for(subscriber_id: UUID, purchase_id: UUID | None = None) -> str:
    """The account number of a subscriber of the current tenant, or of one purchase of theirs; made on first use."""
    mine = select(AccountNumber.number).where(
        AccountNumber.subscriber_id == subscriber_id, AccountNumber.purchase_id.is_not_distinct_from(purchase_id)
    )
    return db.session.scalar(mine) or _new_number(subscriber_id, purchase_id, mine)


def new_number_for(subscriber_id: UUID, purchase_id: UUID) -> str:
    """As number_for, for a purchase that has probably none yet: one statement then."""
    mine = select(AccountNumber.number).where(
        AccountNumber.subscriber_id == subscriber_id, AccountNumber.purchase_id == purchase_id
    )
    return _new_number(subscriber_id, purchase_id, mine)


def _new_number(subscriber_id: UUID, purchase_id: UUID | None, mine: Select[str]) -> str:
    for _ in range(_TRIES):
        digits = secrets.choice("123456789") + "".join(secrets.choice("0123456789") for _ in range(_LENGTH - 2))
        made: str | None = db.session.scalar(
            insert(AccountNumber)
            .values(
                id=ids.new_id(),
                tenant_id=func.app.tenant_id(),
                number=digits + check_digit(digits),
                subscriber_id=subscriber_id,
                purchase_id=purchase_id,
                created_at=clock.now(),
            )
            .on_conflict_do_nothing()
            .returning(AccountNumber.number)
        )
        # None: the digits are taken, or another has given it a number meanwhile.
        if made is not None or (made := db.session.scalar(mine)) is not None:
            return made
    raise RuntimeError("no free account number was found")


def by_account_number(text: str) -> Owner | None:
    """Whose number that is, in the current tenant; compared exactly. None for a number that cannot be one, too."""
    if not is_account_number(text):
        return None
    query = select(AccountNumber.subscriber_id, AccountNumber.purchase_id).where(AccountNumber.number == text)
    row = db.session.execute(query).first()
    return Owner(*row) if row is not None else None


def by_numbers(numbers: Iterable[str]) -> list[Subscriber]:
    """The subscribers whose account numbers are among these."""
    query = select(Subscriber).join(AccountNumber, AccountNumber.subscriber_id == Subscriber.id)
    return list(db.session.scalars(query.where(AccountNumber.number.in_(list(numbers))).distinct()))
