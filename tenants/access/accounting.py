"""Sessions, as routers tell of them: in any order, more than once, or not at all."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import func, or_, select, tuple_, update
from sqlalchemy.orm import aliased

from tenants.access import entitlements
from tenants.access.models import AccessSession, Entitlement
from tenants.access.policy import subscribers_behind
from tenants.access.requests import AccountingUpdate, Status
from wavu import ids
from wavu.db import db

# Ends that we concluded; a router's own words for an end are those of RFC 2866 5.10.
SUPERSEDED, RESTARTED, GONE, LOST = "superseded", "router restarted", "gone", "lost"
CONCLUDED = (SUPERSEDED, RESTARTED, GONE, LOST)

# A Start that comes again, without our Class token, is told from a new session with the same id by its time.
_SAME_START = timedelta(seconds=60)


def record(updates: Sequence[AccountingUpdate]) -> None:
    """Takes what routers of the current tenant report. Idempotent, and indifferent to order: counters only grow, a
    Stop stays, and what each session has used more is added to its entitlement in the same transaction."""
    batch = _Batch(updates)
    for each in updates:
        if each.status in (Status.ON, Status.OFF):
            batch.restart(each)
        else:
            batch.tell(each)
    batch.settle()


class _Batch:
    """The updates of one transaction, with what they add up to."""

    def __init__(self, updates: Sequence[AccountingUpdate]) -> None:
        tokens = {each.token.session_id: each.token.entitlement_id for each in updates if each.token is not None}
        self._sessions = _locked_sessions(set(tokens))
        self._rights = _rights(set(tokens.values()))
        self._used: dict[UUID, list[int]] = defaultdict(lambda: [0, 0])
        self._open_on: set[str] = set()

    def tell(self, update_: AccountingUpdate) -> None:
        session = self._find(update_) or self._begin(update_)
        grew = update_.seconds > session.seconds
        self._count(session, update_)
        if update_.status is Status.STOP:
            _stop(session, update_)
        elif session.cause in CONCLUDED and grew:
            # We concluded too early: it lives.
            session.stopped_at = session.cause = session.disconnect_asked_at = None
            session.check_at = update_.received_at
            self._note_open(session)
        session.updated_at = max(session.updated_at, update_.received_at)
        session.framed_address = session.framed_address or update_.framed_address

    def _find(self, update_: AccountingUpdate) -> AccessSession | None:
        if update_.token is not None:
            return self._sessions.get(update_.token.session_id)
        db.session.flush()
        query = (
            select(AccessSession)
            .where(
                AccessSession.router_id == update_.router_id,
                AccessSession.acct_session_id == update_.acct_session_id,
                AccessSession.user_name == update_.user_name,
                AccessSession.calling_station_id.is_not_distinct_from(update_.calling_station_id),
            )
            .order_by(AccessSession.started_at.desc())
            .limit(1)
            .with_for_update()
        )
        found = db.session.scalar(query)
        return found if found is not None and _is_same(found, update_) else None

    def _begin(self, update_: AccountingUpdate) -> AccessSession:
        right, subscriber_id = self._whose(update_)
        token = update_.token
        session = AccessSession(
            id=ids.new_id() if token is None else token.session_id,
            router_id=update_.router_id,
            subscriber_id=subscriber_id,
            entitlement_id=None if right is None else right.id,
            class_token=None if update_.class_value is None else update_.class_value.hex(),
            session_key=_key_without_class(update_) if token is None else f"class:{token.session_id}",
            acct_session_id=update_.acct_session_id,
            user_name=update_.user_name,
            calling_station_id=update_.calling_station_id,
            mac=update_.mac,
            framed_address=update_.framed_address,
            service=update_.service.value,
            started_at=update_.began_at,
            updated_at=update_.received_at,
            check_at=update_.received_at if right is None else right.ends_at,
            seconds=0,
            bytes_up=0,
            bytes_down=0,
        )
        db.session.add(session)
        if token is not None:
            self._sessions[token.session_id] = session
        if right is not None:
            entitlements.activate(right.id, update_.began_at)
        self._note_open(session)
        return session

    def _whose(self, update_: AccountingUpdate) -> tuple[_Right | None, UUID | None]:
        if update_.token is not None and update_.token.entitlement_id in self._rights:
            right = self._rights[update_.token.entitlement_id]
            return right, right.subscriber_id
        owners = subscribers_behind(update_.user_name, update_.mac, update_.service)
        if not owners:
            return None, None
        running = entitlements.current(owners, update_.received_at, update_.service.value)
        if running is None:
            return None, owners[0]
        return _Right(running.id, running.subscriber_id, running.ends_at), running.subscriber_id

    def _count(self, session: AccessSession, update_: AccountingUpdate) -> None:
        seconds = max(session.seconds, update_.seconds)
        up, down = max(session.bytes_up, update_.bytes_up), max(session.bytes_down, update_.bytes_down)
        if session.entitlement_id is not None:
            used = self._used[session.entitlement_id]
            used[0] += seconds - session.seconds
            used[1] += up - session.bytes_up + down - session.bytes_down
        session.seconds, session.bytes_up, session.bytes_down = seconds, up, down

    def _note_open(self, session: AccessSession) -> None:
        if session.mac is not None:
            self._open_on.add(session.mac)

    def restart(self, update_: AccountingUpdate) -> None:
        """Accounting-On and -Off (RFC 2866 5.1): what ran on the router before runs no more."""
        db.session.flush()
        before = AccessSession.started_at < update_.happened_at
        if update_.status is Status.OFF:
            before = AccessSession.started_at <= update_.happened_at
        db.session.execute(
            update(AccessSession)
            .where(AccessSession.router_id == update_.router_id, AccessSession.stopped_at.is_(None), before)
            .values(stopped_at=func.greatest(AccessSession.started_at, AccessSession.updated_at), cause=RESTARTED)
            .execution_options(synchronize_session="fetch")
        )

    def settle(self) -> None:
        db.session.flush()
        for entitlement_id in sorted(self._used):
            seconds, octets = self._used[entitlement_id]
            if seconds or octets:
                entitlements.use(entitlement_id, seconds, octets)
        if self._open_on:
            _close_superseded(self._open_on)


def _locked_sessions(session_ids: set[UUID]) -> dict[UUID, AccessSession]:
    if not session_ids:
        return {}
    query = select(AccessSession).where(AccessSession.id.in_(session_ids)).order_by(AccessSession.id).with_for_update()
    return {session.id: session for session in db.session.scalars(query)}


class _Right(NamedTuple):
    id: UUID
    subscriber_id: UUID
    ends_at: datetime


def _rights(entitlement_ids: set[UUID]) -> dict[UUID, _Right]:
    if not entitlement_ids:
        return {}
    query = select(Entitlement.id, Entitlement.subscriber_id, Entitlement.ends_at)
    rows = db.session.execute(query.where(Entitlement.id.in_(entitlement_ids)))
    return {row.id: _Right._make(row) for row in rows}


def _is_same(session: AccessSession, update_: AccountingUpdate) -> bool:
    """Whether a report without our Class is of this session, whose names it has, or of a later one: routers use their
    session ids again."""
    if update_.status is Status.START:
        return abs(update_.happened_at - session.started_at) <= _SAME_START
    return session.stopped_at is None or update_.began_at <= session.stopped_at + timedelta(seconds=1)


def _key_without_class(update_: AccountingUpdate) -> str:
    names = (
        update_.router_id, update_.acct_session_id, update_.user_name, update_.calling_station_id,
        update_.began_at.isoformat(),
    )  # fmt: skip
    return "names:" + hashlib.sha256("\0".join(map(str, names)).encode()).hexdigest()


def _stop(session: AccessSession, update_: AccountingUpdate) -> None:
    """The router's own Stop wins over an end that we concluded, and over a second Stop."""
    if session.stopped_at is None or session.cause in CONCLUDED:
        session.stopped_at = max(session.started_at, update_.happened_at)
        session.cause = update_.cause or "Stop"


def _close_superseded(macs: set[str]) -> None:
    """A device has one session of a kind on a router: where a later one began, the Stop of the earlier was lost."""
    later = aliased(AccessSession)
    exists = (
        select(later.id)
        .where(
            later.tenant_id == AccessSession.tenant_id,
            later.router_id == AccessSession.router_id,
            later.mac == AccessSession.mac,
            later.service == AccessSession.service,
            or_(AccessSession.service == "hotspot", later.user_name == AccessSession.user_name),
            tuple_(later.started_at, later.id) > tuple_(AccessSession.started_at, AccessSession.id),
        )
        .exists()
    )
    db.session.execute(
        update(AccessSession)
        .where(AccessSession.mac.in_(macs), AccessSession.stopped_at.is_(None), exists)
        .values(stopped_at=func.greatest(AccessSession.started_at, AccessSession.updated_at), cause=SUPERSEDED)
        .execution_options(synchronize_session=False)
    )
