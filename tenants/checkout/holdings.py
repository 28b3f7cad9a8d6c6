"""What somebody in front of the portal has already: by the device that a router names, and by the names of purchases
that their browser keeps.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import Text, TextClause, bindparam, select, text
from sqlalchemy.dialects.postgresql import ARRAY

from tenants import payments
from tenants.checkout.balance import HELD, PURSES, Balance
from tenants.checkout.models import Purchase
from wavu import clock
from wavu.db import db
from wavu.errors import NotFound

# Somebody who comes back later than this starts anew.
_OPEN_FOR = timedelta(minutes=3)


class Held(NamedTuple):
    """A purchase to go on with. Of `kind`:

    `runs`: its time is running and the device may use it. `waits`: it is paid, and begins at `starts_at`.
    `elsewhere`: it runs, and was bought in this browser without this device. `asked`: its prompt is open on `phone`.
    `mac` and `login_url` say for which device and behind which router it was bought. `nonce` is a secret of the browser
    that bought it: somebody who came by the MAC address alone may be told the `purchase_id`, and not the nonce.
    """

    kind: str
    purchase_id: UUID
    nonce: str
    terms: dict[str, Any]
    starts_at: datetime | None
    ends_at: datetime | None
    been_online: bool
    phone: str | None
    mac: str | None
    login_url: str | None


class Holdings(NamedTuple):
    """`free_at` is when a package that is bought for this device now begins; None for at once."""

    held: tuple[Held, ...] = ()
    free_at: datetime | None = None
    balance: Balance | None = None


# Rights of a device are found through its owners.
_LIVE_AND_RIGHTS = """live AS NOT MATERIALIZED (
        SELECT * FROM entitlement WHERE service = 'hotspot' AND ends_at > :now
        AND coalesce(used_seconds < (policy->>'time_cap_seconds')::bigint, true)
        AND coalesce(used_bytes < (policy->>'data_cap_bytes')::bigint, true)
    ), rights AS (
        SELECT p.id, p.nonce, p.terms, p.mac, p.login_url, e.starts_at, e.ends_at, e.activated_at
        FROM device d
        JOIN live e ON e.tenant_id = d.tenant_id AND e.subscriber_id = d.subscriber_id
        JOIN purchase p ON p.tenant_id = e.tenant_id AND p.id = e.purchase_id
        WHERE d.tenant_id = app.tenant_id() AND d.mac = :mac AND (p.mac = :mac OR p.nonce = ANY(:nonces))
    )"""
_OF_DEVICE = """
    (SELECT 'runs' AS kind, id, nonce, terms, starts_at, ends_at, activated_at IS NOT NULL AS been_online,
        NULL AS phone, mac, login_url, NULL::uuid AS subscriber_id, NULL::bigint AS cents, mac = :mac AS here
        FROM rights WHERE starts_at <= :now ORDER BY ends_at DESC LIMIT 1)
    UNION ALL
    (SELECT 'waits', id, nonce, terms, starts_at, ends_at, false, NULL, mac, login_url, NULL, NULL, mac = :mac
        FROM rights WHERE starts_at > :now ORDER BY starts_at LIMIT 5)
    UNION ALL
    (SELECT 'asked', p.id, p.nonce, p.terms, NULL, NULL, false, i.phone, p.mac, p.login_url, NULL, NULL, true
        FROM payment_intent i JOIN purchase p ON p.tenant_id = i.tenant_id AND p.id = i.purchase_id
        WHERE i.tenant_id = app.tenant_id() AND i.state = ANY(:open) AND i.created_at > :since
        AND p.mac = :mac AND p.state = 'open' ORDER BY i.id DESC LIMIT 1)
"""
_OF_BROWSER = f"""
    UNION ALL
    (SELECT 'elsewhere', id, nonce, terms, starts_at, ends_at, activated_at IS NOT NULL, NULL, mac, login_url, NULL,
        NULL, false
        FROM elsewhere ORDER BY ends_at DESC LIMIT 3)
    UNION ALL
    (SELECT 'balance', NULL, NULL, NULL, NULL, NULL, false, phone, NULL, NULL, subscriber_id, cents, false
        FROM ({PURSES}) purses ORDER BY cents DESC, subscriber_id LIMIT 1)
"""  # noqa: S608
_ELSEWHERE = """elsewhere AS (
        SELECT p.id, p.nonce, p.terms, p.mac, p.login_url, e.starts_at, e.ends_at, e.activated_at FROM mine p
        JOIN live e ON e.tenant_id = p.tenant_id AND e.purchase_id = p.id
        WHERE e.starts_at <= :now AND CAST(:mac AS text) IS NOT NULL
        AND NOT EXISTS (SELECT FROM device d
            WHERE d.tenant_id = e.tenant_id AND d.mac = :mac AND d.subscriber_id = e.subscriber_id)
    )"""


def _statement(sql: str) -> TextClause:
    """Without its spaces it is short enough for the driver to keep what it made of it."""
    return text(" ".join(sql.split())).bindparams(
        bindparam("nonces", type_=ARRAY(Text)), bindparam("open", type_=ARRAY(Text))
    )


# One statement, for it is asked each time that a phone opens a portal; and a shorter one, which PostgreSQL plans in a
# third of the time, for the browser that has bought nothing yet.
_HOLDINGS = _statement(f"{HELD}, {_LIVE_AND_RIGHTS}, {_ELSEWHERE} {_OF_DEVICE} {_OF_BROWSER}")
_HOLDINGS_OF_DEVICE = _statement(f"WITH {_LIVE_AND_RIGHTS} {_OF_DEVICE}")


def holdings(mac: str | None, nonces: Collection[str], channel: str = "hotspot") -> Holdings:
    """What a device and a browser need not buy again, and what may be spent here (balance.py). `mac` must be a router's
    word, and `nonces` what this very browser was given.
    """
    now = clock.now()
    asked = {
        "mac": mac, "nonces": list(nonces), "now": now, "since": now - _OPEN_FOR, "open": list(payments.OPEN),
        "channel": channel,
    }  # fmt: skip
    rows = db.session.execute(_HOLDINGS if nonces else _HOLDINGS_OF_DEVICE, asked).all()
    taken = [row.ends_at for row in rows if row.here and row.ends_at is not None]
    return Holdings(
        tuple(Held._make(row[: len(Held._fields)]) for row in rows if row.kind != "balance"),
        max(taken, default=None),
        next((Balance(row.subscriber_id, row.cents, row.phone) for row in rows if row.kind == "balance"), None),
    )


def held_purchase(purchase_id: UUID) -> Purchase:
    """The purchase of a Held, by what may be told to a stranger. Raises NotFound, for another tenant's too."""
    purchase = db.session.scalar(select(Purchase).where(Purchase.id == purchase_id))
    if purchase is None:
        raise NotFound
    return purchase
