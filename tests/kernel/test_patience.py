"""A PostgreSQL that hangs, its process stopped, is an outage within seconds."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import psycopg
import pytest
from sqlalchemy.exc import OperationalError

from config import load
from migrations import roles
from rehearsal.process import descendants
from rehearsal.servers import Postgres
from tests.stack import PASSWORD, Stack, environment, migrate
from wavu.app import create_app
from wavu.db import Breaker, PatientConnection, Silent, db, is_outage


def test_a_stopped_server_is_given_up(servers: Stack) -> None:
    with PatientConnection.connect(servers.admin(), autocommit=True) as connection:
        connection.patience_seconds = 0.2
        pid = connection.info.backend_pid
        os.kill(pid, signal.SIGSTOP)
        try:
            with pytest.raises(psycopg.OperationalError, match="does not answer") as caught:
                connection.execute("SELECT 1")
        finally:
            os.kill(pid, signal.SIGCONT)
        assert connection.closed
        assert caught.value.sqlstate is None, "which wavu.db.is_outage takes for an outage"


def test_a_quick_answer_is_not(servers: Stack) -> None:
    with PatientConnection.connect(servers.admin()) as connection:
        connection.patience_seconds = 1
        assert connection.execute("SELECT 1").fetchone() == (1,)


def test_while_it_is_silent_one_at_a_time_asks(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr("wavu.db.time.monotonic", lambda: now[0])
    breaker = Breaker()
    breaker.admit()
    breaker.silent()
    for later in (0.1, 1.8):
        now[0] += later
        with pytest.raises(Silent):
            breaker.admit()
    now[0] += 0.2
    breaker.admit()
    with pytest.raises(Silent):
        breaker.admit()
    now[0] += 10
    breaker.admit()
    breaker.heard()
    breaker.admit()
    breaker.admit()


def test_a_server_that_hangs_holds_no_second_page(servers: Stack, tmp_path: Path) -> None:
    """All its processes are stopped: the first to ask waits, and whoever comes meanwhile or soon after does not."""
    postgres = Postgres(tmp_path / "pg", durable=False)
    postgres.start()
    try:
        roles.ensure(postgres.admin_url(), "wavu", dict.fromkeys(roles.LOGIN_ROLES, PASSWORD))
        migrate(postgres.url("wavu_owner", PASSWORD, "wavu"))
        urls = {
            name: postgres.url(role, PASSWORD, "wavu")
            for name, role in (("DATABASE_URL", "wavu_app"), ("RELAY_DATABASE_URL", "wavu_relay"))
        }
        environ = environment(servers, "wavu", 0) | urls
        app = create_app(load(environ))
        with app.app_context():
            with db.engine.connect():
                pass
            assert postgres.pid is not None
            pids = [postgres.pid, *descendants(postgres.pid)]
            for pid in pids:
                os.kill(pid, signal.SIGSTOP)
            try:
                db.engine.dispose()
                waits = []
                for _ in range(5):
                    began = time.monotonic()
                    with pytest.raises(OperationalError) as caught, db.engine.connect():
                        pass
                    assert is_outage(caught.value)
                    waits.append(time.monotonic() - began)
            finally:
                for pid in pids:
                    os.kill(pid, signal.SIGCONT)
            assert 1 < waits[0] < 10
            assert max(waits[1:]) < 1
            time.sleep(Breaker.rest_seconds)
            with db.engine.connect():
                pass
            db.engine.dispose()
    finally:
        postgres.destroy()
