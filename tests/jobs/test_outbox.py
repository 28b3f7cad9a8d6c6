"""Work that follows a commit: handed out, done once, put back, given up; whatever dies meanwhile."""

from __future__ import annotations

import json
import os
import re
import signal
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import psycopg
import pytest
from sqlalchemy import text

from tests.jobs.conftest import Factory
from wavu import audit, clock, outbox
from wavu.db import InsideTransaction, PatientConnection, assert_no_transaction, db, transaction
from wavu.errors import NotFound, Outage
from wavu.outbox import Queue
from wavu.tenancy import PLATFORM_ID, tenant_scope
from workers import runtime, schedule
from workers.reactions import JOBS

Jobs = Callable[[str, Any], None]


def _mark(payload: dict[str, Any]) -> None:
    audit.record("test.done", number=payload.get("n"))


def _done(factory: Factory) -> list[tuple[Any, ...]]:
    query = b"SELECT tenant_id, facts->>'number' FROM audit_entry WHERE action = 'test.done' ORDER BY created_at"
    return factory.admin.execute(query).fetchall()


def test_a_job_runs_in_its_tenant_once(factory: Factory, job: Jobs) -> None:
    job("mark", _mark)
    factory.put(factory.world.a.id, "mark", "1", n=1)
    factory.put(factory.world.a.id, "mark", "1", n=1)
    factory.put(factory.world.b.id, "mark", "1", n=2)
    factory.step()
    handed = factory.waiting()
    assert len(handed) == 2
    factory.work()
    assert _done(factory) == [(factory.world.a.id, "1"), (factory.world.b.id, "2")]
    for arguments in handed:
        runtime.run(*arguments)
    assert len(_done(factory)) == 2, "a second delivery does nothing"
    assert factory.rows() == [("mark", "1", "done", 1), ("mark", "1", "done", 1)]


def test_nothing_happens_without_the_commit(factory: Factory, job: Jobs) -> None:
    job("mark", _mark)
    with (
        factory.app.app_context(),
        tenant_scope(factory.world.a.id),
        pytest.raises(ZeroDivisionError),
        transaction(),
    ):
        outbox.put(Queue.SETTLEMENT, "mark", "1", {})
        raise ZeroDivisionError
    factory.step()
    assert factory.waiting() == []


def test_redis_holds_ids_in_json_and_nothing_else(factory: Factory, job: Jobs) -> None:
    job("mark", _mark)
    factory.put(factory.world.a.id, "mark", "1", phone="+254712345678")
    factory.step()
    datas = []
    for key in factory.redis.scan_iter("rq:job:*", _type="hash"):
        packed = factory.redis.hget(key, "data")
        assert isinstance(packed, bytes)
        datas.append(json.loads(zlib.decompress(packed)))
    assert ["workers.runtime.run_batch", None, ["settlement", [list(factory.waiting()[0])]], {}] in datas
    assert all("254712345678" not in json.dumps(data) for data in datas)


def test_a_tenants_flood_does_not_delay_another(factory: Factory, job: Jobs) -> None:
    job("mark", _mark)
    for n in range(60):
        factory.put(factory.world.a.id, "mark", str(n), n=n)
    factory.put(factory.world.b.id, "mark", "1", n=0)
    factory.step()
    tenants = [arguments[0] for arguments in factory.waiting()]
    assert tenants.count(str(factory.world.b.id)) == 1
    assert tenants.count(str(factory.world.a.id)) == 20
    factory.step()
    assert len(factory.waiting()) == 21, "no more than its share is out at a time"
    for _ in range(6):
        factory.work()
        factory.step()
    assert len(_done(factory)) == 61


def test_an_outage_is_retried_later_and_a_bug_too_until_a_day_has_passed(factory: Factory, job: Jobs) -> None:
    def away(_: dict[str, Any]) -> None:
        audit.record("test.done")
        raise Outage("the router", retry_after_seconds=90)

    def broken(_: dict[str, Any]) -> None:
        audit.record("test.done")
        raise ZeroDivisionError

    job("away", away)
    job("broken", broken)
    factory.put(factory.world.a.id, "away", "1")
    factory.put(factory.world.a.id, "broken", "1")
    factory.step()
    factory.work()
    assert _done(factory) == [], "what a failed job wrote is undone"
    later = factory.rows("job, state, attempts, extract(epoch FROM run_at - now())::int > 60, last_error")
    assert later == [
        ("away", "ready", 1, True, "Outage: the router does not answer"),
        ("broken", "ready", 1, False, "ZeroDivisionError: "),
    ]
    factory.sql("UPDATE outbox SET run_at = now() + interval '1 second' * attempts * 30")
    factory.step()
    assert factory.waiting() == [], "not before its time"
    factory.sql("UPDATE outbox SET run_at = now(), first_failed_at = now() - interval '25 hours'")
    factory.step()
    factory.work()
    assert {row[2] for row in factory.rows()} == {"dead"}
    with factory.app.app_context(), tenant_scope(None), transaction():
        assert outbox.backlog().dead == 2


def test_a_job_that_no_release_knows_is_given_up_soon_and_a_later_release_performs_it(
    factory: Factory, job: Jobs, caplog: pytest.LogCaptureFixture
) -> None:
    factory.put(factory.world.a.id, "of_the_next_release", "1", n=1)
    factory.put(factory.world.b.id, "of_no_release", "1")
    factory.step()
    factory.work()
    said = "UnknownJob: this release has no job named of_the_next_release"
    assert factory.rows("state, last_error, run_at > created_at")[0] == ("ready", said, True), (
        "a deploy may be under way"
    )
    factory.sql("UPDATE outbox SET run_at = now(), first_failed_at = now() - interval '14 minutes'")
    factory.step()
    factory.work()
    assert {row[2] for row in factory.rows()} == {"ready"}
    assert outbox.DEAD_LETTER not in caplog.text
    job("of_the_next_release", _mark)
    factory.sql("UPDATE outbox SET run_at = now(), first_failed_at = now() - interval '16 minutes'")
    factory.step()
    factory.work()
    assert [(row[0], row[2]) for row in factory.rows()] == [("of_the_next_release", "done"), ("of_no_release", "dead")]
    assert _done(factory) == [(factory.world.a.id, "1")]
    assert outbox.DEAD_LETTER in caplog.text, "a dead letter pages"


def test_the_database_takes_jobs_on_queues_that_have_a_worker_and_no_others(factory: Factory) -> None:
    for queue in Queue:
        factory.put(factory.world.a.id, "mark", queue.value, queue)
    with pytest.raises(psycopg.errors.CheckViolation, match="ck_outbox_queue"):
        factory.sql("UPDATE outbox SET queue = 'fax'")
    query = b"SELECT pg_get_constraintdef(oid), convalidated FROM pg_constraint WHERE conname = 'ck_outbox_queue'"
    ((definition, checked),) = factory.admin.execute(query).fetchall()
    assert set(re.findall(r"'(\w+)'", definition)) == set(Queue)
    assert checked


def test_a_business_no_ends_a_job(factory: Factory, job: Jobs) -> None:
    def no(_: dict[str, Any]) -> None:
        audit.record("test.done")
        raise NotFound

    job("no", no)
    factory.put(factory.world.a.id, "no", "1")
    factory.step()
    factory.work()
    assert factory.rows("state, last_error") == [("done", "not_found")]
    assert _done(factory) == []


def test_a_call_to_the_outside_runs_between_two_transactions(factory: Factory, job: Jobs) -> None:
    calls: list[str] = []

    def call() -> str:
        assert_no_transaction("the test's call")
        calls.append("called")
        return "answer"

    def ask(_: dict[str, Any]) -> Iterator[Callable[[], str]]:
        db.session.execute(text("SELECT 1"))
        with pytest.raises(InsideTransaction):
            assert_no_transaction("a call inside")
        answer = yield call
        audit.record("test.done", number=answer)

    job("ask", ask)
    factory.put(factory.world.a.id, "ask", "1")
    factory.step()
    (arguments,) = factory.waiting()
    runtime.run(*arguments)
    runtime.run(*arguments)
    assert calls == ["called"]
    assert [number for _, number in _done(factory)] == ["answer"]


def test_a_call_that_began_is_not_begun_again_by_a_second_delivery(factory: Factory, job: Jobs) -> None:
    def ask(_: dict[str, Any]) -> Iterator[Callable[[], None]]:
        yield lambda: calls.append(1)

    calls: list[int] = []
    job("ask", ask)
    factory.put(factory.world.a.id, "ask", "1")
    factory.step()
    (arguments,) = factory.waiting()
    factory.sql("UPDATE outbox SET started_attempt = attempts")
    runtime.run(*arguments)
    assert calls == []


def _lose_worker(factory: Factory) -> None:
    """A worker has taken what Redis held, and dies; the leases run out."""
    factory.redis.flushdb()
    factory.redis.set("wavu:relay", factory.relay._marker)
    factory.sql("UPDATE outbox SET lease_until = now() - interval '1 second' WHERE lease_until IS NOT NULL")
    factory.step()


def test_a_worker_that_dies_costs_a_lease(factory: Factory, job: Jobs) -> None:
    job("mark", _mark)
    factory.put(factory.world.a.id, "mark", "1", n=1)
    factory.step()
    (first,) = factory.waiting()
    factory.redis.flushdb()
    factory.redis.set("wavu:relay", factory.relay._marker)
    factory.step()
    assert factory.waiting() == [], "its lease still runs"
    _lose_worker(factory)
    assert factory.waiting() == [], "it backs off"
    factory.sql("UPDATE outbox SET run_at = now()")
    factory.step()
    (second,) = factory.waiting()
    assert second[2] == first[2] + 1
    runtime.run(*first)
    assert _done(factory) == [], "the late worker is fenced off"
    factory.work()
    assert len(_done(factory)) == 1


def test_a_job_that_kills_its_worker_ends_as_a_dead_letter(
    factory: Factory, job: Jobs, caplog: pytest.LogCaptureFixture
) -> None:
    job("mark", _mark)
    factory.put(factory.world.a.id, "mark", "poison")
    factory.put(factory.world.a.id, "mark", "beside", n=1)
    factory.step()
    assert [len(batch) for batch in factory.batches()] == [2]
    _lose_worker(factory)
    waits = factory.rows("key, state, failures, run_at > now(), last_error")
    lost = "the worker was lost"
    assert waits == [("poison", "ready", 1, True, lost), ("beside", "ready", 1, True, lost)]
    factory.sql("UPDATE outbox SET run_at = now()")
    factory.step()
    assert [len(batch) for batch in factory.batches()] == [1, 1], "what took a worker along comes alone from then on"
    factory.sql("UPDATE outbox SET state = 'done' WHERE key = 'beside'")
    for failures in range(2, 12):
        _lose_worker(factory)
        factory.sql("UPDATE outbox SET run_at = now() WHERE key = 'poison'")
        factory.step()
        assert factory.rows("failures")[0] == (failures,)
    factory.sql("UPDATE outbox SET first_failed_at = now() - interval '25 hours' WHERE key = 'poison'")
    _lose_worker(factory)
    assert factory.rows("key, state")[0] == ("poison", "dead")
    assert outbox.DEAD_LETTER in caplog.text, "a dead letter pages"
    with factory.app.app_context(), tenant_scope(None), transaction():
        assert outbox.backlog().dead == 1


def test_the_relay_cannot_call_work_done(factory: Factory, job: Jobs) -> None:
    factory.put(factory.world.a.id, "mark", "1")
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        factory.wire.execute("UPDATE outbox SET state = 'done'")


def test_a_slow_peer_delays_only_its_own_jobs(factory: Factory, job: Jobs, monkeypatch: pytest.MonkeyPatch) -> None:
    answered = threading.Event()

    def hang(_: dict[str, Any]) -> Iterator[Callable[[], bool]]:
        assert (yield lambda: answered.wait(10))
        audit.record("test.done", number="slow")

    def answer(_: dict[str, Any]) -> Iterator[Callable[[], None]]:
        yield answered.set
        audit.record("test.done", number="quick")

    job("hang", hang)
    job("answer", answer)
    factory.put(factory.world.a.id, "hang", "1", Queue.NETWORK)
    factory.put(factory.world.b.id, "answer", "1", Queue.NETWORK)
    threads = runtime.Threads(Queue.NETWORK, 2)
    monkeypatch.setattr(runtime, "_threads", threads)
    factory.step()
    factory.work(Queue.NETWORK)
    threads.close()
    assert sorted(number for _, number in _done(factory)) == ["quick", "slow"]


def test_a_wiped_redis_costs_nothing(factory: Factory, job: Jobs) -> None:
    job("mark", _mark)
    for n in range(3):
        factory.put(factory.world.a.id, "mark", str(n), n=n)
    factory.step()
    factory.redis.flushdb()
    factory.step()
    assert len(factory.waiting()) == 3, "handed out again at once, without waiting for the leases"
    factory.work()
    assert len(_done(factory)) == 3


def test_settlement_goes_on_without_redis(factory: Factory, job: Jobs, monkeypatch: pytest.MonkeyPatch) -> None:
    job("mark", _mark)
    factory.put(factory.world.a.id, "mark", "1", n=1)
    factory.put(factory.world.a.id, "mark", "2", Queue.BULK, n=2)
    monkeypatch.setattr(factory.relay._redis, "get", _refuse)
    factory.step()
    assert _done(factory) == []
    factory.relay._redis_failing_since = 0.0
    factory.step()
    assert [number for _, number in _done(factory)] == ["1"]
    monkeypatch.undo()
    monkeypatch.setattr(runtime, "_app", factory.app)
    job("mark", _mark)
    factory.step()
    factory.work(Queue.BULK)
    assert len(_done(factory)) == 2


def test_prompts_go_out_without_redis(factory: Factory, job: Jobs, monkeypatch: pytest.MonkeyPatch) -> None:
    called = threading.Event()

    def ask(_: dict[str, Any]) -> Iterator[Callable[[], None]]:
        yield called.set
        audit.record("test.done", number="asked")

    job("ask", ask)
    factory.put(factory.world.a.id, "ask", "1", Queue.DARAJA)
    monkeypatch.setattr(factory.relay._redis, "get", _refuse)
    factory.relay._redis_failing_since = 0.0
    factory.step()
    assert called.wait(5)
    factory.relay.stop()
    factory.relay.run()
    assert [number for _, number in _done(factory)] == ["asked"]


def test_money_is_settled_at_once_while_redis_is_away_and_daraja_hangs(
    factory: Factory, job: Jobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = threading.Event()

    def hang(_: dict[str, Any]) -> Iterator[Callable[[], bool]]:
        yield lambda: answers.wait(20)

    job("hang", hang)
    job("mark", _mark)
    monkeypatch.setitem(runtime.THREADS, Queue.DARAJA, 2)
    monkeypatch.setattr(factory.relay._redis, "get", _refuse)
    factory.relay._redis_failing_since = 0.0
    for n in range(3):
        factory.put(factory.world.a.id, "hang", str(n), Queue.DARAJA)
    factory.step()
    held = "SELECT count(*) FROM outbox WHERE queue = 'daraja' AND lease_until IS NOT NULL"
    assert factory.admin.execute(held.encode()).fetchone() == (2,), "the third stays due, for whoever has a place"
    factory.put(factory.world.a.id, "mark", "1", n=1)
    factory.step()
    assert [number for _, number in _done(factory)] == ["1"]
    assert not answers.is_set()
    answers.set()
    factory.relay.stop()
    factory.relay.run()


def test_a_relay_gives_up_a_database_that_hangs(factory: Factory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(PatientConnection, "patience_seconds", 0.5)
    relay = threading.Thread(target=factory.relay.run)
    relay.start()
    leader = _backends(factory, 1)[0]
    os.kill(leader, signal.SIGSTOP)
    try:
        assert leader in _backends(factory, 2), "it came back on another connection"
    finally:
        os.kill(leader, signal.SIGCONT)
        factory.relay.stop()
        relay.join()


def _backends(factory: Factory, number: int) -> list[int]:
    """The relay's server processes, as soon as there are so many."""
    query = "SELECT pid FROM pg_stat_activity WHERE application_name = 'relay' AND datname = current_database()"
    for _ in range(200):
        if len(rows := factory.admin.execute(query.encode()).fetchall()) == number:
            return [pid for (pid,) in rows]
        time.sleep(0.05)
    raise AssertionError(f"{len(rows)} connections of the relay, not {number}")


def _refuse(*_: object) -> None:
    import redis

    raise redis.ConnectionError


def test_redis_dying_while_jobs_are_handed_over_frees_them(
    factory: Factory, job: Jobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    factory.put(factory.world.a.id, "mark", "1")
    with monkeypatch.context() as patch:
        patch.setattr(factory.relay._queues[Queue.SETTLEMENT], "enqueue_call", lambda *_, **__: _refuse())
        factory.step()
    assert factory.rows("lease_until, state") == [(None, "ready")]


def test_clocks_tick_once_however_many_relays_there_are(factory: Factory) -> None:
    # At one instant: the next tick of the shortest clock is another fact. Not at midnight, when days are closed.
    with clock.fixed(datetime(2026, 11, 24, 9, tzinfo=UTC)):
        factory.step()
        factory.relay._last_ticks.clear()
        factory.step()
        every = b"SELECT tenant_id, job, state FROM outbox ORDER BY job"
        jobs = sorted(clock.job for clock in schedule.CLOCKS)
        assert factory.admin.execute(every).fetchall() == [(PLATFORM_ID, job, "ready") for job in jobs]
        assert set(jobs) <= set(JOBS)
        done = [(PLATFORM_ID, job, "done") for job in jobs]
        for _ in jobs:  # a tenant has few places in a queue at a time
            for queue in {clock.queue for clock in schedule.CLOCKS}:
                factory.work(queue)
            factory.step()
            if (now := factory.admin.execute(every).fetchall()) == done:
                break
        assert now == done


def test_done_rows_are_swept_after_a_week(factory: Factory, job: Jobs) -> None:
    job("mark", _mark)
    for key in "12":
        factory.put(factory.world.a.id, "mark", key)
    factory.step()
    factory.work()
    factory.sql("UPDATE outbox SET done_at = now() - interval '8 days' WHERE key = '1'")
    factory.relay._swept_at = float("-inf")
    factory.step()
    assert [row[1] for row in factory.rows() if row[0] == "mark"] == ["2"]


@pytest.mark.parametrize("tenant", ["b", "nobody"])
def test_a_job_of_one_tenant_run_as_another_finds_nothing(factory: Factory, job: Jobs, tenant: str) -> None:
    job("mark", _mark)
    factory.put(factory.world.a.id, "mark", "1")
    factory.step()
    ((_, row, attempt),) = factory.waiting()
    other = factory.world.b.id if tenant == "b" else "00000000-0000-7000-8000-00000000dead"
    runtime.run(str(other), row, attempt)
    assert _done(factory) == []
    assert factory.rows("state, attempts") == [("ready", 1)]
