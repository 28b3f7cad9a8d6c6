"""A second gateway: Airtel Money accounts, and attempts and receipts that name their gateway"""

from alembic import op

from migrations.rls import protect

revision = "0016"
down_revision = "0014"
branch_labels = None
depends_on = None


def upgrade() -> None:
    _accounts()
    _attempts()
    _queue()
    _validate()


def _accounts() -> None:
    op.execute("""
        CREATE TABLE airtel_account (
            tenant_id uuid NOT NULL,
            id uuid NOT NULL,
            environment text NOT NULL CONSTRAINT ck_airtel_account_environment
                CHECK (environment IN ('rehearsal', 'staging', 'production')),
            merchant_number text NOT NULL CONSTRAINT ck_airtel_account_merchant_number
                CHECK (merchant_number ~ '^[0-9A-Za-z]{4,15}$'),
            client_id_sealed bytea NOT NULL,
            client_secret_sealed bytea NOT NULL,
            hash_key_sealed bytea,
            state text NOT NULL DEFAULT 'draft' CONSTRAINT ck_airtel_account_state
                CHECK (state IN ('draft', 'waiting', 'on', 'off', 'gone')),
            contact_email text,
            keys_set_at timestamptz NOT NULL DEFAULT now(),
            checks jsonb NOT NULL DEFAULT '{}',
            asked_at timestamptz,
            effective_at timestamptz,
            requested_by uuid,
            requested_by_name text,
            told_email text,
            fault text,
            fault_since timestamptz,
            token_sealed bytea,
            token_expires_at timestamptz,
            token_fetched_by timestamptz,
            hook_fingerprint text NOT NULL,
            hook_token_sealed bytea NOT NULL,
            called_back_at timestamptz,
            created_at timestamptz NOT NULL DEFAULT now(),
            CONSTRAINT pk_airtel_account PRIMARY KEY (tenant_id, id),
            CONSTRAINT uq_airtel_account_hook UNIQUE (tenant_id, hook_fingerprint)
        );
        -- One takes payments or may take them again, and one waits to: two people who press at once meet here.
        CREATE UNIQUE INDEX uq_airtel_account_agreed ON airtel_account (tenant_id) WHERE state IN ('on', 'off');
        CREATE UNIQUE INDEX uq_airtel_account_waiting ON airtel_account (tenant_id) WHERE state = 'waiting';

        -- Where money goes changes by what was asked for and has waited, or by two: not even by a mistake of ours.
        CREATE FUNCTION app.airtel_account_guard() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog AS $$
        BEGIN
            IF OLD.state = 'waiting' AND NEW.state = 'waiting' AND
                (OLD.environment, OLD.merchant_number, OLD.client_id_sealed, OLD.client_secret_sealed,
                 OLD.hash_key_sealed, OLD.asked_at, OLD.effective_at, OLD.requested_by)
                IS DISTINCT FROM
                (NEW.environment, NEW.merchant_number, NEW.client_id_sealed, NEW.client_secret_sealed,
                 NEW.hash_key_sealed, NEW.asked_at, NEW.effective_at, NEW.requested_by)
            THEN
                RAISE EXCEPTION 'a change is what it was asked for' USING ERRCODE = 'restrict_violation';
            END IF;
            IF NEW.state = 'on' AND OLD.state NOT IN ('on', 'off', 'waiting') THEN
                RAISE EXCEPTION 'an account takes payments after a change' USING ERRCODE = 'restrict_violation';
            END IF;
            RETURN NEW;
        END $$;
        CREATE TRIGGER guard BEFORE UPDATE ON airtel_account
            FOR EACH ROW EXECUTE FUNCTION app.airtel_account_guard();
    """)
    protect("airtel_account", grant="SELECT, INSERT, UPDATE")


def _attempts() -> None:
    op.execute("""
        ALTER TABLE payment_intent
            ADD COLUMN provider text NOT NULL DEFAULT 'mpesa',
            ADD COLUMN airtel_account_id uuid;
        -- squawk-ignore ban-drop-not-null
        ALTER TABLE payment_intent ALTER COLUMN mpesa_account_id DROP NOT NULL;
        ALTER TABLE payment_intent ADD CONSTRAINT ck_payment_intent_provider CHECK (
            (provider = 'mpesa' AND mpesa_account_id IS NOT NULL AND airtel_account_id IS NULL)
            OR (provider = 'airtel' AND airtel_account_id IS NOT NULL AND mpesa_account_id IS NULL)) NOT VALID;
        -- The column is new: there is nothing to validate, and no tenant to do it as.
        ALTER TABLE payment_intent ADD CONSTRAINT fk_payment_intent_airtel_account
            FOREIGN KEY (tenant_id, airtel_account_id) REFERENCES airtel_account (tenant_id, id) NOT VALID;
        -- squawk-ignore require-concurrent-index-creation
        CREATE INDEX ix_payment_intent_asked_airtel ON payment_intent (tenant_id, airtel_account_id, submitted_at)
            WHERE submitted_at IS NOT NULL AND airtel_account_id IS NOT NULL;

        CREATE OR REPLACE FUNCTION app.intent_guard() RETURNS trigger LANGUAGE plpgsql
        SET search_path = pg_catalog AS $$
        BEGIN
            IF (OLD.amount_cents, OLD.phone, OLD.subscriber_id, OLD.provider, OLD.mpesa_account_id,
                OLD.airtel_account_id, OLD.reference, OLD.token_fingerprint)
               IS DISTINCT FROM
               (NEW.amount_cents, NEW.phone, NEW.subscriber_id, NEW.provider, NEW.mpesa_account_id,
                NEW.airtel_account_id, NEW.reference, NEW.token_fingerprint)
            THEN
                RAISE EXCEPTION 'what an intent asks for never changes' USING ERRCODE = 'restrict_violation';
            END IF;
            IF OLD.state = 'succeeded' AND NEW.state <> 'succeeded' THEN
                RAISE EXCEPTION 'success is never left' USING ERRCODE = 'restrict_violation';
            END IF;
            RETURN NEW;
        END $$;

        ALTER TABLE inbound_event ADD COLUMN airtel_account_id uuid;
        ALTER TABLE inbound_event ADD CONSTRAINT fk_inbound_event_airtel_account
            FOREIGN KEY (tenant_id, airtel_account_id) REFERENCES airtel_account (tenant_id, id) NOT VALID;
        -- squawk-ignore require-concurrent-index-creation
        CREATE UNIQUE INDEX uq_inbound_event_airtel_body
            ON inbound_event (tenant_id, airtel_account_id, body_digest) WHERE airtel_account_id IS NOT NULL;

        ALTER TABLE provider_receipt ADD COLUMN provider text NOT NULL DEFAULT 'mpesa';
        -- A wider one takes its place in the same step.
        -- squawk-ignore ban-drop-constraint
        ALTER TABLE provider_receipt DROP CONSTRAINT ck_provider_receipt_receipt;
        ALTER TABLE provider_receipt ADD CONSTRAINT ck_provider_receipt_receipt CHECK (
            (provider = 'mpesa' AND receipt ~ '^[A-Z0-9]{10}$')
            OR (provider = 'airtel' AND receipt ~ '^[A-Za-z0-9.]{5,40}$' AND shortcode_group LIKE 'airtel %')
        ) NOT VALID;
    """)
    _inbox_kinds()


def _inbox_kinds() -> None:
    op.execute("""
        -- squawk-ignore ban-drop-constraint
        ALTER TABLE inbound_event DROP CONSTRAINT ck_inbound_event_kind;
        ALTER TABLE inbound_event ADD CONSTRAINT ck_inbound_event_kind CHECK (
            (kind = 'stk' AND intent_id IS NOT NULL)
            OR (kind = 'airtel' AND airtel_account_id IS NOT NULL)
            OR (kind IN ('c2b', 'pull', 'statement') AND mpesa_account_id IS NOT NULL)) NOT VALID;
    """)


def _queue() -> None:
    op.execute("""
        -- squawk-ignore ban-drop-constraint
        ALTER TABLE outbox DROP CONSTRAINT ck_outbox_queue;
        ALTER TABLE outbox ADD CONSTRAINT ck_outbox_queue
            CHECK (queue IN ('settlement', 'daraja', 'airtel', 'network', 'messages', 'bulk')) NOT VALID;
    """)


def _validate() -> None:
    # In transactions of their own: what is checked at length is not locked against writing.
    with op.get_context().autocommit_block():
        op.execute("ALTER TABLE payment_intent VALIDATE CONSTRAINT ck_payment_intent_provider")
        op.execute("ALTER TABLE provider_receipt VALIDATE CONSTRAINT ck_provider_receipt_receipt")
        op.execute("ALTER TABLE inbound_event VALIDATE CONSTRAINT ck_inbound_event_kind")
        op.execute("ALTER TABLE outbox VALIDATE CONSTRAINT ck_outbox_queue")
