"""The inbox: callbacks are stored as they come and answered at once; what they mean is settled later.

There is no signature. The path's token proves the attempt; everything in the body is a claim (build sheet 21).
"""

from __future__ import annotations

import hashlib
import json
import re
from decimal import Decimal
from typing import Any, NamedTuple
from uuid import UUID

from flask import current_app
from sqlalchemy import func, select
from sqlalchemy.dialects.postgresql import insert

from config import Settings
from tenants.payments.events import CallbackArrived
from tenants.payments.models import InboundEvent, PaymentIntent
from wavu import clock, ids
from wavu.db import db
from wavu.events import announce

MAX_BODY_BYTES = 64 * 1024
RECEIPT = re.compile(r"[A-Z0-9]{10}", re.ASCII)
# Failures may carry a made-up receipt such as OAK0000000 (build sheet 2.6).
_DUMMY = re.compile(r"[A-Z]{3}0{7}", re.ASCII)


class StkResult(NamedTuple):
    """What an stkCallback says. Money in cents; None where it does not say."""

    code: str
    checkout_request_id: str | None
    merchant_request_id: str | None
    amount_cents: int | None
    receipt: str | None


def may_be_token(token: str) -> bool:
    """Whether it looks like one of ours."""
    return re.fullmatch(r"[0-9a-f]{64}", token, re.ASCII) is not None


def receive(token: str, body: bytes, peer: str | None) -> bool:
    """Stores a callback of the current tenant. False for a token that is nobody's here. The same body counts once."""
    if not may_be_token(token):
        return False
    mark = ids.fingerprint(token)
    intent_id = db.session.scalar(select(PaymentIntent.id).where(PaymentIntent.token_fingerprint == mark))
    if intent_id is None:
        return False
    event_id = ids.new_id()
    stored = db.session.execute(
        insert(InboundEvent)
        .values(
            id=event_id,
            tenant_id=func.app.tenant_id(),
            kind="stk",
            intent_id=intent_id,
            body_digest=hashlib.sha256(_canonical(body)).digest(),
            body=body,
            peer=peer,
            created_at=clock.now(),
        )
        .on_conflict_do_nothing(index_elements=["tenant_id", "intent_id", "body_digest"])
        .returning(InboundEvent.id)
    )
    if stored.first() is not None:
        announce(CallbackArrived(event_id=event_id))
    return True


def _canonical(body: bytes) -> bytes:
    """The same for two copies that differ in spaces and order only."""
    try:
        return json.dumps(json.loads(body), sort_keys=True, separators=(",", ":")).encode()
    except (ValueError, RecursionError):
        return body


def held_success(intent_id: UUID) -> StkResult | None:
    """A success that was claimed by a callback and waits for a proof of our own."""
    query = select(InboundEvent.body).where(InboundEvent.intent_id == intent_id, InboundEvent.outcome == "held")
    bodies = db.session.scalars(query.order_by(InboundEvent.id)).all()
    return parse(bodies[0]) if bodies else None


def comes_from_daraja(environment: str, peer: str | None) -> bool:
    """Whether the sender's address is on the list. A score, not a proof; in the rehearsal the simulator is local."""
    settings: Settings = current_app.extensions["settings"]
    if environment == "rehearsal":
        return peer in {"127.0.0.1", "::1"}
    return peer in settings.daraja_callback_addresses


def parse(body: bytes) -> StkResult | None:
    """Reads an stkCallback (build sheet 4.1); None for anything else. Numbers may come as text and text as numbers."""
    try:
        callback = json.loads(body, parse_float=Decimal)["Body"]["stkCallback"]
        code = callback["ResultCode"]
    except (ValueError, RecursionError, KeyError, TypeError):
        return None
    if isinstance(code, bool) or not isinstance(code, int | str) or not re.fullmatch(r"[\w.]{1,40}", str(code)):
        return None
    items = _items(callback)
    receipt = str(items.get("MpesaReceiptNumber", ""))
    return StkResult(
        str(code),
        _text(callback.get("CheckoutRequestID")),
        _text(callback.get("MerchantRequestID")),
        _cents(items.get("Amount")),
        receipt if RECEIPT.fullmatch(receipt) and not _DUMMY.fullmatch(receipt) else None,
    )


def _items(callback: Any) -> dict[str, Any]:
    """The items by name; the first of a name counts, whatever their order."""
    metadata = callback.get("CallbackMetadata")
    listed = metadata.get("Item") if isinstance(metadata, dict) else None
    found: dict[str, Any] = {}
    for item in listed if isinstance(listed, list) else []:
        if isinstance(item, dict) and isinstance(item.get("Name"), str) and "Value" in item:
            found.setdefault(item["Name"], item["Value"])
    return found


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) and 0 < len(value) <= 64 else None


def _cents(value: Any) -> int | None:
    """Whole cents between one and 250,000 shillings, out of a number or its text; None for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | Decimal | str):
        return None
    if not re.fullmatch(r"\d{1,6}(\.\d{1,2})?0*", str(value), re.ASCII):
        return None
    cents = int(Decimal(str(value)) * 100)
    return cents if 100 <= cents <= 25_000_000 else None
