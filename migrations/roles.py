"""The database roles, made once by an administrator: `python -m migrations.roles` with ADMIN_DATABASE_URL.

wavu_owner owns the schema and runs migrations; wavu_app is the product, bound by row-level security; wavu_relay sees
a few columns of the outbox of all tenants; wavu_report reads under row-level security; wavu_backup reads everything
and writes nothing; wavu_resolver owns the functions that look across tenants and can not log in.
"""

# ruff: noqa: T201 - a command
from __future__ import annotations

import os
import secrets
import sys
from urllib.parse import quote, urlsplit

import psycopg
from psycopg import sql

LOGIN_ROLES = ("wavu_owner", "wavu_app", "wavu_relay", "wavu_report", "wavu_backup")


def ensure(admin_url: str, database: str, passwords: dict[str, str]) -> None:
    """Makes the roles and the database where missing, sets the passwords given, and closes what is open by default.

    Safe to run again. `passwords` maps names of LOGIN_ROLES to their passwords.
    """
    with psycopg.connect(admin_url, autocommit=True) as connection:
        for role in (*LOGIN_ROLES, "wavu_resolver"):
            if not connection.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", (role,)).fetchone():
                connection.execute(sql.SQL("CREATE ROLE {}").format(sql.Identifier(role)))
            login = sql.SQL("LOGIN" if role in LOGIN_ROLES else "NOLOGIN")
            bypass = sql.SQL("BYPASSRLS" if role == "wavu_backup" else "NOBYPASSRLS")
            connection.execute(
                sql.SQL("ALTER ROLE {} {} {} NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION").format(
                    sql.Identifier(role), login, bypass
                )
            )
            if role in passwords:
                connection.execute(
                    sql.SQL("ALTER ROLE {} PASSWORD {}").format(sql.Identifier(role), sql.Literal(passwords[role]))
                )
        connection.execute("ALTER ROLE wavu_backup SET default_transaction_read_only = on")
        # The owner may hand functions over to the resolver, and nobody else may become it.
        connection.execute("GRANT wavu_resolver TO wavu_owner")
        if not connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", (database,)).fetchone():
            connection.execute(
                sql.SQL("CREATE DATABASE {} OWNER wavu_owner ENCODING 'UTF8' TEMPLATE template0").format(
                    sql.Identifier(database)
                )
            )
        connection.execute(sql.SQL("REVOKE ALL ON DATABASE {} FROM PUBLIC").format(sql.Identifier(database)))
        connection.execute(
            sql.SQL("GRANT CONNECT ON DATABASE {} TO wavu_app, wavu_relay, wavu_report, wavu_backup").format(
                sql.Identifier(database)
            )
        )


def main() -> int:
    admin_url = os.environ.get("ADMIN_DATABASE_URL")
    if not admin_url:
        print("Set ADMIN_DATABASE_URL to a superuser's URL of the server, ending in /postgres.", file=sys.stderr)
        return 2
    database = os.environ.get("WAVU_DATABASE", "wavu")
    passwords = {role: secrets.token_urlsafe(24) for role in LOGIN_ROLES}
    ensure(admin_url, database, passwords)
    parts = urlsplit(admin_url)
    address = f"{parts.hostname}:{parts.port or 5432}"
    names = {"wavu_app": "DATABASE_URL", "wavu_owner": "MIGRATE_URL", "wavu_relay": "RELAY_DATABASE_URL"}
    print("# New passwords were set; keep these lines secret.")
    for role in LOGIN_ROLES:
        url = f"postgresql://{role}:{quote(passwords[role])}@{address}/{database}"
        print(f"{names.get(role, role.removeprefix('wavu_').upper() + '_DATABASE_URL')}={url}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
