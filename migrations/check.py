"""Checks the migrations: `python -m migrations.check`, part of `./run check`.

The lint says what would lock or rewrite a big table; the comparison says where the models and the migrated schema
disagree. tests/kernel/test_migrations.py runs the comparison on the test database too.
"""

# ruff: noqa: T201 - a command
from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import warnings
from pathlib import Path
from typing import Any

from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import create_engine
from sqlalchemy.exc import SAWarning

from migrations import roles
from migrations.tables import metadata
from rehearsal.servers import Postgres

ROOT = Path(__file__).parents[1]

# Not faults of ours: env.py sets the lock time-out and alembic the transactions and its own table.
_EXCLUDED = "require-lock-timeout,require-statement-timeout,transaction-nesting,prefer-text-field"


def _run(*command: str, **environ: str) -> str:
    done = subprocess.run(  # noqa: S603 - our own tools, our own arguments
        command, cwd=ROOT, env=os.environ | environ, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise SystemExit(done.stdout + done.stderr)
    return done.stdout


def _tool(name: str) -> str:
    return str(Path(sys.executable).with_name(name))


def lint() -> None:
    """Ends the process with squawk's findings, if it has any."""
    with tempfile.NamedTemporaryFile("w", suffix=".sql") as script:
        script.write(_run(_tool("alembic"), "upgrade", "head", "--sql", MIGRATE_URL="postgresql://offline/x"))
        script.flush()
        _run(_tool("squawk"), "--pg-version=15", "--assume-in-transaction", f"--exclude={_EXCLUDED}", script.name)


def differences(url: str) -> list[Any]:
    """Where the migrated database and the models disagree, in alembic's words.

    Indexes are the migrations' business, and so are the table and the column that are no model's.
    """
    engine = create_engine(url.replace("postgresql://", "postgresql+psycopg://", 1))
    try:
        with engine.connect() as connection:
            context = MigrationContext.configure(connection, opts={"compare_type": True})
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", "Did not recognize type 'xid8'", SAWarning)
                found = compare_metadata(context, metadata)
    finally:
        engine.dispose()
    return [each for each in found if not _is_expected(each)]


def _is_expected(difference: Any) -> bool:
    kind, *about = difference if isinstance(difference, tuple) else ("modify", difference)
    return (
        kind in {"remove_index", "add_index"}
        or (kind == "remove_table" and about[0].name == "health_probe")
        or (kind == "remove_column" and about[2].name == "posting_xact")
    )


def main() -> int:
    lint()
    folder = Path(tempfile.mkdtemp(prefix="wavu-check-"))
    postgres = Postgres(folder / "pg", durable=False)
    postgres.start()
    try:
        roles.ensure(postgres.admin_url(), "wavu", {"wavu_owner": "check"})
        url = postgres.url("wavu_owner", "check", "wavu")
        _run(_tool("alembic"), "upgrade", "head", MIGRATE_URL=url)
        found = differences(url)
    finally:
        postgres.destroy()
        shutil.rmtree(folder, ignore_errors=True)
    for each in found:
        print(f"models and migrations disagree: {each}", file=sys.stderr)
    print("Migrations: linted, applied, and as the models say." if not found else "")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
