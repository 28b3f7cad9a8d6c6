"""A customer says: this payment was mine. The code alone proves nothing: M-Pesa must have told us of the payment, and
the phone must fit what M-Pesa shows of the payer. Of what we do not know Pull and Transaction Status are asked."""

from __future__ import annotations

import hashlib
import re
from datetime import timedelta
from enum import StrEnum
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import select

from tenants import mpesa, subscribers
from tenants.mpesa import MpesaAccount
from tenants.payments import pull, receipts, suspense
from tenants.payments.models import PaymentIntent, ProviderReceipt, SuspenseItem
from tenants.payments.receipts import Report, Settled
from wavu import clock
from wavu.db import db
from wavu.phone import Phone

_CODE = re.compile(r"\b[A-Z0-9]{10}\b", re.ASCII)
# How often M-Pesa is asked for what a claim names and we do not know.
_ASK_EVERY_SECONDS = 60
# What Transaction Status told of: proof, for M-Pesa said it to a question of ours.
STATUS = "status"
# When, before a payment, the attempt that brought it went out.
_PAID_WITHIN, _CLOCKS_DIFFER = timedelta(minutes=5), timedelta(minutes=1)


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


class Known(NamedTuple):
    """A payment that has come in and that a phone is known to have made. `left_cents` lies in suspense, for nobody.

    `purchase_id` is what it was paid for: by its prompt, by the account number that was typed, or by its amount at a
    Till; `asked_them`: a prompt to this very phone brought it. `owner_id` is whose wallet it went into, where that is
    one subscriber.
    """

    receipt: ProviderReceipt
    left_cents: int
    purchase_id: UUID | None
    asked_them: bool
    owner_id: UUID | None


def known_payment(code: str, phone: Phone) -> Known | None:
    """The payment of that receipt, for whoever proves to be its payer; None for everybody else, and where there is
    none."""
    for account in mpesa.all_accounts():
        receipt = receipts.find_receipt(account, code)
        if receipt is None:
            continue
        intent = _attempt_of(receipt)
        asked_them = intent is not None and intent.phone == phone.e164
        if not (fits(receipt.payer, phone) if receipt.payer else asked_them):
            return None
        owner = subscribers.by_account_number(receipt.reference or "")
        named = owner is not None and owner.subscriber_id == receipt.subscriber_id
        return Known(
            receipt,
            suspense.left_of(receipt.id),
            intent.purchase_id if intent is not None else owner.purchase_id if owner is not None and named else None,
            asked_them,
            receipt.subscriber_id or suspense.owner_found(receipt.id),
        )
    return None


def _attempt_of(receipt: ProviderReceipt) -> PaymentIntent | None:
    """The attempt that is known to have brought it, or is believed to have."""
    intent_id = receipt.intent_id or suspense.guessed_for(receipt.id)
    return db.session.scalar(select(PaymentIntent).where(PaymentIntent.id == intent_id)) if intent_id else None


def ask_status(code: str, subject_id: UUID) -> int:
    """Has M-Pesa asked about a receipt at each account that can ask; the answers come as StatusAnswered. Returns at how
    many."""
    able = [account for account in mpesa.list_accounts() if mpesa.may_ask(account.id)]
    for account in able:
        mpesa.ask_status(account.id, receipt=code, subject_id=subject_id)
    return len(able)


def credit_proven(account: MpesaAccount, code: str, told: mpesa.initiator.Transaction, phone: Phone) -> Settled | None:
    """Credits what Transaction Status told of, where its payer fits the phone: to the attempt that it paid, else into
    suspense, where the same payer may claim it. None where there is no attempt, or nothing was new."""
    if not is_theirs(told, code, phone) or told.amount_cents is None:
        return None
    report = Report(code, told.amount_cents, STATUS, payer=_digits(told.payer), paid_at=told.finished_at)
    intent = _attempt_for(account, report, phone)
    if not receipts.credit(account, report, intent=intent) or intent is None:
        return None
    return receipts.pay(intent, report)


def is_theirs(told: mpesa.initiator.Transaction, code: str, phone: Phone) -> bool:
    """Whether M-Pesa says that this very payment was made, and by this phone."""
    return told.status == "Completed" and told.receipt == code and fits(_digits(told.payer), phone)


def _digits(party: str | None) -> str | None:
    """The number of `254708374149 - John Doe`."""
    return party.partition(" - ")[0].strip() if party else None


def _attempt_for(account: MpesaAccount, report: Report, phone: Phone) -> PaymentIntent | None:
    """The only attempt of that phone and amount which went out just before the payment, and is not paid."""
    if report.paid_at is None:
        return None
    sent = PaymentIntent.submitted_at
    query = select(PaymentIntent).where(
        PaymentIntent.mpesa_account_id == account.id,
        PaymentIntent.phone == phone.e164,
        PaymentIntent.amount_cents == report.amount_cents,
        PaymentIntent.state != "succeeded",
        sent > report.paid_at - _PAID_WITHIN,
        sent < report.paid_at + _CLOCKS_DIFFER,
    )
    found = db.session.scalars(query.with_for_update().execution_options(populate_existing=True)).all()
    return found[0] if len(found) == 1 else None


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
