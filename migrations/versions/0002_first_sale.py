"""The first sale: packages, subscribers, ledger, M-Pesa payments, entitlements and sessions"""

from alembic import op

from migrations.rls import append_only, protect

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    _catalog()
    _subscribers()
    _ledger()
    _payments()
    _checkout()
    _access()


def _catalog() -> None:
    op.execute("""
        CREATE TABLE package (
            tenant_id uuid NOT NULL,
            id uuid NOT NULL,
            name text NOT NULL,
            name_sw text,
            price_cents bigint NOT NULL
                CONSTRAINT ck_package_price CHECK (price_cents > 0 AND price_cents % 100 = 0),
            validity text NOT NULL
                CONSTRAINT ck_package_validity CHECK (validity IN ('hours', 'days', 'until_midnight', 'months')),
            validity_count bigint NOT NULL DEFAULT 1
                CONSTRAINT ck_package_validity_count CHECK (validity_count BETWEEN 1 AND 1000),
            time_cap_seconds bigint CONSTRAINT ck_package_time_cap CHECK (time_cap_seconds > 0),
            data_cap_bytes bigint CONSTRAINT ck_package_data_cap CHECK (data_cap_bytes > 0),
            speed_down_bps bigint NOT NULL CONSTRAINT ck_package_speed_down CHECK (speed_down_bps >= 1000),
            speed_up_bps bigint NOT NULL CONSTRAINT ck_package_speed_up CHECK (speed_up_bps >= 1000),
            devices bigint NOT NULL DEFAULT 1 CONSTRAINT ck_package_devices CHECK (devices BETWEEN 1 AND 100),
            sold_on_hotspot boolean NOT NULL DEFAULT true,
            sold_on_pppoe boolean NOT NULL DEFAULT false,
            position bigint NOT NULL DEFAULT 0,
            popular boolean NOT NULL DEFAULT false,
            on_sale boolean NOT NULL DEFAULT true,
            created_at timestamptz NOT NULL DEFAULT now(),
            CONSTRAINT pk_package PRIMARY KEY (tenant_id, id)
        );
    """)
    protect("package", grant="SELECT, INSERT, UPDATE")


def _subscribers() -> None:
    op.execute("""
        CREATE TABLE subscriber (
            tenant_id uuid NOT NULL,
            id uuid NOT NULL,
            phone text,
            name text,
            username text,
            password_sealed bytea,
            created_at timestamptz NOT NULL DEFAULT now(),
            CONSTRAINT pk_subscriber PRIMARY KEY (tenant_id, id),
            CONSTRAINT uq_subscriber_tenant_id_phone UNIQUE (tenant_id, phone),
            CONSTRAINT uq_subscriber_tenant_id_username UNIQUE (tenant_id, username)
        );
        CREATE TABLE device (
            tenant_id uuid NOT NULL,
            id uuid NOT NULL,
            mac text NOT NULL CONSTRAINT ck_device_mac CHECK (mac ~ '^[0-9A-F]{12}$'),
            subscriber_id uuid NOT NULL,
            seen_at timestamptz NOT NULL,
            created_at timestamptz NOT NULL DEFAULT now(),
            CONSTRAINT pk_device PRIMARY KEY (tenant_id, id),
            CONSTRAINT uq_device_tenant_id_mac UNIQUE (tenant_id, mac),
            CONSTRAINT fk_device_tenant_id_subscriber_id_subscriber
                FOREIGN KEY (tenant_id, subscriber_id) REFERENCES subscriber (tenant_id, id)
        );
        CREATE INDEX ix_device_tenant_id_subscriber_id ON device (tenant_id, subscriber_id);
    """)
    protect("subscriber", grant="SELECT, INSERT, UPDATE")
    protect("device", grant="SELECT, INSERT, UPDATE")


def _ledger() -> None:
    op.execute("""
        CREATE TABLE ledger_account (
            tenant_id uuid NOT NULL,
            id uuid NOT NULL,
            code text NOT NULL,
            currency text NOT NULL,
            balance_cents bigint NOT NULL DEFAULT 0,
            floor_cents bigint,
            created_at timestamptz NOT NULL DEFAULT now(),
            CONSTRAINT pk_ledger_account PRIMARY KEY (tenant_id, id),
            CONSTRAINT uq_ledger_account_tenant_id_code_currency UNIQUE (tenant_id, code, currency),
            CONSTRAINT uq_ledger_account_tenant_id_id_currency UNIQUE (tenant_id, id, currency),
            CONSTRAINT ck_ledger_account_floor CHECK (floor_cents IS NULL OR balance_cents >= floor_cents)
        );
        CREATE TABLE ledger_transaction (
            tenant_id uuid NOT NULL,
            id uuid NOT NULL,
            key text NOT NULL,
            kind text NOT NULL,
            reverses_id uuid,
            facts jsonb NOT NULL,
            posting_xact xid8 NOT NULL DEFAULT pg_current_xact_id(),
            created_at timestamptz NOT NULL DEFAULT now(),
            CONSTRAINT pk_ledger_transaction PRIMARY KEY (tenant_id, id),
            CONSTRAINT uq_ledger_transaction_tenant_id_key UNIQUE (tenant_id, key),
            CONSTRAINT uq_ledger_transaction_tenant_id_reverses_id UNIQUE (tenant_id, reverses_id),
            CONSTRAINT fk_ledger_transaction_tenant_id_reverses_id_ledger_transaction
                FOREIGN KEY (tenant_id, reverses_id) REFERENCES ledger_transaction (tenant_id, id)
        );
        CREATE TABLE ledger_entry (
            tenant_id uuid NOT NULL,
            id uuid NOT NULL,
            transaction_id uuid NOT NULL,
            account_id uuid NOT NULL,
            currency text NOT NULL,
            amount_cents bigint NOT NULL CONSTRAINT ck_ledger_entry_amount CHECK (amount_cents <> 0),
            balance_after_cents bigint NOT NULL DEFAULT 0,
            created_at timestamptz NOT NULL DEFAULT now(),
            CONSTRAINT pk_ledger_entry PRIMARY KEY (tenant_id, id),
            CONSTRAINT fk_ledger_entry_transaction FOREIGN KEY (tenant_id, transaction_id)
                REFERENCES ledger_transaction (tenant_id, id),
            CONSTRAINT fk_ledger_entry_account FOREIGN KEY (tenant_id, account_id, currency)
                REFERENCES ledger_account (tenant_id, id, currency)
        );
        CREATE INDEX ix_ledger_entry_transaction ON ledger_entry (tenant_id, transaction_id);
        CREATE INDEX ix_ledger_entry_account ON ledger_entry (tenant_id, account_id, id);
    """)
    protect("ledger_account", grant="SELECT, INSERT")
    protect("ledger_transaction", grant="SELECT, INSERT")
    protect("ledger_entry", grant="SELECT, INSERT")
    append_only("ledger_transaction")
    append_only("ledger_entry")
    _ledger_rules()


def _ledger_rules() -> None:
    op.execute("""
        -- Credit is positive, debit negative; a transaction's legs are written with it, and never afterwards.
        CREATE FUNCTION app.ledger_apply() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
        SET search_path = pg_catalog, public AS $$
        DECLARE opened xid8;
        BEGIN
            IF NEW.tenant_id IS DISTINCT FROM app.tenant_id() THEN
                RAISE EXCEPTION 'a leg of another tenant' USING ERRCODE = 'insufficient_privilege';
            END IF;
            SELECT posting_xact INTO opened FROM public.ledger_transaction
                WHERE tenant_id = NEW.tenant_id AND id = NEW.transaction_id;
            IF opened IS DISTINCT FROM pg_current_xact_id() THEN
                RAISE EXCEPTION 'ledger transaction % is sealed', NEW.transaction_id USING ERRCODE = 'check_violation';
            END IF;
            UPDATE public.ledger_account SET balance_cents = balance_cents + NEW.amount_cents
                WHERE tenant_id = NEW.tenant_id AND id = NEW.account_id AND currency = NEW.currency
                RETURNING balance_cents INTO NEW.balance_after_cents;
            RETURN NEW;
        END $$;
        CREATE TRIGGER apply BEFORE INSERT ON ledger_entry FOR EACH ROW EXECUTE FUNCTION app.ledger_apply();

        -- Balances follow from legs: nobody writes one, the owner of the table included.
        CREATE FUNCTION app.ledger_guard() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog AS $$
        BEGIN
            IF TG_OP = 'INSERT' THEN
                IF NEW.balance_cents <> 0 THEN
                    RAISE EXCEPTION 'an account begins at zero' USING ERRCODE = 'restrict_violation';
                END IF;
                RETURN NEW;
            END IF;
            -- Inside another trigger, which is the one of the legs: no setting that somebody could set by hand.
            IF TG_OP = 'DELETE' OR pg_trigger_depth() < 2 THEN
                RAISE EXCEPTION 'ledger_account is written by its legs only' USING ERRCODE = 'restrict_violation';
            END IF;
            RETURN NEW;
        END $$;
        CREATE TRIGGER guard BEFORE INSERT OR UPDATE OR DELETE ON ledger_account
            FOR EACH ROW EXECUTE FUNCTION app.ledger_guard();

        CREATE FUNCTION app.ledger_balanced() RETURNS trigger LANGUAGE plpgsql
        SET search_path = pg_catalog, public AS $$
        DECLARE posting uuid; legs bigint; uneven boolean;
        BEGIN
            posting := CASE TG_TABLE_NAME
                WHEN 'ledger_entry' THEN (to_jsonb(NEW)->>'transaction_id')::uuid ELSE NEW.id END;
            SELECT sum(n), bool_or(total <> 0) INTO legs, uneven FROM (
                SELECT count(*) AS n, sum(amount_cents) AS total FROM public.ledger_entry
                WHERE tenant_id = NEW.tenant_id AND transaction_id = posting GROUP BY currency) by_currency;
            IF coalesce(legs, 0) < 2 OR uneven THEN
                RAISE EXCEPTION 'ledger transaction % does not balance', posting USING ERRCODE = 'check_violation';
            END IF;
            RETURN NULL;
        END $$;
        CREATE CONSTRAINT TRIGGER balanced AFTER INSERT ON ledger_transaction DEFERRABLE INITIALLY DEFERRED
            FOR EACH ROW EXECUTE FUNCTION app.ledger_balanced();
        CREATE CONSTRAINT TRIGGER balanced AFTER INSERT ON ledger_entry DEFERRABLE INITIALLY DEFERRED
            FOR EACH ROW EXECUTE FUNCTION app.ledger_balanced();
    """)


def _payments() -> None:
    op.execute("""
        CREATE TABLE mpesa_account (
            tenant_id uuid NOT NULL,
            id uuid NOT NULL,
            environment text NOT NULL
                CONSTRAINT ck_mpesa_account_environment CHECK (environment IN ('rehearsal', 'sandbox', 'production')),
            kind text NOT NULL CONSTRAINT ck_mpesa_account_kind CHECK (kind IN ('paybill', 'till')),
            business_short_code text NOT NULL,
            party_b text NOT NULL,
            consumer_key_sealed bytea NOT NULL,
            consumer_secret_sealed bytea NOT NULL,
            passkey_sealed bytea NOT NULL,
            active boolean NOT NULL DEFAULT true,
            fault text,
            token_sealed bytea,
            token_expires_at timestamptz,
            token_fetched_by timestamptz,
            created_at timestamptz NOT NULL DEFAULT now(),
            CONSTRAINT pk_mpesa_account PRIMARY KEY (tenant_id, id),
            CONSTRAINT uq_mpesa_account_shortcode
                UNIQUE (tenant_id, environment, business_short_code, party_b)
        );
        CREATE TABLE payment_intent (
            tenant_id uuid NOT NULL,
            id uuid NOT NULL,
            mpesa_account_id uuid NOT NULL,
            subscriber_id uuid NOT NULL,
            purchase_id uuid NOT NULL,
            phone text NOT NULL,
            amount_cents bigint NOT NULL
                CONSTRAINT ck_payment_intent_amount CHECK (amount_cents > 0 AND amount_cents % 100 = 0),
            reference text NOT NULL,
            description text NOT NULL,
            token_fingerprint text NOT NULL,
            token_sealed bytea NOT NULL,
            state text NOT NULL DEFAULT 'created' CONSTRAINT ck_payment_intent_state CHECK (state IN ('created',
                'submitting', 'pending', 'succeeded', 'failed', 'expired', 'unknown', 'paid_no_receipt', 'review')),
            code text,
            merchant_request_id text,
            checkout_request_id text,
            receipt text,
            submitted_at timestamptz,
            queries bigint NOT NULL DEFAULT 0,
            settled_at timestamptz,
            created_at timestamptz NOT NULL DEFAULT now(),
            CONSTRAINT pk_payment_intent PRIMARY KEY (tenant_id, id),
            CONSTRAINT uq_payment_intent_tenant_id_token_fingerprint UNIQUE (tenant_id, token_fingerprint),
            CONSTRAINT fk_payment_intent_account FOREIGN KEY (tenant_id, mpesa_account_id)
                REFERENCES mpesa_account (tenant_id, id),
            CONSTRAINT fk_payment_intent_subscriber FOREIGN KEY (tenant_id, subscriber_id)
                REFERENCES subscriber (tenant_id, id)
        );
        CREATE INDEX ix_payment_intent_purchase ON payment_intent (tenant_id, purchase_id, id);
        CREATE INDEX ix_payment_intent_phone ON payment_intent (tenant_id, phone, created_at);
        CREATE INDEX ix_payment_intent_open ON payment_intent (tenant_id, created_at)
            WHERE state IN ('created', 'submitting', 'pending', 'unknown', 'paid_no_receipt');
        CREATE UNIQUE INDEX uq_payment_intent_checkout ON payment_intent (tenant_id, checkout_request_id);

        CREATE FUNCTION app.intent_guard() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog AS $$
        BEGIN
            IF (OLD.amount_cents, OLD.phone, OLD.subscriber_id, OLD.mpesa_account_id, OLD.reference,
                OLD.token_fingerprint)
               IS DISTINCT FROM
               (NEW.amount_cents, NEW.phone, NEW.subscriber_id, NEW.mpesa_account_id, NEW.reference,
                NEW.token_fingerprint)
            THEN
                RAISE EXCEPTION 'what an intent asks for never changes' USING ERRCODE = 'restrict_violation';
            END IF;
            IF OLD.state = 'succeeded' AND NEW.state <> 'succeeded' THEN
                RAISE EXCEPTION 'success is never left' USING ERRCODE = 'restrict_violation';
            END IF;
            RETURN NEW;
        END $$;
        CREATE TRIGGER guard BEFORE UPDATE ON payment_intent FOR EACH ROW EXECUTE FUNCTION app.intent_guard();

        CREATE TABLE inbound_event (
            tenant_id uuid NOT NULL,
            id uuid NOT NULL,
            kind text NOT NULL CONSTRAINT ck_inbound_event_kind CHECK (kind IN ('stk')),
            intent_id uuid NOT NULL,
            body_digest bytea NOT NULL,
            body bytea NOT NULL,
            peer text,
            outcome text,
            processed_at timestamptz,
            created_at timestamptz NOT NULL DEFAULT now(),
            CONSTRAINT pk_inbound_event PRIMARY KEY (tenant_id, id),
            CONSTRAINT uq_inbound_event_tenant_id_intent_id_body_digest UNIQUE (tenant_id, intent_id, body_digest),
            CONSTRAINT fk_inbound_event_intent FOREIGN KEY (tenant_id, intent_id)
                REFERENCES payment_intent (tenant_id, id)
        );
        CREATE TABLE provider_receipt (
            tenant_id uuid NOT NULL,
            id uuid NOT NULL,
            environment text NOT NULL,
            shortcode_group text NOT NULL,
            receipt text NOT NULL CONSTRAINT ck_provider_receipt_receipt CHECK (receipt ~ '^[A-Z0-9]{10}$'),
            amount_cents bigint NOT NULL CONSTRAINT ck_provider_receipt_amount CHECK (amount_cents > 0),
            source text NOT NULL,
            intent_id uuid,
            subscriber_id uuid,
            transaction_id uuid NOT NULL,
            paid_at timestamptz,
            created_at timestamptz NOT NULL DEFAULT now(),
            CONSTRAINT pk_provider_receipt PRIMARY KEY (tenant_id, id),
            CONSTRAINT uq_provider_receipt_receipt
                UNIQUE (tenant_id, environment, shortcode_group, receipt),
            CONSTRAINT fk_provider_receipt_intent FOREIGN KEY (tenant_id, intent_id)
                REFERENCES payment_intent (tenant_id, id),
            CONSTRAINT fk_provider_receipt_transaction FOREIGN KEY (tenant_id, transaction_id)
                REFERENCES ledger_transaction (tenant_id, id)
        );
        CREATE INDEX ix_provider_receipt_subscriber ON provider_receipt (tenant_id, subscriber_id, id);
    """)
    protect("mpesa_account", grant="SELECT, INSERT, UPDATE")
    protect("payment_intent", grant="SELECT, INSERT, UPDATE")
    protect("inbound_event", grant="SELECT, INSERT, UPDATE")
    protect("provider_receipt", grant="SELECT, INSERT")
    append_only("provider_receipt")


def _checkout() -> None:
    op.execute("""
        CREATE TABLE purchase (
            tenant_id uuid NOT NULL,
            id uuid NOT NULL,
            nonce text NOT NULL,
            package_id uuid NOT NULL,
            subscriber_id uuid NOT NULL,
            price_cents bigint NOT NULL,
            terms jsonb NOT NULL,
            mac text,
            router_id uuid,
            login_url text,
            original_url text,
            state text NOT NULL DEFAULT 'open' CONSTRAINT ck_purchase_state CHECK (state IN ('open', 'bought')),
            bought_at timestamptz,
            created_at timestamptz NOT NULL DEFAULT now(),
            CONSTRAINT pk_purchase PRIMARY KEY (tenant_id, id),
            CONSTRAINT uq_purchase_tenant_id_nonce UNIQUE (tenant_id, nonce),
            CONSTRAINT fk_purchase_package FOREIGN KEY (tenant_id, package_id) REFERENCES package (tenant_id, id),
            CONSTRAINT fk_purchase_subscriber FOREIGN KEY (tenant_id, subscriber_id)
                REFERENCES subscriber (tenant_id, id),
            CONSTRAINT fk_purchase_router FOREIGN KEY (tenant_id, router_id) REFERENCES router (tenant_id, id)
        );
        CREATE INDEX ix_purchase_subscriber ON purchase (tenant_id, subscriber_id, id);
        ALTER TABLE router ADD COLUMN login_url text;
    """)
    protect("purchase", grant="SELECT, INSERT, UPDATE")


def _access() -> None:
    op.execute("""
        CREATE TABLE entitlement (
            tenant_id uuid NOT NULL,
            id uuid NOT NULL,
            purchase_id uuid NOT NULL,
            subscriber_id uuid NOT NULL,
            policy jsonb NOT NULL,
            starts_at timestamptz NOT NULL,
            ends_at timestamptz NOT NULL,
            provisional boolean NOT NULL DEFAULT false,
            activated_at timestamptz,
            used_seconds bigint NOT NULL DEFAULT 0,
            used_bytes bigint NOT NULL DEFAULT 0,
            created_at timestamptz NOT NULL DEFAULT now(),
            CONSTRAINT pk_entitlement PRIMARY KEY (tenant_id, id),
            CONSTRAINT uq_entitlement_tenant_id_purchase_id UNIQUE (tenant_id, purchase_id),
            CONSTRAINT ck_entitlement_order CHECK (ends_at > starts_at),
            CONSTRAINT fk_entitlement_purchase FOREIGN KEY (tenant_id, purchase_id) REFERENCES purchase (tenant_id, id),
            CONSTRAINT fk_entitlement_subscriber FOREIGN KEY (tenant_id, subscriber_id)
                REFERENCES subscriber (tenant_id, id)
        );
        CREATE INDEX ix_entitlement_subscriber ON entitlement (tenant_id, subscriber_id, ends_at);

        CREATE TABLE login_code (
            tenant_id uuid NOT NULL,
            id uuid NOT NULL,
            code_fingerprint text NOT NULL,
            subscriber_id uuid NOT NULL,
            mac text NOT NULL,
            expires_at timestamptz NOT NULL,
            used_at timestamptz,
            created_at timestamptz NOT NULL DEFAULT now(),
            CONSTRAINT pk_login_code PRIMARY KEY (tenant_id, id),
            CONSTRAINT uq_login_code_tenant_id_code_fingerprint UNIQUE (tenant_id, code_fingerprint),
            CONSTRAINT fk_login_code_subscriber FOREIGN KEY (tenant_id, subscriber_id)
                REFERENCES subscriber (tenant_id, id)
        );
        CREATE INDEX ix_login_code_expires ON login_code (tenant_id, expires_at);

        CREATE TABLE access_session (
            tenant_id uuid NOT NULL,
            id uuid NOT NULL,
            router_id uuid NOT NULL,
            subscriber_id uuid,
            entitlement_id uuid,
            class_token text,
            session_key text NOT NULL,
            acct_session_id text NOT NULL,
            user_name text NOT NULL,
            calling_station_id text,
            mac text,
            framed_address text,
            service text NOT NULL CONSTRAINT ck_access_session_service CHECK (service IN ('hotspot', 'pppoe')),
            started_at timestamptz NOT NULL,
            updated_at timestamptz NOT NULL,
            stopped_at timestamptz,
            seconds bigint NOT NULL DEFAULT 0,
            bytes_up bigint NOT NULL DEFAULT 0,
            bytes_down bigint NOT NULL DEFAULT 0,
            cause text,
            disconnect_asked_at timestamptz,
            created_at timestamptz NOT NULL DEFAULT now(),
            CONSTRAINT pk_access_session PRIMARY KEY (tenant_id, id),
            CONSTRAINT uq_access_session_tenant_id_session_key UNIQUE (tenant_id, session_key),
            CONSTRAINT fk_access_session_router FOREIGN KEY (tenant_id, router_id) REFERENCES router (tenant_id, id),
            CONSTRAINT fk_access_session_subscriber FOREIGN KEY (tenant_id, subscriber_id)
                REFERENCES subscriber (tenant_id, id),
            CONSTRAINT fk_access_session_entitlement FOREIGN KEY (tenant_id, entitlement_id)
                REFERENCES entitlement (tenant_id, id)
        );
        CREATE INDEX ix_access_session_open ON access_session (tenant_id, subscriber_id) WHERE stopped_at IS NULL;
        CREATE INDEX ix_access_session_router ON access_session (tenant_id, router_id, acct_session_id, started_at);
        CREATE INDEX ix_access_session_open_mac ON access_session (tenant_id, router_id, mac)
            WHERE stopped_at IS NULL;
        CREATE INDEX ix_access_session_open_entitlement ON access_session (tenant_id, entitlement_id)
            WHERE stopped_at IS NULL;
        CREATE INDEX ix_access_session_subscriber ON access_session (tenant_id, subscriber_id, started_at);
    """)
    protect("entitlement", grant="SELECT, INSERT, UPDATE")
    protect("login_code", grant="SELECT, INSERT, UPDATE, DELETE")
    protect("access_session", grant="SELECT, INSERT, UPDATE")
    op.execute("""
        -- Which tenants have somebody online without a right to be: their ids, and nothing else.
        CREATE FUNCTION app.tenants_with_sessions_to_end(at timestamptz, asked_before timestamptz) RETURNS SETOF uuid
        LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public AS $$
            SELECT DISTINCT s.tenant_id FROM public.access_session s
            LEFT JOIN public.entitlement e ON e.tenant_id = s.tenant_id AND e.id = s.entitlement_id
            WHERE s.stopped_at IS NULL AND (s.disconnect_asked_at IS NULL OR s.disconnect_asked_at < asked_before)
            AND (e.id IS NULL OR e.ends_at <= at OR e.used_seconds >= (e.policy->>'time_cap_seconds')::bigint
                OR e.used_bytes >= (e.policy->>'data_cap_bytes')::bigint)
        $$;
        GRANT SELECT (tenant_id, entitlement_id, stopped_at, disconnect_asked_at) ON access_session TO wavu_resolver;
        GRANT SELECT (tenant_id, id, ends_at, used_seconds, used_bytes, policy) ON entitlement TO wavu_resolver;
        CREATE POLICY resolver ON access_session FOR SELECT TO wavu_resolver USING (true);
        CREATE POLICY resolver ON entitlement FOR SELECT TO wavu_resolver USING (true);
        ALTER FUNCTION app.tenants_with_sessions_to_end(timestamptz, timestamptz) OWNER TO wavu_resolver;
        REVOKE ALL ON FUNCTION app.tenants_with_sessions_to_end(timestamptz, timestamptz) FROM PUBLIC;
        GRANT EXECUTE ON FUNCTION app.tenants_with_sessions_to_end(timestamptz, timestamptz) TO wavu_app;
    """)
