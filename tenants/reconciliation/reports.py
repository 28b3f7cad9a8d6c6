"""Reports over a range of the tenant's days: sums by what one asks for, and every payment in order, page by page."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import date, datetime
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import Uuid, bindparam, text

from tenants.reconciliation.matching import MOVED_AT, period_of
from wavu.db import db
from wavu.errors import NotFound
from wavu.tenancy import current_tenant

PAGE = 2000

# Money that came in, by when it moved; and service that was sold, by when it was bought.
_MONEY = f"""
    FROM provider_receipt r WHERE r.tenant_id = app.tenant_id()
        AND {MOVED_AT} >= :starts_at AND {MOVED_AT} < :ends_at"""
_SALES = """
    FROM purchase p LEFT JOIN router o ON o.tenant_id = p.tenant_id AND o.id = p.router_id
    WHERE p.tenant_id = app.tenant_id() AND p.bought_at >= :starts_at AND p.bought_at < :ends_at"""
# Promotional credit that staff gave.
_PROMO = """
    FROM promo_grant g WHERE g.tenant_id = app.tenant_id() AND g.created_at >= :starts_at AND g.created_at < :ends_at"""
# What staff took, without what was a mistake.
_DESK = """
    FROM desk_payment d WHERE d.tenant_id = app.tenant_id() AND d.created_at >= :starts_at AND d.created_at < :ends_at
        AND NOT EXISTS (SELECT FROM desk_void v WHERE v.tenant_id = d.tenant_id AND v.payment_id = d.id)"""
_DAY_OF_MONEY = f"to_char({MOVED_AT} AT TIME ZONE :zone, 'YYYY-MM-DD')"
_DAY_OF_SALE = "to_char(p.bought_at AT TIME ZONE :zone, 'YYYY-MM-DD')"


def _sums(label: str, source: str, cents: str, promo: str = "0") -> str:
    return f"SELECT {label}, count(*), sum({cents})::bigint, sum({promo})::bigint {source} GROUP BY 1 ORDER BY 1"


_REPORTS = {
    "days": text(_sums(_DAY_OF_MONEY, _MONEY, "r.amount_cents")),
    "packages": text(_sums("p.terms->>'name'", _SALES, "p.price_cents", "p.promo_cents")),
    "branches": text(_sums("coalesce(o.name, '')", _SALES, "p.price_cents", "p.promo_cents")),
    "shortcodes": text(_sums("r.environment || ' ' || r.shortcode_group", _MONEY, "r.amount_cents")),
    "collectors": text(_sums("d.taken_by", _DESK, "d.amount_cents")),
    "promo": text(_sums("g.granted_by", _PROMO, "g.amount_cents")),
    "sources": text(_sums("r.source", _MONEY, "r.amount_cents")),
}
REPORTS = tuple(_REPORTS)

_PAYMENTS = text(f"""
    SELECT r.id, {MOVED_AT} AS moved_at, r.receipt, r.amount_cents, r.environment,
        r.shortcode_group, r.source, coalesce(r.reference, i.reference, '') AS reference,
        coalesce(p.terms->>'name', '') AS package, coalesce(o.name, '') AS branch
    FROM (SELECT * {_MONEY} AND ({MOVED_AT}, r.id) > (:after, :after_id)
        ORDER BY {MOVED_AT}, r.id LIMIT :page) r
    LEFT JOIN payment_intent i ON i.tenant_id = r.tenant_id AND i.id = r.intent_id
    LEFT JOIN purchase p ON p.tenant_id = i.tenant_id AND p.id = i.purchase_id
    LEFT JOIN router o ON o.tenant_id = p.tenant_id AND o.id = p.router_id
    ORDER BY moved_at, r.id""").bindparams(bindparam("after_id", type_=Uuid))


class Line(NamedTuple):
    """One line of a report: what it is about, how many, and their cents; for how much of those promotional credit paid,
    which is no money."""

    label: str
    how_many: int
    cents: int
    promo_cents: int


def report(name: str, first: date, last: date) -> list[Line]:
    """One of REPORTS over the current tenant's days from `first` to `last`, both included. Raises NotFound.

    `days`, `shortcodes` and `sources` are of money that came, by when M-Pesa took it; `packages` and `branches` (the
    routers that a customer came through, '' where none is known) of what was sold; `collectors` of what staff took;
    `promo` of the promotional credit that they gave.
    Names are as they were then.
    """
    if name not in _REPORTS:
        raise NotFound
    values = _range(first, last) | ({"zone": current_tenant().timezone} if name == "days" else {})
    return [Line(*row) for row in db.session.execute(_REPORTS[name], values)]


def _range(first: date, last: date) -> dict[str, Any]:
    return {"starts_at": period_of(first).starts_at, "ends_at": period_of(last).ends_at}


class Payment(NamedTuple):
    """A payment for an export."""

    id: UUID
    moved_at: datetime
    receipt: str
    amount_cents: int
    environment: str
    shortcode_group: str
    source: str
    reference: str
    package: str
    branch: str


def payments_page(first: date, last: date, after: Payment | None = None) -> list[Payment]:
    """At most PAGE payments of a range in their order, those after one. Costs the same wherever it begins."""
    within = _range(first, last)
    key = {"after": after.moved_at if after else within["starts_at"], "after_id": after.id if after else UUID(int=0)}
    # The index begins to read here; the comparison of pairs alone is a filter to it.
    within["starts_at"] = key["after"]
    return [Payment(*row) for row in db.session.execute(_PAYMENTS, within | key | {"page": PAGE})]


def walk(page: Callable[[Payment | None], list[Payment]]) -> Iterator[Payment]:
    """Every payment, one page in hand: `page` fetches the one after a payment, in a transaction of the caller's."""
    last = None
    while rows := page(last):
        yield from rows
        if len(rows) < PAGE:
            return
        last = rows[-1]
