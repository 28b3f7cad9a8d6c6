"""Runs jobs: `python -m workers.runtime [QUEUE ...]` loads the application once and forks RQ workers for each queue.

A worker on several queues would read them with BLPOP and lose a job when it dies between taking and starting it, so
each process has one queue. What RQ knows of a job is a tenant, an outbox row and an attempt; whether the job was
done stands in the row.
"""

from __future__ import annotations

import ctypes
import inspect
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any
from uuid import UUID

import redis
import structlog
from flask import Flask
from rq import Queue as RqQueue
from rq import SimpleWorker, Worker
from rq.serializers import JSONSerializer
from rq.worker import BaseWorker

from config import Settings
from wavu import outbox
from wavu.app import start
from wavu.db import is_outage, transaction
from wavu.errors import Outage, Refused
from wavu.failpoint import failpoint
from wavu.outbox import LEASE_SECONDS, Queue
from wavu.tenancy import tenant_scope
from workers.reactions import JOBS

log = structlog.get_logger(__name__)

# How many processes a queue has, where that is not one. Settlement is all computing, and a core's worth of it is not
# enough for an evening's rush.
PROCESSES = {Queue.SETTLEMENT: 2}
# How many jobs of a queue one worker runs side by side: calls to others, which mostly wait.
THREADS = {Queue.DARAJA: 12, Queue.AIRTEL: 8, Queue.NETWORK: 12, Queue.MESSAGES: 4}

# A worker that is about to be replaced may meet a job of the next release: time for a deploy to end, and then a person
# hears of it within half an hour instead of a day.
_UNKNOWN_DEAD_AFTER = "15 minutes"

_app: Flask | None = None
_threads: Threads | None = None


class UnknownJob(Exception):
    """A row names a job that is not on this release's page of jobs."""


def use(app: Flask) -> None:
    """Sets the application whose jobs this process runs."""
    global _app
    _app = app


def run_batch(queue: str, batch: list[tuple[str, str, int]]) -> None:
    """Performs attempts of outbox rows, given as tenant, row and attempt; what RQ calls. Raises nothing: each outcome
    is in its row. Settlement settles one after another; jobs that call outside are left to the queue's threads.
    """
    for tenant_id, row_id, attempt in batch:
        failpoint("cp5.before", queue)
        if _threads is None:
            run(tenant_id, row_id, attempt)
        else:
            _threads.submit(tenant_id, row_id, attempt)


def run(tenant_id: str, row_id: str, attempt: int) -> None:
    """Performs one attempt of one outbox row. Raises nothing.

    An attempt that was handed out again since, or is done, does nothing, so a second delivery is harmless.
    """
    if _app is None:
        raise RuntimeError("no application: call workers.runtime.use() first")
    row = UUID(row_id)
    structlog.contextvars.clear_contextvars()
    structlog.contextvars.bind_contextvars(row=row_id, attempt=attempt)
    with _app.app_context(), tenant_scope(UUID(tenant_id)):
        try:
            _perform(row, attempt)
        except Refused as refusal:
            log.info("job refused", code=refusal.code)
            _finish(row, attempt, refusal.code)
        except Exception as error:  # noqa: BLE001 - the outcome of a job is in its row
            _put_back(row, attempt, error)


class Threads:
    """Runs jobs that mostly wait for somebody else, some of them at a time, so that one dead peer delays nobody.

    `free` is how many submit() takes at this moment without waiting.
    """

    def __init__(self, queue: Queue, number: int) -> None:
        self.free = number
        self._queue = queue
        self._pool = ThreadPoolExecutor(number, thread_name_prefix=queue.value)
        self._freed = threading.Condition()

    def submit(self, tenant_id: str, row_id: str, attempt: int) -> None:
        """Starts a job as soon as a thread is free. Where none becomes free for longer than any job may take, they all
        hang: this process ends, its parent starts another, and the leases put the jobs back."""
        with self._freed:
            if not self._freed.wait_for(lambda: self.free > 0, timeout_seconds(self._queue) - 1):
                log.critical("every thread hangs: this worker ends", queue=self._queue.value)
                os._exit(1)
            self.free -= 1
        self._pool.submit(run, tenant_id, row_id, attempt).add_done_callback(self._ended)

    def _ended(self, _: Future[None]) -> None:
        with self._freed:
            self.free += 1
            self._freed.notify()

    def close(self) -> None:
        """Waits for the jobs that run."""
        self._pool.shutdown()


def _perform(row_id: UUID, attempt: int) -> None:
    with transaction():
        row = outbox.open_row(row_id, attempt)
        if row is None:
            return
        structlog.contextvars.bind_contextvars(job=row.job)
        failpoint("cp5.after", row.job)
        job = JOBS.get(row.job)
        if job is None:
            raise UnknownJob(f"this release has no job named {row.job}")
        if not inspect.isgeneratorfunction(job):
            job(row.payload)
            outbox.finish(row)
            return
        if not outbox.start(row):
            return
        steps = job(row.payload)
        call: Callable[[], Any] | None = next(steps, None)
        if call is None:
            outbox.finish(row)
            return
    result = call()
    with transaction():
        row = outbox.open_row(row_id, attempt)
        if row is None:
            return
        try:
            steps.send(result)
        except StopIteration:
            outbox.finish(row)
        else:
            raise RuntimeError(f"{row.job} calls outside twice: one job is one call")


def _finish(row_id: UUID, attempt: int, outcome: str) -> None:
    with transaction():
        row = outbox.open_row(row_id, attempt)
        if row is not None:
            outbox.finish(row, outcome)


def _put_back(row_id: UUID, attempt: int, error: Exception) -> None:
    """Backs off. Where the database itself is away the lease runs out instead."""
    wait = error.retry_after_seconds if isinstance(error, Outage) else 0
    patience = _UNKNOWN_DEAD_AFTER if isinstance(error, UnknownJob) else outbox.DEAD_AFTER
    said = f"{type(error).__name__}: {error}"
    if is_outage(error):
        log.warning("job postponed", error=str(error) if isinstance(error, Outage) else type(error).__name__)
    else:
        log.exception("job failed", error=type(error).__name__)
    try:
        with transaction():
            state = outbox.postpone(row_id, attempt, said, at_least_seconds=wait, dead_after=patience)
    except Exception as again:  # noqa: BLE001 - the lease puts it back
        log.warning("job left to its lease", error=type(again).__name__)
        return
    if state == "dead":
        log.critical(outbox.DEAD_LETTER)


def timeout_seconds(queue: Queue) -> int:
    """How long a batch may run: less than its lease, so that two attempts never run side by side."""
    return LEASE_SECONDS[queue] - 3


# How long a worker waits between looks for a Redis that is away; RQ's own limit is a minute.
_LOOK_SECONDS = 2


class InProcess(SimpleWorker):
    """Runs jobs itself."""

    max_connection_wait_time = _LOOK_SECONDS


class Forking(Worker):
    """Runs each job in a fork."""

    max_connection_wait_time = _LOOK_SECONDS


def make_worker(queue: Queue, connection: redis.Redis) -> BaseWorker:
    """A worker for one queue. Settlement is database work in milliseconds and runs in the worker itself, on a
    connection that stays open; what calls outside runs in threads of it; bulk work runs in a fork, whose memory goes
    with it."""
    kind: type[BaseWorker] = Forking if queue is Queue.BULK else InProcess
    return kind(
        [RqQueue(queue.value, connection=connection, serializer=JSONSerializer)],
        connection=connection,
        serializer=JSONSerializer,
        worker_ttl=45,
        job_monitoring_interval=10,
        maintenance_interval=30,
        log_job_description=False,
    )


def work(queue: Queue, connection: redis.Redis) -> None:
    """Works until told to stop. Redis may come and go: waiting for it is part of the work."""
    global _threads
    _threads = Threads(queue, THREADS[queue]) if queue in THREADS else None
    while True:
        worker = make_worker(queue, connection)
        try:
            worker.work(logging_level="WARNING", with_scheduler=False)
        except redis.RedisError as error:
            log.warning("redis is away", error=type(error).__name__)
            time.sleep(0.5)
        else:
            break  # told to stop
    if _threads is not None:
        _threads.close()


_STOPS = (signal.SIGINT, signal.SIGTERM)


def _serve(queue: Queue, settings: Settings) -> None:
    """A forked child: one worker on one queue."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _STOPS)
    work(queue, redis.Redis.from_url(settings.redis_url.get_secret_value()))


class Nursery:
    """Forks each queue's workers from one preloaded parent, and another where one dies."""

    def __init__(self, queues: list[Queue], settings: Settings) -> None:
        self._queues, self._settings = queues, settings
        self._children: dict[int, tuple[Queue, float]] = {}
        self._stopping = False

    def run(self) -> None:
        """Until SIGTERM or SIGINT; then the children finish what they are at."""
        for number in _STOPS:
            signal.signal(number, self._stop)
        for queue in self._queues:
            for _ in range(PROCESSES.get(queue, 1)):
                self._fork(queue)
        while self._children:
            pid, status = os.wait()
            child = self._children.pop(pid, None)
            if child is None or self._stopping:
                continue
            queue, began = child
            log.warning("worker ended", queue=queue.value, status=status)
            if time.monotonic() - began < 2:
                time.sleep(1)
            if not self._stopping:
                self._fork(queue)

    def _fork(self, queue: Queue) -> None:
        parent = os.getpid()
        # A child that is told to stop while it still has its parent's handlers would stay.
        signal.pthread_sigmask(signal.SIG_BLOCK, _STOPS)
        pid = os.fork()
        if pid == 0:
            follow_parent(parent)
            try:
                _serve(queue, self._settings)
            except BaseException:
                log.exception("worker crashed", queue=queue.value)
                os._exit(1)
            os._exit(0)
        self._children[pid] = (queue, time.monotonic())
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _STOPS)
        if self._stopping:
            os.kill(pid, signal.SIGTERM)

    def _stop(self, *_: object) -> None:
        self._stopping = True
        for pid in self._children:
            os.kill(pid, signal.SIGTERM)


def follow_parent(parent: int) -> None:
    """On Linux, has this process end at once when its parent does, however that died (prctl PR_SET_PDEATHSIG).

    SIGKILL, since RQ's answer to SIGTERM may wait for a Redis that is away; what it was at is put back by its lease.
    """
    if sys.platform != "linux":
        return
    ctypes.CDLL(None).prctl(1, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(1)


def main() -> None:
    try:
        queues = [Queue(name) for name in sys.argv[1:]] or list(Queue)
    except ValueError:
        sys.exit(f"usage: python -m workers.runtime [{'|'.join(Queue)} ...]; without a queue, workers for all")
    settings, app = start()
    use(app)
    Nursery(queues, settings).run()


if __name__ == "__main__":
    # RQ imports jobs by name: let it find this module, and the application in it, not a second copy of it.
    from workers import runtime

    runtime.main()
