"""The outbox: every piece of work that must happen after a commit is a row of the same commit.

PostgreSQL is the truth and Redis only a doorbell: the relay hands rows to RQ by id, a worker opens the row, and what
Redis forgets is handed out again when its lease runs out. docs/adr/0003 tells why.
"""

from __future__ import annotations

import json
from datetime import datetime
from enum import StrEnum
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import CheckConstraint, UniqueConstraint, func, select, text, update
from sqlalchemy.orm import Mapped, mapped_column

from wavu import clock, ids
from wavu.db import TenantRow, db


class Queue(StrEnum):
    """Worker processes of its own each. Settling money never waits behind a call to anyone."""

    SETTLEMENT = "settlement"
    DARAJA = "daraja"
    AIRTEL = "airtel"
    NETWORK = "network"
    MESSAGES = "messages"
    BULK = "bulk"


# How long a worker may hold a row before it is handed out again. Longer than any job of that queue may run.
LEASE_SECONDS = {
    Queue.SETTLEMENT: 15, Queue.DARAJA: 90, Queue.AIRTEL: 90, Queue.NETWORK: 30, Queue.MESSAGES: 60, Queue.BULK: 120,
}  # fmt: skip

# Seconds before the 2nd, 3rd, … attempt; the last goes on until the row is given up.
BACKOFF_SECONDS = (1, 2, 5, 15, 60, 300, 900)
# How long a row may fail, from its first failure to its last attempt, before it is given up.
DEAD_AFTER = "24 hours"
# What the log says, at its highest level, of a row that is given up: this pages somebody.
DEAD_LETTER = "dead letter: this job was given up and needs a person"


class OutboxRow(TenantRow):
    """One job to be done for one tenant. `key` makes a fact's job unique; `attempts` fences off late workers."""

    __tablename__ = "outbox"
    __table_args__ = (
        UniqueConstraint("tenant_id", "job", "key"),
        CheckConstraint("state IN ('ready', 'done', 'dead')", name="state"),
        CheckConstraint(f"queue IN {tuple(map(str, Queue))}", name="queue"),
    )

    queue: Mapped[str]
    job: Mapped[str]
    key: Mapped[str]
    payload: Mapped[dict[str, Any]]
    state: Mapped[str] = mapped_column(default="ready")
    attempts: Mapped[int] = mapped_column(default=0)
    run_at: Mapped[datetime] = mapped_column(server_default=func.now())
    lease_until: Mapped[datetime | None]
    started_attempt: Mapped[int | None]
    failures: Mapped[int] = mapped_column(default=0)
    first_failed_at: Mapped[datetime | None]
    last_error: Mapped[str | None]
    done_at: Mapped[datetime | None]


# Its place is free: the relay may hand out the tenant's next.
_FINISH = text("""
    UPDATE outbox SET state = 'done', done_at = now(), lease_until = NULL, last_error = :outcome
    WHERE tenant_id = :tenant_id AND id = :id RETURNING pg_notify('outbox', queue)""")


# One statement, for each edge that changes anything sends it. A fact that is there already rang when it came.
_PUT = text("""
    WITH put AS (
        INSERT INTO outbox (tenant_id, id, queue, job, key, payload, state, attempts, failures, run_at, created_at)
        VALUES (app.tenant_id(), :id, :queue, :job, :key, CAST(:payload AS jsonb), 'ready', 0, 0,
            coalesce(CAST(:run_at AS timestamptz), now()), :now)
        ON CONFLICT (tenant_id, job, key) DO NOTHING RETURNING queue)
    SELECT pg_notify('outbox', queue) FROM put""")


def put(queue: Queue, job: str, key: str, payload: dict[str, Any], *, run_at: datetime | None = None) -> None:
    """Adds a job to the running transaction. The same (job, key) of a tenant is added once, however often put."""
    row = {"id": ids.new_id(), "queue": queue.value, "job": job, "key": key, "payload": json.dumps(payload)}
    db.session.execute(_PUT, {**row, "run_at": run_at, "now": clock.now()})


def open_row(row_id: UUID, attempt: int) -> OutboxRow | None:
    """Locks a row for the worker that was handed this attempt.

    None where there is nothing to do: done, dead, handed to someone else since, or being worked on this moment.
    """
    return db.session.scalar(
        select(OutboxRow)
        .where(OutboxRow.id == row_id, OutboxRow.attempts == attempt, OutboxRow.state == "ready")
        .with_for_update(skip_locked=True)
    )


def start(row: OutboxRow) -> bool:
    """Marks the attempt as begun before its outside call. False where it had begun already: a second delivery."""
    if row.started_attempt == row.attempts:
        return False
    row.started_attempt = row.attempts
    row.lease_until = func.now() + func.make_interval(0, 0, 0, 0, 0, 0, LEASE_SECONDS[Queue(row.queue)])
    return True


def finish(row: OutboxRow, outcome: str | None = None) -> None:
    """The job's effects and this mark commit together. `outcome` is a business no that ended the job."""
    db.session.execute(_FINISH, {"tenant_id": row.tenant_id, "id": row.id, "outcome": outcome})


def postpone(
    row_id: UUID, attempt: int, error: str, *, at_least_seconds: int = 0, dead_after: str = DEAD_AFTER
) -> str | None:
    """Puts a failed attempt back with backoff, or declares the row dead once it has failed for so long.

    Returns the new state, or None where the attempt no longer counts.
    """
    failures = db.session.scalar(select(OutboxRow.failures).where(OutboxRow.id == row_id)) or 0
    delay = max(at_least_seconds, BACKOFF_SECONDS[min(failures, len(BACKOFF_SECONDS) - 1)])
    return db.session.scalar(
        update(OutboxRow)
        .where(OutboxRow.id == row_id, OutboxRow.attempts == attempt, OutboxRow.state == "ready")
        .values(
            failures=OutboxRow.failures + 1,
            first_failed_at=func.coalesce(OutboxRow.first_failed_at, func.now()),
            state=text(f"CASE WHEN first_failed_at < now() - interval '{dead_after}' THEN 'dead' ELSE 'ready' END"),
            run_at=func.now() + func.make_interval(0, 0, 0, 0, 0, 0, delay),
            lease_until=None,
            last_error=error[:500],
        )
        .returning(OutboxRow.state)
    )


def drop(job: str, keys: list[str], outcome: str) -> None:
    """Ends jobs of the current tenant that nobody has begun: their facts are settled. One that a worker has is left to
    it, and finds nothing to do."""
    if keys:
        db.session.execute(
            update(OutboxRow)
            .where(
                OutboxRow.job == job,
                OutboxRow.key.in_(keys),
                OutboxRow.state == "ready",
                OutboxRow.lease_until.is_(None),
            )
            .values(state="done", done_at=func.now(), last_error=outcome)
            .execution_options(synchronize_session=False)
        )


class Backlog(NamedTuple):
    """All tenants' work, in numbers. `overdue_seconds` is how long the oldest due row has waited for a worker to begin
    it, handed out or not."""

    overdue_seconds: float
    waiting: int
    oldest_at: datetime | None
    dead: int


def backlog() -> Backlog:
    """Needs no tenant; reveals none."""
    return Backlog(*db.session.execute(text("SELECT * FROM app.outbox_health()")).one())


class Waiting(NamedTuple):
    """The current tenant's work of one kind that is not done yet."""

    queue: str
    job: str
    rows: int
    handed_out: int
    attempts: int
    due_at: datetime


def waiting() -> list[Waiting]:
    """Due first."""
    due_at = func.min(OutboxRow.run_at)
    rows = db.session.execute(
        select(OutboxRow.queue, OutboxRow.job, func.count(), func.count(OutboxRow.lease_until))
        .add_columns(func.max(OutboxRow.attempts), due_at)
        .where(OutboxRow.state == "ready")
        .group_by(OutboxRow.queue, OutboxRow.job)
        .order_by(due_at)
    )
    return [Waiting(*row) for row in rows]


def dead() -> list[OutboxRow]:
    """The current tenant's jobs that were given up, oldest first; nobody else changes them meanwhile."""
    query = select(OutboxRow).where(OutboxRow.state == "dead").order_by(OutboxRow.created_at)
    return list(db.session.scalars(query.with_for_update()))


def revive(row: OutboxRow) -> None:
    """Has a job that was given up tried again at once, as if it had never failed."""
    row.state, row.run_at, row.lease_until, row.started_attempt = "ready", func.now(), None, None
    row.attempts, row.failures, row.first_failed_at = 0, 0, None
    db.session.execute(text("SELECT pg_notify('outbox', :queue)"), {"queue": row.queue})


def close(row: OutboxRow) -> None:
    """Has a job that was given up never run again. What is known of its failures stays until it is swept away."""
    row.state, row.done_at = "done", func.now()
