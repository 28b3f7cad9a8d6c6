"""The database itself keeps tenants apart, whatever the application does."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest
from flask import Flask
from sqlalchemy import select, text, update
from sqlalchemy.exc import IntegrityError, ProgrammingError

from config import Settings, load
from tests.stack import ROOT, Stack, database_of
from tests.world import World, build_world
from wavu import audit, tenancy
from wavu.accounts import Membership
from wavu.audit import AuditEntry
from wavu.db import Base, InsideTransaction, NoTenant, PrivilegedRole, db, transaction
from wavu.outbox import OutboxRow
from wavu.surfaces import create_web
from wavu.tenancy import PLATFORM_ID, NameKind, catalog, tenant_scope

# Tables that the two ISPs of these tests have no rows in.
WITHOUT_ROWS = {
    "admission", "booked_row", "credential", "day_check", "day_close", "desk_void", "login_attempt", "login_code",
    "mpesa_result", "password_reset", "receipt_witness", "sign_in", "statement", "statement_row", "suspense_match",
}  # fmt: skip


def _rows(statement: str, **values: object) -> list[tuple[object, ...]]:
    return [tuple(row) for row in db.session.execute(text(statement), values)]


def test_the_schema_isolates(app: Flask) -> None:
    assert catalog.faults() == []


def test_a_tenant_reads_its_own_rows_only(world: World) -> None:
    tables = sorted(table.name for table in Base.metadata.tables.values() if "tenant_id" in table.c)
    without = set()
    for isp in (world.a, world.b):
        with tenant_scope(isp.id), transaction():
            owners = {name: {of for (of,) in _rows(f"SELECT DISTINCT tenant_id FROM {name}")} for name in tables}
        assert {name: found for name, found in owners.items() if not found <= {isp.id}} == {}
        without |= {name for name, found in owners.items() if not found}
    assert without == WITHOUT_ROWS, "of what has no rows nothing would be noticed"


def test_without_a_tenant_everything_is_refused_loudly(world: World) -> None:
    with tenant_scope(None):
        with pytest.raises(NoTenant), transaction():
            db.session.scalars(select(AuditEntry)).all()
        with pytest.raises(ProgrammingError, match="tenant context missing"), transaction():
            _rows("SELECT * FROM audit_entry")
        with pytest.raises(NoTenant), transaction():
            audit.record("nobody did it")
            db.session.flush()
        with pytest.raises(ProgrammingError, match="tenant context missing"), transaction():
            _rows("INSERT INTO router (tenant_id, id, name, identifier, address, secret_sealed) VALUES "
                  "(:t, :i, '', '', '', '')", t=world.a.id, i=uuid4())  # fmt: skip


def test_a_tenant_is_not_inherited_by_the_next_transaction(world: World) -> None:
    with tenant_scope(world.a.id), transaction():
        assert _rows("SELECT count(*) FROM membership") != [(0,)]
    with tenant_scope(None), pytest.raises(ProgrammingError, match="tenant context missing"), transaction():
        _rows("SELECT count(*) FROM membership")


def test_rows_of_another_tenant_cannot_be_written(world: World) -> None:
    with tenant_scope(world.a.id):
        with pytest.raises(NoTenant), transaction():
            db.session.add(OutboxRow(tenant_id=world.b.id, queue="bulk", job="x", key="x", payload={}))
            db.session.flush()
        with pytest.raises(ProgrammingError, match="row-level security"), transaction():
            _rows("INSERT INTO membership (tenant_id, id, person_id, role) VALUES (:t, :i, :p, 'owner')",
                  t=world.b.id, i=uuid4(), p=world.a.owner.id)  # fmt: skip
        with pytest.raises(ProgrammingError, match="row-level security"), transaction():
            _rows("UPDATE membership SET tenant_id = :t", t=world.b.id)
        with transaction():
            assert db.session.execute(update(Membership).values(role="owner")).rowcount == 2  # type: ignore[attr-defined]
    with tenant_scope(world.b.id), transaction():
        assert {role for (role,) in _rows("SELECT role FROM membership")} == {"owner", "cashier"}


def test_a_foreign_key_across_tenants_is_refused(cloned_database: dict[str, str], servers: Stack) -> None:
    """Foreign keys bypass row-level security, so every one between tenants' tables carries the tenant."""
    app = create_web(load(cloned_database))
    world = build_world(app)
    with psycopg.connect(servers.url("wavu_owner", database_of(cloned_database)), autocommit=True) as owner:
        owner.execute(
            "CREATE TABLE port (tenant_id uuid NOT NULL, id uuid, router_id uuid, PRIMARY KEY (tenant_id, id), "
            "FOREIGN KEY (tenant_id, router_id) REFERENCES router (tenant_id, id)); GRANT INSERT ON port TO wavu_app"
        )
    insert = "INSERT INTO port VALUES (:t, gen_random_uuid(), :r)"
    with app.app_context(), tenant_scope(world.a.id):
        with transaction():
            db.session.execute(text(insert), {"t": world.a.id, "r": world.a.router_id})
        with pytest.raises(IntegrityError, match="foreign key"), transaction():
            db.session.execute(text(insert), {"t": world.a.id, "r": world.b.router_id})
        db.engine.dispose()


def test_people_are_seen_by_their_colleagues_only(world: World) -> None:
    with tenant_scope(world.a.id), transaction():
        emails = {email for (email,) in _rows("SELECT email FROM person")}
        assert emails == {world.a.owner.email, world.a.cashier.email}
        assert db.session.execute(text("UPDATE person SET name = 'x'")).rowcount == 0  # type: ignore[attr-defined]


def test_a_name_belongs_to_one_tenant(world: World) -> None:
    with tenant_scope(world.a.id), pytest.raises(tenancy.NameTaken), transaction():
        tenancy.claim(NameKind.HOST, world.b.host)
    with tenant_scope(world.a.id), transaction():
        tenancy.release(NameKind.HOST, world.b.host)
    with tenant_scope(None), transaction():
        assert tenancy.resolve(NameKind.HOST, world.b.host) == world.b.id


def test_only_the_platform_may_visit(world: World) -> None:
    with tenant_scope(world.a.id), transaction(), pytest.raises(NoTenant), tenancy.visiting(world.b.id):
        pass
    with tenant_scope(PLATFORM_ID), transaction():
        with tenancy.visiting(world.b.id):
            assert len(_rows("SELECT 1 FROM membership")) == 2
        assert {tenant for (tenant,) in _rows("SELECT tenant_id FROM membership")} == {PLATFORM_ID}


def test_edges_do_not_nest_and_scopes_do_not_change_in_a_transaction(world: World) -> None:
    with tenant_scope(world.a.id), transaction():
        _rows("SELECT 1")
        with pytest.raises(InsideTransaction), transaction():
            pass
        with pytest.raises(InsideTransaction), tenant_scope(world.b.id):
            pass


def test_the_audit_trail_cannot_be_rewritten(world: World) -> None:
    with tenant_scope(world.a.id):
        for statement in ("UPDATE audit_entry SET actor = 'x'", "DELETE FROM audit_entry", "TRUNCATE audit_entry"):
            with pytest.raises(ProgrammingError, match="permission denied"), transaction():
                _rows(statement)
        with transaction():
            assert audit.first_broken_link() is None


@pytest.mark.parametrize("role", ["wavu_owner", "wavu_backup", "wavu_admin"])
def test_the_application_refuses_a_privileged_role(settings: Settings, servers: Stack, role: str) -> None:
    database = database_of({"DATABASE_URL": settings.database_url.get_secret_value()})
    url = servers.admin(database) if role == "wavu_admin" else servers.url(role, database)
    secret = type(settings.database_url)(url)
    app = create_web(settings.model_copy(update={"database_url": secret}))
    with app.app_context(), tenant_scope(None), pytest.raises(PrivilegedRole, match=role), transaction():
        _rows("SELECT 1")


def test_the_read_only_role_reads_one_tenant_and_writes_nothing(
    cloned_database: dict[str, str], servers: Stack
) -> None:
    app = create_web(load(cloned_database))
    own = build_world(app)
    with app.app_context():
        db.engine.dispose()
    with psycopg.connect(servers.url("wavu_report", database_of(cloned_database)), autocommit=True) as wire:
        for table in ("membership", "invitation", "router"):
            every = f"SELECT DISTINCT tenant_id FROM {table}".encode()
            with pytest.raises(psycopg.DatabaseError, match="tenant context missing"):
                wire.execute(every)
            wire.execute(f"SET app.tenant_id = '{own.a.id}'".encode())
            assert {tenant_id for (tenant_id,) in wire.execute(every)} == {own.a.id}
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                wire.execute(f"UPDATE {table} SET tenant_id = tenant_id".encode())
            wire.execute("SET app.tenant_id = ''")
        wire.execute(f"SET app.tenant_id = '{own.a.id}'".encode())
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            wire.execute("DELETE FROM tenant")


def test_the_relay_sees_no_payload(world: World, servers: Stack, settings: Settings) -> None:
    database = database_of({"DATABASE_URL": settings.database_url.get_secret_value()})
    with psycopg.connect(servers.url("wavu_relay", database), autocommit=True) as wire:
        wire.execute("SELECT tenant_id, id, job, attempts FROM outbox")
        for statement in ("SELECT payload FROM outbox", "SELECT * FROM router", "SELECT * FROM tenant",
                          "UPDATE outbox SET done_at = now()"):  # fmt: skip
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                wire.execute(statement.encode())


def test_platform_is_the_standard_library() -> None:
    """platform/ is a source root: a package of that name would break gunicorn, Flask and pytest itself."""
    code = "import platform; assert platform.python_version(), platform.__file__; print(platform.__file__)"
    for path in (ROOT, ROOT / "platform"):
        done = subprocess.run([sys.executable, "-c", code], cwd=path, capture_output=True, text=True, check=True)
        assert Path(done.stdout.strip()).name == "platform.py"
    assert [entry.name for entry in (ROOT / "platform").iterdir() if entry.name != "__pycache__"] == ["wavu"]
