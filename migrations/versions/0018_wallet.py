"""The wallet: promotional credit, packages that renew themselves, sales at the desk"""

from alembic import op

from migrations.rls import append_only, protect

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None


def upgrade() -> None:
    _promo()
    _renewals()
    _sales()
    _work()
    # In a transaction of its own: what is checked at length is not locked against writing.
    with op.get_context().autocommit_block():
        op.execute("ALTER TABLE purchase VALIDATE CONSTRAINT ck_purchase_promo_cents")
        op.execute("ALTER TABLE payout VALIDATE CONSTRAINT ck_payout_no_promo")


def _promo() -> None:
    op.execute("""
        CREATE TABLE promo_setting (
            tenant_id uuid NOT NULL,
            id uuid NOT NULL,
            most_cents bigint NOT NULL CONSTRAINT ck_promo_setting_most CHECK (most_cents >= 0),
            created_at timestamptz NOT NULL DEFAULT now(),
            CONSTRAINT pk_promo_setting PRIMARY KEY (tenant_id, id),
            CONSTRAINT uq_promo_setting_tenant_id UNIQUE (tenant_id)
        );
        CREATE TABLE promo_grant (
            tenant_id uuid NOT NULL,
            id uuid NOT NULL,
            nonce text NOT NULL,
            subscriber_id uuid NOT NULL,
            amount_cents bigint NOT NULL CONSTRAINT ck_promo_grant_amount CHECK (amount_cents > 0),
            left_cents bigint NOT NULL,
            expired_cents bigint NOT NULL DEFAULT 0,
            reason text NOT NULL,
            expires_at timestamptz NOT NULL,
            granted_by_id uuid NOT NULL,
            granted_by text NOT NULL,
            transaction_id uuid NOT NULL,
            created_at timestamptz NOT NULL DEFAULT now(),
            CONSTRAINT pk_promo_grant PRIMARY KEY (tenant_id, id),
            CONSTRAINT uq_promo_grant_nonce UNIQUE (tenant_id, nonce),
            CONSTRAINT ck_promo_grant_left CHECK (left_cents >= 0 AND expired_cents >= 0
                AND left_cents + expired_cents <= amount_cents),
            CONSTRAINT ck_promo_grant_expires CHECK (expires_at > created_at),
            CONSTRAINT fk_promo_grant_subscriber FOREIGN KEY (tenant_id, subscriber_id)
                REFERENCES subscriber (tenant_id, id),
            CONSTRAINT fk_promo_grant_transaction FOREIGN KEY (tenant_id, transaction_id)
                REFERENCES ledger_transaction (tenant_id, id)
        );
        CREATE INDEX ix_promo_grant_subscriber ON promo_grant (tenant_id, subscriber_id, id);
        CREATE INDEX ix_promo_grant_expires ON promo_grant (expires_at, tenant_id) WHERE left_cents > 0;
        CREATE TABLE promo_use (
            tenant_id uuid NOT NULL,
            id uuid NOT NULL,
            grant_id uuid NOT NULL,
            purchase_id uuid NOT NULL,
            amount_cents bigint NOT NULL CONSTRAINT ck_promo_use_amount CHECK (amount_cents <> 0),
            created_at timestamptz NOT NULL DEFAULT now(),
            CONSTRAINT pk_promo_use PRIMARY KEY (tenant_id, id),
            CONSTRAINT fk_promo_use_grant FOREIGN KEY (tenant_id, grant_id) REFERENCES promo_grant (tenant_id, id),
            CONSTRAINT fk_promo_use_purchase FOREIGN KEY (tenant_id, purchase_id) REFERENCES purchase (tenant_id, id)
        );
        CREATE INDEX ix_promo_use_purchase ON promo_use (tenant_id, purchase_id);

        -- What was granted, to whom and until when never changes; only how much of it is left.
        CREATE FUNCTION app.promo_guard() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog AS $$
        BEGIN
            IF (OLD.nonce, OLD.subscriber_id, OLD.amount_cents, OLD.reason, OLD.expires_at, OLD.granted_by_id,
                OLD.granted_by, OLD.transaction_id)
               IS DISTINCT FROM
               (NEW.nonce, NEW.subscriber_id, NEW.amount_cents, NEW.reason, NEW.expires_at, NEW.granted_by_id,
                NEW.granted_by, NEW.transaction_id)
            THEN
                RAISE EXCEPTION 'what a grant says never changes' USING ERRCODE = 'restrict_violation';
            END IF;
            RETURN NEW;
        END $$;
        CREATE TRIGGER guard BEFORE UPDATE ON promo_grant FOR EACH ROW EXECUTE FUNCTION app.promo_guard();

        ALTER TABLE purchase ADD COLUMN promo_cents bigint NOT NULL DEFAULT 0;
        ALTER TABLE purchase ADD CONSTRAINT ck_purchase_promo_cents
            CHECK (promo_cents BETWEEN 0 AND price_cents) NOT VALID;
        -- Promotional credit never leaves, whoever asks.
        ALTER TABLE payout ADD CONSTRAINT ck_payout_no_promo CHECK (source_code NOT LIKE 'liab:promo:%') NOT VALID;
    """)
    protect("promo_setting", grant="SELECT, INSERT, UPDATE")
    protect("promo_grant", grant="SELECT, INSERT, UPDATE")
    protect("promo_use", grant="SELECT, INSERT")
    append_only("promo_use")


def _renewals() -> None:
    op.execute("""
        CREATE TABLE renewal (
            tenant_id uuid NOT NULL,
            id uuid NOT NULL,
            subscriber_id uuid NOT NULL,
            package_id uuid NOT NULL,
            channel text NOT NULL CONSTRAINT ck_renewal_channel CHECK (channel IN ('hotspot', 'pppoe')),
            mac text,
            purchase_id uuid,
            agreed_cents bigint NOT NULL CONSTRAINT ck_renewal_agreed CHECK (agreed_cents > 0),
            state text NOT NULL DEFAULT 'on' CONSTRAINT ck_renewal_state CHECK (state IN ('on', 'off')),
            said text CONSTRAINT ck_renewal_said CHECK (said IN (
                'short', 'price', 'withdrawn', 'gave_up', 'returned', 'nothing', 'switched_off')),
            set_by text,
            check_at timestamptz NOT NULL,
            tried_at timestamptz,
            created_at timestamptz NOT NULL DEFAULT now(),
            CONSTRAINT pk_renewal PRIMARY KEY (tenant_id, id),
            CONSTRAINT fk_renewal_subscriber FOREIGN KEY (tenant_id, subscriber_id)
                REFERENCES subscriber (tenant_id, id),
            CONSTRAINT fk_renewal_package FOREIGN KEY (tenant_id, package_id) REFERENCES package (tenant_id, id),
            CONSTRAINT fk_renewal_purchase FOREIGN KEY (tenant_id, purchase_id) REFERENCES purchase (tenant_id, id)
        );
        -- One at a time for a line, or for a device of a customer.
        CREATE UNIQUE INDEX uq_renewal_place ON renewal (tenant_id, subscriber_id, channel, mac)
            NULLS NOT DISTINCT WHERE state = 'on';
        CREATE INDEX ix_renewal_subscriber ON renewal (tenant_id, subscriber_id, id);
        CREATE INDEX ix_renewal_purchase ON renewal (tenant_id, purchase_id) WHERE purchase_id IS NOT NULL;
        CREATE INDEX ix_renewal_mac ON renewal (tenant_id, mac) WHERE state = 'on' AND mac IS NOT NULL;
        CREATE INDEX ix_renewal_check ON renewal (check_at, tenant_id) WHERE state = 'on';

        ALTER TABLE purchase ADD COLUMN renewal_id uuid;
        ALTER TABLE purchase ADD COLUMN posting_key text;
        ALTER TABLE purchase ADD CONSTRAINT fk_purchase_renewal
            FOREIGN KEY (tenant_id, renewal_id) REFERENCES renewal (tenant_id, id) NOT VALID;
        -- squawk-ignore require-concurrent-index-creation
        CREATE UNIQUE INDEX uq_purchase_posting_key ON purchase (tenant_id, posting_key)
            WHERE posting_key IS NOT NULL;
        -- squawk-ignore require-concurrent-index-creation
        CREATE INDEX ix_purchase_renewal ON purchase (tenant_id, renewal_id) WHERE renewal_id IS NOT NULL;

        -- Where a right ends earlier than was foreseen, its renewal is looked at as soon as it runs.
        CREATE FUNCTION app.renewal_sooner() RETURNS trigger LANGUAGE plpgsql
        SET search_path = pg_catalog, public AS $$
        BEGIN
            UPDATE public.renewal SET check_at = least(check_at, NEW.starts_at)
                WHERE tenant_id = NEW.tenant_id AND state = 'on' AND subscriber_id = NEW.subscriber_id
                AND channel = NEW.service;
            UPDATE public.renewal SET check_at = least(check_at, NEW.starts_at)
                WHERE tenant_id = NEW.tenant_id AND state = 'on' AND subscriber_id <> NEW.subscriber_id
                AND channel = NEW.service AND mac = (SELECT p.mac FROM public.purchase p
                    WHERE p.tenant_id = NEW.tenant_id AND p.id = NEW.purchase_id);
            RETURN NULL;
        END $$;
        CREATE TRIGGER renewal_sooner AFTER UPDATE OF ends_at ON entitlement FOR EACH ROW
            WHEN (NEW.ends_at < OLD.ends_at) EXECUTE FUNCTION app.renewal_sooner();
    """)
    protect("renewal", grant="SELECT, INSERT, UPDATE")


def _sales() -> None:
    op.execute("""
        CREATE TABLE desk_sale (
            tenant_id uuid NOT NULL,
            id uuid NOT NULL,
            number bigint NOT NULL,
            purchase_id uuid NOT NULL,
            payment_id uuid,
            sold_by_id uuid NOT NULL,
            sold_by text NOT NULL,
            created_at timestamptz NOT NULL DEFAULT now(),
            CONSTRAINT pk_desk_sale PRIMARY KEY (tenant_id, id),
            CONSTRAINT uq_desk_sale_number UNIQUE (tenant_id, number),
            CONSTRAINT uq_desk_sale_purchase UNIQUE (tenant_id, purchase_id),
            CONSTRAINT fk_desk_sale_purchase FOREIGN KEY (tenant_id, purchase_id) REFERENCES purchase (tenant_id, id),
            CONSTRAINT fk_desk_sale_payment FOREIGN KEY (tenant_id, payment_id)
                REFERENCES desk_payment (tenant_id, id)
        );
    """)
    protect("desk_sale", grant="SELECT, INSERT")
    append_only("desk_sale")


def _work() -> None:
    op.execute("""
        -- Which tenants have a package to renew or credit to take off: their ids, and nothing else.
        CREATE FUNCTION app.tenants_with_wallet_work(at timestamptz) RETURNS SETOF uuid
        LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public AS $$
            SELECT tenant_id FROM public.renewal WHERE state = 'on' AND check_at <= at
            UNION
            SELECT tenant_id FROM public.promo_grant WHERE left_cents > 0 AND expires_at <= at
        $$;
        GRANT SELECT (tenant_id, state, check_at) ON renewal TO wavu_resolver;
        GRANT SELECT (tenant_id, left_cents, expires_at) ON promo_grant TO wavu_resolver;
        CREATE POLICY resolver ON renewal FOR SELECT TO wavu_resolver USING (true);
        CREATE POLICY resolver ON promo_grant FOR SELECT TO wavu_resolver USING (true);
        ALTER FUNCTION app.tenants_with_wallet_work(timestamptz) OWNER TO wavu_resolver;
        REVOKE ALL ON FUNCTION app.tenants_with_wallet_work(timestamptz) FROM PUBLIC;
        GRANT EXECUTE ON FUNCTION app.tenants_with_wallet_work(timestamptz) TO wavu_app;
    """)
