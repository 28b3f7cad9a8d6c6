"""Whose money a wallet shows, and who may spend it.

Money that bought nothing (a second payment, a wrong amount, one that came too late) lies in the wallet of the number
that paid. A number typed in proves nothing, and neither does a MAC address; a PIN proves that its owner wanted one
purchase paid, which may have been a friend's. So money follows the purchase that it was paid for: who holds the name of
a purchase, 128 random bits that only its own browser was given, sees and spends what came in for that purchase and was
not used, and never the rest of that wallet.

What came in for a purchase: each payment of its own prompts, and each payment made by hand to its own account number.
Spending it moves it to the new purchase, where it stays, for the same browser, if that one is not bought.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime, timedelta
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import Text, bindparam, select, text, true, update
from sqlalchemy.dialects.postgresql import ARRAY

from tenants.checkout.models import Purchase
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
_UNUSED = f"""(greatest(0, {came_in("p")} + p.wallet_cents - CASE p.state WHEN 'bought' THEN p.price_cents ELSE 0 END)
    - p.moved_cents)"""
# In a statement that has `mine`: the purchases whose names somebody holds. One row for each wallet that they paid into.
PURSES = f"""
    SELECT w.subscriber_id, least(a.balance_cents, w.cents) AS cents, (
        SELECT i.phone FROM payment_intent i JOIN mine p ON i.tenant_id = p.tenant_id AND i.purchase_id = p.id
        WHERE p.subscriber_id = w.subscriber_id ORDER BY i.id DESC LIMIT 1) AS phone
    FROM (SELECT p.tenant_id, p.subscriber_id, sum({_UNUSED})::bigint AS cents
        FROM mine p WHERE p.channel = :channel GROUP BY p.tenant_id, p.subscriber_id) w
    JOIN ledger_account a ON a.tenant_id = w.tenant_id AND a.code = 'liab:wallet:' || w.subscriber_id
    WHERE least(a.balance_cents, w.cents) > 0
"""  # noqa: S608 - no value of anybody's is in it
MINE = "SELECT * FROM purchase WHERE tenant_id = app.tenant_id() AND nonce = ANY(:nonces)"
_BALANCES = text(f"WITH mine AS ({MINE}) {PURSES} ORDER BY cents DESC, subscriber_id LIMIT 1").bindparams(
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


_PARTS = text(f"""
    WITH mine AS ({MINE}) SELECT p.id, {_UNUSED} AS cents FROM mine p
    WHERE p.channel = :channel AND p.subscriber_id = :subscriber_id ORDER BY p.id
""").bindparams(bindparam("nonces", type_=ARRAY(Text)))  # noqa: S608


def take(nonces: Collection[str], channel: str, subscriber_id: UUID, cents: int) -> None:
    """Moves so much of a balance away from the purchases that it came in for, oldest first. Alone with that wallet."""
    names = {"nonces": list(nonces), "channel": channel, "subscriber_id": subscriber_id}
    for row in db.session.execute(_PARTS, names).all():
        taken = min(cents, max(0, row.cents))
        if taken:
            moved = update(Purchase).where(Purchase.id == row.id).values(moved_cents=Purchase.moved_cents + taken)
            db.session.execute(moved.execution_options(synchronize_session=False))
        cents -= taken


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
