from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple
from uuid import UUID

import psycopg
import pytest
import redis
from flask import Flask

from config import Settings, load
from tests.stack import database_of
from tests.world import World
from wavu import outbox
from wavu.app import create_app
from wavu.db import db, transaction
from wavu.outbox import Queue
from wavu.tenancy import tenant_scope
from workers import runtime, schedule
from workers.reactions import JOBS
from workers.relay import Relay


class Factory(NamedTuple):
    """A product without web on a database of its own, with a relay that a test drives step by step."""

    app: Flask
    settings: Settings
    world: World
    relay: Relay
    wire: psycopg.Connection
    redis: redis.Redis
    admin: psycopg.Connection

    def put(self, tenant_id: UUID, job: str, key: str, queue: Queue = Queue.SETTLEMENT, **payload: Any) -> None:
        with self.app.app_context(), tenant_scope(tenant_id), transaction():
            outbox.put(queue, job, key, payload)

    def step(self) -> None:
        self.relay.step(self.wire)

    def waiting(self, queue: Queue = Queue.SETTLEMENT) -> list[tuple[str, str, int]]:
        """What RQ was handed and did not run, in order, as arguments of runtime.run."""
        return [row for batch in self.batches(queue) for row in batch]

    def batches(self, queue: Queue = Queue.SETTLEMENT) -> list[list[tuple[str, str, int]]]:
        """The same by the batch."""
        jobs = self.relay._queues[queue].get_jobs()
        return [[tuple(row) for row in job.args[1]] for job in jobs]

    def work(self, queue: Queue = Queue.SETTLEMENT) -> None:
        """One worker works off what is there and goes home."""
        connection = redis.Redis.from_url(self.settings.redis_url.get_secret_value())
        runtime.make_worker(queue, connection).work(burst=True, logging_level="ERROR")
        connection.close()

    def rows(self, columns: str = "job, key, state, attempts") -> list[tuple[Any, ...]]:
        """The outbox without the system's own ticks."""
        ticks = [each.job for each in schedule.CLOCKS]
        query = f"SELECT {columns} FROM outbox WHERE job <> ALL(%s) ORDER BY id"
        return self.admin.execute(query.encode(), (ticks,)).fetchall()

    def sql(self, statement: str) -> None:
        self.admin.execute(statement.encode())


@pytest.fixture
def factory(
    own_world: tuple[dict[str, str], World], monkeypatch: pytest.MonkeyPatch, servers: Any
) -> Iterator[Factory]:
    environ, world = own_world
    settings = load(environ)
    app = create_app(settings)
    monkeypatch.setattr(runtime, "_app", app)
    client = redis.Redis.from_url(settings.redis_url.get_secret_value())
    client.flushdb()
    relay = Relay(settings, app)
    database = database_of(environ)
    relay_url = settings.relay_database_url.get_secret_value()
    with (
        psycopg.connect(relay_url, autocommit=True) as wire,
        psycopg.connect(servers.admin(database), autocommit=True) as admin,
    ):
        admin.execute("DELETE FROM outbox")
        yield Factory(app, settings, world, relay, wire, client, admin)
    client.flushdb()
    client.close()
    with app.app_context():
        db.engine.dispose()


@pytest.fixture
def job(monkeypatch: pytest.MonkeyPatch) -> Callable[[str, Any], None]:
    """Adds a job of the test's own to the page of jobs."""

    def add(name: str, function: Any) -> None:
        monkeypatch.setitem(JOBS, name, function)

    return add
