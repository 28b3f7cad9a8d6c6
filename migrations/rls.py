"""Row-level security for tenants' tables: the only way in which a migration makes a table a tenant's."""

from __future__ import annotations

from alembic import op


def protect(table: str, *, grant: str, key: str = "tenant_id") -> None:
    """Encloses a table: only the current tenant's rows exist, for its owner too, and none without a tenant.

    `grant` is what the application may do, such as "SELECT, INSERT": leave out what the table must never suffer.
    """
    op.execute(f"""
        ALTER TABLE {table} ENABLE ROW LEVEL SECURITY;
        ALTER TABLE {table} FORCE ROW LEVEL SECURITY;
        CREATE POLICY tenant ON {table} TO wavu_app, wavu_owner, wavu_report
            USING ({key} = (SELECT app.tenant_id())) WITH CHECK ({key} = (SELECT app.tenant_id()));
        GRANT {grant} ON {table} TO wavu_app;
        GRANT SELECT ON {table} TO wavu_report, wavu_backup;
    """)


def append_only(table: str) -> None:
    """Refuses UPDATE, DELETE and TRUNCATE of a table to everyone, its owner included."""
    op.execute(f"""
        CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON {table}
            FOR EACH ROW EXECUTE FUNCTION app.refuse_change();
        CREATE TRIGGER append_only_truncate BEFORE TRUNCATE ON {table}
            FOR EACH STATEMENT EXECUTE FUNCTION app.refuse_change();
    """)
