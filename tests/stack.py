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

# Faults that can be planted into a clone: each must turn the suite red (tests/chaos/test_mutants.py).
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
        CREATE POLICY tenant ON port USING (tenant_id = (SELECT app.tenant_id()))
            WITH CHECK (tenant_id = (SELECT app.tenant_id()))""",
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

    def plant(self, database: str, mutant: str) -> None:
        """Plants one of MUTANTS into a clone. Raises psycopg.Error where the schema has no place for it."""
        with psycopg.connect(self.admin(database), autocommit=True) as connection:
            connection.execute(MUTANTS[mutant].encode())

    def drop(self, name: str) -> None:
        with psycopg.connect(self.admin_url, autocommit=True) as connection:
            connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))


def environment(servers: Stack, database: str, redis_number: int) -> dict[str, str]:
    """The environment of a product that runs on a database of this run."""
    return {
        "WAVU_ENV": "test",
        "DATABASE_URL": servers.url("wavu_app", database),
        "RELAY_DATABASE_URL": servers.url("wavu_relay", database),
        "REDIS_URL": servers.redis_url.rpartition("/")[0] + f"/{redis_number}",
        "SECRET_KEY": "a key for tests, and for nothing else",
        "VAULT_KEYS": "1:" + "QUFB" * 10 + "QUE=",
        "PLATFORM_DOMAIN": "wavu.test",
        "PUBLIC_SCHEME": "https",
        "SMTP_URL": "smtp://127.0.0.1:9",
        "MAIL_FROM": "hello@wavu.test",
        "RADIUS_HEALTH_SECRET": "health secret for tests",
        "LOG_LEVEL": "WARNING",
        # Tests of the pace set their own; all others shall not meet it.
        "DARAJA_STK_PER_SECOND": "5000",
        "DARAJA_QUERIES_PER_SECOND": "5000",
        "DARAJA_CALLS_PER_SECOND": "5000",
    }


class Moment:
    """What a database holds at the moment that this is made, to go back to: in some hundredths of a second, where a
    clone takes up to a whole one, since PostgreSQL waits for a checkpoint before it drops the last. The schema must be
    the same then as now."""

    def __init__(self, admin_url: str) -> None:
        self._url = admin_url
        with psycopg.connect(admin_url, autocommit=True) as connection:
            tables = [sql.Identifier(name) for (name,) in connection.execute(_TABLES)]
            self._rows = [(table, content) for table in tables if (content := self._copy(connection, table))]
        self._empty = sql.SQL("; ").join(sql.SQL("DELETE FROM {}").format(table) for table in tables)

    def _copy(self, connection: psycopg.Connection, table: sql.Identifier) -> bytes:
        with connection.cursor() as cursor, cursor.copy(sql.SQL("COPY {} TO STDOUT").format(table)) as copy:
            return b"".join(bytes(part) for part in copy)

    def restore(self) -> None:
        """Ends all other connections, and brings every row back to what it was."""
        with psycopg.connect(self._url) as connection:
            connection.execute(_CUT_OTHERS)
            # As a replica PostgreSQL runs no triggers: neither those that keep the books nor those that keep keys.
            connection.execute("SET LOCAL session_replication_role = replica")
            connection.execute(self._empty)
            for table, content in self._rows:
                with connection.cursor() as cursor, cursor.copy(sql.SQL("COPY {} FROM STDIN").format(table)) as copy:
                    copy.write(content)


_TABLES = "SELECT tablename FROM pg_tables WHERE schemaname = 'public' AND tablename <> 'alembic_version'"
_CUT_OTHERS = """
SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid()
"""


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
