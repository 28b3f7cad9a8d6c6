"""Sessions that must end although their router does not know it yet."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import Select, and_, func, or_, select

from tenants import network
from tenants.access.accounting import GONE, LOST
from tenants.access.entitlements import used_up
from tenants.access.models import AccessSession, Entitlement
from tenants.access.orders import Names, Order, disconnect
from wavu import clock
from wavu.db import db

# A router that did not obey is asked again so much later, and given up after a day: it ends sessions by itself.
ASK_AGAIN = timedelta(minutes=5)
_FORGET_AFTER = timedelta(days=1)
_AT_ONCE = 1000


class Ending(NamedTuple):
    """A session whose router must be told to end it."""

    session_id: UUID
    router_id: UUID
    asked_at: datetime


def tenants_with_sessions_to_end(now: datetime) -> list[UUID]:
    """Tenants, of the whole deployment, whose sessions sessions_to_end() must look at. Reveals nothing else."""
    query = select(func.app.tenants_with_sessions_to_end(now, now - ASK_AGAIN))
    return list(db.session.scalars(query))


def sessions_to_end(now: datetime) -> list[Ending]:
    """The current tenant's open sessions whose entitlement has ended or is used up, or that have none; oldest first.

    Marks each as asked for, so that it is named again only if it is still open five minutes later. One of which
    nothing was heard for a day is closed instead.
    """
    endings = []
    for session, right in db.session.execute(_to_check(now)):
        if right is not None and right.ends_at > now and used_up(right) is None:
            session.check_at = right.ends_at
            continue
        if session.updated_at < now - _FORGET_AFTER:
            session.stopped_at, session.cause = session.updated_at, LOST
            continue
        session.disconnect_asked_at = now
        endings.append(Ending(session.id, session.router_id, now))
    db.session.flush()
    return endings


def _to_check(now: datetime) -> Select[AccessSession, Entitlement | None]:
    """Sessions whose right may be over: its end may have moved away since, but never nearer without its check_at."""
    asked = AccessSession.disconnect_asked_at
    return (
        select(AccessSession, Entitlement)
        .outerjoin(
            Entitlement,
            and_(Entitlement.tenant_id == AccessSession.tenant_id, Entitlement.id == AccessSession.entitlement_id),
        )
        .where(
            AccessSession.stopped_at.is_(None),
            AccessSession.check_at <= now,
            or_(asked.is_(None), asked < now - ASK_AGAIN),
        )
        .order_by(AccessSession.check_at)
        .limit(_AT_ONCE)
        .with_for_update(of=AccessSession, skip_locked=True)
        .execution_options(populate_existing=True)
    )


def disconnect_of(session_id: UUID) -> Order | None:
    """The order that ends a session; None where it has ended, or its router is gone."""
    session = _session(session_id)
    if session is None or session.stopped_at is not None:
        return None
    router = network.find_router(session.router_id)
    if router is None or router.secret is None:
        return None
    names = Names(session.user_name, session.framed_address, session.acct_session_id, session.calling_station_id)
    return disconnect(router.address, router.secret.encode(), names, clock.now())


def close_session(session_id: UUID) -> None:
    """Closes a session that its router does not have any more. One that has ended stays as it ended."""
    session = _session(session_id)
    if session is not None and session.stopped_at is None:
        session.stopped_at, session.cause = session.updated_at, GONE
        db.session.flush()


def _session(session_id: UUID) -> AccessSession | None:
    query = select(AccessSession).where(AccessSession.id == session_id).with_for_update()
    return db.session.scalar(query.execution_options(populate_existing=True))
