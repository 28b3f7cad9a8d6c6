"""The product with money: what a purchase needs from button to receipt, and the fixture `shop` that opens it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, NamedTuple
from urllib.parse import urlsplit
from uuid import UUID

import psycopg
import pytest
import redis
from flask import Flask
from werkzeug.serving import make_server

from config import Settings, load
from rehearsal.daraja.simulator import Simulator
from rehearsal.servers import free_port
from tenants import checkout, ledger, mpesa
from tenants.catalog import Package
from tenants.hooks.spool import Spool
from tenants.payments import gateways
from tests.stack import Moment, Stack, environment
from tests.world import World, build_world
from wavu import ids
from wavu.db import db, transaction
from wavu.phone import Phone
from wavu.surfaces import create_web
from wavu.tenancy import tenant_scope
from wavu.web.flask_app import WavuFlask
from wavu.web.hosts import Hosts
from workers import runtime

PHONE = "0712345678"
START = datetime(2026, 11, 24, 9, 0, tzinfo=UTC)


_NEXT_JOB = """
UPDATE outbox SET attempts = attempts + 1, lease_until = now() + interval '30 s' WHERE (tenant_id, id) IN (
    SELECT tenant_id, id FROM outbox WHERE state = 'ready' AND run_at <= now()
    AND (%(jobs)s::text[] = '{}' OR job = ANY(%(jobs)s)) ORDER BY run_at, id LIMIT 1)
RETURNING tenant_id, id, attempts
"""


class Shop(NamedTuple):
    """The product with a PayBill for A and a Till for B, and the simulator that it pays through."""

    app: Flask
    settings: Settings
    world: World
    sim: Simulator
    admin: psycopg.Connection
    packages: dict[UUID, UUID]

    def buy(self, tenant_id: UUID, phone: str = PHONE, nonce: str | None = None) -> str:
        """Presses the pay button; returns the purchase's nonce."""
        nonce = nonce or ids.new_token()[:32]
        with self.app.app_context(), tenant_scope(tenant_id), transaction():
            checkout.begin(
                nonce=nonce, package_id=self.packages[tenant_id], phone=Phone.parse(phone), mac="02AABBCCDD01",
                router_id=None, login_url="http://127.0.9.1:8180/login", original_url=None,
            )  # fmt: skip
        return nonce

    def progress(self, tenant_id: UUID, nonce: str) -> checkout.Progress:
        with self.app.app_context(), tenant_scope(tenant_id), transaction():
            return checkout.progress(nonce)

    def work(self, *jobs: str) -> int:
        """Runs every due job, or those of these names, until none is left. Returns how many ran."""
        ran = 0
        while True:
            rows = self.admin.execute(_NEXT_JOB, {"jobs": list(jobs)}).fetchall()
            if not rows:
                return ran
            for tenant_id, row, attempt in rows:
                runtime.run(str(tenant_id), str(row), attempt)
                ran += 1

    @contextmanager
    def without_database(self) -> Iterator[None]:
        """PostgreSQL takes no connection of the product's, and has cut those that it had."""
        database = urlsplit(self.settings.database_url.get_secret_value()).path[1:]
        self.admin.execute(f'ALTER DATABASE "{database}" CONNECTION LIMIT 0'.encode())
        self.admin.execute(
            b"SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            b" WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
        try:
            yield
        finally:
            self.admin.execute(f'ALTER DATABASE "{database}" CONNECTION LIMIT -1'.encode())

    @property
    def spool(self) -> Spool:
        spool: Spool = self.app.extensions["spool"]
        return spool

    def later(self, seconds: int) -> None:
        """Makes time pass for what is scheduled and for what was asked."""
        for statement in (
            "UPDATE outbox SET run_at = run_at - make_interval(secs => %s) WHERE state = 'ready'",
            "UPDATE payment_intent SET created_at = created_at - make_interval(secs => %s)",
            "UPDATE payment_intent SET submitted_at = submitted_at - make_interval(secs => %s)",
        ):
            self.admin.execute(statement.encode(), (seconds,))
        self.sim.advance(seconds)

    def rows(self, query: str, *values: Any) -> list[tuple[Any, ...]]:
        return self.admin.execute(query.encode(), values).fetchall()

    def intents(self, column: str = "state") -> list[Any]:
        return [value for (value,) in self.rows(f"SELECT {column} FROM payment_intent ORDER BY id")]

    def check_books(self) -> None:
        """Each shilling of the simulator's book is in the ledger once; each paid purchase has one entitlement."""
        for tenant_id in self.packages:
            with self.app.app_context(), tenant_scope(tenant_id), transaction():
                assert ledger.audit() == []
        assert self.rows("SELECT purchase_id FROM entitlement GROUP BY purchase_id HAVING count(*) > 1") == []
        bought = {row for (row,) in self.rows("SELECT id FROM purchase WHERE state IN ('bought', 'returned')")}
        entitled = {row for (row,) in self.rows("SELECT purchase_id FROM entitlement WHERE NOT provisional")}
        assert bought == entitled


def _account(world: World, tenant_id: UUID) -> dict[str, str]:
    if tenant_id == world.a.id:
        return {"kind": "paybill", "business_short_code": "600100", "party_b": "600100"}
    return {"kind": "till", "business_short_code": "600200", "party_b": "5123456"}


def _secrets(world: World, tenant_id: UUID) -> dict[str, str]:
    name = "a" if tenant_id == world.a.id else "b"
    return {"consumer_key": f"key-{name}", "consumer_secret": f"secret-{name}", "passkey": f"passkey-{name}"}


def _register(world: World, sim: Simulator, tenant_id: UUID) -> None:
    """Makes an ISP's app and number known to the simulator."""
    numbers, secrets = _account(world, tenant_id), _secrets(world, tenant_id)
    sim.add_app(
        secrets["consumer_key"], secrets["consumer_secret"], shortcode=numbers["business_short_code"],
        till=numbers["party_b"] if numbers["kind"] == "till" else None, passkey=secrets["passkey"],
    )  # fmt: skip


def open_account(world: World, tenant_id: UUID) -> UUID:
    """Gives an ISP its account and a package; returns the package's id."""
    mpesa.add_account(environment="rehearsal", **_account(world, tenant_id), **_secrets(world, tenant_id))
    package = Package(
        id=ids.new_id(), name=f"1 hour {'a' if tenant_id == world.a.id else 'b'}", price_cents=1000, validity="hours",
        validity_count=1, speed_down_bps=5_000_000, speed_up_bps=2_000_000,
    )  # fmt: skip
    db.session.add(package)
    db.session.flush()
    return package.id


def open_shop(world: World, sim: Simulator, tenant_id: UUID) -> UUID:
    """Both; inside the tenant's transaction."""
    _register(world, sim, tenant_id)
    return open_account(world, tenant_id)


class Workshop(NamedTuple):
    """What the shops of one test worker have in common: the application, its server, and the `morning` that each shop
    begins with. `sim_port` and `airtel_port` are where each one's simulators are."""

    app: Flask
    settings: Settings
    world: World
    packages: dict[UUID, UUID]
    database: str
    morning: Moment
    sim_port: int
    airtel_port: int


@pytest.fixture(scope="session")
def workshop(servers: Stack, worker_number: int, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workshop]:
    database = f"shop_{worker_number}"
    port, sim_port, airtel_port = free_port(), free_port(), free_port()
    settings = load(environment(servers, database, 8 + worker_number) | {
        "PUBLIC_SCHEME": "http", "PUBLIC_PORT": str(port), "PLATFORM_DOMAIN": "wavu.localhost",
        "DARAJA_REHEARSAL_URL": f"http://127.0.0.1:{sim_port}",
        "AIRTEL_REHEARSAL_URL": f"http://127.0.0.1:{airtel_port}", "SPOOL_DIR": str(tmp_path_factory.mktemp("spool")),
    })  # fmt: skip
    servers.clone(database)
    app = create_web(settings)
    world = build_world(app)
    packages: dict[UUID, UUID] = {}
    for isp in (world.a, world.b):
        with app.app_context(), tenant_scope(isp.id), transaction():
            packages[isp.id] = open_account(world, isp.id)
    admin_url = servers.admin(database)
    with psycopg.connect(admin_url, autocommit=True) as admin:
        admin.execute("DELETE FROM outbox")
    server = make_server("127.0.0.1", port, app, threaded=True)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    made = Workshop(app, settings, world, packages, database, Moment(admin_url), sim_port, airtel_port)
    _forget(made)
    yield made
    app.extensions["spool"].stop()
    server.shutdown()
    thread.join()
    server.server_close()
    with app.app_context():
        db.engine.dispose()
    servers.drop(database)


def _forget(workshop: Workshop) -> None:
    """Leaves nothing of the last shop with the application, nor a connection."""
    app, settings = workshop.app, workshop.settings
    assert settings.spool_dir is not None
    app.extensions["spool"].stop()
    for path in settings.spool_dir.iterdir():
        path.unlink()
    app.extensions["spool"] = Spool(settings.spool_dir)
    app.extensions.pop("daraja_gate", None)
    gateways.forget()
    assert isinstance(app, WavuFlask)
    app.hosts = Hosts(settings)
    with app.app_context():
        db.session.remove()
        db.engine.dispose()
    with redis.Redis.from_url(settings.redis_url.get_secret_value()) as memory:
        memory.flushdb()


@pytest.fixture
def sim(request: pytest.FixtureRequest) -> Iterator[Simulator]:
    """A simulator that knows both shops' apps, where `shop` looks for it."""
    workshop: Workshop = request.getfixturevalue("workshop")
    with Simulator(seed=1).serve(workshop.sim_port) as simulator:
        for tenant_id in workshop.packages:
            _register(workshop.world, simulator, tenant_id)
        yield simulator


@pytest.fixture
def shop(workshop: Workshop, servers: Stack, sim: Simulator, monkeypatch: pytest.MonkeyPatch) -> Iterator[Shop]:
    workshop.morning.restore()
    monkeypatch.setattr(runtime, "_app", workshop.app)
    with psycopg.connect(servers.admin(workshop.database), autocommit=True) as admin:
        yield Shop(workshop.app, workshop.settings, workshop.world, sim, admin, workshop.packages)
    _forget(workshop)
