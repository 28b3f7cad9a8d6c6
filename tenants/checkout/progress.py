"""What the waiting page may say, derived from what is stored."""

from __future__ import annotations

import math
from datetime import datetime
from typing import NamedTuple

from tenants import access, payments
from tenants.checkout.models import Purchase
from tenants.payments import PaymentIntent
from wavu import clock
from wavu.phone import mask
from wavu.tenancy import current_tenant_id, find_tenant


class Progress(NamedTuple):
    """`state`: requested, prompted, checking, paid, online, failed, no_reply or review (experience.md 2.4)."""

    state: str
    code: str | None
    retry_in_seconds: int
    seconds_left: int
    receipt: str | None
    ends_at: datetime | None
    phone_masked: str
    pay_to: str


def progress(purchase: Purchase) -> Progress:
    """Where a purchase stands at this moment. `paid` and `online` are different things: a router may be down."""
    intent = payments.latest_intent(purchase.id)
    granted = access.entitlement_of(purchase.id)
    if intent is None:
        return Progress("review", None, 0, 0, None, None, "", "")
    age = (clock.now() - (intent.submitted_at or intent.created_at)).total_seconds()
    state, retry_in = _state(intent, purchase, age, granted)
    return Progress(
        state,
        intent.code,
        retry_in,
        max(0, int(payments.PROMPT_SECONDS - age)),
        intent.receipt,
        granted.ends_at if granted else None,
        mask(intent.phone),
        _pay_to(intent),
    )


def _state(
    intent: PaymentIntent, purchase: Purchase, age: float, granted: access.Entitlement | None
) -> tuple[str, int]:
    """(state, seconds until another attempt makes sense)."""
    if granted is not None:
        return ("online" if granted.activated_at else "paid"), 0
    begun = (clock.now() - intent.created_at).total_seconds()
    retry_in = max(0, math.ceil(payments.wait_after(intent, purchase.price_cents) - begun))
    if intent.state == "failed":
        return "failed", retry_in
    if intent.state in {"review", "expired", "succeeded", "paid_no_receipt"}:
        return ("checking" if intent.state in {"succeeded", "paid_no_receipt"} else "review"), 0
    if age >= payments.PROMPT_SECONDS:
        return "no_reply", retry_in
    names = {"created": "requested", "submitting": "requested", "pending": "prompted", "unknown": "checking"}
    return names[intent.state], retry_in


def _pay_to(intent: PaymentIntent) -> str:
    account = payments.find_account(intent.mpesa_account_id)
    return f"{find_tenant(current_tenant_id()).name} · {account.party_b}"
