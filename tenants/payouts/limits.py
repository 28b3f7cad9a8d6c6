"""How much one person may pay out alone. Lower at once; higher after a day, so that a stolen session cannot first raise
the limit and then empty the account (money-and-reliability 5, P5)."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import func, select

from tenants.payouts.events import PayoutLimitRaised
from tenants.payouts.models import Payout, PayoutSetting
from wavu import audit, clock, ids, money
from wavu.db import db
from wavu.events import announce

ALONE_CENTS = 500_000
RAISE_AFTER = timedelta(hours=24)
_DAY = timedelta(hours=24)


class Limit(NamedTuple):
    """What holds now, and what will from when on."""

    alone_cents: int
    next_alone_cents: int | None
    next_from: datetime | None


def limit() -> Limit:
    """The current tenant's."""
    found = db.session.scalar(select(PayoutSetting))
    if found is None:
        return Limit(ALONE_CENTS, None, None)
    if found.next_alone_cents is not None and found.next_from is not None and found.next_from <= clock.now():
        return Limit(found.next_alone_cents, None, None)
    return Limit(found.alone_cents, found.next_alone_cents, found.next_from)


def set_limit(alone_cents: int, *, by: str) -> Limit:
    """A lower limit holds at once, a higher one in a day; owners are told of that one by mail."""
    now, before = clock.now(), limit()
    found = db.session.scalar(select(PayoutSetting).with_for_update())
    if found is None:
        found = PayoutSetting(id=ids.new_id())
        db.session.add(found)
    raised = alone_cents > before.alone_cents
    found.alone_cents = before.alone_cents if raised else alone_cents
    found.next_alone_cents, found.next_from = (alone_cents, now + RAISE_AFTER) if raised else (None, None)
    db.session.flush()
    audit.record("payouts.limit_set", amount=money.show(alone_cents), by=by)
    if raised:
        announce(PayoutLimitRaised(alone_cents, by, now.isoformat()))
    return limit()


def needs_second(person_id: UUID, amount_cents: int) -> bool:
    """Whether this, with what the person has paid out alone within a day, is more than one person may."""
    alone = db.session.scalar(
        select(func.coalesce(func.sum(Payout.amount_cents), 0)).where(
            Payout.approved_by == person_id,
            Payout.requested_by == person_id,
            Payout.approved_at > clock.now() - _DAY,
            Payout.state.not_in(["failed", "withdrawn"]),
        )
    )
    return int(alone or 0) + amount_cents > limit().alone_cents
