"""Callbacks about attempts. M-Pesa's comes to an address with the attempt's own token; Airtel knows one address for
all attempts of an account, so that its callback's body names the attempt."""

from __future__ import annotations

from collections.abc import Callable
from uuid import UUID

from sqlalchemy import bindparam, func, select

from tenants import airtel
from tenants.gateway import Told
from tenants.mpesa.callback import RECEIPT as RECEIPT
from tenants.mpesa.callback import cents_of as cents_of
from tenants.mpesa.callback import parse as parse
from tenants.mpesa.callback import receipt_of as receipt_of
from tenants.payments import inbox
from tenants.payments.events import CallbackArrived
from tenants.payments.models import InboundEvent, PaymentIntent
from wavu import ids
from wavu.db import db
from wavu.events import announce

_INTENT = PaymentIntent.__table__.c
_BY_TOKEN = select(_INTENT.id).where(
    _INTENT.tenant_id == func.app.tenant_id(), _INTENT.token_fingerprint == bindparam("mark")
)


def receive(token: str, body: bytes, peer: str | None) -> bool:
    """Stores a callback of the current tenant. False for a token that is nobody's here."""
    if not inbox.may_be_token(token):
        return False
    intent_id: UUID | None = db.session.scalar(_BY_TOKEN, {"mark": ids.fingerprint(token)})
    if intent_id is None:
        return False
    event_id = inbox.store("stk", body, peer, intent_id=intent_id)
    if event_id is not None:
        announce(CallbackArrived(event_id=event_id))
    return True


def receive_airtel(token: str, body: bytes, peer: str | None) -> bool:
    """Stores a callback of Airtel's to one of the current tenant's accounts. False for a token that is nobody's here.

    One that names no attempt of that account is stored too, and settles nothing.
    """
    account = airtel.by_token(token) if inbox.may_be_token(token) else None
    if account is None:
        return False
    said = airtel.GATEWAY.read(body)
    intent_id = None
    if said is not None and said.checkout_request_id is not None:
        intent_id = db.session.scalar(
            select(PaymentIntent.id).where(
                PaymentIntent.airtel_account_id == account.id,
                PaymentIntent.checkout_request_id == said.checkout_request_id,
            )
        )
    airtel.note_callback(account)
    event_id = inbox.store("airtel", body, peer, intent_id=intent_id, airtel_account_id=account.id)
    if event_id is not None and intent_id is not None:
        announce(CallbackArrived(event_id=event_id))
    return True


def held_claims(intent_id: UUID) -> int:
    """How many callbacks claimed a success that waits for a proof of our own."""
    query = select(func.count()).where(InboundEvent.intent_id == intent_id, InboundEvent.outcome == "held")
    return db.session.scalar(query) or 0


def held_success(intent: PaymentIntent, read: Callable[[bytes], Told | None], *, names_amount: bool) -> Told | None:
    """The success that callbacks claimed and that waits for a proof of our own. None where they claim different
    receipts: a proof that money came does not tell which of them is true. Where a callback `names_amount`, one that
    names another than was asked is of no payment of this prompt's, for a prompt is paid as it was asked or not at all.
    """
    query = select(InboundEvent.body).where(InboundEvent.intent_id == intent.id, InboundEvent.outcome == "held")
    claims = {
        said.receipt: said
        for body in db.session.scalars(query)
        if (said := read(body)) and said.receipt and (not names_amount or said.amount_cents == intent.amount_cents)
    }
    return claims.popitem()[1] if len(claims) == 1 else None
