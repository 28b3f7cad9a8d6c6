"""Payments that customers start themselves: at a PayBill with an account number, or at a Till (build sheet 6).

There is no signature here either, and the path's token lives as long as the account: what is reported from an address
that is not Daraja's, or is large, waits until Pull says so too.
"""

from __future__ import annotations

import json
from datetime import datetime
from zoneinfo import ZoneInfo

from sqlalchemy import select

from tenants import mpesa, subscribers
from tenants.mpesa import MpesaAccount
from tenants.payments import callbacks, inbox
from tenants.payments.events import PaymentReported
from tenants.payments.models import PaymentIntent
from tenants.payments.receipts import Report
from wavu import ids
from wavu.db import db
from wavu.events import announce

_EAT = ZoneInfo("Africa/Nairobi")
# Build sheet 6.3: what a validation may answer.
ACCEPTED, UNKNOWN_ACCOUNT = "0", "C2B00012"


def plain_reference(said: object) -> str | None:
    """An account number as it is compared: without spaces and dashes, in capitals. Nothing fuzzier."""
    text = "".join(str(said).split()).replace("-", "").upper() if isinstance(said, str | int) else ""
    return text[:40] or None


def _account_of(token: str) -> MpesaAccount | None:
    if not inbox.may_be_token(token):
        return None
    return db.session.scalar(select(MpesaAccount).where(MpesaAccount.hook_fingerprint == ids.fingerprint(token)))


def receive(token: str, body: bytes, peer: str | None) -> bool:
    """Stores a confirmation of the current tenant. False for a token that is nobody's here."""
    account = _account_of(token)
    if account is None:
        return False
    event_id = inbox.store("c2b", body, peer, mpesa_account_id=account.id)
    if event_id is not None:
        announce(PaymentReported(event_id=event_id))
    return True


def validate(token: str, body: bytes) -> str | None:
    """What to answer when M-Pesa asks whether to take a payment: a code of build sheet 6.3; None for a token that is
    nobody's here.

    What is not understood is taken: money that came can be looked at, money that was refused is trade that was lost.
    """
    account = _account_of(token)
    if account is None:
        return None
    report = parse(body)
    if report is None or report.reference is None or not account.refuses_unknown_references:
        return ACCEPTED
    intent = select(PaymentIntent.id).where(PaymentIntent.reference == report.reference).limit(1)
    known = (
        subscribers.by_account_number(report.reference) is not None
        or db.session.scalar(intent) is not None
        or mpesa.is_code(report.reference)
    )
    return ACCEPTED if known else UNKNOWN_ACCOUNT


def parse(body: bytes) -> Report | None:
    """Reads a validation or a confirmation, v1 or v2 (build sheet 6.3, 6.4); None for anything else."""
    try:
        said = json.loads(body, parse_float=str)
    except (ValueError, RecursionError):
        return None
    if not isinstance(said, dict):
        return None
    receipt, cents = callbacks.receipt_of(said.get("TransID")), callbacks.cents_of(said.get("TransAmount"))
    if receipt is None or cents is None:
        return None
    return Report(
        receipt=receipt,
        amount_cents=cents,
        source="c2b",
        reference=plain_reference(said.get("BillRefNumber")),
        payer=_words(said.get("MSISDN")),
        payer_name=_words(said.get("FirstName")),
        paid_at=_time(said.get("TransTime")),
        shortcode=str(said.get("BusinessShortCode", "")),
    )


def _words(said: object) -> str | None:
    return (str(said).replace("\x00", "").strip()[:80] or None) if isinstance(said, str | int) else None


def _time(said: object) -> datetime | None:
    """14 digits of East Africa Time."""
    try:
        return datetime.strptime(str(said), "%Y%m%d%H%M%S").replace(tzinfo=_EAT)
    except ValueError:
        return None
