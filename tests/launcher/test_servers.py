import os
import socket
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import psycopg
import pytest
import redis

from rehearsal import unprivileged
from rehearsal.servers import Postgres, ServerFailed, Valkey, free_port, port_is_free
from tests.launcher.toys import until


@pytest.fixture
def postgres(tmp_path: Path) -> Iterator[Postgres]:
    server = Postgres(tmp_path / "pg", durable=False)
    server.start()
    yield server
    server.destroy()
    assert [path.name for path in tmp_path.iterdir()] == ["pg.log"]


@pytest.fixture
def valkey(tmp_path: Path) -> Iterator[Valkey]:
    server = Valkey(tmp_path / "valkey")
    server.start()
    yield server
    server.destroy()


def test_postgres_recovers_from_kill_on_the_same_port_and_stops_with_clients_connected(postgres: Postgres) -> None:
    port = postgres.port
    with psycopg.connect(postgres.admin_url(), autocommit=True) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 7 AS number")
        connection.execute("CHECKPOINT")  # durable=False promises nothing else
    postgres.kill()
    postgres.start()
    assert postgres.port == port
    with psycopg.connect(postgres.admin_url()) as connection:
        assert connection.execute("SELECT number FROM kept").fetchone() == (7,)
        assert connection.execute("SHOW data_checksums").fetchone() == ("on",)
        assert connection.execute("SELECT 'B' < 'a'").fetchone() == (True,)
    with closing(psycopg.connect(postgres.admin_url())):
        postgres.stop(grace_seconds=5)
        assert postgres.returncode == 0


def test_postgres_wants_its_password_and_keeps_it_private(postgres: Postgres) -> None:
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(postgres.url("wavu_admin", "guess", "postgres"))
    assert (postgres.data.with_name("pg.json").stat().st_mode & 0o777) == 0o600
    postgres.stop()
    version = postgres.data / "PG_VERSION"
    version.write_text("9\n")
    with pytest.raises(ServerFailed, match=r"is of PostgreSQL 9, but the installed programs are of PostgreSQL \d+"):
        postgres.start()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root becomes somebody else")
def test_root_runs_postgres_as_an_account_where_namespaces_are_forbidden(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(unprivileged, "_namespace", lambda: None)
    server = Postgres(tmp_path / "pg", durable=False)
    server.start()
    real = server.data.resolve()
    with psycopg.connect(server.admin_url()) as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)
    assert real.stat().st_uid != 0
    server.destroy()
    assert not real.parent.exists()


def test_valkey_keeps_what_was_written_through_kill_and_forgets_when_wiped(valkey: Valkey) -> None:
    with redis.Redis.from_url(valkey.url) as client:
        client.set("kept", "yes")
        client.execute_command("WAITAOF", 1, 0, 2000)
        pid = valkey.pid
        valkey.kill()
        valkey.start()
        assert valkey.pid != pid
        assert client.get("kept") == b"yes"
        valkey.wipe()
        assert client.get("kept") is None


def test_valkey_wants_its_password(valkey: Valkey) -> None:
    with socket.create_connection(("127.0.0.1", valkey.port)) as connection:
        connection.sendall(b"PING\r\n")
        assert connection.recv(100).startswith(b"-NOAUTH")


def test_a_server_left_behind_by_a_crash_is_ended_first(valkey: Valkey) -> None:
    left = valkey.pid
    again = Valkey(valkey.data)
    again.start()
    assert again.port == valkey.port
    until(lambda: not valkey.running)
    assert again.pid != left
    again.stop()
    assert again.returncode == 0


def test_free_ports_are_free() -> None:
    assert port_is_free(free_port())


def test_a_port_is_looked_at_where_it_will_be_opened() -> None:
    port = free_port()
    with socket.socket() as taken:
        taken.bind(("127.0.1.10", port))
        taken.listen()
        assert port_is_free(port)
        assert not port_is_free(port, host="127.0.1.10")
