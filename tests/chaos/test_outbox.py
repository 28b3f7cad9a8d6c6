"""2,000 jobs of two tenants while workers, relay, web, Redis and PostgreSQL are killed and Redis is wiped: each effect
once, and everything recovers by itself."""

from __future__ import annotations

import os
import random
import signal
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg
import pytest
from flask import Flask
from sqlalchemy.exc import DBAPIError

from config import load
from migrations import roles
from rehearsal.process import descendants
from rehearsal.servers import Postgres, ServerFailed, Valkey, free_port
from rehearsal.supervisor import App, Supervisor
from tests.conftest import environment
from tests.stack import PASSWORD, ROOT, Stack, migrate
from tests.world import World, build_world
from wavu import outbox
from wavu.app import create_app
from wavu.db import db, transaction
from wavu.outbox import Queue
from wavu.tenancy import tenant_scope

JOBS = int(os.environ.get("CHAOS_JOBS", "2000"))
SEED = int(os.environ.get("CHAOS_SEED", "0")) or random.SystemRandom().randrange(1, 10**6)
PATIENCE_SECONDS = 240


class Stage:
    """The product's processes under a supervisor, and a hand that kills them."""

    def __init__(self, environ: dict[str, str], folder: Path) -> None:
        self.valkey = Valkey(folder / "valkey")
        self.valkey.start()
        self.postgres = Postgres(folder / "pg")
        self.postgres.start()
        roles.ensure(self.postgres.admin_url(), "wavu", dict.fromkeys(roles.LOGIN_ROLES, PASSWORD))
        migrate(self._url("wavu_owner"))
        self.port = free_port()
        path = f"{ROOT}{os.pathsep}{ROOT / 'platform'}"
        self.environ = environ | {
            "DATABASE_URL": self._url("wavu_app"), "RELAY_DATABASE_URL": self._url("wavu_relay"),
            "REDIS_URL": self.valkey.url, "PORT": str(self.port), "PYTHONPATH": path, "LOG_LEVEL": "INFO",
            "PATH": f"{ROOT / '.venv' / 'bin'}{os.pathsep}{os.environ['PATH']}", "WEB_WORKERS": "1",
        }  # fmt: skip
        self.supervisor = Supervisor(lambda _: None)
        self.supervisor.watch(self.valkey)
        self.supervisor.watch(self.postgres)
        self.apps = {
            name: App(name, command, self.environ, ROOT, folder / f"{name}.log")
            for name, command in {
                "workers": "python -m tests.chaos.cast workers settlement messages",
                "relay": "python -m tests.chaos.cast relay",
                "web": "gunicorn -c config/gunicorn.py wsgi:app",
            }.items()
        }
        for app in self.apps.values():
            self.supervisor.start(app)
        self.kills: dict[str, int] = {}

    def _url(self, role: str) -> str:
        return self.postgres.url(role, PASSWORD, "wavu")

    def kill_something(self, dice: random.Random) -> None:
        victim = dice.choice(
            ["workers", "worker", "worker", "relay", "relay", "web", "redis", "wiped redis", "postgres"]
        )
        self.kills[victim] = self.kills.get(victim, 0) + 1
        if victim == "redis":
            self.valkey.kill()
        elif victim == "wiped redis":
            with suppress(ServerFailed, OSError):  # it may lie dead already
                self.valkey.wipe()
        elif victim == "postgres":
            self.postgres.kill()
        elif victim == "worker":
            children = descendants(self.apps["workers"].pid or 0)
            if children:
                os.kill(dice.choice(children), signal.SIGKILL)
        else:
            self.apps[victim].kill()

    def stop(self) -> None:
        self.supervisor.stop_all([["valkey"], ["postgres"]], 5)
        self.valkey.destroy()
        self.postgres.destroy()


@pytest.fixture
def stage(servers: Stack, tmp_path: Path) -> Iterator[Stage]:
    made = Stage(environment(servers, "unused", 0), tmp_path)
    yield made
    made.stop()


def _put(app: Flask, tenant: UUID, batch: range, kinds: list[tuple[Queue, str]]) -> None:
    """Until it is surely committed: a broken connection leaves that unknown, and putting the same again is harmless."""
    committed = False
    while not committed:
        try:
            with app.app_context(), tenant_scope(tenant), transaction():
                for number, (queue, job) in zip(batch, kinds, strict=True):
                    outbox.put(queue, job, str(number), {"number": number})
            committed = True
        except DBAPIError:
            time.sleep(0.5)


def _feed(app: Flask, world: World, dice: random.Random, done: threading.Event) -> None:
    """Business transactions that each leave some jobs behind."""
    number = 0
    while number < JOBS:
        tenant: UUID = dice.choice([world.a.id, world.b.id])
        batch = range(number, min(number + dice.randrange(1, 30), JOBS))
        kinds = [dice.choice([(Queue.SETTLEMENT, "chaos_mark")] * 4 + [(Queue.MESSAGES, "chaos_call")]) for _ in batch]
        _put(app, tenant, batch, kinds)
        number = batch.stop
        time.sleep(0.02)
    done.set()


def _until(stage: Stage, condition: Callable[[], bool], seconds: float, each: Callable[[], Any] = lambda: None) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"seed {SEED}: not done after {seconds} s; kills {stage.kills}"
        stage.supervisor.tick()
        each()
        time.sleep(0.05)


def _web_answers(stage: Stage) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{stage.port}/readyz", timeout=2) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def _ask(stage: Stage, query: str) -> list[tuple[Any, ...]] | None:
    """The rows, or None while the database is away."""
    try:
        with psycopg.connect(stage.postgres.admin_url("wavu"), autocommit=True, connect_timeout=2) as admin:
            return admin.execute(query.encode()).fetchall()
    except psycopg.OperationalError:
        return None


def test_each_effect_exactly_once(stage: Stage) -> None:
    print(f"\nseed {SEED} (CHAOS_SEED), {JOBS} jobs")
    dice = random.Random(SEED)
    app = create_app(load(stage.environ))
    world = build_world(app)
    fed, next_kill = threading.Event(), [time.monotonic() + 5]
    feeder = threading.Thread(target=_feed, args=(app, world, random.Random(SEED + 1), fed), daemon=True)
    feeder.start()

    def left() -> int:
        rows = _ask(stage, "SELECT count(*) FROM outbox WHERE job LIKE 'chaos_%' AND state <> 'done'")
        return int(rows[0][0]) if rows else JOBS

    def harm() -> None:
        if time.monotonic() > next_kill[0]:
            stage.kill_something(dice)
            next_kill[0] = time.monotonic() + dice.uniform(1.5, 5)

    _until(stage, lambda: fed.is_set() and left() < JOBS // 20, PATIENCE_SECONDS, harm)
    _until(stage, lambda: left() == 0, 150)
    _until(stage, lambda: _web_answers(stage), 60)
    feeder.join()
    effects = _ask(
        stage, "SELECT (facts->>'number')::int, count(*) FROM audit_entry WHERE action = 'chaos.effect' GROUP BY 1"
    )
    with app.app_context():
        db.engine.dispose()
    print(f"kills: {stage.kills}")
    assert effects is not None
    assert {count for _, count in effects} == {1}, f"seed {SEED}"
    assert {number for number, _ in effects} == set(range(JOBS)), f"seed {SEED}"
    assert sum(stage.kills.values()) >= 5
