"""The database: one session class that names its tenant in every transaction, and one way to commit.

Who is asking is kept here, below everything else, because each transaction must say it to PostgreSQL: row-level
security then decides, and a transaction without a tenant reads nothing.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import datetime
from functools import partial
from typing import Any
from uuid import UUID

import psycopg
from flask import Flask
from flask_sqlalchemy import SQLAlchemy
from flask_sqlalchemy.session import Session as FlaskSession
from sqlalchemy import BigInteger, Connection, DateTime, MetaData, Text, Uuid, event, func, select
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.engine.interfaces import DBAPIConnection, Dialect
from sqlalchemy.exc import DBAPIError, InterfaceError, InvalidatePoolError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.orm import (
    DeclarativeBase,
    Mapped,
    ORMExecuteState,
    Session,
    SessionTransaction,
    mapped_column,
    registry,
    with_loader_criteria,
)
from sqlalchemy.pool import ConnectionPoolEntry, PoolProxiedConnection

from config import Settings
from wavu import clock, ids
from wavu.errors import Outage

tenant_context: ContextVar[UUID | None] = ContextVar("wavu_tenant", default=None)


class NoTenant(RuntimeError):
    """A tenant's table was asked for outside tenant_scope(). A bug of ours, never a state to handle."""


class PrivilegedRole(RuntimeError):
    """The application connected as a role that escapes row-level security. It refuses to work."""


class InsideTransaction(RuntimeError):
    """Something outside was called, or an edge opened, while a transaction was open."""


class Base(DeclarativeBase):
    """Every table: text without length, instants with zone, money and counts in 64 bits."""

    registry = registry(
        metadata=MetaData(
            naming_convention={
                "pk": "pk_%(table_name)s",
                "fk": "fk_%(table_name)s_%(column_0_N_name)s",
                "ix": "ix_%(table_name)s_%(column_0_N_name)s",
                "uq": "uq_%(table_name)s_%(column_0_N_name)s",
                "ck": "ck_%(table_name)s_%(constraint_name)s",
            },
            info={"bind_key": None},
        ),
        type_annotation_map={
            str: Text,
            int: BigInteger,
            datetime: DateTime(timezone=True),
            UUID: Uuid,
            dict[str, Any]: JSONB,
        },
    )


class PlatformRow(Base):
    """A row of the deployment itself. tenancy.catalog lists the tables that may be so."""

    __abstract__ = True


class TenantRow(Base):
    """A row that one tenant owns, under forced row-level security.

    Both key columns are in every primary key, foreign key and unique index, so that neither a stray foreign key nor
    a unique index can reach across tenants, and the schema can be distributed by tenant.
    """

    __abstract__ = True

    tenant_id: Mapped[UUID] = mapped_column(primary_key=True)
    id: Mapped[UUID] = mapped_column(primary_key=True, default=ids.new_id)
    created_at: Mapped[datetime] = mapped_column(default=clock.now)


class TenantSession(FlaskSession):
    """The session of the application: refuses tenant rows without a tenant, and rows of another one."""


def _instance_options() -> dict[str, Any]:
    return {
        "class_": TenantSession,
        "expire_on_commit": False,
        # Lets a test wrap whole edges, commits included, in a transaction of its own that it rolls back.
        "join_transaction_mode": "create_savepoint",
    }


# What a session of ours may take at the server, which ends a statement by itself. A server that is stopped, or gone
# behind a network, ends nothing: then we stop waiting.
_STATEMENT_SECONDS = 10
_PATIENCE_SECONDS, _PING_SECONDS, _CONNECT_SECONDS = _STATEMENT_SECONDS + 2, 2, 3


class Silent(psycopg.OperationalError):
    """PostgreSQL did not answer in time, or has just not answered somebody else."""

    def __init__(self) -> None:
        super().__init__("PostgreSQL does not answer")


class Breaker:
    """While PostgreSQL answers nothing, one caller at a time waits to find out and all others are told at once: whoever
    waits holds a thread, and a web process without a free one cannot even say that it lives. Safe in threads."""

    rest_seconds: float = 2.0
    # Longer than a probe takes: a ping and a connection.
    _probe_seconds = _PING_SECONDS + _CONNECT_SECONDS + 1

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._until = 0.0

    def admit(self) -> None:
        """Raises Silent at once while PostgreSQL is known to be silent, and nobody's turn has come to ask."""
        if not self._until:
            return
        with self._lock:
            now = time.monotonic()
            if now < self._until:
                raise Silent
            if self._until:
                self._until = now + self._probe_seconds

    def heard(self) -> None:
        self._until = 0.0

    def silent(self) -> None:
        self._until = time.monotonic() + self.rest_seconds


class PatientConnection(psycopg.Connection[Any]):
    """Closes itself and raises Silent where an answer takes longer than `patience_seconds`, which its
    `breaker` is told of. libpq has no such limit, and TCP none that a stopped server's kernel would not satisfy."""

    patience_seconds: float = _PATIENCE_SECONDS
    breaker: Breaker | None = None

    def wait(self, gen: Generator[Any, Any, Any], interval: float = 0.1, timeout: float | None = None) -> Any:
        if timeout is not None:
            return super().wait(gen, interval, timeout)
        try:
            return super().wait(gen, interval, self.patience_seconds)
        except psycopg.errors._WaitTimeout:
            self.pgconn.finish()
            if self.breaker is not None:
                self.breaker.silent()
            raise Silent from None


db = SQLAlchemy(model_class=Base, session_options=_instance_options(), disable_autonaming=True)


@event.listens_for(TenantSession, "after_begin")
def _name_the_tenant(session: Session, transaction: SessionTransaction, connection: Connection) -> None:
    """Sets the tenant for every transaction, to '' where there is none: an omitted SET would inherit the last one.

    A savepoint inherits it. A literal SET LOCAL and not set_config(), which poolers pass but Citus does not propagate.
    The value is a UUID object's own text, so there is nothing to escape.
    """
    if not transaction.nested:
        connection.exec_driver_sql(set_tenant_sql(tenant_context.get()))


def set_tenant_sql(tenant_id: UUID | None) -> str:
    """The statement that names the tenant of the running transaction."""
    return f"SET LOCAL app.tenant_id = '{UUID(str(tenant_id)) if tenant_id else ''}'"


@event.listens_for(TenantSession, "do_orm_execute")
def _scope_statements(state: ORMExecuteState) -> None:
    """Row-level security already hides other tenants; this says so earlier, louder, and gives better plans."""
    if not any(issubclass(mapper.class_, TenantRow) for mapper in state.all_mappers):
        return
    tenant_id = tenant_context.get()
    if tenant_id is None:
        raise NoTenant("a tenant's table was asked for outside tenant_scope()")
    if state.is_select and not state.is_column_load:
        state.statement = state.statement.options(
            with_loader_criteria(TenantRow, lambda cls: cls.tenant_id == tenant_id, include_aliases=True)
        )


@event.listens_for(TenantSession, "before_flush")
def _stamp_rows(session: Session, *_: Any) -> None:
    tenant_id = tenant_context.get()
    for row in session.new | session.dirty | session.deleted:
        if not isinstance(row, TenantRow):
            continue
        if tenant_id is None:
            raise NoTenant(f"a {type(row).__name__} was written outside tenant_scope()")
        if row.tenant_id is None:
            row.tenant_id = tenant_id
        elif row.tenant_id != tenant_id:
            raise NoTenant(f"a {type(row).__name__} of another tenant was written")


def init_db(app: Flask, settings: Settings) -> None:
    """Binds the database to an application. Connects to nothing yet."""
    url = settings.database_url.get_secret_value().replace("postgresql://", "postgresql+psycopg://", 1)
    app.config["SQLALCHEMY_DATABASE_URI"] = url
    app.config["SQLALCHEMY_ENGINE_OPTIONS"] = {
        # Errors end up in logs, and values are people's.
        "hide_parameters": True,
        "pool_size": 8,
        "max_overflow": 4,
        "pool_timeout": 5,
        "pool_recycle": 1800,
        "connect_args": {
            "connect_timeout": _CONNECT_SECONDS,
            # Server-side prepared statements break behind a transaction pooler.
            "prepare_threshold": None,
            "application_name": "wavu",
            "options": f"-c statement_timeout={_STATEMENT_SECONDS}s -c lock_timeout=3s "
            "-c idle_in_transaction_session_timeout=15s",
        },
    }
    db.init_app(app)
    with app.app_context():
        breaker = Breaker()
        event.listen(db.engine, "do_connect", partial(_connect, breaker))
        event.listen(db.engine, "connect", _refuse_privileged_role)
        event.listen(db.engine, "checkin", _note_given_back)
        event.listen(db.engine, "checkout", _replace_dead)


def _connect(
    breaker: Breaker, _: Dialect, __: ConnectionPoolEntry, words: list[Any], names: dict[str, Any]
) -> PatientConnection:
    breaker.admit()
    try:
        made = PatientConnection.connect(*words, **names)
    except psycopg.errors.ConnectionTimeout:
        breaker.silent()
        raise
    except psycopg.OperationalError:
        breaker.heard()  # a no is an answer
        raise
    breaker.heard()
    made.breaker = breaker
    return made


def _note_given_back(_: DBAPIConnection | None, entry: ConnectionPoolEntry) -> None:
    entry.info["given_back"] = time.monotonic()


def _replace_dead(connection: Any, entry: ConnectionPoolEntry, _: PoolProxiedConnection) -> None:
    """Asks a connection that lay idle for a second whether it lives. One just used does, and a page need not wait."""
    given_back = entry.info.get("given_back")
    if given_back is None or time.monotonic() - given_back < 1:
        return
    breaker: Breaker = connection.breaker
    try:
        breaker.admit()
    except psycopg.OperationalError as silent:
        raise InvalidatePoolError from silent
    connection.patience_seconds = _PING_SECONDS
    try:
        db.engine.dialect.do_ping(connection)
    except psycopg.Error as gone:
        if not isinstance(gone, Silent):
            breaker.heard()
        raise InvalidatePoolError from gone
    breaker.heard()
    connection.patience_seconds = _PATIENCE_SECONDS


def _refuse_privileged_role(connection: DBAPIConnection, _: ConnectionPoolEntry) -> None:
    """Runs on every new connection, so that no outage at start-up and no later change of a role slips past it."""
    refuse_privileged_role(connection, "DATABASE_URL", "wavu_app")


def refuse_privileged_role(connection: DBAPIConnection | psycopg.Connection, setting: str, role_to_use: str) -> None:
    """Closes a connection whose role owns tables or bypasses row-level security, and raises PrivilegedRole."""
    cursor = connection.cursor()
    try:
        cursor.execute(
            "SELECT current_user, rolsuper OR rolbypassrls OR EXISTS ("
            " SELECT FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
            " WHERE n.nspname = 'public' AND c.relkind = 'r' AND pg_has_role(current_user, c.relowner, 'MEMBER'))"
            " FROM pg_roles WHERE rolname = current_user"
        )
        role, privileged = cursor.fetchone()  # type: ignore[misc]
    finally:
        cursor.close()
        connection.rollback()
    if privileged:
        connection.close()
        raise PrivilegedRole(
            f"{setting} connects as {role}, which owns tables or bypasses row-level security; use {role_to_use}"
        )


@contextmanager
def transaction() -> Iterator[None]:
    """One edge's transaction, and the only place that commits: a request, a job, a batch of a daemon.

    Commits if the block ends, rolls back if it raises, and gives the connection back either way. Raises
    InsideTransaction where one is open already: rules flush at most.
    """
    assert_no_transaction("an edge")
    try:
        yield
        db.session.commit()
    except BaseException:
        db.session.rollback()
        raise
    finally:
        db.session.remove()


def savepoint() -> SessionTransaction:
    """`with savepoint():` around a rule whose refusal is shown in a form: what it had begun is undone, and the request
    goes on."""
    return db.session.begin_nested()


def one_at_a_time(what: str) -> None:
    """Holds back whoever does the same at the same moment, until this transaction ends."""
    db.session.execute(select(func.pg_advisory_xact_lock(func.hashtextextended(what, 23))))


def assert_no_transaction(what: str) -> None:
    """Call before anything that waits for the outside world: a connection must never wait with us."""
    if db.session.registry.has() and db.session().in_transaction():
        raise InsideTransaction(f"{what} was called inside a transaction")


def is_outage(error: BaseException | None) -> bool:
    """Whether an error means that the database does not answer, as opposed to a bug of ours."""
    if isinstance(error, DBAPIError):
        state = str(getattr(error.orig, "sqlstate", None) or "")
        if not state:
            # Never connected, or cut off; a value that the driver itself refused is a bug of ours.
            return error.connection_invalidated or isinstance(error, OperationalError | InterfaceError)
        # 57P0x: shutting down, crashed, starting up; 08: connection; 53: out of resources.
        return error.connection_invalidated or state[:2] in {"08", "53"} or state.startswith("57P")
    return isinstance(error, (PoolTimeout, Outage))
