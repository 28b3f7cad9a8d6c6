"""Money that customers send by hand: account numbers, reports of payments, who told of a receipt, suspense"""

from alembic import op

from migrations.rls import append_only, protect

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    _accounts()
    _inbox()
    _receipts()


def _accounts() -> None:
    op.execute("""
        ALTER TABLE mpesa_account
            ADD COLUMN hook_fingerprint text,
            ADD COLUMN hook_token_sealed bytea,
            ADD COLUMN urls_registered_at timestamptz,
            ADD COLUMN pull_registered_at timestamptz,
            ADD COLUMN pulled_until timestamptz,
            ADD COLUMN hook_answer text,
            ADD COLUMN refuses_unknown_references boolean NOT NULL DEFAULT false;
        -- squawk-ignore require-concurrent-index-creation
        CREATE UNIQUE INDEX uq_mpesa_account_hook ON mpesa_account (tenant_id, hook_fingerprint);

        -- One namespace for all that a customer may type at a PayBill: a look-up says whose wallet it is.
        CREATE TABLE account_number (
            tenant_id uuid NOT NULL,
            id uuid NOT NULL,
            number text NOT NULL CONSTRAINT ck_account_number_number CHECK (number ~ '^[1-9][0-9]{5,11}$'),
            subscriber_id uuid NOT NULL,
            purchase_id uuid,
            created_at timestamptz NOT NULL DEFAULT now(),
            CONSTRAINT pk_account_number PRIMARY KEY (tenant_id, id),
            CONSTRAINT uq_account_number_number UNIQUE (tenant_id, number),
            CONSTRAINT uq_account_number_owner UNIQUE NULLS NOT DISTINCT (tenant_id, subscriber_id, purchase_id),
            CONSTRAINT fk_account_number_subscriber FOREIGN KEY (tenant_id, subscriber_id)
                REFERENCES subscriber (tenant_id, id)
        );
    """)
    op.execute("""
        -- Which tenants have a shortcode that Pull knows: their ids, and nothing else.
        CREATE FUNCTION app.tenants_with_pull() RETURNS SETOF uuid
        LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public AS $$
            SELECT DISTINCT tenant_id FROM public.mpesa_account WHERE pull_registered_at IS NOT NULL
        $$;
        GRANT SELECT (tenant_id, pull_registered_at) ON mpesa_account TO wavu_resolver;
        CREATE POLICY resolver ON mpesa_account FOR SELECT TO wavu_resolver USING (true);
        ALTER FUNCTION app.tenants_with_pull() OWNER TO wavu_resolver;
        REVOKE ALL ON FUNCTION app.tenants_with_pull() FROM PUBLIC;
        GRANT EXECUTE ON FUNCTION app.tenants_with_pull() TO wavu_app;
    """)
    protect("account_number", grant="SELECT, INSERT")
    append_only("account_number")


def _inbox() -> None:
    op.execute("""
        -- squawk-ignore require-concurrent-index-creation
        CREATE INDEX ix_payment_intent_reference ON payment_intent (tenant_id, reference);

        ALTER TABLE inbound_event ADD COLUMN mpesa_account_id uuid;
        -- squawk-ignore ban-drop-not-null
        ALTER TABLE inbound_event ALTER COLUMN intent_id DROP NOT NULL;
        -- A wider one takes its place in the same step.
        -- squawk-ignore ban-drop-constraint
        ALTER TABLE inbound_event DROP CONSTRAINT ck_inbound_event_kind;
        -- squawk-ignore constraint-missing-not-valid
        ALTER TABLE inbound_event ADD CONSTRAINT ck_inbound_event_kind CHECK (
            (kind = 'stk' AND intent_id IS NOT NULL)
            OR (kind IN ('c2b', 'pull') AND mpesa_account_id IS NOT NULL));
        -- The column is new: there is nothing to validate, and no tenant to do it as.
        ALTER TABLE inbound_event ADD CONSTRAINT fk_inbound_event_account FOREIGN KEY (tenant_id, mpesa_account_id)
            REFERENCES mpesa_account (tenant_id, id) NOT VALID;
        -- squawk-ignore require-concurrent-index-creation
        CREATE UNIQUE INDEX uq_inbound_event_account_body
            ON inbound_event (tenant_id, mpesa_account_id, kind, body_digest) WHERE mpesa_account_id IS NOT NULL;
    """)


def _receipts() -> None:
    op.execute("""
        ALTER TABLE provider_receipt
            ADD COLUMN reference text,
            ADD COLUMN payer text,
            ADD COLUMN payer_name text;

        -- Each source that told of a receipt after the first one did.
        CREATE TABLE receipt_witness (
            tenant_id uuid NOT NULL,
            id uuid NOT NULL,
            receipt_id uuid NOT NULL,
            source text NOT NULL,
            created_at timestamptz NOT NULL DEFAULT now(),
            CONSTRAINT pk_receipt_witness PRIMARY KEY (tenant_id, id),
            CONSTRAINT uq_receipt_witness_source UNIQUE (tenant_id, receipt_id, source),
            CONSTRAINT fk_receipt_witness_receipt FOREIGN KEY (tenant_id, receipt_id)
                REFERENCES provider_receipt (tenant_id, id)
        );

        -- Money in suspense, receipt by receipt: what of it nobody is known to own.
        CREATE TABLE suspense_item (
            tenant_id uuid NOT NULL,
            id uuid NOT NULL,
            receipt_id uuid NOT NULL,
            left_cents bigint NOT NULL CONSTRAINT ck_suspense_item_left CHECK (left_cents >= 0),
            created_at timestamptz NOT NULL DEFAULT now(),
            CONSTRAINT pk_suspense_item PRIMARY KEY (tenant_id, id),
            CONSTRAINT uq_suspense_item_receipt UNIQUE (tenant_id, receipt_id),
            CONSTRAINT fk_suspense_item_receipt FOREIGN KEY (tenant_id, receipt_id)
                REFERENCES provider_receipt (tenant_id, id)
        );
        CREATE INDEX ix_suspense_item_left ON suspense_item (tenant_id, id) WHERE left_cents > 0;
        CREATE TABLE suspense_match (
            tenant_id uuid NOT NULL,
            id uuid NOT NULL,
            item_id uuid NOT NULL,
            subscriber_id uuid NOT NULL,
            -- The attempt that seemed to have brought it, where nobody said so.
            guessed_intent_id uuid,
            -- Below nothing where a guess was taken back.
            amount_cents bigint NOT NULL CONSTRAINT ck_suspense_match_amount CHECK (amount_cents <> 0),
            transaction_id uuid NOT NULL,
            created_at timestamptz NOT NULL DEFAULT now(),
            CONSTRAINT pk_suspense_match PRIMARY KEY (tenant_id, id),
            CONSTRAINT fk_suspense_match_item FOREIGN KEY (tenant_id, item_id)
                REFERENCES suspense_item (tenant_id, id),
            CONSTRAINT fk_suspense_match_subscriber FOREIGN KEY (tenant_id, subscriber_id)
                REFERENCES subscriber (tenant_id, id),
            CONSTRAINT fk_suspense_match_intent FOREIGN KEY (tenant_id, guessed_intent_id)
                REFERENCES payment_intent (tenant_id, id),
            CONSTRAINT fk_suspense_match_transaction FOREIGN KEY (tenant_id, transaction_id)
                REFERENCES ledger_transaction (tenant_id, id)
        );
        CREATE INDEX ix_suspense_match_item ON suspense_match (tenant_id, item_id);
        CREATE INDEX ix_suspense_match_intent ON suspense_match (tenant_id, guessed_intent_id)
            WHERE guessed_intent_id IS NOT NULL;
    """)
    protect("receipt_witness", grant="SELECT, INSERT")
    append_only("receipt_witness")
    protect("suspense_item", grant="SELECT, INSERT, UPDATE (left_cents)")
    protect("suspense_match", grant="SELECT, INSERT")
    append_only("suspense_match")
