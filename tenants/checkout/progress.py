"""What the waiting page may say, derived from what is stored."""

from __future__ import annotations

import math
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import BigInteger, Row, Text, and_, bindparam, cast, func, literal, literal_column, select, true

from tenants import payments
from tenants.access import Entitlement
from tenants.checkout.balance import came_in, whole_shillings
from tenants.checkout.models import Purchase
from tenants.ledger import LedgerAccount
from tenants.mpesa import MpesaAccount
from tenants.payments import PaymentIntent
from tenants.subscribers import AccountNumber
from wavu import clock
from wavu.db import db
from wavu.errors import NotFound
from wavu.phone import Phone
from wavu.tenancy import Tenant


class ByHand(NamedTuple):
    """How to pay without a prompt: to a `paybill` with an account number, or to a `till`, which knows none."""

    kind: str
    number: str
    account: str | None


class Progress(NamedTuple):
    """`state`: requested, held (nothing could be sent yet, and we go on trying), prompted, checking, paid, waits (for
    an earlier package to end), online, ended, short (some of the money is here), failed, no_reply or review
    (experience.md 2.4).

    `spare_cents` is what came in for this purchase and is not used: of a price that is not reached, or too much;
    `missing_cents` what its next prompt asks for, or what is paid `by_hand` (None once it is bought). `provider` is the
    gateway of the latest prompt. `channel` to `original_url` are the purchase's own.
    """

    state: str
    code: str | None
    retry_in_seconds: int
    seconds_left: int
    receipt: str | None
    spare_cents: int
    missing_cents: int
    starts_at: datetime | None
    ends_at: datetime | None
    phone_masked: str
    pay_to: str
    provider: str
    channel: str
    terms: dict[str, Any]
    price_cents: int
    wallet_cents: int
    mac: str | None
    login_url: str | None
    original_url: str | None
    by_hand: ByHand | None


_BOUGHT, _INTENT, _RIGHT = Purchase.__table__.c, PaymentIntent.__table__.c, Entitlement.__table__.c
_ACCOUNT, _TENANT = MpesaAccount.__table__.c, Tenant.__table__.c
_WALLET, _NUMBER = LedgerAccount.__table__.c, AccountNumber.__table__.c
_LATEST = (
    select(
        _INTENT.provider, _INTENT.mpesa_account_id, _INTENT.state, _INTENT.code, _INTENT.receipt, _INTENT.phone,
        _INTENT.amount_cents, _INTENT.submitted_at, _INTENT.created_at,
    )
    .where(_INTENT.tenant_id == _BOUGHT.tenant_id, _INTENT.purchase_id == _BOUGHT.id)
    .order_by(_INTENT.id.desc())
    .limit(1)
    .lateral("latest")
)  # fmt: skip
_BROUGHT = literal_column(f"({came_in('purchase')})", BigInteger)
_IN_WALLET = (
    select(func.coalesce(func.sum(_WALLET.balance_cents), 0))
    .where(
        _WALLET.tenant_id == _BOUGHT.tenant_id,
        _WALLET.code == literal("liab:wallet:").concat(cast(_BOUGHT.subscriber_id, Text)),
    )
    .scalar_subquery()
)
_OWN_NUMBER = (
    select(_NUMBER.number)
    .where(
        _NUMBER.tenant_id == _BOUGHT.tenant_id,
        _NUMBER.subscriber_id == _BOUGHT.subscriber_id,
        _NUMBER.purchase_id == _BOUGHT.id,
    )
    .scalar_subquery()
)
# One statement without entities, for each waiting phone asks every few seconds.
_PROGRESS = (
    select(
        _BOUGHT.channel, _BOUGHT.terms, _BOUGHT.price_cents, _BOUGHT.wallet_cents, _BOUGHT.moved_cents, _BOUGHT.mac,
        _BOUGHT.login_url, _BOUGHT.original_url, _BOUGHT.state.label("purchase_state"), _LATEST, _ACCOUNT.party_b,
        _ACCOUNT.kind, _RIGHT.starts_at, _RIGHT.ends_at, _RIGHT.activated_at, _TENANT.name,
        _BROUGHT.label("came_in_cents"), _IN_WALLET.label("in_wallet_cents"), _OWN_NUMBER.label("own_number"),
    )
    .add_columns(_BOUGHT.promo_cents)
    .join(_TENANT.id.table, _TENANT.id == _BOUGHT.tenant_id)
    .outerjoin(_LATEST, true())
    .outerjoin(
        _ACCOUNT.id.table,
        and_(_ACCOUNT.tenant_id == _BOUGHT.tenant_id, _ACCOUNT.id == _LATEST.c.mpesa_account_id),
    )
    .outerjoin(_RIGHT.id.table, and_(_RIGHT.tenant_id == _BOUGHT.tenant_id, _RIGHT.purchase_id == _BOUGHT.id))
    .where(_BOUGHT.tenant_id == func.app.tenant_id(), _BOUGHT.nonce == bindparam("nonce"))
)  # fmt: skip


def progress(nonce: str) -> Progress:
    """Where a purchase stands at this moment. `paid` and `online` are different things: a router may be down.

    Raises NotFound, for another tenant's nonce too.
    """
    found: Any = db.session.execute(_PROGRESS, {"nonce": nonce}).first()
    if found is None:
        raise NotFound
    # A purchase that the balance paid asked nobody.
    age = (clock.now() - (found.submitted_at or found.created_at)).total_seconds() if found.state else 0.0
    spare, missing = _money(found)
    state, retry_in = _state(found, age, missing)
    return Progress(
        state,
        found.code,
        retry_in,
        max(0, int(payments.PROMPT_SECONDS - age)),
        found.receipt,
        spare,
        missing,
        found.starts_at,
        found.ends_at,
        Phone(found.phone).masked if found.phone else "",
        f"{found.name} · {found.party_b or 'Airtel Money'}" if found.state else "",
        found.provider or "mpesa",
        found.channel,
        found.terms,
        found.price_cents,
        found.wallet_cents,
        found.mac,
        found.login_url,
        found.original_url,
        _by_hand(found),
    )


def _by_hand(found: Row[Any]) -> ByHand | None:
    """A PayBill wants an account number, and there is none where the purchase is older than they are."""
    if found.purchase_state == "bought" or found.kind is None:
        return None
    if found.kind == "till":
        return ByHand("till", found.party_b, None)
    return ByHand("paybill", found.party_b, found.own_number) if found.own_number is not None else None


def _money(found: Row[Any]) -> tuple[int, int]:
    """(spare, missing) cents."""
    if found.purchase_state == "bought":
        paid_cents = found.price_cents - found.promo_cents
        unused = max(0, found.came_in_cents + found.wallet_cents - paid_cents) - found.moved_cents
        return max(0, min(found.in_wallet_cents, unused)), 0
    here = max(0, min(found.in_wallet_cents, found.came_in_cents + found.wallet_cents - found.moved_cents))
    return here, whole_shillings(found.price_cents - here)


def _state(found: Row[Any], age: float, missing_cents: int) -> tuple[str, int]:
    """(state, seconds until another attempt makes sense)."""
    if found.ends_at is not None:
        return _right_state(found), 0
    if found.state is None:
        return "review", 0
    begun = (clock.now() - found.created_at).total_seconds()
    retry_in = max(0, math.ceil(payments.wait_after(found, missing_cents) - begun))
    is_asked = found.state in payments.OPEN and age < payments.PROMPT_SECONDS
    if found.came_in_cents > found.moved_cents and not is_asked and found.state not in {"succeeded", "paid_no_receipt"}:
        return "short", retry_in
    if found.state == "failed":
        return "failed", retry_in
    if found.state in {"review", "expired", "succeeded", "paid_no_receipt"}:
        return ("checking" if found.state in {"succeeded", "paid_no_receipt"} else "review"), 0
    if age >= payments.PROMPT_SECONDS:
        return "no_reply", retry_in
    if found.state == "created" and found.code is not None:
        return "held", retry_in
    names = {"created": "requested", "submitting": "requested", "pending": "prompted", "unknown": "checking"}
    return names[found.state], retry_in


def _right_state(found: Row[Any]) -> str:
    now = clock.now()
    if found.ends_at <= now:
        return "ended"
    if found.starts_at > now:
        return "waits"
    return "online" if found.activated_at else "paid"
