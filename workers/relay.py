"""The relay: `python -m workers.relay` hands due outbox rows to RQ, and drives every clock of workers/schedule.py.

Any number may run; the one that holds the advisory lock leads. It wakes at a NOTIFY, or every second. It claims
fairly: so many rows of a tenant at a time, so that one tenant's flood does not delay another. When Redis does not
answer it does what customers wait for itself, prompts and settlement; when Redis comes back empty it frees what Redis
forgot.
"""

from __future__ import annotations

import itertools
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

from config import Settings
from wavu import clock, outbox
from wavu.app import start
from wavu.db import PatientConnection, PrivilegedRole, refuse_privileged_role, transaction
from wavu.failpoint import failpoint
from wavu.outbox import BACKOFF_SECONDS, DEAD_AFTER, LEASE_SECONDS, Queue
from wavu.tenancy import PLATFORM_ID, tenant_scope
from workers import runtime, schedule

log = structlog.get_logger(__name__)

LEADER_LOCK = 7763121
_MARKER = "wavu:relay"
_POLL_SECONDS = 1.0
# How soon to look again at a queue whose worker has a batch waiting: who rang meanwhile rings no second time.
_LOOK_SECONDS = 0.03
_KEEP_DONE = "7 days"


class Share(NamedTuple):
    """How many rows may be out at a time, of one tenant and altogether, and how many a worker is handed at once."""

    per_tenant: int
    total: int
    batch: int


# Settlement is quick and in order of arrival. The total is what the queue's workers can do well within a lease, so that
# a lease that runs out means that a worker is gone.
SHARES = {
    Queue.SETTLEMENT: Share(20, 200, 8),
    Queue.DARAJA: Share(6, 24, 24),
    Queue.AIRTEL: Share(6, 16, 16),
    Queue.NETWORK: Share(4, 24, 24),
    Queue.MESSAGES: Share(4, 16, 16),
    Queue.BULK: Share(2, 8, 1),
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
        AND l.queue = %(queue)s AND l.tenant_id = t.tenant_id AND l.lease_until IS NOT NULL)) AS free
    FROM tenants t WHERE t.tenant_id IS NOT NULL
), due AS (
    SELECT x.tenant_id, x.id FROM places p CROSS JOIN LATERAL (
        SELECT o.tenant_id, o.id FROM outbox o WHERE o.state = 'ready' AND o.queue = %(queue)s
            AND o.tenant_id = p.tenant_id AND o.run_at <= now() AND o.lease_until IS NULL
        ORDER BY o.run_at, o.id LIMIT p.free FOR UPDATE SKIP LOCKED) x
    LIMIT greatest(0, least(%(at_most)s, %(total)s - (SELECT count(*) FROM outbox l WHERE l.state = 'ready'
        AND l.queue = %(queue)s AND l.lease_until IS NOT NULL)))
)
UPDATE outbox o SET attempts = o.attempts + 1, lease_until = now() + make_interval(secs => %(lease)s)
FROM due WHERE (o.tenant_id, o.id) = (due.tenant_id, due.id)
RETURNING o.tenant_id, o.id, o.attempts, o.failures
"""

# Whoever held these has died, or hangs: a failure like any other, so that a job that kills its worker ends as a dead
# letter too. A row that is being worked on is locked, however late.
_PUT_BACK_LOST = f"""
UPDATE outbox o SET lease_until = NULL, failures = o.failures + 1, last_error = 'the worker was lost',
    first_failed_at = coalesce(o.first_failed_at, now()),
    run_at = now() + make_interval(secs => (%(backoff)s::int[])[least(o.failures + 1, {len(BACKOFF_SECONDS)})]),
    state = CASE WHEN o.first_failed_at < now() - interval '{DEAD_AFTER}' THEN 'dead' ELSE 'ready' END
FROM (SELECT tenant_id, id FROM outbox WHERE state = 'ready' AND lease_until < now() FOR UPDATE SKIP LOCKED) l
WHERE (o.tenant_id, o.id) = (l.tenant_id, l.id)
RETURNING o.tenant_id, o.id, o.job, o.state
"""

# Rows whose job is running are locked or marked as started; only what was still waiting in Redis is freed.
_FREE_FORGOTTEN = """
UPDATE outbox o SET lease_until = NULL FROM (
    SELECT tenant_id, id FROM outbox WHERE state = 'ready' AND lease_until IS NOT NULL
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
    attempt: int
    failures: int


def _batches(rows: list[Row], most: int) -> list[list[Row]]:
    """Rows by the batch. One that has failed before comes alone: it may take its worker with it."""
    sound = [row for row in rows if not row.failures]
    return [sound[at : at + most] for at in range(0, len(sound), most)] + [[row] for row in rows if row.failures]


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
        self._last_ticks: dict[str, str] = {}
        self._swept_at = self._stepped_at = 0.0
        # Queues whose worker had not taken its last batch yet, when there was more to hand out.
        self._behind: set[Queue] = set()
        self._threads: dict[Queue, runtime.Threads] = {}
        self._stop = threading.Event()

    def stop(self) -> None:
        self._stop.set()

    def run(self) -> None:
        """Until stop(): connects, waits to lead, leads; begins again whenever PostgreSQL went away."""
        while not self._stop.is_set():
            try:
                with PatientConnection.connect(
                    self._url, autocommit=True, connect_timeout=5, application_name="relay"
                ) as wire:
                    refuse_privileged_role(wire, "RELAY_DATABASE_URL", "wavu_relay")
                    self._lead(wire)
            except psycopg.OperationalError as error:
                log.warning("database is away", error=type(error).__name__)
                self._stop.wait(1)
        for threads in self._threads.values():
            threads.close()

    def _lead(self, wire: psycopg.Connection) -> None:
        while not self._leads(wire):
            if self._stop.wait(_POLL_SECONDS):
                return
        wire.execute("LISTEN outbox")
        log.info("relay leads")
        while not self._stop.is_set():
            if time.monotonic() - self._stepped_at >= _POLL_SECONDS:
                failpoint("cp14.before")
                self.step(wire)
                failpoint("cp14.after")
            until_next = self._stepped_at + _POLL_SECONDS - time.monotonic()
            if self._behind:
                until_next = min(until_next, _LOOK_SECONDS)
            rung = {note.payload for note in wire.notifies(timeout=max(0, until_next), stop_after=1)}
            rung |= {queue.value for queue in self._behind}
            if rung:
                rung |= {note.payload for note in wire.notifies(timeout=0)}
                self._serve(wire, [queue for queue in Queue if queue.value in rung])
        # Whoever leads next hands out again what nobody has begun: a stop is no worker's death.
        wire.execute(_FREE_FORGOTTEN)

    def _leads(self, wire: psycopg.Connection) -> bool:
        got = wire.execute("SELECT pg_try_advisory_lock(%s)", (LEADER_LOCK,)).fetchone()
        return got is not None and bool(got[0])

    def step(self, wire: psycopg.Connection) -> None:
        """A whole round: starts due clocks, puts back what was lost, hands out every row that is due and has a
        place."""
        self._stepped_at = time.monotonic()
        self._tick()
        self._put_back_lost(wire)
        self._serve(wire, list(Queue))
        if time.monotonic() - self._swept_at > 60:
            wire.execute(_SWEEP)
            self._swept_at = time.monotonic()

    def _serve(self, wire: psycopg.Connection, queues: list[Queue]) -> None:
        there = self._redis_is_there(wire)
        for queue in queues:
            if there:
                self._hand_out(wire, queue)
            elif queue in (Queue.SETTLEMENT, Queue.DARAJA, Queue.AIRTEL) and self._redis_gone_for_good():
                self._perform_here(wire, queue)

    def _put_back_lost(self, wire: psycopg.Connection) -> None:
        for tenant_id, row_id, job, state in wire.execute(_PUT_BACK_LOST, {"backoff": list(BACKOFF_SECONDS)}):
            facts = {"tenant": str(tenant_id), "row": str(row_id), "job": job}
            log.warning("a job's worker was lost", **facts)
            if state == "dead":
                log.critical(outbox.DEAD_LETTER, **facts)

    def _claim(self, wire: psycopg.Connection, queue: Queue, at_most: int) -> list[Row]:
        share = SHARES[queue]
        values = {"queue": queue.value, "lease": LEASE_SECONDS[queue], "at_most": at_most, **share._asdict()}
        return [Row(*found) for found in wire.execute(_CLAIM, values).fetchall()]

    def _hand_out(self, wire: psycopg.Connection, queue: Queue) -> None:
        """Gives the queue's worker its next batches; while one waits there, what comes meanwhile joins the next."""
        self._behind.discard(queue)
        try:
            if self._queues[queue].count:
                self._behind.add(queue)
                return
        except redis.RedisError:
            self._redis_failed()
            return
        batches = _batches(self._claim(wire, queue, SHARES[queue].total), SHARES[queue].batch)
        for place, batch in enumerate(batches):
            failpoint("cp4.before", queue)
            try:
                self._queues[queue].enqueue_call(
                    "workers.runtime.run_batch",
                    args=(queue.value, [(str(row.tenant_id), str(row.id), row.attempt) for row in batch]),
                    timeout=runtime.timeout_seconds(queue),
                    result_ttl=0,
                    failure_ttl=86_400,
                )
            except redis.RedisError:
                self._redis_failed()
                for left in itertools.chain.from_iterable(batches[place:]):
                    wire.execute(_FREE_ONE, (left.tenant_id, left.id, left.attempt))
                return
            failpoint("cp4.after", queue)

    def _perform_here(self, wire: psycopg.Connection, queue: Queue) -> None:
        """Money does not wait for Redis. Settlement is database work and runs here, one after another; calls to
        gateways run in threads of this process, and what finds no free one stays due: this loop waits for nobody."""
        if queue is Queue.SETTLEMENT:
            for row in self._claim(wire, queue, SHARES[queue].total):
                failpoint("cp22.before", queue)
                runtime.run(str(row.tenant_id), str(row.id), row.attempt)
                failpoint("cp22.after", queue)
            return
        if queue not in self._threads:
            self._threads[queue] = runtime.Threads(queue, runtime.THREADS[queue])
        for row in self._claim(wire, queue, self._threads[queue].free):
            failpoint("cp22.before", queue)
            self._threads[queue].submit(str(row.tenant_id), str(row.id), row.attempt)

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
            if self._last_ticks.get(each.job) == tick:
                continue
            try:
                with self._app.app_context(), tenant_scope(PLATFORM_ID), transaction():
                    outbox.put(each.queue, each.job, tick, {})
            except Exception as error:  # noqa: BLE001 - a clock that fails must not stop the relay
                log.warning("tick not written", tick=tick, error=type(error).__name__)
                continue
            self._last_ticks[each.job] = tick


def main() -> None:
    settings, app = start()
    runtime.use(app)
    relay = Relay(settings, app)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: relay.stop())
    try:
        relay.run()
    except PrivilegedRole as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
