"""Health is told truthfully, and a database that is away is a 503 that heals by itself."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import psycopg
import pytest
import redis
from flask import Flask
from flask.testing import FlaskClient

from config import Settings, load
from migrations import roles
from rehearsal.servers import Postgres, free_port
from tests.browser_client import Browser
from tests.stack import PASSWORD, Stack, migrate
from tests.world import CONSOLE_HOST, build_world
from wavu.app import create_app
from wavu.db import db
from wavu.surfaces import create_web
from workers.radius import Radius


@pytest.fixture
def own_app(own_database: dict[str, str]) -> Iterator[Flask]:
    app = create_web(load(own_database | {"RADIUS_AUTH_PORT": str(free_port()), "RADIUS_ACCT_PORT": str(free_port())}))
    yield app
    with app.app_context():
        db.engine.dispose()


def _health(client: FlaskClient, path: str = "/healthz") -> tuple[int, dict[str, str]]:
    client.application.extensions["health"]._known.clear()
    response = client.get(path, base_url="http://10.0.0.1:8000")
    return response.status_code, response.get_json()


def test_each_part_is_asked(own_app: Flask) -> None:
    client = own_app.test_client()
    assert _health(client, "/readyz") == (200, {"status": "ok", "database": "ok"})
    assert client.get("/livez", base_url="http://anything").data == b"ok\n"
    status, said = _health(client)
    assert (status, said["radius"]) == (503, "does not answer")
    settings: Settings = own_app.extensions["settings"]
    daemon = Radius(settings, create_app(settings))
    thread = threading.Thread(target=daemon.serve)
    thread.start()
    try:
        for _ in range(50):
            status, said = _health(client)
            if status == 200:
                break
            time.sleep(0.05)
        assert said == {"status": "ok", "database": "ok", "outbox": "ok", "redis": "ok", "radius": "ok"}
    finally:
        daemon.stop()
        thread.join()


def test_a_stuck_outbox_and_a_lost_redis_show(own_app: Flask, servers: Stack, own_database: dict[str, str]) -> None:
    build_world(own_app)
    database = own_database["DATABASE_URL"].rpartition("/")[2]
    client = own_app.test_client()
    with psycopg.connect(servers.admin(database), autocommit=True) as admin:
        admin.execute("UPDATE outbox SET run_at = now() - interval '5 minutes'")
        assert _health(client)[1]["outbox"] == "oldest job overdue by 300 s"
        admin.execute("UPDATE outbox SET attempts = 3, lease_until = now() + interval '1 minute'")
        assert _health(client)[1]["outbox"] == "oldest job overdue by 300 s", "handed out is not begun"
        admin.execute("UPDATE outbox SET state = 'dead' WHERE id = (SELECT min(id::text)::uuid FROM outbox)")
        assert _health(client)[1]["outbox"] == "1 jobs given up"
    kept = own_app.extensions["health"]._client
    own_app.extensions["health"]._client = redis.Redis(port=free_port())
    assert _health(client)[1]["redis"] == "does not answer"
    kept.close()
    assert _health(client, "/readyz")[0] == 200, "it serves without Redis"


def test_postgres_going_away_is_a_503_and_heals(
    tmp_path_factory: pytest.TempPathFactory, own_database: dict[str, str]
) -> None:
    postgres = Postgres(tmp_path_factory.mktemp("pg") / "data")
    postgres.start()
    try:
        roles.ensure(postgres.admin_url(), "wavu", dict.fromkeys(roles.LOGIN_ROLES, PASSWORD))
        migrate(postgres.url("wavu_owner", PASSWORD, "wavu"))
        urls = {"DATABASE_URL": "wavu_app", "RELAY_DATABASE_URL": "wavu_relay"}
        mine = {name: postgres.url(role, PASSWORD, "wavu") for name, role in urls.items()}
        app = create_web(load(own_database | mine))
        world = build_world(app)
        client = app.test_client()
        ask = {"path": "/", "base_url": f"https://{world.a.host}"}
        first = client.get(**ask)
        assert first.status_code == 200, first.text
        signed_in = Browser(app)
        signed_in.sign_in(CONSOLE_HOST, world.a.owner)
        postgres.kill()
        for path in ("/", "/team", "/account"):
            response = signed_in.get(CONSOLE_HOST, path)
            assert (response.status_code, response.headers.get("Retry-After")) == (503, "5"), path
        assert signed_in.post(CONSOLE_HOST, "/team/invite", {"email": "x@y.test"}).status_code == 503
        for path, host in (("/", world.a.host), ("/sign-in", CONSOLE_HOST), ("/", "unknown.example")):
            response = client.get(path, base_url=f"https://{host}")
            expected = 200 if path == "/sign-in" else 503
            assert response.status_code == expected, (path, host)
            if expected == 503:
                assert response.headers["Retry-After"] == "5"
                assert "psycopg" not in response.text
        assert _health(client, "/readyz")[0] == 503
        postgres.start()
        assert client.get(**ask).status_code == 200
        with app.app_context():
            db.engine.dispose()
    finally:
        postgres.destroy()
