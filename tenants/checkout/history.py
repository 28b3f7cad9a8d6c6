"""What happened to a customer's money here: for staff the whole wallet, for a customer in front of the portal what the
names of their purchases show (balance.py)."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import Text, Uuid, bindparam, text
from sqlalchemy.dialects.postgresql import ARRAY

from tenants import ledger
from tenants.checkout.balance import CLAIMS, MINE_RENEWED, PURSES
from tenants.checkout.renewals import GRACE
from tenants.subscribers import Subscriber
from wavu import clock
from wavu.db import db
from wavu.tenancy import current_tenant


class Movement(NamedTuple):
    """A line of a wallet, or of its credit (`is_promo`), with what was in it afterwards. `kind` is the posting's;
    `package`, `receipt` and `reason` say what of, as far as it has one; `sale_id` leads to the receipt of the desk."""

    id: UUID
    at: datetime
    kind: str
    is_promo: bool
    cents: int
    balance_cents: int
    package: str | None
    receipt: str | None
    reason: str | None
    renewed: bool
    sale_id: UUID | None


# The index of an account's entries is read backwards from the key, for each of the two accounts alone.
_MOVEMENTS = text("""
    SELECT e.id, t.created_at, t.kind, e.is_promo, e.amount_cents, e.balance_after_cents, p.terms->>'name' AS package,
        t.facts->>'receipt' AS receipt, t.facts->>'reason' AS reason, p.renewal_id IS NOT NULL AS renewed,
        s.id AS sale_id
    FROM (
        SELECT e.*, a.code = :promo AS is_promo FROM ledger_account a CROSS JOIN LATERAL (
            SELECT * FROM ledger_entry e WHERE e.tenant_id = a.tenant_id AND e.account_id = a.id
                AND e.id < :before ORDER BY e.id DESC LIMIT :page) e
        WHERE a.tenant_id = app.tenant_id() AND a.code IN (:wallet, :promo) AND a.currency = :currency
        ORDER BY e.id DESC LIMIT :page) e
    JOIN ledger_transaction t ON t.tenant_id = e.tenant_id AND t.id = e.transaction_id
    LEFT JOIN purchase p ON p.tenant_id = t.tenant_id AND p.id = (t.facts->>'purchase')::uuid
    LEFT JOIN desk_sale s ON s.tenant_id = p.tenant_id AND s.purchase_id = p.id AND t.kind = 'purchase'
    ORDER BY e.id DESC""").bindparams(bindparam("before", type_=Uuid))
_LAST = UUID(int=2**128 - 1)


def movements(subscriber_id: UUID, *, before: UUID | None = None, limit: int = 50) -> list[Movement]:
    """All that moved in a customer's wallet and credit, newest first, paged by key: pass the last one's id."""
    values = {
        "wallet": ledger.wallet(subscriber_id),
        "promo": ledger.promo(subscriber_id),
        "currency": current_tenant().currency,
        "before": before or _LAST,
        "page": limit,
    }
    return [Movement(*row) for row in db.session.execute(_MOVEMENTS, values)]


class Overview(NamedTuple):
    """A customer's money as staff see it. `grants` are what there is of credit, `renewals` those that are on or have
    ended lately, `packages` what they can be sold; each as rows of the database, instants as such."""

    number: str | None
    wallet_cents: int
    promo_cents: int
    most_promo_cents: int | None
    grants: list[dict[str, Any]]
    renewals: list[dict[str, Any]]
    packages: list[dict[str, Any]]


_OVERVIEW = text("""
    SELECT (SELECT number FROM account_number WHERE tenant_id = app.tenant_id() AND subscriber_id = :of
            AND purchase_id IS NULL),
        (SELECT coalesce(sum(balance_cents), 0)::bigint FROM ledger_account WHERE tenant_id = app.tenant_id()
            AND code = :wallet),
        (SELECT coalesce(sum(balance_cents), 0)::bigint FROM ledger_account WHERE tenant_id = app.tenant_id()
            AND code = :promo),
        (SELECT most_cents FROM promo_setting WHERE tenant_id = app.tenant_id()),
        (SELECT jsonb_agg(g ORDER BY g.id DESC) FROM (SELECT id, amount_cents, left_cents, expired_cents, reason,
            expires_at, granted_by, created_at FROM promo_grant
            WHERE tenant_id = app.tenant_id() AND subscriber_id = :of ORDER BY id DESC LIMIT 10) g),
        (SELECT jsonb_agg(r ORDER BY r.id DESC) FROM (SELECT r.id, r.channel, r.mac, r.state, r.said, r.set_by,
            r.agreed_cents, r.tried_at, r.check_at, k.name, k.price_cents
            FROM renewal r JOIN package k ON k.tenant_id = r.tenant_id AND k.id = r.package_id
            WHERE r.tenant_id = app.tenant_id() AND r.subscriber_id = :of ORDER BY r.id DESC LIMIT 5) r),
        (SELECT jsonb_agg(k ORDER BY k.position, k.price_cents, k.id) FROM (SELECT id, name, price_cents, position
            FROM package k WHERE k.tenant_id = app.tenant_id() AND k.on_sale
            AND CASE WHEN :has_line THEN k.sold_on_pppoe ELSE k.sold_on_hotspot END) k)
    """).bindparams(bindparam("of", type_=Uuid))
_INSTANTS = ("expires_at", "created_at", "tried_at", "check_at")


def overview(subscriber: Subscriber) -> Overview:
    """In one statement."""
    of = subscriber.id
    values = {
        "of": of, "wallet": ledger.wallet(of), "promo": ledger.promo(of), "has_line": subscriber.username is not None,
    }  # fmt: skip
    row = db.session.execute(_OVERVIEW, values).one()
    lists = ([_read(each) for each in found or []] for found in row[4:])
    return Overview(*row[:4], *lists)


def _read(row: dict[str, Any]) -> dict[str, Any]:
    return row | {name: datetime.fromisoformat(row[name]) for name in _INSTANTS if row.get(name)}


class Event(NamedTuple):
    """What came in for a purchase (`paid`), what it cost (`bought`), or what it brought back (`returned`); with what
    was left of all after it. `promo_cents` is what credit paid of the price, beside the money."""

    id: UUID
    at: datetime
    kind: str
    cents: int
    promo_cents: int
    receipt: str | None
    terms: dict[str, Any] | None
    renewed: bool
    after_cents: int


class Spending(NamedTuple):
    """`otherwise_cents` is what the sum of all events and `balance_cents` differ by: moved to or from purchases of
    other names, or used by staff. Where it came from elsewhere it was there before the first event, and where it went,
    it is not in what was left after any."""

    events: tuple[Event, ...]
    balance_cents: int
    otherwise_cents: int


_EVENTS = f"""
    WITH mine AS MATERIALIZED (SELECT * FROM ({MINE_RENEWED}) m WHERE m.channel = :channel), claims AS ({CLAIMS}),
    events AS MATERIALIZED (
        SELECT r.id, CASE WHEN r.paid_at IS NULL THEN r.created_at ELSE r.paid_at END AS at, 'paid' AS kind,
            r.amount_cents AS cents, 0::bigint AS promo_cents, r.receipt, NULL::jsonb AS terms, false AS renewed
        FROM mine p JOIN payment_intent i ON i.tenant_id = p.tenant_id AND i.purchase_id = p.id
        JOIN provider_receipt r ON r.tenant_id = i.tenant_id AND r.intent_id = i.id
        UNION ALL
        SELECT r.id, CASE WHEN r.paid_at IS NULL THEN r.created_at ELSE r.paid_at END, 'paid', r.amount_cents, 0,
            r.receipt, NULL, false
        FROM mine p JOIN account_number n ON n.tenant_id = p.tenant_id AND n.subscriber_id = p.subscriber_id
            AND n.purchase_id = p.id
        JOIN provider_receipt r ON r.tenant_id = n.tenant_id AND r.subscriber_id = n.subscriber_id
            AND r.reference = n.number AND r.intent_id IS NULL
        UNION ALL
        SELECT m.id, m.created_at, 'paid', m.amount_cents, 0, r.receipt, NULL, false
        FROM mine p JOIN payment_intent i ON i.tenant_id = p.tenant_id AND i.purchase_id = p.id
        JOIN suspense_match m ON m.tenant_id = i.tenant_id AND m.guessed_intent_id = i.id
        JOIN suspense_item s ON s.tenant_id = m.tenant_id AND s.id = m.item_id
        JOIN provider_receipt r ON r.tenant_id = s.tenant_id AND r.id = s.receipt_id
        UNION ALL
        SELECT r.id, CASE WHEN r.paid_at IS NULL THEN r.created_at ELSE r.paid_at END, 'paid', c.cents, 0, r.receipt,
            NULL, false
        FROM claims c JOIN provider_receipt r ON r.tenant_id = c.tenant_id AND r.id = c.receipt_id WHERE c.cents > 0
        UNION ALL
        SELECT p.id, p.bought_at, 'bought', p.promo_cents - p.price_cents, p.promo_cents, NULL, p.terms,
            p.renewal_id IS NOT NULL
        FROM mine p WHERE p.bought_at IS NOT NULL
        UNION ALL
        SELECT t.id, t.created_at, 'returned', p.price_cents - p.promo_cents, p.promo_cents, NULL, p.terms,
            p.renewal_id IS NOT NULL
        FROM mine p JOIN ledger_transaction b ON b.tenant_id = p.tenant_id
            AND b.key = CASE WHEN p.posting_key IS NULL THEN 'buy:' || p.id ELSE p.posting_key END
        JOIN ledger_transaction t ON t.tenant_id = b.tenant_id AND t.reverses_id = b.id
        WHERE p.state = 'returned'
    ), purse AS (SELECT coalesce(sum(cents), 0)::bigint AS cents FROM ({PURSES}) purses)
    SELECT e.*, (sum(cents) OVER (ORDER BY at, id))::bigint AS after_cents,
        (SELECT cents FROM purse) AS balance_cents, (sum(cents) OVER ())::bigint AS sum_cents
    FROM events e"""  # noqa: S608 - no value of anybody's is in it
_SPENDING = text(
    " ".join(
        f"SELECT * FROM ({_EVENTS}) e WHERE (at, id) < (:at, :id) ORDER BY at DESC, id DESC LIMIT :page".split()  # noqa: S608
    )
).bindparams(bindparam("nonces", type_=ARRAY(Text)), bindparam("id", type_=Uuid))


def spending(
    nonces: Collection[str], channel: str, *, before: tuple[datetime, UUID] | None = None, limit: int = 20
) -> Spending:
    """What the holder of these names sees of money, newest first, in one statement. Paged by key: pass the last event's
    `at` and `id`."""
    at, event_id = before or (clock.now() + timedelta(days=3660), _LAST)
    values = {"nonces": list(nonces), "channel": channel, "at": at, "id": event_id, "page": limit}
    rows = db.session.execute(_SPENDING, values).all()
    if not rows:
        return Spending((), 0, 0)
    otherwise, size = rows[0].balance_cents - rows[0].sum_cents, len(Event._fields)
    events = (Event._make(row[:size]) for row in rows)
    came = max(0, otherwise)
    return Spending(
        tuple(each._replace(after_cents=each.after_cents + came) for each in events), rows[0].balance_cents, otherwise
    )


class Own(NamedTuple):
    """A package that a browser holds the name of, and how it renews. `renews`: on, off, or other (somebody else has
    switched it on there); `said` as in Renewal. `price_cents` is what it costs now, None where it is not sold any more.
    `number` is the account number that money for it is paid to, where the ISP has a PayBill."""

    nonce: str
    channel: str
    terms: dict[str, Any]
    ends_at: datetime
    renews: str
    said: str | None
    agreed_cents: int | None
    price_cents: int | None
    number: str | None
    paybill: str | None


_OWN = f"""
    WITH mine AS MATERIALIZED ({MINE_RENEWED})
    SELECT p.nonce, p.channel, p.terms, x.ends_at,
        CASE WHEN r.state = 'on' THEN 'on' WHEN o.id IS NOT NULL THEN 'other' ELSE 'off' END, r.said, r.agreed_cents,
        k.price_cents, n.number, a.party_b
    FROM purchase p
    CROSS JOIN LATERAL (SELECT max(e.ends_at) AS ends_at FROM mine m JOIN entitlement e
        ON e.tenant_id = m.tenant_id AND e.purchase_id = m.id
        LEFT JOIN renewal c ON c.tenant_id = m.tenant_id AND c.id = m.renewal_id
        WHERE (m.id = p.id OR c.purchase_id = p.id) AND m.state <> 'returned') x
    LEFT JOIN LATERAL (SELECT * FROM renewal r WHERE r.tenant_id = p.tenant_id AND r.purchase_id = p.id
        ORDER BY r.id DESC LIMIT 1) r ON true
    LEFT JOIN renewal o ON o.tenant_id = p.tenant_id AND o.state = 'on' AND o.subscriber_id = p.subscriber_id
        AND o.channel = p.channel AND o.mac IS NOT DISTINCT FROM p.mac AND o.id IS DISTINCT FROM r.id
    LEFT JOIN package k ON k.tenant_id = p.tenant_id AND k.id = p.package_id AND k.on_sale
        AND CASE p.channel WHEN 'pppoe' THEN k.sold_on_pppoe ELSE k.sold_on_hotspot END
    LEFT JOIN account_number n ON n.tenant_id = p.tenant_id AND n.subscriber_id = p.subscriber_id
        AND CASE p.channel WHEN 'pppoe' THEN n.purchase_id IS NULL ELSE n.purchase_id = p.id END
    LEFT JOIN LATERAL (SELECT a.party_b FROM mpesa_account a WHERE a.tenant_id = p.tenant_id AND a.active
        AND a.kind = 'paybill' ORDER BY a.created_at LIMIT 1) a ON true
    WHERE p.tenant_id = app.tenant_id() AND p.nonce = ANY(:nonces) AND p.state = 'bought'
        AND (x.ends_at > :since OR r.state = 'on')
    ORDER BY p.id DESC"""  # noqa: S608 - no value of anybody's is in it
_OWN_ONES = text(" ".join(_OWN.split())).bindparams(bindparam("nonces", type_=ARRAY(Text)))


def own_packages(nonces: Collection[str]) -> list[Own]:
    """The packages that a browser holds the names of and that may be renewed, the latest first, in one statement."""
    values = {"nonces": list(nonces), "since": clock.now() - GRACE}
    return [Own(*row) for row in db.session.execute(_OWN_ONES, values)]
