"""A PostgreSQL that hangs, its process stopped, is an outage within seconds."""

from __future__ import annotations

import os
import signal

import psycopg
import pytest

from tests.stack import Stack
from wavu.db import PatientConnection


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
