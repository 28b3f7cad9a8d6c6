"""The gate on the real Redis: one pace and one breaker for all processes, and each its own while Redis is away."""

from __future__ import annotations

import multiprocessing
from datetime import UTC, datetime, timedelta

import pytest
import redis
from flask import Flask

from config import Settings, load
from tenants.mpesa.egress import Gate
from wavu import clock
from wavu.db import InsideTransaction, db, transaction
from wavu.tenancy import tenant_scope

AT = datetime(2026, 11, 24, 9, 0, tzinfo=UTC)
LIVE = "https://api.safaricom.co.ke"
SANDBOX = "https://sandbox.safaricom.co.ke"


@pytest.fixture
def environ(own_database: dict[str, str]) -> dict[str, str]:
    for name in ("DARAJA_STK_PER_SECOND", "DARAJA_QUERIES_PER_SECOND", "DARAJA_CALLS_PER_SECOND"):
        own_database.pop(name)
    with redis.Redis.from_url(own_database["REDIS_URL"]) as memory:
        memory.flushdb()
    return own_database


@pytest.fixture
def paced(environ: dict[str, str]) -> Settings:
    return load(environ)


def _knock(environ: dict[str, str], times: int, went: multiprocessing.Queue[int]) -> None:
    from wavu.app import create_app

    app = create_app(load(environ))
    with app.app_context(), clock.fixed(AT):
        gate = Gate(load(environ))
        went.put(sum(gate.admit(LIVE, "an app", "stk").wait_seconds == 0 for _ in range(times)))


def test_two_processes_share_one_pace(environ: dict[str, str]) -> None:
    context = multiprocessing.get_context("spawn")
    went: multiprocessing.Queue[int] = context.Queue()
    doors = [context.Process(target=_knock, args=(environ, 40, went)) for _ in range(2)]
    for door in doors:
        door.start()
    for door in doors:
        door.join(60)
    assert went.get() + went.get() == 5, "of 80 in one instant, the burst of one app"


def test_the_sandbox_is_slower(app: Flask, paced: Settings) -> None:
    gate = Gate(paced)
    with clock.fixed(AT):
        assert [gate.admit(SANDBOX, "s", "query").wait_seconds for _ in range(3)] == [0, 12, 24]
        assert [gate.admit(SANDBOX, "s", "stk").wait_seconds for _ in range(2)] == [0, 1]
        assert [gate.admit(LIVE, "l", "query").wait_seconds for _ in range(2)] == [0, 1]


def test_the_breaker_is_everybodys_and_of_one_host(app: Flask, paced: Settings) -> None:
    mine, yours = Gate(paced), Gate(paced)
    with clock.fixed(AT):
        mine.heard(LIVE, "html 403")
        turn = yours.admit(LIVE, "another app", "other")
        assert (turn.wait_seconds, turn.down) == (60, True)
        assert yours.down_for(LIVE) == 60
        assert not yours.admit(SANDBOX, "an app", "stk").wait_seconds, "the sandbox has a firewall of its own"
    with clock.fixed(AT + timedelta(seconds=61)):
        assert mine.down_for(LIVE) == 0
        assert not mine.admit(LIVE, "an app", "stk").wait_seconds
        assert yours.admit(LIVE, "an app", "stk").down, "one tries, for all"
        mine.heard(LIVE, None)
        assert not yours.admit(LIVE, "an app", "stk").wait_seconds


def test_without_redis_each_process_paces_itself(app: Flask, environ: dict[str, str]) -> None:
    alone = Gate(load(environ | {"REDIS_URL": "redis://127.0.0.1:9/0"}))
    with clock.fixed(AT):
        waits = [alone.admit(LIVE, "an app", "stk").wait_seconds for _ in range(7)]
        assert [round(wait, 6) for wait in waits] == [0, 0, 0, 0, 0, 0.2, 0.4]
        alone.heard(LIVE, "html 403")
        assert alone.admit(LIVE, "an app", "stk").down
        assert alone.down_for(LIVE) == 60


def test_never_inside_a_transaction(app: Flask, paced: Settings) -> None:
    with tenant_scope(None), transaction():
        db.session.connection()
        with pytest.raises(InsideTransaction):
            Gate(paced).admit(LIVE, "an app", "stk")
