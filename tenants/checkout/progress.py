"""What the waiting page may say, derived from what is stored."""

from __future__ import annotations

import math
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from sqlalchemy import BigInteger, Row, and_, bindparam, func, literal, null, select, true, union_all

from tenants import payments
from tenants.access import Entitlement
from tenants.checkout.models import Purchase
from tenants.mpesa import MpesaAccount
from tenants.payments import PaymentIntent
from tenants.subscribers import Device
from wavu import clock
from wavu.db import db
from wavu.errors import NotFound
from wavu.phone import Phone
from wavu.tenancy import Tenant


class Progress(NamedTuple):
    """`state`: requested, prompted, checking, paid, online, failed, no_reply or review (experience.md 2.4).

    `terms` to `original_url` are the purchase's own.
    """

    state: str
    code: str | None
    retry_in_seconds: int
    seconds_left: int
    receipt: str | None
    ends_at: datetime | None
    phone_masked: str
    pay_to: str
    terms: dict[str, Any]
    price_cents: int
    mac: str | None
    login_url: str | None
    original_url: str | None


_BOUGHT, _INTENT, _RIGHT = Purchase.__table__.c, PaymentIntent.__table__.c, Entitlement.__table__.c
_ACCOUNT, _TENANT = MpesaAccount.__table__.c, Tenant.__table__.c
_LATEST = (
    select(
        _INTENT.mpesa_account_id, _INTENT.state, _INTENT.code, _INTENT.receipt, _INTENT.phone, _INTENT.amount_cents,
        _INTENT.submitted_at, _INTENT.created_at,
    )
    .where(_INTENT.tenant_id == _BOUGHT.tenant_id, _INTENT.purchase_id == _BOUGHT.id)
    .order_by(_INTENT.id.desc())
    .limit(1)
    .lateral("latest")
)  # fmt: skip
# One statement without entities, for each waiting phone asks every few seconds.
_PROGRESS = (
    select(
        _BOUGHT.terms, _BOUGHT.price_cents, _BOUGHT.mac, _BOUGHT.login_url, _BOUGHT.original_url, _LATEST,
        _ACCOUNT.party_b, _RIGHT.ends_at, _RIGHT.activated_at, _TENANT.name,
    )
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
    found = db.session.execute(_PROGRESS, {"nonce": nonce}).first()
    if found is None:
        raise NotFound
    purchase = found.terms, found.price_cents, found.mac, found.login_url, found.original_url
    if found.state is None:
        return Progress("review", None, 0, 0, None, None, "", "", *purchase)
    age = (clock.now() - (found.submitted_at or found.created_at)).total_seconds()
    state, retry_in = _state(found, age)
    return Progress(
        state,
        found.code,
        retry_in,
        max(0, int(payments.PROMPT_SECONDS - age)),
        found.receipt,
        found.ends_at,
        Phone(found.phone).masked,
        f"{found.name} · {found.party_b}",
        *purchase,
    )


def _state(found: Row[Any], age: float) -> tuple[str, int]:
    """(state, seconds until another attempt makes sense)."""
    if found.ends_at is not None:
        return ("online" if found.activated_at else "paid"), 0
    begun = (clock.now() - found.created_at).total_seconds()
    retry_in = max(0, math.ceil(payments.wait_after(found, found.price_cents) - begun))
    if found.state == "failed":
        return "failed", retry_in
    if found.state in {"review", "expired", "succeeded", "paid_no_receipt"}:
        return ("checking" if found.state in {"succeeded", "paid_no_receipt"} else "review"), 0
    if age >= payments.PROMPT_SECONDS:
        return "no_reply", retry_in
    names = {"created": "requested", "submitting": "requested", "pending": "prompted", "unknown": "checking"}
    return names[found.state], retry_in


class Held(NamedTuple):
    """A purchase that a device can go on with: paid and running (`ends_at`), or its prompt is open on `phone`."""

    nonce: str
    terms: dict[str, Any]
    ends_at: datetime | None
    been_online: bool
    phone: str | None


# Somebody who comes back later than this starts anew.
_OPEN_FOR = timedelta(minutes=3)
_DEVICE = Device.__table__.c


def _some_left(used: Any, cap: str) -> Any:
    return func.coalesce(used < _RIGHT.policy[cap].astext.cast(BigInteger), true())


_RUNNING = (
    select(
        _BOUGHT.nonce, _BOUGHT.terms, _RIGHT.ends_at, _RIGHT.activated_at.is_not(None).label("been_online"),
        null().label("phone"),
    )
    .join(_RIGHT.id.table, and_(_RIGHT.tenant_id == _BOUGHT.tenant_id, _RIGHT.purchase_id == _BOUGHT.id))
    .join(
        _DEVICE.id.table,
        and_(
            _DEVICE.tenant_id == _RIGHT.tenant_id,
            _DEVICE.subscriber_id == _RIGHT.subscriber_id,
            _DEVICE.mac == _BOUGHT.mac,
        ),
    )
    .where(
        _DEVICE.tenant_id == func.app.tenant_id(),
        _DEVICE.mac == bindparam("mac"),
        _RIGHT.starts_at <= bindparam("now"),
        _RIGHT.ends_at > bindparam("now"),
        _some_left(_RIGHT.used_seconds, "time_cap_seconds"),
        _some_left(_RIGHT.used_bytes, "data_cap_bytes"),
    )
    .order_by(_RIGHT.ends_at.desc())
    .limit(1)
)  # fmt: skip
_ASKED = (
    select(_BOUGHT.nonce, _BOUGHT.terms, null(), literal(False), _INTENT.phone)
    .join(_INTENT.id.table, and_(_INTENT.tenant_id == _BOUGHT.tenant_id, _INTENT.purchase_id == _BOUGHT.id))
    .where(
        _INTENT.tenant_id == func.app.tenant_id(),
        _INTENT.state.in_(payments.OPEN),
        _INTENT.created_at > bindparam("since"),
        _BOUGHT.mac == bindparam("mac"),
        _BOUGHT.state == "open",
    )
    .order_by(_INTENT.id.desc())
    .limit(1)
)
_HELD = union_all(_RUNNING, _ASKED)


def held_by(mac: str) -> tuple[Held, ...]:
    """What a device need not buy again: of its packages that run and are not used up the one that ends last, and its
    last prompt that may still be answered.
    """
    now = clock.now()
    return tuple(Held(*row) for row in db.session.execute(_HELD, {"mac": mac, "now": now, "since": now - _OPEN_FOR}))
