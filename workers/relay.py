"""The relay: `python -m workers.relay` hands due outbox rows to RQ, and drives every clock of workers/schedule.py.

Any number may run; the one that holds the advisory lock leads. It wakes at a NOTIFY, or every second. It claims
fairly: so many rows of a tenant at a time, so that one tenant's flood does not delay another. When Redis does not
answer it performs settlement itself; when Redis comes back empty it frees what Redis forgot.
"""

from __future__ import annotations

import secrets
import signal
import sys
import threading
import time
from typing import NamedTuple
from uuid import UUID

import psycopg
import redis
import structlog
from flask import Flask
from rq import Queue as RqQueue
from rq.serializers import JSONSerializer

from config import ConfigurationError, Settings, load
from wavu import clock, outbox
from wavu.app import check_database, create_app
from wavu.db import transaction
from wavu.outbox import LEASE_SECONDS, Queue
from wavu.tenancy import PLATFORM_ID, tenant_scope
from workers import runtime, schedule

log = structlog.get_logger(__name__)

LEADER_LOCK = 7763121
_MARKER = "wavu:relay"
_POLL_SECONDS = 1.0
_KEEP_DONE = "7 days"


class Share(NamedTuple):
    """How many rows may be out at a time: of one tenant, and altogether."""

    per_tenant: int
    total: int


# Settlement is quick and in order of arrival; the others are bounded by what one worker can do within a lease.
SHARES = {
    Queue.SETTLEMENT: Share(20, 200),
    Queue.DARAJA: Share(8, 64),
    Queue.NETWORK: Share(4, 32),
    Queue.MESSAGES: Share(4, 32),
    Queue.BULK: Share(2, 8),
}

# Walks from tenant to tenant along the index, then takes each one's oldest due rows, as many as it has places left.
_CLAIM = """
WITH RECURSIVE tenants AS (
    (SELECT tenant_id FROM outbox WHERE state = 'ready' AND queue = %(queue)s ORDER BY tenant_id LIMIT 1)
    UNION ALL
    SELECT (SELECT o.tenant_id FROM outbox o WHERE o.state = 'ready' AND o.queue = %(queue)s
            AND o.tenant_id > t.tenant_id ORDER BY o.tenant_id LIMIT 1)
    FROM tenants t WHERE t.tenant_id IS NOT NULL
), places AS (
    SELECT t.tenant_id, greatest(0, %(per_tenant)s - (SELECT count(*) FROM outbox l WHERE l.state = 'ready'
        AND l.queue = %(queue)s AND l.tenant_id = t.tenant_id AND l.lease_until >= now())) AS free
    FROM tenants t WHERE t.tenant_id IS NOT NULL
), due AS (
    SELECT x.tenant_id, x.id FROM places p CROSS JOIN LATERAL (
        SELECT o.tenant_id, o.id FROM outbox o WHERE o.state = 'ready' AND o.queue = %(queue)s
            AND o.tenant_id = p.tenant_id AND o.run_at <= now() AND (o.lease_until IS NULL OR o.lease_until < now())
        ORDER BY o.run_at, o.id LIMIT p.free FOR UPDATE SKIP LOCKED) x
    LIMIT greatest(0, %(total)s - (SELECT count(*) FROM outbox l WHERE l.state = 'ready'
        AND l.queue = %(queue)s AND l.lease_until >= now()))
)
UPDATE outbox o SET attempts = o.attempts + 1, lease_until = now() + make_interval(secs => %(lease)s)
FROM due WHERE (o.tenant_id, o.id) = (due.tenant_id, due.id)
RETURNING o.tenant_id, o.id, o.job, o.attempts
"""

# Rows whose job is running are locked or marked as started; only what was still waiting in Redis is freed.
_FREE_FORGOTTEN = """
UPDATE outbox o SET lease_until = NULL FROM (
    SELECT tenant_id, id FROM outbox WHERE state = 'ready' AND lease_until >= now()
        AND started_attempt IS DISTINCT FROM attempts FOR UPDATE SKIP LOCKED
) f WHERE (o.tenant_id, o.id) = (f.tenant_id, f.id)
"""

_FREE_ONE = (
    "UPDATE outbox SET lease_until = NULL WHERE tenant_id = %s AND id = %s AND attempts = %s AND state = 'ready'"
)

_SWEEP = f"""
DELETE FROM outbox WHERE (tenant_id, id) IN (
    SELECT tenant_id, id FROM outbox WHERE state = 'done' AND done_at < now() - interval '{_KEEP_DONE}' LIMIT 1000)
"""


class Row(NamedTuple):
    tenant_id: UUID
    id: UUID
    job: str
    attempt: int


class Relay:
    """One relay. step() is one round; everything else decides when the next one is."""

    def __init__(self, settings: Settings, app: Flask) -> None:
        self._app = app
        self._url = settings.relay_database_url.get_secret_value()
        self._redis = redis.Redis.from_url(
            settings.redis_url.get_secret_value(), socket_timeout=1, socket_connect_timeout=1
        )
        self._queues = {
            queue: RqQueue(queue.value, connection=self._redis, serializer=JSONSerializer) for queue in Queue
        }
        self._marker = secrets.token_hex(8)
        self._redis_failing_since: float | None = None
        self._seen_ticks: set[str] = set()
        self._swept_at = 0.0
        self._stop = threading.Event()

    def stop(self) -> None:
        self._stop.set()

    def run(self) -> None:
        """Until stop(): connects, waits to lead, leads; begins again whenever PostgreSQL went away."""
        while not self._stop.is_set():
            try:
                with psycopg.connect(self._url, autocommit=True, connect_timeout=5, application_name="relay") as wire:
                    self._lead(wire)
            except psycopg.OperationalError as error:
                log.warning("database is away", error=type(error).__name__)
                self._stop.wait(1)

    def _lead(self, wire: psycopg.Connection) -> None:
        while not self._stop.is_set():
            got = wire.execute("SELECT pg_try_advisory_lock(%s)", (LEADER_LOCK,)).fetchone()
            if got and got[0]:
                break
            self._stop.wait(_POLL_SECONDS)
        wire.execute("LISTEN outbox")
        log.info("relay leads")
        while not self._stop.is_set():
            self.step(wire)
            for _ in wire.notifies(timeout=_POLL_SECONDS, stop_after=1):
                pass

    def step(self, wire: psycopg.Connection) -> None:
        """Starts due clocks, then hands out every row that is due and has a place."""
        self._tick()
        there = self._redis_is_there(wire)
        for queue in Queue:
            if there:
                self._hand_out(wire, queue)
            elif queue is Queue.SETTLEMENT and self._redis_gone_for_good():
                self._perform_here(wire, queue)
        if time.monotonic() - self._swept_at > 60:
            wire.execute(_SWEEP)
            self._swept_at = time.monotonic()

    def _claim(self, wire: psycopg.Connection, queue: Queue) -> list[Row]:
        share = SHARES[queue]
        values = {"queue": queue.value, "lease": LEASE_SECONDS[queue], **share._asdict()}
        return [Row(*found) for found in wire.execute(_CLAIM, values).fetchall()]

    def _hand_out(self, wire: psycopg.Connection, queue: Queue) -> None:
        rows = self._claim(wire, queue)
        for place, row in enumerate(rows):
            try:
                self._queues[queue].enqueue_call(
                    "workers.runtime.run",
                    args=(str(row.tenant_id), str(row.id), row.attempt),
                    job_id=runtime.job_id(row.id, row.attempt),
                    description=row.job,
                    timeout=runtime.timeout_seconds(queue),
                    result_ttl=0,
                    failure_ttl=86_400,
                )
            except redis.RedisError:
                self._redis_failed()
                for left in rows[place:]:
                    wire.execute(_FREE_ONE, (left.tenant_id, left.id, left.attempt))
                return

    def _perform_here(self, wire: psycopg.Connection, queue: Queue) -> None:
        """Money does not wait for Redis: its jobs are database work and run in this process, one after another."""
        for row in self._claim(wire, queue):
            runtime.run(str(row.tenant_id), str(row.id), row.attempt)

    def _redis_is_there(self, wire: psycopg.Connection) -> bool:
        """Whether Redis answers; and if it lost its memory since we last looked, what it forgot is freed."""
        try:
            marker = self._redis.get(_MARKER)
            if marker != self._marker.encode():
                freed = wire.execute(_FREE_FORGOTTEN).rowcount
                log.info("redis is new to us", freed=freed)
                self._redis.set(_MARKER, self._marker)
        except redis.RedisError:
            self._redis_failed()
            return False
        self._redis_failing_since = None
        return True

    def _redis_failed(self) -> None:
        if self._redis_failing_since is None:
            log.warning("redis is away")
            self._redis_failing_since = time.monotonic()

    def _redis_gone_for_good(self) -> bool:
        since = self._redis_failing_since
        return since is not None and time.monotonic() - since >= 1

    def _tick(self) -> None:
        now = clock.now()
        for each in schedule.CLOCKS:
            tick = schedule.tick_of(each, now)
            if tick in self._seen_ticks:
                continue
            try:
                with self._app.app_context(), tenant_scope(PLATFORM_ID), transaction():
                    outbox.put(each.queue, each.job, tick, {})
            except Exception as error:  # noqa: BLE001 - a clock that fails must not stop the relay
                log.warning("tick not written", tick=tick, error=type(error).__name__)
                continue
            self._seen_ticks.add(tick)


def main() -> None:
    try:
        settings = load()
    except ConfigurationError as error:
        sys.exit(str(error))
    app = create_app(settings)
    check_database(app)
    runtime.use(app)
    relay = Relay(settings, app)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: relay.stop())
    relay.run()


if __name__ == "__main__":
    main()
