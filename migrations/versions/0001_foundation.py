"""Tenancy, outbox, audit trail, vault, accounts and routers"""

from alembic import op

from migrations.rls import append_only, protect

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

PLATFORM = "00000000-0000-7000-8000-000000000001"


def upgrade() -> None:
    _functions()
    _tenancy()
    _health()
    _outbox()
    _audit()
    _vault()
    _accounts()
    _network()


def _functions() -> None:
    op.execute("""
        REVOKE ALL ON SCHEMA public FROM PUBLIC;
        GRANT USAGE ON SCHEMA public TO wavu_app, wavu_relay, wavu_report, wavu_backup, wavu_resolver;
        CREATE SCHEMA app;
        GRANT USAGE ON SCHEMA app TO wavu_app, wavu_relay, wavu_report, wavu_backup, wavu_resolver;
        GRANT CREATE ON SCHEMA app TO wavu_resolver;

        -- The tenant of the running transaction. After the first SET LOCAL of a pooled connection an unset tenant
        -- reads as '' and not as NULL, so both are refused.
        CREATE FUNCTION app.tenant_id() RETURNS uuid LANGUAGE plpgsql STABLE PARALLEL SAFE
        SET search_path = pg_catalog AS $$
        DECLARE named text := current_setting('app.tenant_id', true);
        BEGIN
            IF named IS NULL OR named = '' THEN
                RAISE EXCEPTION 'tenant context missing' USING ERRCODE = 'insufficient_privilege';
            END IF;
            RETURN named::uuid;
        END $$;

        CREATE FUNCTION app.refuse_change() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog AS $$
        BEGIN
            RAISE EXCEPTION '% is append-only', TG_TABLE_NAME USING ERRCODE = 'restrict_violation';
        END $$;
    """)


def _tenancy() -> None:
    op.execute(f"""
        CREATE TABLE tenant (
            id uuid CONSTRAINT pk_tenant PRIMARY KEY,
            kind text NOT NULL CONSTRAINT ck_tenant_kind CHECK (kind IN ('platform', 'isp')),
            slug text NOT NULL CONSTRAINT uq_tenant_slug UNIQUE,
            name text NOT NULL,
            status text NOT NULL DEFAULT 'active' CONSTRAINT ck_tenant_status CHECK (status IN ('active', 'suspended')),
            suspended_at timestamptz,
            suspended_because text,
            timezone text NOT NULL DEFAULT 'Africa/Nairobi',
            currency text NOT NULL DEFAULT 'KES',
            locale text NOT NULL DEFAULT 'en',
            theme text NOT NULL DEFAULT 'mtaa',
            brand_color text NOT NULL DEFAULT '#00853e'
                CONSTRAINT ck_tenant_brand_color CHECK (brand_color ~ '^#[0-9a-f]{{6}}$'),
            help_phone text,
            created_at timestamptz NOT NULL DEFAULT now()
        );
        ALTER TABLE tenant ALTER COLUMN kind SET DEFAULT 'isp';
        CREATE INDEX ix_tenant_created_at_id ON tenant (created_at DESC, id DESC);
        CREATE UNIQUE INDEX uq_tenant_platform ON tenant (kind) WHERE kind = 'platform';
        GRANT SELECT, INSERT, UPDATE ON tenant TO wavu_app;
        GRANT SELECT ON tenant TO wavu_report, wavu_backup;
        INSERT INTO tenant (id, kind, slug, name) VALUES ('{PLATFORM}', 'platform', 'platform', 'Wavu');

        CREATE TABLE directory_entry (
            kind text NOT NULL CONSTRAINT ck_directory_entry_kind CHECK (kind IN ('host', 'nas', 'shortcode', 'token')),
            name text NOT NULL,
            tenant_id uuid NOT NULL CONSTRAINT fk_directory_entry_tenant_id_tenant REFERENCES tenant (id),
            created_at timestamptz NOT NULL DEFAULT now(),
            CONSTRAINT pk_directory_entry PRIMARY KEY (kind, name)
        );
        CREATE INDEX ix_directory_entry_tenant_id ON directory_entry (tenant_id);
    """)
    protect("directory_entry", grant="SELECT, INSERT, DELETE")
    op.execute("""
        GRANT SELECT ON directory_entry TO wavu_resolver;
        CREATE POLICY resolver ON directory_entry FOR SELECT TO wavu_resolver USING (true);

        CREATE FUNCTION app.resolve(kind text, name text) RETURNS uuid LANGUAGE sql STABLE
        SECURITY DEFINER SET search_path = pg_catalog, public AS
            'SELECT d.tenant_id FROM public.directory_entry d WHERE d.kind = $1 AND d.name = $2';
        ALTER FUNCTION app.resolve(text, text) OWNER TO wavu_resolver;
        REVOKE ALL ON FUNCTION app.resolve(text, text) FROM PUBLIC;
        GRANT EXECUTE ON FUNCTION app.resolve(text, text) TO wavu_app;
    """)


def _health() -> None:
    op.execute("""
        -- One row, written by health checks: a database that cannot write is not healthy.
        CREATE TABLE health_probe (
            id bigint CONSTRAINT pk_health_probe PRIMARY KEY CONSTRAINT ck_health_probe_one CHECK (id = 1),
            written_at timestamptz NOT NULL
        );
        GRANT SELECT, INSERT, UPDATE ON health_probe TO wavu_app;
        GRANT SELECT ON health_probe TO wavu_backup;
        GRANT SELECT ON alembic_version TO wavu_backup;
    """)


def _outbox() -> None:
    op.execute("""
        CREATE TABLE outbox (
            tenant_id uuid NOT NULL,
            id uuid NOT NULL,
            queue text NOT NULL,
            job text NOT NULL,
            key text NOT NULL,
            payload jsonb NOT NULL,
            state text NOT NULL DEFAULT 'ready' CONSTRAINT ck_outbox_state CHECK (state IN ('ready', 'done', 'dead')),
            attempts bigint NOT NULL DEFAULT 0,
            run_at timestamptz NOT NULL DEFAULT now(),
            lease_until timestamptz,
            started_attempt bigint,
            failures bigint NOT NULL DEFAULT 0,
            first_failed_at timestamptz,
            last_error text,
            done_at timestamptz,
            created_at timestamptz NOT NULL DEFAULT now(),
            CONSTRAINT pk_outbox PRIMARY KEY (tenant_id, id),
            CONSTRAINT uq_outbox_tenant_id_job_key UNIQUE (tenant_id, job, key)
        ) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_insert_scale_factor = 0.01);
        CREATE INDEX ix_outbox_ready ON outbox (queue, tenant_id, run_at, id) WHERE state = 'ready';
        CREATE INDEX ix_outbox_leased ON outbox (queue, tenant_id, lease_until)
            WHERE state = 'ready' AND lease_until IS NOT NULL;
        CREATE INDEX ix_outbox_done ON outbox (done_at) WHERE state = 'done';
        CREATE INDEX ix_outbox_dead ON outbox (tenant_id, id) WHERE state = 'dead';
    """)
    protect("outbox", grant="SELECT, INSERT, UPDATE, DELETE")
    op.execute("""
        CREATE POLICY relay_reads ON outbox FOR SELECT TO wavu_relay USING (true);
        CREATE POLICY relay_leases ON outbox FOR UPDATE TO wavu_relay
            USING (state = 'ready') WITH CHECK (state = 'ready');
        CREATE POLICY relay_sweeps ON outbox FOR DELETE TO wavu_relay USING (state = 'done');
        GRANT SELECT (tenant_id, id, queue, job, state, attempts, run_at, lease_until, started_attempt, done_at,
            created_at) ON outbox TO wavu_relay;
        GRANT UPDATE (attempts, lease_until) ON outbox TO wavu_relay;
        GRANT DELETE ON outbox TO wavu_relay;

        -- What the health check may know of all tenants' work: counts and ages, nothing else.
        CREATE FUNCTION app.outbox_health(
            OUT overdue_seconds double precision, OUT waiting bigint, OUT oldest_at timestamptz, OUT dead bigint)
        LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public AS $$
            SELECT
                (SELECT coalesce(extract(epoch FROM now() - min(run_at)), 0) FROM public.outbox
                 WHERE state = 'ready' AND run_at <= now() AND started_attempt IS DISTINCT FROM attempts),
                (SELECT count(*) FROM public.outbox WHERE state = 'ready'),
                (SELECT min(run_at) FROM public.outbox WHERE state = 'ready'),
                (SELECT count(*) FROM public.outbox WHERE state = 'dead')
        $$;
        GRANT SELECT (state, run_at, attempts, started_attempt) ON outbox TO wavu_resolver;
        CREATE POLICY resolver ON outbox FOR SELECT TO wavu_resolver USING (true);
        ALTER FUNCTION app.outbox_health() OWNER TO wavu_resolver;
        REVOKE ALL ON FUNCTION app.outbox_health() FROM PUBLIC;
        GRANT EXECUTE ON FUNCTION app.outbox_health() TO wavu_app;
    """)


def _audit() -> None:
    op.execute("""
        CREATE TABLE audit_entry (
            tenant_id uuid NOT NULL,
            id uuid NOT NULL,
            sequence bigint NOT NULL,
            person_id uuid,
            actor text NOT NULL,
            address text,
            action text NOT NULL,
            subject text,
            facts jsonb NOT NULL,
            chain bytea NOT NULL,
            created_at timestamptz NOT NULL DEFAULT now(),
            CONSTRAINT pk_audit_entry PRIMARY KEY (tenant_id, id),
            CONSTRAINT uq_audit_entry_tenant_id_sequence UNIQUE (tenant_id, sequence)
        );
        CREATE INDEX ix_audit_entry_tenant_id_subject_sequence ON audit_entry (tenant_id, subject, sequence);

        CREATE FUNCTION app.audit_digest(previous bytea, entry audit_entry) RETURNS bytea LANGUAGE sql IMMUTABLE
        SET search_path = pg_catalog AS $$
            SELECT sha256(previous || convert_to(jsonb_build_array(
                entry.tenant_id, entry.id, entry.sequence, entry.person_id, entry.actor, entry.address, entry.action,
                entry.subject, entry.facts, extract(epoch FROM entry.created_at))::text, 'UTF8'))
        $$;

        CREATE FUNCTION app.audit_link() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, public AS $$
        DECLARE last public.audit_entry;
        BEGIN
            -- One link at a time per tenant, until commit: a chain has no branches and no gaps.
            PERFORM pg_advisory_xact_lock(hashtextextended(NEW.tenant_id::text, 41));
            SELECT * INTO last FROM public.audit_entry WHERE tenant_id = NEW.tenant_id ORDER BY sequence DESC LIMIT 1;
            NEW.sequence := coalesce(last.sequence, 0) + 1;
            NEW.chain := app.audit_digest(coalesce(last.chain, ''), NEW);
            RETURN NEW;
        END $$;
        CREATE TRIGGER link BEFORE INSERT ON audit_entry FOR EACH ROW EXECUTE FUNCTION app.audit_link();

        CREATE FUNCTION app.audit_first_broken_link() RETURNS bigint LANGUAGE sql STABLE
        SET search_path = pg_catalog, public AS $$
            SELECT min(sequence) FROM (
                SELECT sequence, row_number() OVER (ORDER BY sequence) AS place, chain,
                    app.audit_digest(coalesce(lag(chain) OVER (ORDER BY sequence), ''), e) AS right_chain
                FROM public.audit_entry e
            ) links WHERE sequence <> place OR chain <> right_chain
        $$;
    """)
    protect("audit_entry", grant="SELECT, INSERT")
    append_only("audit_entry")


def _vault() -> None:
    op.execute("""
        CREATE TABLE vault_key (
            tenant_id uuid NOT NULL,
            id uuid NOT NULL,
            version bigint NOT NULL,
            kek bigint NOT NULL,
            wrapped bytea NOT NULL,
            created_at timestamptz NOT NULL DEFAULT now(),
            CONSTRAINT pk_vault_key PRIMARY KEY (tenant_id, id),
            CONSTRAINT uq_vault_key_tenant_id_version UNIQUE (tenant_id, version)
        );
    """)
    protect("vault_key", grant="SELECT, INSERT, UPDATE, DELETE")


def _accounts() -> None:
    op.execute(f"""
        CREATE TABLE person (
            id uuid CONSTRAINT pk_person PRIMARY KEY,
            email text NOT NULL CONSTRAINT uq_person_email UNIQUE
                CONSTRAINT ck_person_email CHECK (email = lower(email)),
            name text NOT NULL,
            locale text NOT NULL DEFAULT 'en',
            second_factor_on boolean NOT NULL DEFAULT false,
            seen_at timestamptz,
            created_at timestamptz NOT NULL DEFAULT now()
        );
        CREATE TABLE membership (
            tenant_id uuid NOT NULL,
            id uuid NOT NULL,
            person_id uuid NOT NULL CONSTRAINT fk_membership_person_id_person REFERENCES person (id),
            role text NOT NULL,
            created_at timestamptz NOT NULL DEFAULT now(),
            CONSTRAINT pk_membership PRIMARY KEY (tenant_id, id),
            CONSTRAINT uq_membership_tenant_id_person_id UNIQUE (tenant_id, person_id)
        );
        CREATE INDEX ix_membership_person_id ON membership (person_id);

        -- A tenant sees the people who belong to it; the platform, which signs people in, sees them all.
        ALTER TABLE person ENABLE ROW LEVEL SECURITY;
        ALTER TABLE person FORCE ROW LEVEL SECURITY;
        CREATE POLICY platform ON person TO wavu_app, wavu_owner
            USING ((SELECT app.tenant_id()) = '{PLATFORM}') WITH CHECK ((SELECT app.tenant_id()) = '{PLATFORM}');
        CREATE POLICY colleagues ON person FOR SELECT TO wavu_app, wavu_owner, wavu_report USING (EXISTS (
            SELECT FROM membership m WHERE m.person_id = person.id AND m.tenant_id = (SELECT app.tenant_id())));
        GRANT SELECT, INSERT, UPDATE ON person TO wavu_app;
        GRANT SELECT ON person TO wavu_report, wavu_backup;
    """)
    protect("membership", grant="SELECT, INSERT, UPDATE, DELETE")
    op.execute(f"""
        GRANT SELECT (tenant_id, person_id) ON membership TO wavu_resolver;
        CREATE POLICY resolver ON membership FOR SELECT TO wavu_resolver USING (true);
        CREATE FUNCTION app.tenants_of(person uuid) RETURNS SETOF uuid LANGUAGE sql STABLE
        SECURITY DEFINER SET search_path = pg_catalog, public AS
            'SELECT m.tenant_id FROM public.membership m WHERE m.person_id = $1';
        ALTER FUNCTION app.tenants_of(uuid) OWNER TO wavu_resolver;
        REVOKE ALL ON FUNCTION app.tenants_of(uuid) FROM PUBLIC;
        GRANT EXECUTE ON FUNCTION app.tenants_of(uuid) TO wavu_app;

        -- What platform staff see of ISPs in a list, in one query; nothing to anyone else.
        GRANT SELECT (kind, name, tenant_id, created_at) ON directory_entry TO wavu_resolver;
        CREATE FUNCTION app.tenant_summaries(ids uuid[]) RETURNS TABLE (tenant_id uuid, host text, members bigint)
        LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public AS $$
            SELECT i, (SELECT d.name FROM public.directory_entry d WHERE d.tenant_id = i AND d.kind = 'host'
                       ORDER BY d.created_at LIMIT 1),
                (SELECT count(*) FROM public.membership m WHERE m.tenant_id = i)
            FROM unnest($1) i WHERE app.tenant_id() = '{PLATFORM}'
        $$;
        ALTER FUNCTION app.tenant_summaries(uuid[]) OWNER TO wavu_resolver;
        REVOKE ALL ON FUNCTION app.tenant_summaries(uuid[]) FROM PUBLIC;
        GRANT EXECUTE ON FUNCTION app.tenant_summaries(uuid[]) TO wavu_app;

        CREATE TABLE invitation (
            tenant_id uuid NOT NULL,
            id uuid NOT NULL,
            email text NOT NULL,
            name text NOT NULL,
            role text NOT NULL,
            token_fingerprint text NOT NULL,
            invited_by text NOT NULL,
            expires_at timestamptz NOT NULL,
            accepted_at timestamptz,
            created_at timestamptz NOT NULL DEFAULT now(),
            CONSTRAINT pk_invitation PRIMARY KEY (tenant_id, id),
            CONSTRAINT uq_invitation_tenant_id_email UNIQUE (tenant_id, email)
        );
        CREATE TABLE credential (
            tenant_id uuid NOT NULL,
            id uuid NOT NULL,
            person_id uuid NOT NULL CONSTRAINT fk_credential_person_id_person REFERENCES person (id),
            password_hash text,
            password_set_at timestamptz,
            totp_sealed bytea,
            totp_confirmed_at timestamptz,
            totp_last_step bigint,
            recovery_codes text[] NOT NULL DEFAULT '{{}}',
            created_at timestamptz NOT NULL DEFAULT now(),
            CONSTRAINT pk_credential PRIMARY KEY (tenant_id, id),
            CONSTRAINT uq_credential_tenant_id_person_id UNIQUE (tenant_id, person_id)
        );
        CREATE TABLE password_reset (
            tenant_id uuid NOT NULL,
            id uuid NOT NULL,
            person_id uuid NOT NULL CONSTRAINT fk_password_reset_person_id_person REFERENCES person (id),
            token_fingerprint text NOT NULL,
            expires_at timestamptz NOT NULL,
            used_at timestamptz,
            created_at timestamptz NOT NULL DEFAULT now(),
            CONSTRAINT pk_password_reset PRIMARY KEY (tenant_id, id),
            CONSTRAINT uq_password_reset_tenant_id_token_fingerprint UNIQUE (tenant_id, token_fingerprint)
        );
        CREATE INDEX ix_password_reset_tenant_id_person_id ON password_reset (tenant_id, person_id);
        CREATE TABLE sign_in (
            tenant_id uuid NOT NULL,
            id uuid NOT NULL,
            person_id uuid NOT NULL CONSTRAINT fk_sign_in_person_id_person REFERENCES person (id),
            token_fingerprint text NOT NULL,
            surface text NOT NULL,
            host text NOT NULL,
            stage text NOT NULL
                CONSTRAINT ck_sign_in_stage CHECK (stage IN ('second_factor', 'enrolment', 'complete')),
            chosen_tenant_id uuid,
            address text,
            user_agent text,
            proven_at timestamptz NOT NULL,
            seen_at timestamptz NOT NULL,
            expires_at timestamptz NOT NULL,
            created_at timestamptz NOT NULL DEFAULT now(),
            CONSTRAINT pk_sign_in PRIMARY KEY (tenant_id, id),
            CONSTRAINT uq_sign_in_tenant_id_token_fingerprint UNIQUE (tenant_id, token_fingerprint)
        );
        CREATE INDEX ix_sign_in_tenant_id_person_id ON sign_in (tenant_id, person_id);
        CREATE INDEX ix_sign_in_tenant_id_expires_at ON sign_in (tenant_id, expires_at);
        CREATE TABLE login_attempt (
            tenant_id uuid NOT NULL,
            id uuid NOT NULL,
            person_id uuid,
            email_fingerprint text NOT NULL,
            surface text NOT NULL,
            address text,
            user_agent text,
            outcome text NOT NULL,
            created_at timestamptz NOT NULL DEFAULT now(),
            CONSTRAINT pk_login_attempt PRIMARY KEY (tenant_id, id)
        );
        CREATE INDEX ix_login_attempt_email ON login_attempt (tenant_id, email_fingerprint, created_at);
        CREATE INDEX ix_login_attempt_address ON login_attempt (tenant_id, address, created_at);
        CREATE INDEX ix_login_attempt_person ON login_attempt (tenant_id, person_id, created_at);
    """)
    protect("invitation", grant="SELECT, INSERT, UPDATE, DELETE")
    protect("credential", grant="SELECT, INSERT, UPDATE")
    protect("password_reset", grant="SELECT, INSERT, UPDATE, DELETE")
    protect("sign_in", grant="SELECT, INSERT, UPDATE, DELETE")
    protect("login_attempt", grant="SELECT, INSERT, DELETE")


def _network() -> None:
    op.execute("""
        CREATE TABLE router (
            tenant_id uuid NOT NULL,
            id uuid NOT NULL,
            name text NOT NULL,
            identifier text NOT NULL,
            address text NOT NULL,
            secret_sealed bytea NOT NULL,
            require_message_authenticator boolean NOT NULL DEFAULT true,
            created_at timestamptz NOT NULL DEFAULT now(),
            CONSTRAINT pk_router PRIMARY KEY (tenant_id, id),
            CONSTRAINT uq_router_tenant_id_address UNIQUE (tenant_id, address)
        );
    """)
    protect("router", grant="SELECT, INSERT, UPDATE, DELETE")
