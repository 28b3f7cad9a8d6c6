"""2,000 jobs of two tenants while workers, relay, web, Redis and PostgreSQL are killed and Redis is wiped: each effect
once, and everything recovers by itself."""

from __future__ import annotations

import os
import random
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from uuid import UUID

import pytest
from flask import Flask
from sqlalchemy.exc import DBAPIError

from config import load
from tests.chaos.stage import SEED, Stage, ask, until
from tests.stack import Stack, environment
from tests.world import World, build_world
from wavu import outbox
from wavu.app import create_app
from wavu.db import db, transaction
from wavu.outbox import Queue
from wavu.tenancy import tenant_scope

JOBS = int(os.environ.get("CHAOS_JOBS", "2000"))
COMMANDS = {
    "workers": "python -m tests.chaos.cast workers settlement messages",
    "relay": "python -m tests.chaos.cast relay",
    "web": "gunicorn -c config/gunicorn.py wsgi:app",
}
FEED_SECONDS = 50
PATIENCE_SECONDS = 240


@pytest.fixture
def stage(servers: Stack, tmp_path: Path) -> Iterator[Stage]:
    made = Stage(environment(servers, "unused", 0), tmp_path, COMMANDS)
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
        # Spread over the time of the kills: left alone, all of it is done in seconds.
        time.sleep(FEED_SECONDS * len(batch) / JOBS)
    done.set()


def _web_answers(stage: Stage) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{stage.port}/readyz", timeout=2) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def test_each_effect_exactly_once(stage: Stage) -> None:
    print(f"\nseed {SEED} (CHAOS_SEED), {JOBS} jobs")
    dice = random.Random(SEED)
    app = create_app(load(stage.environ))
    world = build_world(app)
    fed, next_kill = threading.Event(), [time.monotonic() + 5]
    feeder = threading.Thread(target=_feed, args=(app, world, random.Random(SEED + 1), fed), daemon=True)
    feeder.start()

    def left() -> int:
        rows = ask(stage, "SELECT count(*) FROM outbox WHERE job LIKE 'chaos_%' AND state <> 'done'")
        return int(rows[0][0]) if rows else JOBS

    def harm() -> None:
        if time.monotonic() > next_kill[0]:
            stage.kill_something(dice)
            next_kill[0] = time.monotonic() + dice.uniform(1.5, 5)

    until(stage, lambda: fed.is_set() and not stage.spared() and left() < JOBS // 20, PATIENCE_SECONDS, harm)
    until(stage, lambda: left() == 0, 150)
    until(stage, lambda: _web_answers(stage), 60)
    feeder.join()
    effects = ask(
        stage, "SELECT (facts->>'number')::int, count(*) FROM audit_entry WHERE action = 'chaos.effect' GROUP BY 1"
    )
    with app.app_context():
        db.engine.dispose()
    print(f"kills: {stage.kills}")
    assert effects is not None
    assert {count for _, count in effects} == {1}, f"seed {SEED}"
    assert {number for number, _ in effects} == set(range(JOBS)), f"seed {SEED}"
    assert stage.spared() == [], "each kind of victim once at least"
