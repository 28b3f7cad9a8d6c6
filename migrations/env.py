"""Runs migrations as wavu_owner (MIGRATE_URL), each in a transaction, giving up at once on a lock it cannot get.

Migrations are written by hand and stand alone: no model is imported here. A test compares the two.
"""

from __future__ import annotations

import os

from alembic import context
from sqlalchemy import create_engine, pool, text


def run() -> None:
    url = os.environ.get("MIGRATE_URL")
    if not url:
        raise SystemExit("MIGRATE_URL is not set: the database as the role wavu_owner (python -m migrations.roles).")
    engine = create_engine(url.replace("postgresql://", "postgresql+psycopg://", 1), poolclass=pool.NullPool)
    with engine.connect() as connection:
        # One migration at a time, however many machines are deployed at once.
        connection.execute(text("SELECT pg_advisory_lock(7763120)"))
        connection.execute(text("SET lock_timeout = '2s'"))
        connection.commit()
        context.configure(connection=connection, transaction_per_migration=True)
        with context.begin_transaction():
            context.run_migrations()


if context.is_offline_mode():
    context.configure(dialect_name="postgresql", literal_binds=True)
    with context.begin_transaction():
        context.run_migrations()
else:
    run()
