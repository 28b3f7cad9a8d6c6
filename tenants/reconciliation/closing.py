"""Closing a day: its figures and its postings are sealed, and nothing that comes later changes them."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any, NamedTuple
from uuid import UUID

import structlog
from sqlalchemy import Uuid, bindparam, func, select, text
from sqlalchemy.dialects.postgresql import insert

from tenants import ledger
from tenants.ledger import Leg
from tenants.reconciliation.acts import lock_books
from tenants.reconciliation.matching import DayMatch, Period, match, period_of
from tenants.reconciliation.models import DayCheck, DayClose
from tenants.reconciliation.refusals import AlreadyClosed, DifferencesLeft, NotOver, StillPosting
from wavu import audit, clock, ids
from wavu.audit import AuditEntry
from wavu.db import db
from wavu.tenancy import current_tenant

log = structlog.get_logger(__name__)

# How far back the night looks for days to close, and how long after midnight it begins: what was on its way comes in.
LOOK_BACK_DAYS = 35
SETTLES_AFTER = timedelta(hours=2)

_LONG = text("SET LOCAL statement_timeout = '55s'")
# A posting carries the time at which its transaction began. Of other roles' transactions nothing is seen, or needed:
# only this one posts.
_STILL_POSTING = text("""
    SELECT EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database() AND usename = current_user
        AND xact_start < :ends_at AND pid <> pg_backend_pid())""")
_TO_BOOK = text("""
    SELECT s.environment, s.shortcode_group, s.kind, sum(s.amount_cents)::bigint AS cents FROM statement_row s
    WHERE s.tenant_id = app.tenant_id() AND s.kind IN ('charge', 'transfer') AND s.completed_at < :ends_at
        AND (SELECT true FROM booked_row b WHERE b.tenant_id = s.tenant_id AND b.statement_row_id = s.id) IS NULL
    GROUP BY s.environment, s.shortcode_group, s.kind ORDER BY 1, 2, 3""")
_BOOKED = text("""
    INSERT INTO booked_row (tenant_id, id, statement_row_id, transaction_id)
    SELECT s.tenant_id, gen_random_uuid(), s.id, :posting FROM statement_row s
    WHERE s.tenant_id = app.tenant_id() AND s.environment = :environment AND s.shortcode_group = :shortcode_group
        AND s.kind = :kind AND s.completed_at < :ends_at
        AND (SELECT true FROM booked_row b WHERE b.tenant_id = s.tenant_id AND b.statement_row_id = s.id) IS NULL
    """).bindparams(bindparam("posting", type_=Uuid))
_AGAINST = {"charge": ledger.MPESA_FEES, "transfer": ledger.BANK}


def check_day(day: date) -> DayMatch:
    """Matches a day and notes what was found, for the list of days. A closed day's list shows its close."""
    matched = match(day)
    left = matched.open
    values: dict[str, Any] = {
        "totals": matched.totals,
        "open_count": len(left),
        "open_cents": sum(abs(each.amount_cents) for each in left),
        "checked_at": clock.now(),
    }
    db.session.execute(
        insert(DayCheck)
        .values(id=ids.new_id(), tenant_id=func.app.tenant_id(), day=day, created_at=clock.now(), **values)
        .on_conflict_do_update(index_elements=["tenant_id", "day"], set_=values)
    )
    return matched


def close_day(day: date) -> DayClose:
    """Closes a day of the current tenant, all of it in the running transaction; audited.

    Charges and transfers to the bank are booked from the statement, on the day on which this happens. Raises NotOver,
    AlreadyClosed, DifferencesLeft, or StillPosting while a transaction is open that began before the day's end.
    """
    db.session.execute(_LONG)
    lock_books()
    period = period_of(day)
    if period.ends_at > clock.now():
        raise NotOver
    if find_close(day) is not None:
        raise AlreadyClosed
    if db.session.execute(_STILL_POSTING, {"ends_at": period.ends_at}).scalar_one():
        raise StillPosting
    matched = check_day(day)
    if matched.open:
        raise DifferencesLeft(count=len(matched.open))
    _book(period)
    made = DayClose(
        id=ids.new_id(), day=day, starts_at=period.starts_at, ends_at=period.ends_at, closed_by=audit.actor().name,
        totals=matched.totals, differences=[_sealed(each) for each in matched.differences], created_at=clock.now(),
    )  # fmt: skip
    db.session.add(made)
    db.session.flush()
    seal = made.seal.hex()
    audit.record("books.day_closed", subject=made.id, day=day.isoformat(), sequence=str(made.sequence), seal=seal)
    # Where logs are kept elsewhere, so is the seal.
    log.info("day closed", day=day.isoformat(), sequence=made.sequence, seal=seal)
    return made


def _sealed(difference: Any) -> dict[str, Any]:
    return {
        "kind": difference.kind, "subject": difference.subject, "amount_cents": difference.amount_cents,
        "environment": difference.environment, "shortcode_group": difference.shortcode_group, "note": difference.note,
    }  # fmt: skip


def _book(period: Period) -> None:
    """Books what the statement says of charges and of money that went to the bank, each row once and late ones too."""
    for due in db.session.execute(_TO_BOOK, {"ends_at": period.ends_at}).all():
        if due.cents == 0:
            continue
        group = {"environment": due.environment, "shortcode_group": due.shortcode_group}
        posting = ledger.post(
            f"mpesa_{due.kind}",
            f"{due.kind}s:{due.environment}:{due.shortcode_group}:{period.day}",
            [Leg(ledger.mpesa(due.shortcode_group), -due.cents), Leg(_AGAINST[due.kind], due.cents)],
            facts=group | {"day": period.day.isoformat(), "source": "statement"},
        )
        assert posting is not None
        db.session.execute(_BOOKED, group | {"kind": due.kind, "ends_at": period.ends_at, "posting": posting})


def find_close(day: date) -> DayClose | None:
    """The close of the current tenant's day; None while it is open."""
    return db.session.scalar(select(DayClose).where(DayClose.day == day))


class DayState(NamedTuple):
    """A day in a list: `close` where it is closed, else what the last look found, if anybody looked."""

    day: date
    close: DayClose | None
    check: DayCheck | None


def list_days(*, until: date, limit: int = 31) -> list[DayState]:
    """The current tenant's days from `until` backwards, as many as `limit` and none before its first one."""
    first = max(first_day(), until - timedelta(days=limit - 1))
    closes = {each.day: each for each in db.session.scalars(select(DayClose).where(DayClose.day.between(first, until)))}
    checks = {each.day: each for each in db.session.scalars(select(DayCheck).where(DayCheck.day.between(first, until)))}
    days = [until - timedelta(days=n) for n in range((until - first).days + 1)]
    return [DayState(day, closes.get(day), checks.get(day)) for day in days]


def first_day() -> date:
    """The first day that there can be anything to say of: a statement's, or the tenant's own first."""
    said = db.session.scalar(text("SELECT min(completed_at) FROM statement_row WHERE tenant_id = app.tenant_id()"))
    tenant = current_tenant()
    return clock.local_date(min(tenant.created_at, said or tenant.created_at), tenant.timezone)


def days_to_close() -> list[date]:
    """Days of the current tenant that are over, settled and not closed, oldest first; of the last weeks only."""
    until = clock.local_date(clock.now() - SETTLES_AFTER, current_tenant().timezone) - timedelta(days=1)
    return [each.day for each in reversed(list_days(until=until, limit=LOOK_BACK_DAYS)) if each.close is None]


def first_broken_seal() -> str | None:
    """Which close of the current tenant is the first that does not hold, as `2026-11-24 (close 12)`; None if all do.

    Recomputes each seal from the postings of its day and the close before it. A last close that was cut off is found
    by the audit trail, which names it.
    """
    db.session.execute(_LONG)
    closes = {each.sequence: each.day for each in db.session.execute(select(DayClose.sequence, DayClose.day))}
    for sequence in range(1, max(closes, default=0) + 1):
        if not db.session.execute(text("SELECT app.seal_holds(:n)"), {"n": sequence}).scalar_one():
            return f"{closes.get(sequence, 'missing')} (close {sequence})"
    last = db.session.scalar(
        select(AuditEntry).where(AuditEntry.action == "books.day_closed").order_by(AuditEntry.sequence.desc()).limit(1)
    )
    if last is not None and (int(last.facts["sequence"]) != max(closes, default=0) or not _has_seal(last)):
        return f"{last.facts['day']} (close {last.facts['sequence']})"
    return None


def _has_seal(entry: AuditEntry) -> bool:
    query = select(DayClose.id).where(DayClose.seal == bytes.fromhex(entry.facts["seal"]))
    found: UUID | None = db.session.scalar(query)
    return found is not None
