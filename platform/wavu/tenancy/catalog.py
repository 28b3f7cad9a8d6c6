"""Checks in PostgreSQL's own catalog that no table, key, view or role lets one tenant reach another.

Run as a test, by `./run check` after the migrations, and by every process at start.
"""

from __future__ import annotations

from sqlalchemy import text

from wavu.db import db, transaction
from wavu.tenancy.scope import tenant_scope

# Tables that are not one tenant's, and why each may be so.
PLATFORM_TABLES = {
    "alembic_version": "the version of the schema",
    "health_probe": "one row without meaning",
    "tenant": "the list of tenants itself",
    "person": "people may belong to several tenants; its own policies show each tenant its colleagues",
}
# Global names under row-level security: unique over all tenants on purpose.
DIRECTORY_TABLES = {"directory_entry"}

_TENANT_TABLES = """
    SELECT c.oid, c.relname, c.relrowsecurity, c.relforcerowsecurity FROM pg_class c
    JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE n.nspname = 'public' AND c.relkind IN ('r', 'p') AND NOT c.relname = ANY(:platform)
"""

_CHECKS = {
    "{0} has no forced row-level security": f"""
        SELECT relname FROM ({_TENANT_TABLES}) t WHERE NOT (relrowsecurity AND relforcerowsecurity)
        UNION ALL SELECT relname FROM pg_class WHERE oid = 'person'::regclass
            AND NOT (relrowsecurity AND relforcerowsecurity)""",
    "{0} has no tenant_id that is NOT NULL": f"""
        SELECT relname FROM ({_TENANT_TABLES}) t WHERE NOT EXISTS (SELECT FROM pg_attribute a
            WHERE a.attrelid = t.oid AND a.attname = 'tenant_id' AND a.attnotnull)""",
    "{0} has no policy `tenant` that compares tenant_id with app.tenant_id() for reading and writing": f"""
        SELECT relname FROM ({_TENANT_TABLES}) t WHERE NOT EXISTS (SELECT FROM pg_policy p
            WHERE p.polrelid = t.oid AND p.polname = 'tenant' AND p.polcmd = '*' AND p.polpermissive
            AND pg_get_expr(p.polqual, p.polrelid) = '(tenant_id = ( SELECT app.tenant_id() AS tenant_id))'
            AND pg_get_expr(p.polwithcheck, p.polrelid) = pg_get_expr(p.polqual, p.polrelid))""",
    "{0} has a further policy for the application": f"""
        SELECT t.relname || '.' || p.polname FROM ({_TENANT_TABLES}) t JOIN pg_policy p ON p.polrelid = t.oid
        WHERE p.polname <> 'tenant' AND (0 = ANY(p.polroles) OR EXISTS (SELECT FROM pg_roles r
            WHERE r.oid = ANY(p.polroles) AND r.rolname IN ('wavu_app', 'wavu_owner', 'wavu_report')))""",
    "{0} is a primary key or unique index that does not begin with tenant_id": f"""
        SELECT i.indexrelid::regclass::text FROM ({_TENANT_TABLES}) t JOIN pg_index i ON i.indrelid = t.oid
        JOIN pg_attribute a ON a.attrelid = t.oid AND a.attnum = i.indkey[0]
        WHERE i.indisunique AND a.attname <> 'tenant_id' AND NOT t.relname = ANY(:directory)""",
    "{0} is a foreign key between tenants' tables without tenant_id": f"""
        SELECT k.conname FROM pg_constraint k JOIN ({_TENANT_TABLES}) t ON t.oid = k.conrelid
        JOIN ({_TENANT_TABLES}) r ON r.oid = k.confrelid
        WHERE k.contype = 'f' AND NOT EXISTS (SELECT FROM unnest(k.conkey, k.confkey) AS pair (own, other)
            JOIN pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = own AND a.attname = 'tenant_id'
            JOIN pg_attribute b ON b.attrelid = k.confrelid AND b.attnum = other AND b.attname = 'tenant_id')""",
    "{0} is a view that does not run with its reader's rights": """
        SELECT c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE n.nspname IN ('public', 'app') AND (c.relkind = 'm' OR (c.relkind = 'v'
            AND NOT coalesce(c.reloptions::text[] && ARRAY['security_invoker=true', 'security_invoker=on'], false)))""",
    "{0} runs with its owner's rights and no search_path of its own": """
        SELECT p.proname FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
        WHERE n.nspname IN ('public', 'app') AND p.prosecdef
        AND NOT coalesce(p.proconfig::text ~ 'search_path=', false)""",
    "{0} is a role of ours that escapes row-level security": """
        SELECT rolname FROM pg_roles WHERE rolname LIKE 'wavu\\_%' AND rolname NOT IN ('wavu_admin', 'wavu_backup')
        AND (rolsuper OR rolbypassrls OR rolcreaterole)""",
    "{0} is owned by the application's role": f"""
        SELECT c.relname FROM ({_TENANT_TABLES}) t JOIN pg_class c ON c.oid = t.oid
        JOIN pg_roles r ON r.oid = c.relowner WHERE r.rolname IN ('wavu_app', 'wavu_relay', 'wavu_report')""",
    "{0} is not what it should be: the tenant of a transaction must be there": """
        SELECT 'app.tenant_id()' WHERE NOT EXISTS (SELECT FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
            WHERE n.nspname = 'app' AND p.proname = 'tenant_id' AND p.prosrc LIKE '%tenant context missing%')""",
}


class LeakySchema(RuntimeError):
    """The database does not keep tenants apart. `faults` says where."""

    def __init__(self, faults: list[str]) -> None:
        self.faults = faults
        super().__init__("the schema does not isolate tenants:\n" + "\n".join(f"  - {fault}" for fault in faults))


def faults() -> list[str]:
    """What is wrong with the schema, a sentence each; empty where every table keeps tenants apart."""
    found = []
    with tenant_scope(None), transaction():
        for sentence, query in _CHECKS.items():
            values = {"platform": list(PLATFORM_TABLES), "directory": list(DIRECTORY_TABLES)}
            used = {name: value for name, value in values.items() if f":{name}" in query}
            found += [sentence.format(name) for (name,) in db.session.execute(text(query), used)]
    return found
