"""How an account at a gateway fares, from what is stored of its attempts; and when it has fallen silent.

Nothing is counted beside: a statement over an index and a window says it, and cannot disagree with the payments.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import NamedTuple
from uuid import UUID
from zoneinfo import ZoneInfo

from sqlalchemy import ColumnElement, Select, and_, case, exists, func, or_, select

from tenants import mpesa
from tenants.gateway import Account
from tenants.mpesa import MpesaAccount, MpesaFellSilent
from tenants.payments.gateways import DECLINED
from tenants.payments.models import InboundEvent, PaymentIntent
from tenants.payments.stk import OPEN
from wavu import clock
from wavu.db import db
from wavu.events import announce
from wavu.tenancy import current_tenant

WINDOW = timedelta(hours=1)
# A prompt that is younger may still be answered.
_ANSWERED_WITHIN = timedelta(seconds=90)

# Silence: so long without a payment, at an hour of the day at which on so many of the last days there was one.
SILENCE = timedelta(minutes=30)
_OPENS, _CLOSES = 7, 22
_DAYS, _USUAL_DAYS = 7, 3
_ASKED = 3


class Health(NamedTuple):
    """Of the attempts of the last hour that are decided: how many were `asked`, how many `paid`; `declined` are the
    customers' own no and in neither. `lost` are those of the paid whose callback never came: learnt by asking.
    `answer_seconds` is the median time that the gateway took to accept a push.
    """

    tried: bool
    asked: int
    paid: int
    declined: int
    lost: int
    answer_seconds: float | None
    last_paid_at: datetime | None


def _at(account: Account) -> ColumnElement[bool]:
    column = PaymentIntent.airtel_account_id if account.provider == "airtel" else PaymentIntent.mpesa_account_id
    return column == account.id


def _of(account: Account, since: datetime) -> tuple[ColumnElement[bool], ...]:
    return (_at(account), PaymentIntent.submitted_at > since)


_PAID = PaymentIntent.state.in_(("succeeded", "paid_no_receipt"))
_NO = and_(PaymentIntent.state == "failed", PaymentIntent.code.in_(DECLINED))
_CALLED_BACK = exists().where(
    InboundEvent.tenant_id == PaymentIntent.tenant_id,
    InboundEvent.intent_id == PaymentIntent.id,
    InboundEvent.kind.in_(("stk", "airtel")),
)


def health(account: Account) -> Health:
    """Of one of the current tenant's accounts, now."""
    now = clock.now()
    decided = or_(PaymentIntent.state.not_in(OPEN), PaymentIntent.submitted_at < now - _ANSWERED_WITHIN)
    took = func.extract("epoch", PaymentIntent.answered_at - PaymentIntent.submitted_at)
    asked, paid, declined, lost, answer_seconds = db.session.execute(
        select(
            func.count().filter(decided, ~_NO),
            func.count().filter(_PAID),
            func.count().filter(_NO),
            func.count().filter(_PAID, ~_CALLED_BACK),
            func.percentile_cont(0.5).within_group(took),
        ).where(*_of(account, now - WINDOW))
    ).one()
    last = (
        select(PaymentIntent.settled_at)
        .where(_at(account), PaymentIntent.submitted_at.is_not(None), _PAID)
        .order_by(PaymentIntent.submitted_at.desc())
        .limit(1)
    )
    tried = select(exists().where(_at(account), PaymentIntent.submitted_at.is_not(None)))
    return Health(
        tried=asked + declined > 0 or bool(db.session.scalar(tried)),
        asked=asked,
        paid=paid,
        declined=declined,
        lost=lost,
        answer_seconds=None if answer_seconds is None else float(answer_seconds),
        last_paid_at=db.session.scalar(last),
    )


def tenants_that_asked() -> list[UUID]:
    """Those that asked for payments lately. Across tenants: their ids and nothing else."""
    return list(db.session.scalars(select(func.app.tenants_that_asked(clock.now() - SILENCE))))


def notice_silence() -> None:
    """Marks each of the current tenant's accounts that has fallen silent, and has it told, once for each silence; takes
    the mark away from one that speaks again.

    Silent: within business hours, at least three prompts went out that no customer declined, no payment told itself,
    and at this hour there usually are some. A payment that Pull alone has found does not break a silence.
    """
    now = clock.now()
    open_now = _OPENS <= now.astimezone(ZoneInfo(current_tenant().timezone)).hour < _CLOSES
    for account in mpesa.list_accounts():
        asked, told = _heard(account, now)
        if told:
            account.silent_since = None
        elif open_now and account.silent_since is None and asked >= _ASKED and _is_usual(account, now):
            account.silent_since = now - SILENCE
            announce(MpesaFellSilent(account.id, now - SILENCE))


def _heard(account: MpesaAccount, now: datetime) -> tuple[int, bool]:
    """(prompts of late that no customer declined, whether any payment told itself)."""
    asked, paid = db.session.execute(
        select(
            func.count().filter(PaymentIntent.submitted_at < now - _ANSWERED_WITHIN, ~_NO),
            func.count().filter(PaymentIntent.state == "succeeded", _CALLED_BACK),
        ).where(*_of(account, now - SILENCE))
    ).one()
    return asked, paid > 0 or bool(db.session.scalar(_told_by_hand(account, now)))


def _told_by_hand(account: MpesaAccount, now: datetime) -> Select[tuple[bool]]:
    """Whether a confirmation told of any payment to the account."""
    return select(
        exists().where(
            InboundEvent.mpesa_account_id == account.id,
            InboundEvent.kind == "c2b",
            InboundEvent.created_at > now - SILENCE,
        )
    )


def _is_usual(account: MpesaAccount, now: datetime) -> bool:
    """Whether on enough of the last days somebody paid within this hour of the day."""
    days_ago = func.round(func.extract("epoch", now - PaymentIntent.submitted_at) / 86_400)
    away = func.abs(func.extract("epoch", now - PaymentIntent.submitted_at) - days_ago * 86_400)
    days = select(func.count(func.distinct(case((away < 3600, days_ago))))).where(
        *_of(account, now - timedelta(days=_DAYS, hours=1)),
        PaymentIntent.submitted_at < now - timedelta(hours=12),
        PaymentIntent.state == "succeeded",
    )
    return (db.session.scalar(days) or 0) >= _USUAL_DAYS
