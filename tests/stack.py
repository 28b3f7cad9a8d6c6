"""The servers of a test run: one PostgreSQL and one Valkey for all of it, and a migrated template to clone from."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import psycopg
from psycopg import sql

from migrations import roles
from rehearsal.servers import Postgres, Valkey

ROOT = Path(__file__).parents[1]
TEMPLATE = "wavu_template"
PASSWORD = "only for tests"
_ENVIRON = "WAVU_TEST_STACK"

# Faults that can be planted into a clone: each must turn the suite red (tests/isolation/test_mutants.py).
MUTANTS = {
    "policy_dropped": "DROP POLICY tenant ON audit_entry",
    "policy_open": "DROP POLICY tenant ON audit_entry; CREATE POLICY tenant ON audit_entry USING (true)",
    "row_security_not_forced": "ALTER TABLE outbox NO FORCE ROW LEVEL SECURITY",
    "row_security_off": "ALTER TABLE router DISABLE ROW LEVEL SECURITY",
    "missing_tenant_reads_nothing": """
        CREATE OR REPLACE FUNCTION app.tenant_id() RETURNS uuid LANGUAGE sql STABLE AS
        'SELECT nullif(current_setting(''app.tenant_id'', true), '''')::uuid'""",
    "key_without_tenant": """
        ALTER TABLE router ADD CONSTRAINT uq_router_id UNIQUE (id);
        CREATE TABLE port (tenant_id uuid NOT NULL, id uuid, router_id uuid REFERENCES router (id),
            PRIMARY KEY (tenant_id, id));
        ALTER TABLE port ENABLE ROW LEVEL SECURITY; ALTER TABLE port FORCE ROW LEVEL SECURITY;
        CREATE POLICY tenant ON port USING (tenant_id = (SELECT app.tenant_id()))""",
    "view_with_owners_rights": """
        CREATE VIEW everyone AS SELECT * FROM audit_entry; GRANT SELECT ON everyone TO wavu_app""",
    "people_open": "CREATE POLICY anyone ON person FOR SELECT TO wavu_app USING (true)",
}


class Stack(NamedTuple):
    """Where the servers of this run are."""

    admin_url: str
    redis_url: str
    mail_dir: str

    def url(self, role: str, database: str) -> str:
        host = self.admin_url.rpartition("@")[2].partition("/")[0]
        return f"postgresql://{role}:{PASSWORD.replace(' ', '%20')}@{host}/{database}"

    def admin(self, database: str = "postgres") -> str:
        return self.admin_url.rpartition("/")[0] + f"/{database}"

    def clone(self, name: str, template: str = TEMPLATE) -> None:
        """Makes a database out of the template, in some hundredths of a second."""
        with psycopg.connect(self.admin_url, autocommit=True) as connection:
            names = sql.Identifier(name), sql.Identifier(template)
            connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(names[0]))
            connection.execute(
                sql.SQL("CREATE DATABASE {} TEMPLATE {} STRATEGY wal_log OWNER wavu_owner").format(*names)
            )

    def plant(self, database: str, mutant: str | None) -> None:
        """Plants one of MUTANTS into a clone; a name that is not among them changes nothing here."""
        if mutant in MUTANTS:
            with psycopg.connect(self.admin(database), autocommit=True) as connection:
                connection.execute(MUTANTS[mutant].encode())

    def drop(self, name: str) -> None:
        with psycopg.connect(self.admin_url, autocommit=True) as connection:
            connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))


class Servers:
    """Starts the servers once, in the process that controls the run; its workers find them in the environment."""

    def __init__(self) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="wavu-test-"))
        self._postgres = Postgres(self._folder / "pg", durable=False)
        self._valkey = Valkey(self._folder / "valkey", durable=False)

    def start(self) -> None:
        self._postgres.start()
        self._valkey.start()
        stack = Stack(self._postgres.admin_url(), self._valkey.url, str(self._folder / "mail"))
        os.environ[_ENVIRON] = json.dumps(stack._asdict())
        roles.ensure(stack.admin_url, TEMPLATE, dict.fromkeys(roles.LOGIN_ROLES, PASSWORD))
        migrate(stack.url("wavu_owner", TEMPLATE))

    def stop(self) -> None:
        self._valkey.destroy()
        self._postgres.destroy()
        shutil.rmtree(self._folder, ignore_errors=True)


def migrate(owner_url: str, revision: str = "head") -> None:
    """Runs the migrations as a deployment does."""
    alembic = Path(sys.executable).with_name("alembic")
    environ = os.environ | {"MIGRATE_URL": owner_url, "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'platform'}"}
    done = subprocess.run([alembic, "upgrade", revision], cwd=ROOT, env=environ, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"migrations failed:\n{done.stderr[-3000:]}")


def is_running() -> bool:
    """Whether this process was started by a test of a run that has its servers already."""
    return _ENVIRON in os.environ


def stack() -> Stack:
    """The servers of this run."""
    return Stack(**json.loads(os.environ[_ENVIRON]))


def database_of(environ: Mapping[str, str]) -> str:
    """The name of the database that an environment points at."""
    return environ["DATABASE_URL"].rpartition("/")[2]
