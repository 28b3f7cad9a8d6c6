"""A customer says: this payment was mine. The code alone proves nothing: M-Pesa must have told us of the payment, and
the phone must fit what M-Pesa shows of the payer."""

from __future__ import annotations

import hashlib
import re
from enum import StrEnum
from uuid import UUID

from sqlalchemy import select

from tenants.payments import pull, suspense
from tenants.payments.models import ProviderReceipt, SuspenseItem
from wavu import clock
from wavu.db import db
from wavu.phone import Phone

_CODE = re.compile(r"\b[A-Z0-9]{10}\b", re.ASCII)
# How often M-Pesa is asked for what a claim names and we do not know.
_ASK_EVERY_SECONDS = 60


class Claim(StrEnum):
    """What came of it. One answer for a wrong phone, a payment that has an owner, and a code that is nobody's: whoever
    guesses learns nothing."""

    MATCHED = "matched"
    UNKNOWN = "unknown"
    NO_CODE = "no_code"


def code_in(text: str) -> str | None:
    """The receipt in a message of M-Pesa's, or in what somebody typed of it; None where there is none. It has letters
    and digits, so a word or a phone number is none."""
    for code in _CODE.findall(text.upper()):
        if re.search(r"[A-Z]", code) and re.search(r"\d", code):
            return str(code)
    return None


def claim(text: str, phone: Phone, subscriber_id: UUID) -> Claim:
    """Moves a payment from suspense into the wallet of the subscriber who claims it. Where we know nothing of it,
    M-Pesa is asked, and the customer may try again in a few minutes."""
    code = code_in(text)
    if code is None:
        return Claim.NO_CODE
    query = (
        select(ProviderReceipt, SuspenseItem.left_cents)
        .join(SuspenseItem, SuspenseItem.receipt_id == ProviderReceipt.id)
        .where(ProviderReceipt.receipt == code)
    )
    for receipt, left_cents in db.session.execute(query).all():
        if left_cents == receipt.amount_cents and fits(receipt.payer, phone):
            return Claim.MATCHED if suspense.match_all(receipt.id, subscriber_id) else Claim.UNKNOWN
    pull.ask_for(None, f"claim {int(clock.now().timestamp()) // _ASK_EVERY_SECONDS}")
    return Claim.UNKNOWN


def fits(payer: str | None, phone: Phone) -> bool:
    """Whether a phone may be the payer whom M-Pesa shows masked (`2547 ***** 126`), hashed, or in full."""
    digits = phone.e164.lstrip("+")
    if payer is None:
        return False
    if re.fullmatch(r"[0-9a-f]{64}", payer):
        return hashlib.sha256(digits.encode()).hexdigest() == payer
    shown = re.fullmatch(r"(\d{4,6})\s*\*+\s*(\d{3})", payer, re.ASCII)
    if shown:
        return digits.startswith(shown[1]) and digits.endswith(shown[2])
    return re.sub(r"\D", "", payer) == digits
