"""The life of an entitlement: granted with the money, started by the first session, used up by accounting.

One that was bought while another ran follows it: it begins when the other ends or is used up, whichever comes first,
and moves along with it until then.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import Row, func, select, update
from sqlalchemy.dialects.postgresql import insert

from tenants import catalog
from tenants.access.models import Entitlement
from wavu import clock, ids
from wavu.db import db
from wavu.tenancy import current_tenant

# Who gets online this soon after paying has the time from then; later, paid time has begun without them.
ACTIVATION_WINDOW = timedelta(minutes=15)
# A session that was accepted within the window may be heard of a little after it.
_HEARD_LATE = timedelta(seconds=30)


def grant(
    purchase_id: UUID,
    subscriber_id: UUID,
    terms: dict[str, Any],
    ends_at: datetime,
    *,
    starts_at: datetime,
    provisional: bool = False,
    service: str = "hotspot",
    follows: Entitlement | None = None,
) -> Entitlement:
    """Gives a purchase its one entitlement; granting again changes nothing, and makes a provisional one final.

    What was served provisionally is a part of the time that is paid; a final one never ends before the provisional one
    did. One that `follows` another starts at that one's end, which the caller has locked. Call it in the transaction
    that moves the money.
    """
    values = {
        "tenant_id": func.app.tenant_id(),
        "id": ids.new_id(),
        "purchase_id": purchase_id,
        "subscriber_id": subscriber_id,
        "policy": terms,
        "starts_at": starts_at,
        "ends_at": ends_at,
        "provisional": provisional,
        "service": service,
        "follows_id": None if follows is None else follows.id,
        "created_at": clock.now(),
    }
    added = insert(Entitlement).values(values).on_conflict_do_nothing(index_elements=["tenant_id", "purchase_id"])
    made = db.session.scalars(added.returning(Entitlement)).one_or_none()
    if made is not None:
        return made
    kept = _locked(Entitlement.purchase_id == purchase_id)
    assert kept is not None
    if kept.provisional and not provisional:
        served = min(kept.ends_at, starts_at) - kept.starts_at if _movable(terms) else timedelta(0)
        kept.provisional, kept.policy, kept.ends_at = False, terms, max(kept.ends_at, ends_at - served)
        db.session.flush()
        _move_up(kept)
    return kept


def ends_at(terms: dict[str, Any], starts_at: datetime, bought_at: datetime) -> datetime:
    """When what was bought at an instant and starts at another, now or later, ends by the tenant's calendar."""
    return catalog.ends_at(terms, starts_at, current_tenant().timezone, bought_at=bought_at)


def _move_up(moved: Entitlement) -> None:
    """Those that wait behind one begin when it ends, wherever that end has moved; now, if it is used up."""
    now = clock.now()
    while (waiting := _locked((Entitlement.follows_id == moved.id) & (Entitlement.starts_at > now))) is not None:
        starts_at = now if used_up(moved) else moved.ends_at
        if waiting.provisional:
            waiting.ends_at += starts_at - waiting.starts_at
        else:
            waiting.ends_at = ends_at(waiting.policy, starts_at, waiting.created_at)
        waiting.starts_at = starts_at
        db.session.flush()
        moved = waiting


def _locked(where: Any) -> Entitlement | None:
    query = select(Entitlement).where(where).with_for_update().execution_options(populate_existing=True)
    return db.session.scalar(query)


def entitlement_of(purchase_id: UUID) -> Entitlement | None:
    """What a purchase gave, running or not."""
    return db.session.scalar(select(Entitlement).where(Entitlement.purchase_id == purchase_id))


def current(subscriber_ids: Collection[UUID], at: datetime, service: str = "hotspot") -> Entitlement | None:
    """The entitlement of any of these subscribers under which one may be online at an instant: of those running and not
    used up, the one that ends last."""
    return next((found for found in running(subscriber_ids, at, service) if used_up(found) is None), None)


def running(subscriber_ids: Collection[UUID], at: datetime, service: str) -> list[Entitlement]:
    """Those whose time it is, used up or not, the one that ends last first."""
    query = (
        select(Entitlement)
        .where(
            Entitlement.subscriber_id.in_(subscriber_ids),
            Entitlement.service == service,
            Entitlement.starts_at <= at,
            Entitlement.ends_at > at,
        )
        .order_by(Entitlement.ends_at.desc(), Entitlement.id)
    )
    return list(db.session.scalars(query))


def last_ended(subscriber_ids: Collection[UUID], at: datetime, service: str) -> datetime | None:
    """When these subscribers' last entitlement ended, if any has."""
    query = select(func.max(Entitlement.ends_at)).where(
        Entitlement.subscriber_id.in_(subscriber_ids), Entitlement.service == service, Entitlement.ends_at <= at
    )
    return db.session.scalar(query)


def seconds_left(entitlement: Entitlement | Row[Any]) -> int | None:
    """Online time that is left of a time cap; None where there is no cap."""
    cap = entitlement.policy.get("time_cap_seconds")
    return None if cap is None else max(0, int(cap) - entitlement.used_seconds)


def bytes_left(entitlement: Entitlement | Row[Any]) -> int | None:
    """Data that is left of a data cap; None where there is no cap."""
    cap = entitlement.policy.get("data_cap_bytes")
    return None if cap is None else max(0, int(cap) - entitlement.used_bytes)


def used_up(entitlement: Entitlement | Row[Any]) -> str | None:
    """`time` or `data`, whichever is used up; None while there is some left."""
    if seconds_left(entitlement) == 0:
        return "time"
    return "data" if bytes_left(entitlement) == 0 else None


def end_if_begun(entitlement: Entitlement, at: datetime) -> datetime:
    """When it ends if its first session begins at an instant: what a router must be told before accounting tells us."""
    return entitlement.ends_at + _delay(entitlement, at, ACTIVATION_WINDOW)


def _delay(entitlement: Entitlement, began: datetime, window: timedelta) -> timedelta:
    """By how much a first session moves start and end (money-and-reliability 3.2)."""
    waited = began - entitlement.starts_at
    movable = entitlement.activated_at is None and _movable(entitlement.policy)
    return waited if movable and timedelta(0) < waited <= window else timedelta(0)


def _movable(terms: dict[str, Any]) -> bool:
    """Whether a length of time is sold. The calendar moves for nobody."""
    return terms.get("validity") in ("hours", "days")


def activate(entitlement_id: UUID, began: datetime) -> None:
    """Says that a session under it began: the first one moves start and end by the delay, once."""
    found = _locked((Entitlement.id == entitlement_id) & Entitlement.activated_at.is_(None))
    if found is None:
        return
    delay = _delay(found, began, ACTIVATION_WINDOW + _HEARD_LATE)
    found.starts_at, found.ends_at, found.activated_at = found.starts_at + delay, found.ends_at + delay, clock.now()
    db.session.flush()
    if delay:
        _move_up(found)


def use(entitlement_id: UUID, seconds: int, octets: int) -> None:
    """Adds what a session has used since it was last heard of. Where nothing is left then, what waits behind begins."""
    used = db.session.execute(
        update(Entitlement)
        .where(Entitlement.id == entitlement_id)
        .values(used_seconds=Entitlement.used_seconds + seconds, used_bytes=Entitlement.used_bytes + octets)
        .returning(Entitlement.policy, Entitlement.used_seconds, Entitlement.used_bytes)
        .execution_options(synchronize_session=False)
    ).one()
    if used_up(used) and (found := _locked(Entitlement.id == entitlement_id)) is not None:
        _move_up(found)
