"""What many customers must not make slow: a tenant's version for its portal, and when to look after a session"""

from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    _versions()
    _sessions_to_end()


def _versions() -> None:
    # Random and not counted: a number that a rollback took back must never name something else later.
    op.execute("""
        ALTER TABLE tenant ADD COLUMN version uuid NOT NULL DEFAULT '00000000-0000-0000-0000-000000000000';
        ALTER TABLE tenant ALTER COLUMN version SET DEFAULT gen_random_uuid();

        CREATE FUNCTION app.renew_version() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog AS $$
        BEGIN
            NEW.version := gen_random_uuid();
            RETURN NEW;
        END $$;
        CREATE TRIGGER version BEFORE UPDATE ON tenant FOR EACH ROW EXECUTE FUNCTION app.renew_version();

        CREATE FUNCTION app.renew_tenant() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog AS $$
        BEGIN
            UPDATE public.tenant SET version = gen_random_uuid() WHERE id = coalesce(NEW.tenant_id, OLD.tenant_id);
            RETURN NULL;
        END $$;
        CREATE TRIGGER version AFTER INSERT OR UPDATE OR DELETE ON package
            FOR EACH ROW EXECUTE FUNCTION app.renew_tenant();
        CREATE TRIGGER version AFTER INSERT OR UPDATE OF login_url OR DELETE ON router
            FOR EACH ROW EXECUTE FUNCTION app.renew_tenant();
    """)


def _sessions_to_end() -> None:
    op.execute("""
        ALTER TABLE access_session ADD COLUMN check_at timestamptz NOT NULL DEFAULT now();

        -- An end that moves away is noticed when the session is looked at; one that comes nearer is told to it here.
        CREATE FUNCTION app.check_sessions() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog AS $$
        BEGIN
            UPDATE public.access_session SET check_at = NEW.starts_at
                WHERE tenant_id = NEW.tenant_id AND entitlement_id = NEW.id AND stopped_at IS NULL
                AND check_at > NEW.starts_at;
            RETURN NULL;
        END $$;
        CREATE TRIGGER check_sessions AFTER UPDATE ON entitlement FOR EACH ROW WHEN (NEW.ends_at < OLD.ends_at
                OR NEW.used_seconds >= (NEW.policy->>'time_cap_seconds')::bigint
                OR NEW.used_bytes >= (NEW.policy->>'data_cap_bytes')::bigint)
            EXECUTE FUNCTION app.check_sessions();

        -- Which tenants may have somebody online without a right to be: their ids, and nothing else.
        CREATE OR REPLACE FUNCTION app.tenants_with_sessions_to_end(at timestamptz, asked_before timestamptz)
        RETURNS SETOF uuid LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public AS $$
            SELECT DISTINCT tenant_id FROM public.access_session WHERE stopped_at IS NULL AND check_at <= at
            AND (disconnect_asked_at IS NULL OR disconnect_asked_at < asked_before)
        $$;
        GRANT SELECT (check_at) ON access_session TO wavu_resolver;
        DROP POLICY resolver ON entitlement;
        REVOKE ALL ON entitlement FROM wavu_resolver;

        -- Over the open sessions only, and in one transaction with its column: it is made in less than the two seconds
        -- that a migration may wait for.
        -- squawk-ignore require-concurrent-index-creation
        CREATE INDEX ix_access_session_check ON access_session (check_at, tenant_id) WHERE stopped_at IS NULL;
    """)
