"""Whose money a wallet shows, and who may spend it.

Money that bought nothing (a second payment, a wrong amount, one that came too late) lies in the wallet of the number
that paid. A number typed in proves nothing, and neither does a MAC address; a PIN proves that its owner wanted one
purchase paid, which may have been a friend's. So money follows the purchase that it was paid for: who holds the name of
a purchase, 128 random bits that only its own browser was given, sees and spends what came in for that purchase and was
not used, and never the rest of that wallet.

What came in for a purchase: each payment of its own prompts, and each payment made by hand to its own account number.
What was paid by hand to a subscriber's own number came in for no purchase: its payer may claim it (claims.py), and then
holds the claim's name.
Spending it moves it to the new purchase, where it stays, for the same browser, if that one is not bought. What
promotional credit has paid of a price leaves as much of the money that came in for it.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime, timedelta
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import Text, bindparam, select, text, true, update
from sqlalchemy.dialects.postgresql import ARRAY

from tenants.checkout.models import PaymentClaim, Purchase
from tenants.payments import PaymentIntent
from wavu.db import db

# How long a purchase may be bought with money that names it neither by its prompt nor by its account number.
WAITS_FOR = timedelta(minutes=30)
# M-Pesa's result for a customer who pressed Cancel (build sheet 4.3), and Airtel's.
_CANCELLED = ("1032", "DP00800001008")


def came_in(purchase: str) -> str:
    """SQL: the cents that came in for a row of purchase, by prompt, to its account number or, at a Till, by amount."""
    return f"""
    (SELECT coalesce(sum(r.amount_cents), 0)::bigint FROM payment_intent i
        JOIN provider_receipt r ON r.tenant_id = i.tenant_id AND r.intent_id = i.id
        WHERE i.tenant_id = {purchase}.tenant_id AND i.purchase_id = {purchase}.id)
    + (SELECT coalesce(sum(r.amount_cents), 0)::bigint FROM account_number n
        JOIN provider_receipt r ON r.tenant_id = n.tenant_id AND r.subscriber_id = n.subscriber_id
            AND r.reference = n.number AND r.intent_id IS NULL
        WHERE n.tenant_id = {purchase}.tenant_id AND n.subscriber_id = {purchase}.subscriber_id
        AND n.purchase_id = {purchase}.id)
    + (SELECT coalesce(sum(m.amount_cents), 0)::bigint FROM payment_intent i
        JOIN suspense_match m ON m.tenant_id = i.tenant_id AND m.guessed_intent_id = i.id
        WHERE i.tenant_id = {purchase}.tenant_id AND i.purchase_id = {purchase}.id)
"""  # noqa: S608 - the name of a table


# What of it, and of what was moved to the purchase `p` from others, that purchase has not used.
_UNUSED = f"""(greatest(0, {came_in("p")} + p.wallet_cents
    - CASE p.state WHEN 'bought' THEN p.price_cents - p.promo_cents ELSE 0 END) - p.moved_cents)"""
# What somebody holds the names of: purchases, with those that renewed themselves at their holder's wish, and claims.
MINE = "SELECT * FROM purchase WHERE tenant_id = app.tenant_id() AND nonce = ANY(:nonces)"
MINE_RENEWED = f"""
    {MINE} UNION SELECT p.* FROM purchase o JOIN renewal r ON r.tenant_id = o.tenant_id AND r.purchase_id = o.id
    JOIN purchase p ON p.tenant_id = r.tenant_id AND p.renewal_id = r.id
    WHERE o.tenant_id = app.tenant_id() AND o.nonce = ANY(:nonces)
"""  # noqa: S608 - no value of anybody's is in it
CLAIMS = "SELECT * FROM payment_claim WHERE tenant_id = app.tenant_id() AND nonce = ANY(:nonces) AND channel = :channel"
# The beginning of a statement.
HELD = f"WITH mine AS ({MINE}), claims AS ({CLAIMS})"
# In a statement that has `mine` and `claims`: one row for each wallet that they brought money into.
PURSES = f"""
    SELECT w.subscriber_id, least(a.balance_cents, w.cents) AS cents, (
        SELECT phone FROM (SELECT i.id, i.phone, p.subscriber_id AS s FROM payment_intent i
            JOIN mine p ON i.tenant_id = p.tenant_id AND i.purchase_id = p.id
            UNION ALL SELECT id, phone, subscriber_id FROM claims) o
        WHERE s = w.subscriber_id ORDER BY id DESC LIMIT 1) AS phone
    FROM (SELECT subscriber_id, sum(cents)::bigint AS cents FROM (
            SELECT p.subscriber_id, {_UNUSED} AS cents FROM mine p WHERE p.channel = :channel
            UNION ALL SELECT subscriber_id, cents - moved_cents FROM claims) u GROUP BY 1) w
    JOIN ledger_account a ON a.tenant_id = app.tenant_id() AND a.code = 'liab:wallet:' || w.subscriber_id
    WHERE least(a.balance_cents, w.cents) > 0
"""  # noqa: S608 - no value of anybody's is in it
_BALANCES = text(f"{HELD} {PURSES} ORDER BY cents DESC, subscriber_id").bindparams(
    bindparam("nonces", type_=ARRAY(Text))
)


class Balance(NamedTuple):
    """What may be spent out of one customer's wallet, and the number that was asked last (E.164)."""

    subscriber_id: UUID
    cents: int
    phone: str | None


def balance_of(nonces: Collection[str], channel: str) -> Balance | None:
    """The greatest balance that the holder of these names has for a channel; None for nothing."""
    found = db.session.execute(_BALANCES, {"nonces": list(nonces), "channel": channel}).first()
    return None if found is None else Balance._make(found)


def balance_in(nonces: Collection[str], channel: str, subscriber_id: UUID) -> int:
    """What the holder of these names may spend for a channel out of one customer's wallet, in cents."""
    rows = db.session.execute(_BALANCES, {"nonces": list(nonces), "channel": channel}).all()
    return next((row.cents for row in rows if row.subscriber_id == subscriber_id), 0)


_PARTS = text(f"""
    {HELD} SELECT p.id, {_UNUSED} AS cents, false AS claimed FROM mine p
    WHERE p.channel = :channel AND p.subscriber_id = :subscriber_id
    UNION ALL SELECT id, cents - moved_cents, true FROM claims WHERE subscriber_id = :subscriber_id
    ORDER BY id
""").bindparams(bindparam("nonces", type_=ARRAY(Text)))  # noqa: S608


def take(nonces: Collection[str], channel: str, subscriber_id: UUID, cents: int) -> None:
    """Moves so much of a balance away from what it came in for, or was claimed by, oldest first. Alone with that
    wallet."""
    names = {"nonces": list(nonces), "channel": channel, "subscriber_id": subscriber_id}
    for row in db.session.execute(_PARTS, names).all():
        taken = min(cents, max(0, row.cents))
        if taken:
            of: type[Purchase | PaymentClaim] = PaymentClaim if row.claimed else Purchase
            moved = update(of).where(of.id == row.id).values(moved_cents=of.moved_cents + taken)
            db.session.execute(moved.execution_options(synchronize_session=False))
        cents -= taken


_UNCLAIMED = text(f"""
    SELECT a.balance_cents - (SELECT coalesce(sum(greatest(0, {_UNUSED})), 0) FROM purchase p
            WHERE p.tenant_id = a.tenant_id AND p.subscriber_id = :subscriber_id)
        - (SELECT coalesce(sum(c.cents - c.moved_cents), 0) FROM payment_claim c
            WHERE c.tenant_id = a.tenant_id AND c.subscriber_id = :subscriber_id)
    FROM ledger_account a WHERE a.tenant_id = app.tenant_id() AND a.code = 'liab:wallet:' || :subscriber_id
""")  # noqa: S608


def unclaimed_cents(subscriber_id: UUID) -> int:
    """What of a wallet came in for no purchase and was claimed by nobody: paid by hand to the customer's own number."""
    return max(0, int(db.session.scalar(_UNCLAIMED, {"subscriber_id": subscriber_id}) or 0))


def missing_cents(purchase: Purchase) -> int:
    """What must still come in for a purchase that is not bought, in whole shillings; 0 where enough is there."""
    own = balance_of([purchase.nonce], purchase.channel)
    return whole_shillings(purchase.price_cents - (own.cents if own is not None else 0))


def whole_shillings(cents: int) -> int:
    """Rounded up: M-Pesa is asked for nothing less. What is too much stays in the wallet."""
    return max(0, -(-cents // 100) * 100)


def waiting(subscriber_id: UUID, now: datetime) -> list[UUID]:
    """A customer's purchases that money from elsewhere may still buy, the oldest first.

    Not those that the customer has turned away from: begun longer ago than WAITS_FOR, followed by another choice on the
    same device, or cancelled on the phone.
    """
    latest = (
        select(PaymentIntent.state, PaymentIntent.code)
        .where(PaymentIntent.tenant_id == Purchase.tenant_id, PaymentIntent.purchase_id == Purchase.id)
        .order_by(PaymentIntent.id.desc())
        .limit(1)
        .lateral("latest")
    )
    query = (
        select(
            Purchase.id, Purchase.state, Purchase.mac, Purchase.channel, latest.c.state.label("asked"), latest.c.code
        )
        .outerjoin(latest, true())
        .where(Purchase.subscriber_id == subscriber_id, Purchase.created_at > now - WAITS_FOR)
        .order_by(Purchase.created_at, Purchase.id)
    )
    last_choices = {(row.mac, row.channel): row for row in db.session.execute(query)}
    return [
        row.id
        for row in last_choices.values()
        if row.state == "open" and not (row.asked == "failed" and row.code in _CANCELLED)
    ]
