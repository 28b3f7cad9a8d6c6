from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple
from uuid import UUID

import psycopg
import pytest
from flask import Flask

from config import load
from tenants import ledger
from tenants.ledger import Leg
from tests.stack import Stack, database_of
from tests.world import World
from wavu import ids
from wavu.app import create_app
from wavu.db import db, transaction
from wavu.tenancy import tenant_scope

MPESA = ledger.mpesa("174379")


class Book(NamedTuple):
    """Two tenants with books alike, in a database of their own where commits are real."""

    app: Flask
    world: World
    wallet: str
    connect: Callable[[str], psycopg.Connection]

    def post(self, tenant_id: UUID, key: str, *legs: Leg, kind: str = "test") -> bool:
        """Whether it posted, in a transaction of its own."""
        with self.app.app_context(), tenant_scope(tenant_id), transaction():
            return ledger.post(kind, key, legs) is not None

    def pay_in(self, tenant_id: UUID, key: str, cents: int) -> bool:
        return self.post(tenant_id, key, Leg(MPESA, -cents), Leg(self.wallet, cents))

    def balance(self, tenant_id: UUID, code: str) -> int:
        with self.app.app_context(), tenant_scope(tenant_id), transaction():
            return ledger.balance(code)

    def faults(self, tenant_id: UUID) -> list[str]:
        with self.app.app_context(), tenant_scope(tenant_id), transaction():
            return ledger.audit()


@pytest.fixture
def book(own_world: tuple[dict[str, str], World], servers: Stack) -> Iterator[Book]:
    environ, world = own_world
    app, database = create_app(load(environ)), database_of(environ)

    def connect(role: str) -> psycopg.Connection:
        url = servers.admin(database) if role == "wavu_admin" else servers.url(role, database)
        return psycopg.connect(url)

    made = Book(app, world, ledger.wallet(ids.new_id()), connect)
    for tenant in (made.world.a, made.world.b):
        assert made.pay_in(tenant.id, "receipt:174379:SAMEINBOTH", 5_000)
    yield made
    for tenant in (made.world.a, made.world.b):
        assert made.faults(tenant.id) == []
    with app.app_context():
        db.engine.dispose()
