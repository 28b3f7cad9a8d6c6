from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from typing import NamedTuple

import pytest
from flask import Flask
from sqlalchemy import Engine, event

import wavu.db
from config import Settings, load
from tests.browser_client import Browser
from tests.shop import shop, sim, workshop
from tests.stack import MUTANTS, Moment, Servers, Stack, environment, is_running, stack
from tests.world import World, build_world
from wavu import mail
from wavu.app import create_app
from wavu.db import db
from wavu.surfaces import create_web
from wavu.web.flask_app import WavuFlask
from wavu.web.hosts import Hosts

__all__ = ["shop", "sim", "workshop"]

_servers: Servers | None = None


class Scratch(NamedTuple):
    """A database that goes back to one of two moments for each test: `empty`, or `inhabited` by `world`; and `inner`,
    which is inhabited and where every test is undone."""

    database: str
    inner: str
    empty: Moment
    world: World
    inhabited: Moment


def pytest_configure(config: pytest.Config) -> None:
    """The controlling process starts the servers before its workers exist, and stops them after the last."""
    global _servers
    if not hasattr(config, "workerinput") and not config.option.collectonly and not is_running():
        _servers = Servers()
        _servers.start()


def pytest_unconfigure(config: pytest.Config) -> None:
    if _servers is not None:
        _servers.stop()


@pytest.fixture(scope="session")
def servers() -> Stack:
    return stack()


@pytest.fixture(scope="session")
def worker_number() -> int:
    return int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))


@pytest.fixture(scope="session")
def scratch(servers: Stack, worker_number: int) -> Iterator[Scratch]:
    """The database for tests that commit, and a copy of it for those that do not. It is made first, before a fault is
    planted anywhere."""
    number = os.environ.get("WAVU_TEST_MUTANT", worker_number)
    database, inner = f"own_{number}", f"wavu_{number}"
    servers.clone(database)
    empty = Moment(servers.admin(database))
    app = create_app(load(environment(servers, database, 8 + worker_number)))
    world = build_world(app)
    with app.app_context():
        db.engine.dispose()
    servers.clone(inner, database)
    yield Scratch(database, inner, empty, world, Moment(servers.admin(database)))
    for name in (database, inner):
        servers.drop(name)


@pytest.fixture(scope="session")
def settings(servers: Stack, worker_number: int, scratch: Scratch) -> Settings:
    if (mutant := os.environ.get("WAVU_TEST_MUTANT")) in MUTANTS:
        servers.plant(scratch.inner, mutant)
    return load(environment(servers, scratch.inner, worker_number))


@pytest.fixture(scope="session", autouse=True)
def _planted_fault(scratch: Scratch) -> None:
    """For tests/chaos/test_mutants.py: breaks the hook that names the tenant of each transaction."""
    mutant = os.environ.get("WAVU_TEST_MUTANT")
    right = wavu.db.set_tenant_sql
    if mutant == "hook_blanked":
        wavu.db.set_tenant_sql = lambda tenant_id: "SELECT 1"
    if mutant == "hook_skips_missing_tenant":
        wavu.db.set_tenant_sql = lambda tenant_id: right(tenant_id) if tenant_id else "SELECT 1"


@pytest.fixture(scope="session")
def web_app(settings: Settings) -> Iterator[WavuFlask]:
    app = create_web(settings)
    assert isinstance(app, WavuFlask)
    app.config["TESTING"] = True
    app.config["PROPAGATE_EXCEPTIONS"] = False
    yield app
    with app.app_context():
        db.engine.dispose()


@pytest.fixture
def app(web_app: WavuFlask, settings: Settings) -> Iterator[WavuFlask]:
    """The application on a database where everything that a test commits is undone: an outer transaction holds it.
    The two ISPs of `world` are in it."""
    web_app.hosts = Hosts(settings)
    with web_app.app_context():
        engines = db._app_engines[web_app]
        engine = engines[None]
        with engine.connect() as connection:
            outer = connection.begin()
            engines[None] = connection  # type: ignore[assignment]
            try:
                yield web_app
            finally:
                db.session.remove()
                engines[None] = engine
                outer.rollback()


@pytest.fixture
def world(app: Flask, scratch: Scratch) -> World:
    """Two ISPs, A and B, alike in everything but their rows, and platform staff."""
    return scratch.world


@pytest.fixture
def browser(app: Flask) -> Browser:
    return Browser(app)


@pytest.fixture
def own_database(servers: Stack, worker_number: int, scratch: Scratch) -> dict[str, str]:
    """The environment of a product with a database of its own, for tests that need real commits or processes. It is
    migrated and else empty."""
    scratch.empty.restore()
    return environment(servers, scratch.database, 8 + worker_number)


@pytest.fixture
def own_world(servers: Stack, worker_number: int, scratch: Scratch) -> tuple[dict[str, str], World]:
    """The same with the two ISPs of `world` in it."""
    scratch.inhabited.restore()
    return environment(servers, scratch.database, 8 + worker_number), scratch.world


@pytest.fixture
def cloned_database(servers: Stack, worker_number: int) -> Iterator[dict[str, str]]:
    """The same as `own_database` for tests that change the schema."""
    database = f"clone_{os.getpid()}_{uuid.uuid4().hex[:8]}"
    servers.clone(database)
    yield environment(servers, database, 8 + worker_number)
    servers.drop(database)


@pytest.fixture
def statements(app: Flask) -> Iterator[list[str]]:
    """Every statement that the application sends from now on."""
    seen: list[str] = []

    def note(_c: object, _cursor: object, statement: str, *_: object) -> None:
        seen.append(statement)

    event.listen(Engine, "before_cursor_execute", note)
    yield seen
    event.remove(Engine, "before_cursor_execute", note)


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The texts of mails that are sent, in place of a mail server; tests/jobs sends real ones."""
    texts: list[str] = []
    monkeypatch.setattr(mail, "send", lambda *messages: texts.extend(message.text for message in messages))
    return texts
