"""Three-way match of a day: Safaricom's statement, what we credited, and the service that was given for it.

Everything is one question to the database over the whole day, so that a hundred thousand payments cost seconds. A
payment belongs to the day on which Safaricom completed it; what no statement has, to the day on which we heard of it.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, datetime, time, timedelta
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

from sqlalchemy import select, text

from tenants.mpesa import MpesaAccount
from tenants.reconciliation.models import Statement
from wavu import clock
from wavu.db import db
from wavu.tenancy import current_tenant

# What may differ, in the order in which it is shown; the templates have the words.
KINDS = (
    "missing_with_us", "not_at_safaricom", "amount_differs", "reversed_outside", "paid_without_service",
    "service_without_money", "unmatched", "unexplained", "no_statement",
)  # fmt: skip


# A day of a hundred thousand payments on a machine that is busy.
_LONG = text("SET LOCAL statement_timeout = '55s'")


class Period(NamedTuple):
    """A day where the tenant lives: from an instant until before another."""

    day: date
    starts_at: datetime
    ends_at: datetime


class Difference(NamedTuple):
    """One thing that does not fit, and its price. `subject` is a receipt, a purchase's id, or a shortcode's group.

    `amount_cents` is what Safaricom says less what we say, where it is about money that moved; else what is at stake.
    `explained` tells whether a person said so of this very amount.
    """

    kind: str
    subject: str
    amount_cents: int
    environment: str
    shortcode_group: str
    about: str
    at: datetime | None
    explained: bool = False
    note: str | None = None


class DayMatch(NamedTuple):
    """What a day comes to. `totals` is the JSON that a close seals: see totals_of."""

    period: Period
    totals: dict[str, Any]
    differences: list[Difference]

    @property
    def open(self) -> list[Difference]:
        return [each for each in self.differences if not each.explained]


def period_of(day: date) -> Period:
    """The current tenant's day."""
    zone = ZoneInfo(current_tenant().timezone)
    start, end = (datetime.combine(at, time(), zone) for at in (day, day + timedelta(days=1)))
    return Period(day, start.astimezone(ZoneInfo("UTC")), end.astimezone(ZoneInfo("UTC")))


# When a receipt's money moved. Not coalesce(): PostgreSQL takes that for an expression that may leak rows, and asks no
# index about it before row-level security has looked at each row.
MOVED_AT = "CASE WHEN r.paid_at IS NULL THEN r.created_at ELSE r.paid_at END"

# Rows of the statement that fall into the period, and receipts of ours that no statement has. A question inside IS NULL
# is asked of the index, row by row; NOT EXISTS becomes a join, and of a table that was filled a moment ago PostgreSQL
# believes that it is empty and takes the one for few rows: a hundred thousand times a hundred thousand.
_FACTS = f"""
    WITH stated AS MATERIALIZED (
        SELECT s.id, s.environment, s.shortcode_group, s.receipt, s.kind, s.amount_cents, s.completed_at,
            s.linked_receipt, coalesce(nullif(s.details, ''), s.other_party) AS about, r.id AS receipt_id,
            r.amount_cents AS ours_cents
        FROM statement_row s LEFT JOIN provider_receipt r ON s.kind = 'payment' AND r.tenant_id = s.tenant_id
            AND r.environment = s.environment AND r.shortcode_group = s.shortcode_group AND r.receipt = s.receipt
        WHERE s.tenant_id = app.tenant_id() AND s.completed_at >= :starts_at AND s.completed_at < :ends_at),
    unstated AS MATERIALIZED (
        SELECT r.id, r.environment, r.shortcode_group, r.receipt, r.amount_cents,
            {MOVED_AT} AS moved_at,
            r.source = 'pull' OR EXISTS (SELECT FROM receipt_witness w WHERE w.tenant_id = r.tenant_id
                AND w.receipt_id = r.id AND w.source = 'pull') AS pulled,
            EXISTS (SELECT FROM statement c WHERE c.tenant_id = r.tenant_id AND c.environment = r.environment
                AND c.shortcode_group = r.shortcode_group AND {MOVED_AT} >= c.covers_from
                AND {MOVED_AT} < c.covers_until) AS covered
        FROM provider_receipt r WHERE r.tenant_id = app.tenant_id()
            AND {MOVED_AT} >= :starts_at AND {MOVED_AT} < :ends_at
            AND (SELECT true FROM statement_row s WHERE s.tenant_id = r.tenant_id AND s.environment = r.environment
                AND s.shortcode_group = r.shortcode_group AND s.receipt = r.receipt AND s.kind = 'payment') IS NULL)
"""

_DIFFERENCES = text(
    _FACTS
    + """,
    found AS (
        SELECT 'missing_with_us' AS kind, receipt AS subject, amount_cents, environment, shortcode_group, about,
            completed_at AS at
        FROM stated WHERE kind = 'payment' AND receipt_id IS NULL
        UNION ALL
        SELECT 'amount_differs', receipt, amount_cents - ours_cents, environment, shortcode_group, about, completed_at
        FROM stated WHERE kind = 'payment' AND amount_cents <> ours_cents
        UNION ALL
        SELECT 'not_at_safaricom', receipt, -amount_cents, environment, shortcode_group, '', moved_at
        FROM unstated WHERE covered
        UNION ALL
        SELECT 'no_statement', environment || ' ' || shortcode_group,
            -coalesce((SELECT sum(amount_cents) FROM unstated u WHERE u.environment = g.environment
                AND u.shortcode_group = g.shortcode_group AND NOT covered AND NOT pulled), 0)::bigint,
            environment, shortcode_group, '', NULL
        FROM unnest(cast(:bare_environments AS text[]), cast(:bare_groups AS text[]))
            AS g (environment, shortcode_group)
        UNION ALL
        SELECT CASE WHEN r.id IS NULL THEN 'unexplained' ELSE 'reversed_outside' END, s.receipt, s.amount_cents,
            s.environment, s.shortcode_group, coalesce(s.linked_receipt || ' ', '') || s.about, s.completed_at
        FROM stated s LEFT JOIN provider_receipt r ON r.tenant_id = app.tenant_id() AND s.kind = 'reversal'
            AND r.environment = s.environment AND r.shortcode_group = s.shortcode_group
            AND r.receipt = s.linked_receipt
        WHERE s.kind IN ('reversal', 'payout', 'other') AND NOT EXISTS (SELECT FROM booked_row b
            WHERE b.tenant_id = app.tenant_id() AND b.statement_row_id = s.id)
            AND NOT EXISTS (SELECT FROM payout o WHERE o.tenant_id = app.tenant_id() AND o.state = 'paid'
                AND o.receipt = s.receipt AND o.amount_cents = -s.amount_cents)
        UNION ALL
        SELECT 'unmatched', r.receipt, i.left_cents, r.environment, r.shortcode_group,
            coalesce(r.reference, ''), coalesce(s.completed_at, r.paid_at, r.created_at)
        FROM suspense_item i JOIN provider_receipt r ON r.tenant_id = i.tenant_id AND r.id = i.receipt_id
        LEFT JOIN stated s ON s.receipt_id = r.id
        WHERE i.tenant_id = app.tenant_id() AND i.left_cents > 0
            AND (s.id IS NOT NULL OR EXISTS (SELECT FROM unstated u WHERE u.id = r.id))
        UNION ALL
        SELECT 'paid_without_service', p.id::text, p.price_cents, '', '', p.terms->>'name', p.bought_at
        FROM purchase p LEFT JOIN entitlement e ON e.tenant_id = p.tenant_id AND e.purchase_id = p.id
        WHERE p.tenant_id = app.tenant_id() AND p.bought_at >= :starts_at AND p.bought_at < :ends_at AND e.id IS NULL
        UNION ALL
        SELECT 'service_without_money', p.id::text, p.price_cents, '', '', p.terms->>'name', e.created_at
        FROM entitlement e JOIN purchase p ON p.tenant_id = e.tenant_id AND p.id = e.purchase_id
        LEFT JOIN ledger_transaction t ON t.tenant_id = e.tenant_id
            AND t.key = CASE WHEN p.posting_key IS NULL THEN 'buy:' || e.purchase_id ELSE p.posting_key END
        WHERE e.tenant_id = app.tenant_id() AND e.created_at >= :starts_at AND e.created_at < :ends_at
            AND t.id IS NULL AND (NOT e.provisional OR e.ends_at < :now))
    SELECT f.*, d.id IS NOT NULL AS explained, d.note
    FROM found f LEFT JOIN LATERAL (
        SELECT id, note FROM difference_decision d WHERE d.tenant_id = app.tenant_id() AND d.kind = f.kind
            AND d.subject = f.subject AND d.amount_cents = f.amount_cents ORDER BY id DESC LIMIT 1) d ON true
    ORDER BY array_position(cast(:kinds AS text[]), f.kind), f.at, f.subject"""
)

_MONEY = text(
    _FACTS
    + """
    SELECT environment, shortcode_group, what, count(*) AS how_many, sum(amount_cents)::bigint AS cents FROM (
        SELECT environment, shortcode_group, 'stated_' || kind AS what, amount_cents FROM stated
        UNION ALL
        SELECT environment, shortcode_group, 'credited', ours_cents FROM stated WHERE receipt_id IS NOT NULL
        UNION ALL
        SELECT environment, shortcode_group, 'credited', amount_cents FROM unstated
        UNION ALL
        SELECT environment, shortcode_group, 'pulled', amount_cents FROM unstated WHERE pulled) moved
    GROUP BY environment, shortcode_group, what"""
)

_SERVICE = text("""
    SELECT count(*) AS sold, coalesce(sum(p.price_cents), 0)::bigint AS sold_cents,
        coalesce(sum(p.promo_cents), 0)::bigint AS promo_cents, count(e.id) AS served,
        coalesce(sum(p.price_cents) FILTER (WHERE e.id IS NOT NULL), 0)::bigint AS served_cents
    FROM purchase p LEFT JOIN entitlement e ON e.tenant_id = p.tenant_id AND e.purchase_id = p.id
    WHERE p.tenant_id = app.tenant_id() AND p.bought_at >= :starts_at AND p.bought_at < :ends_at""")

_BOOK = text("""
    SELECT a.code, a.currency, coalesce(-sum(e.amount_cents) FILTER (WHERE e.amount_cents < 0), 0)::bigint AS came,
        coalesce(sum(e.amount_cents) FILTER (WHERE e.amount_cents > 0), 0)::bigint AS went, count(*) AS how_many
    FROM ledger_transaction t JOIN ledger_entry e ON e.tenant_id = t.tenant_id AND e.transaction_id = t.id
    JOIN ledger_account a ON a.tenant_id = e.tenant_id AND a.id = e.account_id
    WHERE t.tenant_id = app.tenant_id() AND t.created_at >= :starts_at AND t.created_at < :ends_at
        AND a.code LIKE 'asset:%' AND a.code NOT LIKE 'asset:receivable:%'
    GROUP BY a.code, a.currency ORDER BY a.code, a.currency""")


def match(day: date) -> DayMatch:
    """Matches the current tenant's day as it stands now. The same facts give the same result, in whatever order and
    however often they came."""
    db.session.execute(_LONG)
    period = period_of(day)
    within = {"starts_at": period.starts_at, "ends_at": period.ends_at}
    bare = groups_without_statement(period)
    rows = db.session.execute(
        _DIFFERENCES,
        within
        | {
            "now": clock.now(),
            "kinds": list(KINDS),
            "bare_environments": [environment for environment, _ in bare],
            "bare_groups": [group for _, group in bare],
        },
    )
    return DayMatch(period, totals_of(period), [Difference(*row) for row in rows])


def totals_of(period: Period) -> dict[str, Any]:
    """`shortcodes`: per environment and group, cents and counts by what happened (stated_payment, stated_charge, …,
    credited, pulled); `service`: what was sold (and for how much of that promotional credit paid, which is no money)
    and served; `book`: per asset account of the ledger what came and went, by the day on which it was posted. All in
    cents."""
    within = {"starts_at": period.starts_at, "ends_at": period.ends_at}
    shortcodes: dict[tuple[str, str], dict[str, Any]] = {}
    for row in db.session.execute(_MONEY, within):
        key = row.environment, row.shortcode_group
        one = shortcodes.setdefault(key, {"environment": key[0], "shortcode_group": key[1]})
        one[row.what] = {"cents": row.cents, "count": row.how_many}
    service = db.session.execute(_SERVICE, within).one()
    return {
        "shortcodes": [shortcodes[key] for key in sorted(shortcodes)],
        "service": dict(service._mapping),
        "book": [dict(row._mapping) for row in db.session.execute(_BOOK, within)],
    }


def groups_without_statement(period: Period) -> list[tuple[str, str]]:
    """(environment, group) of the tenant's shortcodes whose statements do not cover the whole of a day."""
    query = select(MpesaAccount).where(MpesaAccount.created_at < period.ends_at, MpesaAccount.active)
    wanted = {(each.environment, each.shortcode_group): each.created_at for each in db.session.scalars(query)}
    known: dict[tuple[str, str], list[tuple[datetime, datetime]]] = {}
    covering = select(
        Statement.environment, Statement.shortcode_group, Statement.covers_from, Statement.covers_until
    ).where(Statement.covers_from < period.ends_at, Statement.covers_until > period.starts_at)
    for environment, group, since, until in db.session.execute(covering):
        known.setdefault((environment, group), []).append((since, until))
    return sorted(key for key in wanted if not _covers(known.get(key, ()), period))


def _covers(spans: Iterable[tuple[datetime, datetime]], period: Period) -> bool:
    """Whether spans, laid end to end, leave no moment of a period out."""
    reached = period.starts_at
    for since, until in sorted(spans):
        if since > reached:
            return False
        reached = max(reached, until)
    return reached >= period.ends_at
