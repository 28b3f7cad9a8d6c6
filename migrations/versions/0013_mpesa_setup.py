"""Setting up an M-Pesa account, changing where money goes, and what shows how it fares"""

from alembic import op

from migrations.rls import protect

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

PLATFORM = "00000000-0000-7000-8000-000000000001"


def upgrade() -> None:
    op.execute("""
        ALTER TABLE payment_intent ADD COLUMN answered_at timestamptz;
        -- squawk-ignore require-concurrent-index-creation
        CREATE INDEX ix_payment_intent_asked ON payment_intent (tenant_id, mpesa_account_id, submitted_at)
            WHERE submitted_at IS NOT NULL;
        ALTER TABLE mpesa_account
            ADD COLUMN draft boolean NOT NULL DEFAULT false,
            ADD COLUMN organisation text,
            ADD COLUMN contact_email text,
            ADD COLUMN keys_set_at timestamptz NOT NULL DEFAULT now(),
            ADD COLUMN silent_since timestamptz;
        -- A draft may have the numbers of the account that it renews: only one of them takes payments.
        -- squawk-ignore ban-drop-constraint
        ALTER TABLE mpesa_account DROP CONSTRAINT uq_mpesa_account_shortcode;
        -- squawk-ignore require-concurrent-index-creation
        CREATE UNIQUE INDEX uq_mpesa_account_active
            ON mpesa_account (tenant_id, environment, business_short_code, party_b) WHERE active;

        CREATE TABLE mpesa_check (
            tenant_id uuid NOT NULL,
            id uuid NOT NULL,
            account_id uuid NOT NULL,
            step text NOT NULL,
            state text NOT NULL
                CONSTRAINT ck_mpesa_check_state CHECK (state IN ('waiting', 'ok', 'wrong', 'skipped', 'unknown')),
            code text,
            facts jsonb NOT NULL DEFAULT '{}',
            checked_at timestamptz,
            created_at timestamptz NOT NULL DEFAULT now(),
            CONSTRAINT pk_mpesa_check PRIMARY KEY (tenant_id, id),
            CONSTRAINT uq_mpesa_check_tenant_id_account_id_step UNIQUE (tenant_id, account_id, step),
            CONSTRAINT fk_mpesa_check_account FOREIGN KEY (tenant_id, account_id)
                REFERENCES mpesa_account (tenant_id, id)
        );
        CREATE TABLE mpesa_change (
            tenant_id uuid NOT NULL,
            id uuid NOT NULL,
            account_id uuid NOT NULL,
            state text NOT NULL DEFAULT 'waiting'
                CONSTRAINT ck_mpesa_change_state CHECK (state IN ('waiting', 'done', 'cancelled')),
            effective_at timestamptz NOT NULL,
            requested_by uuid NOT NULL,
            requested_by_name text NOT NULL,
            -- Whom to write to beside the owners: as it was before anything changed.
            contact_email text,
            ended_at timestamptz,
            ended_by_name text,
            created_at timestamptz NOT NULL DEFAULT now(),
            CONSTRAINT pk_mpesa_change PRIMARY KEY (tenant_id, id),
            CONSTRAINT fk_mpesa_change_account FOREIGN KEY (tenant_id, account_id)
                REFERENCES mpesa_account (tenant_id, id)
        );
        CREATE UNIQUE INDEX uq_mpesa_change_waiting ON mpesa_change (tenant_id) WHERE state = 'waiting';
    """)
    protect("mpesa_check", grant="SELECT, INSERT, UPDATE")
    protect("mpesa_change", grant="SELECT, INSERT, UPDATE")
    _guards()
    _across()


def _guards() -> None:
    op.execute("""
        -- Where money goes changes by a change that has waited, or that two people made: not even by a mistake of ours.
        CREATE FUNCTION app.mpesa_change_guard() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog AS $$
        BEGIN
            IF (OLD.account_id, OLD.requested_by, OLD.effective_at, OLD.contact_email)
               IS DISTINCT FROM (NEW.account_id, NEW.requested_by, NEW.effective_at, NEW.contact_email)
               OR OLD.state <> 'waiting'
            THEN
                RAISE EXCEPTION 'a change is what it was asked for' USING ERRCODE = 'restrict_violation';
            END IF;
            RETURN NEW;
        END $$;
        CREATE TRIGGER guard BEFORE UPDATE ON mpesa_change FOR EACH ROW EXECUTE FUNCTION app.mpesa_change_guard();
    """)


def _across() -> None:
    """What a clock and platform staff see of all ISPs: ids and instants."""
    op.execute("""
        GRANT SELECT (tenant_id, id, active, fault_since, silent_since) ON mpesa_account TO wavu_resolver;
        GRANT SELECT (tenant_id, mpesa_account_id, submitted_at) ON payment_intent TO wavu_resolver;
        CREATE FUNCTION app.tenants_that_asked(since timestamptz) RETURNS SETOF uuid
        LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public AS $$
            SELECT DISTINCT a.tenant_id FROM public.mpesa_account a WHERE a.active AND EXISTS (
                SELECT FROM public.payment_intent p WHERE p.tenant_id = a.tenant_id
                AND p.mpesa_account_id = a.id AND p.submitted_at > since)
        $$;
        ALTER FUNCTION app.tenants_that_asked(timestamptz) OWNER TO wavu_resolver;
        REVOKE ALL ON FUNCTION app.tenants_that_asked(timestamptz) FROM PUBLIC;
        GRANT EXECUTE ON FUNCTION app.tenants_that_asked(timestamptz) TO wavu_app;
    """)
    op.execute(f"""
        CREATE FUNCTION app.mpesa_troubles() RETURNS TABLE (tenant_id uuid, fault_since timestamptz,
            silent_since timestamptz)
        LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public AS $$
            SELECT a.tenant_id, min(a.fault_since), min(a.silent_since) FROM public.mpesa_account a
            WHERE a.active AND (a.fault_since IS NOT NULL OR a.silent_since IS NOT NULL)
                AND app.tenant_id() = '{PLATFORM}'
            GROUP BY a.tenant_id ORDER BY least(min(a.fault_since), min(a.silent_since)) LIMIT 50
        $$;
        ALTER FUNCTION app.mpesa_troubles() OWNER TO wavu_resolver;
        REVOKE ALL ON FUNCTION app.mpesa_troubles() FROM PUBLIC;
        GRANT EXECUTE ON FUNCTION app.mpesa_troubles() TO wavu_app;
    """)
