"""The audit trail: who did what, acting as whom. Append-only and hash-chained per tenant, both by the database."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import FetchedValue, UniqueConstraint, func, select, text
from sqlalchemy.orm import Mapped, mapped_column

from wavu.db import TenantRow, db


@dataclass(frozen=True)
class Actor:
    """Who acts: a person, or the system where there is none. `name` is kept as it was at the time."""

    person_id: UUID | None = None
    name: str = "Wavu"
    address: str | None = None


SYSTEM = Actor()
_actor: ContextVar[Actor] = ContextVar("wavu_actor", default=SYSTEM)


class AuditEntry(TenantRow):
    """One act. `chain` is the SHA-256 over the row and the one before it; a trigger sets it."""

    __tablename__ = "audit_entry"
    __table_args__ = (UniqueConstraint("tenant_id", "sequence"),)

    sequence: Mapped[int] = mapped_column(server_default=FetchedValue())
    person_id: Mapped[UUID | None]
    actor: Mapped[str]
    address: Mapped[str | None]
    action: Mapped[str]
    subject: Mapped[str | None]
    facts: Mapped[dict[str, Any]]
    chain: Mapped[bytes] = mapped_column(server_default=FetchedValue())


@contextmanager
def acting(actor: Actor) -> Iterator[None]:
    """Names who acts for everything recorded in the block. Set at the edges."""
    token = _actor.set(actor)
    try:
        yield
    finally:
        _actor.reset(token)


def actor() -> Actor:
    """Who acts now."""
    return _actor.get()


def record(action: str, *, subject: UUID | str | None = None, **facts: Any) -> None:
    """Adds a line to the current tenant's trail, in the running transaction. Facts are JSON values, never secrets."""
    actor = _actor.get()
    db.session.add(
        AuditEntry(
            person_id=actor.person_id,
            actor=actor.name,
            address=actor.address,
            action=action,
            subject=str(subject) if subject else None,
            facts=json.loads(json.dumps(facts, default=str)),
        )
    )


def trail(*, before: int | None = None, subject: UUID | str | None = None, limit: int = 50) -> list[AuditEntry]:
    """The current tenant's lines, newest first, paged by key: pass the last `sequence` seen as `before`."""
    query = select(AuditEntry).order_by(AuditEntry.sequence.desc()).limit(limit)
    if before is not None:
        query = query.where(AuditEntry.sequence < before)
    if subject is not None:
        query = query.where(AuditEntry.subject == str(subject))
    return list(db.session.scalars(query))


def count(action: str, *, since: datetime, **facts: str) -> int:
    """How often the current tenant did something from then on, with these facts."""
    query = select(func.count()).select_from(AuditEntry)
    query = query.where(AuditEntry.action == action, AuditEntry.created_at > since, AuditEntry.facts.contains(facts))
    return db.session.scalar(query) or 0


def first_broken_link() -> int | None:
    """The `sequence` of the first line of the current tenant's trail that was changed or cut out; None if whole."""
    broken: int | None = db.session.scalar(text("SELECT app.audit_first_broken_link()"))
    return broken
