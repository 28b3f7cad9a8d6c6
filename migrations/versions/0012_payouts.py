"""Money that leaves: initiators, what is asked in their name and what came of it, refunds and payouts"""

from alembic import op

from migrations.rls import append_only, protect

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("ALTER TABLE mpesa_account ADD COLUMN standing_orders boolean NOT NULL DEFAULT false")
    op.execute("""
        -- A wider one takes its place in the same step.
        -- squawk-ignore ban-drop-constraint
        ALTER TABLE purchase DROP CONSTRAINT ck_purchase_state;
        -- squawk-ignore constraint-missing-not-valid
        ALTER TABLE purchase ADD CONSTRAINT ck_purchase_state CHECK (state IN ('open', 'bought', 'returned'));
    """)
    _initiators()
    _exchange()
    _payouts()
    _payout_rules()


def _initiators() -> None:
    op.execute("""
        CREATE TABLE mpesa_initiator (
            tenant_id uuid NOT NULL,
            id uuid NOT NULL,
            mpesa_account_id uuid NOT NULL,
            name text NOT NULL,
            password_sealed bytea,
            certificate text,
            credential_sealed bytea,
            password_set_on date NOT NULL,
            set_at timestamptz NOT NULL,
            fault text,
            fault_api text,
            fault_since timestamptz,
            frozen_at timestamptz,
            created_at timestamptz NOT NULL DEFAULT now(),
            CONSTRAINT pk_mpesa_initiator PRIMARY KEY (tenant_id, id),
            CONSTRAINT uq_mpesa_initiator_tenant_id_mpesa_account_id UNIQUE (tenant_id, mpesa_account_id),
            CONSTRAINT ck_mpesa_initiator_secret CHECK (credential_sealed IS NOT NULL
                OR (password_sealed IS NOT NULL AND certificate IS NOT NULL)),
            CONSTRAINT fk_mpesa_initiator_account FOREIGN KEY (tenant_id, mpesa_account_id)
                REFERENCES mpesa_account (tenant_id, id)
        );
        CREATE TABLE mpesa_balance (
            tenant_id uuid NOT NULL,
            id uuid NOT NULL,
            mpesa_account_id uuid NOT NULL,
            as_of timestamptz NOT NULL,
            accounts jsonb NOT NULL,
            created_at timestamptz NOT NULL DEFAULT now(),
            CONSTRAINT pk_mpesa_balance PRIMARY KEY (tenant_id, id),
            CONSTRAINT fk_mpesa_balance_account FOREIGN KEY (tenant_id, mpesa_account_id)
                REFERENCES mpesa_account (tenant_id, id)
        );
        CREATE INDEX ix_mpesa_balance_account ON mpesa_balance (tenant_id, mpesa_account_id, id);
    """)
    protect("mpesa_initiator", grant="SELECT, INSERT, UPDATE")
    protect("mpesa_balance", grant="SELECT, INSERT")
    append_only("mpesa_balance")


def _exchange() -> None:
    op.execute("""
        CREATE TABLE mpesa_request (
            tenant_id uuid NOT NULL,
            id uuid NOT NULL,
            mpesa_account_id uuid NOT NULL,
            api text NOT NULL CONSTRAINT ck_mpesa_request_api CHECK (api IN ('status', 'balance', 'reversal', 'b2c')),
            subject_id uuid,
            receipt text,
            token_fingerprint text NOT NULL,
            state text NOT NULL DEFAULT 'sent' CONSTRAINT ck_mpesa_request_state CHECK (state IN (
                'sent', 'accepted', 'answered', 'refused', 'unknown')),
            code text,
            originator_conversation_id text,
            conversation_id text,
            answered_at timestamptz,
            created_at timestamptz NOT NULL DEFAULT now(),
            CONSTRAINT pk_mpesa_request PRIMARY KEY (tenant_id, id),
            CONSTRAINT uq_mpesa_request_tenant_id_token_fingerprint UNIQUE (tenant_id, token_fingerprint),
            CONSTRAINT fk_mpesa_request_account FOREIGN KEY (tenant_id, mpesa_account_id)
                REFERENCES mpesa_account (tenant_id, id)
        );
        CREATE INDEX ix_mpesa_request_subject ON mpesa_request (tenant_id, subject_id, id);
        CREATE TABLE mpesa_result (
            tenant_id uuid NOT NULL,
            id uuid NOT NULL,
            request_id uuid NOT NULL,
            kind text NOT NULL CONSTRAINT ck_mpesa_result_kind CHECK (kind IN ('result', 'timeout')),
            body_digest bytea NOT NULL,
            body bytea NOT NULL,
            peer text,
            outcome text,
            processed_at timestamptz,
            created_at timestamptz NOT NULL DEFAULT now(),
            CONSTRAINT pk_mpesa_result PRIMARY KEY (tenant_id, id),
            CONSTRAINT uq_mpesa_result_tenant_id_request_id_kind_body_digest
                UNIQUE (tenant_id, request_id, kind, body_digest),
            CONSTRAINT fk_mpesa_result_request FOREIGN KEY (tenant_id, request_id)
                REFERENCES mpesa_request (tenant_id, id)
        );
    """)
    protect("mpesa_request", grant="SELECT, INSERT, UPDATE")
    protect("mpesa_result", grant="SELECT, INSERT, UPDATE")


def _payouts() -> None:
    op.execute("""
        CREATE TABLE payout_setting (
            tenant_id uuid NOT NULL,
            id uuid NOT NULL,
            alone_cents bigint NOT NULL CONSTRAINT ck_payout_setting_alone CHECK (alone_cents >= 0),
            next_alone_cents bigint CONSTRAINT ck_payout_setting_next CHECK (next_alone_cents >= 0),
            next_from timestamptz,
            created_at timestamptz NOT NULL DEFAULT now(),
            CONSTRAINT pk_payout_setting PRIMARY KEY (tenant_id, id),
            CONSTRAINT uq_payout_setting_tenant_id UNIQUE (tenant_id)
        );
        CREATE TABLE payout (
            tenant_id uuid NOT NULL,
            id uuid NOT NULL,
            method text NOT NULL CONSTRAINT ck_payout_method CHECK (method IN ('b2c', 'reversal')),
            mpesa_account_id uuid NOT NULL,
            source_code text NOT NULL,
            subscriber_id uuid,
            receipt_id uuid,
            ends_purchase_id uuid,
            phone text,
            amount_cents bigint NOT NULL
                CONSTRAINT ck_payout_amount CHECK (amount_cents > 0 AND amount_cents % 100 = 0),
            reason text NOT NULL,
            state text NOT NULL DEFAULT 'draft' CONSTRAINT ck_payout_state CHECK (state IN ('draft', 'approved',
                'sending', 'accepted', 'unknown', 'review', 'paid', 'failed', 'withdrawn')),
            code text,
            needs_second boolean NOT NULL,
            requested_by uuid NOT NULL,
            requested_name text NOT NULL,
            approved_by uuid,
            approved_name text,
            approved_at timestamptz,
            original_id text NOT NULL,
            receipt text,
            fee_cents bigint,
            sent_at timestamptz,
            settled_at timestamptz,
            created_at timestamptz NOT NULL DEFAULT now(),
            CONSTRAINT pk_payout PRIMARY KEY (tenant_id, id),
            CONSTRAINT uq_payout_tenant_id_original_id UNIQUE (tenant_id, original_id),
            CONSTRAINT ck_payout_phone CHECK (method <> 'b2c' OR phone IS NOT NULL),
            CONSTRAINT ck_payout_whole CHECK (method <> 'reversal' OR receipt_id IS NOT NULL),
            CONSTRAINT ck_payout_second CHECK (NOT needs_second OR approved_by IS NULL OR approved_by <> requested_by),
            CONSTRAINT ck_payout_approved CHECK (state IN ('draft', 'withdrawn') OR approved_by IS NOT NULL),
            CONSTRAINT fk_payout_account FOREIGN KEY (tenant_id, mpesa_account_id)
                REFERENCES mpesa_account (tenant_id, id),
            CONSTRAINT fk_payout_subscriber FOREIGN KEY (tenant_id, subscriber_id)
                REFERENCES subscriber (tenant_id, id),
            CONSTRAINT fk_payout_receipt FOREIGN KEY (tenant_id, receipt_id)
                REFERENCES provider_receipt (tenant_id, id),
            CONSTRAINT fk_payout_ends_purchase FOREIGN KEY (tenant_id, ends_purchase_id)
                REFERENCES purchase (tenant_id, id)
        );
        CREATE INDEX ix_payout_requested ON payout (tenant_id, requested_by, created_at);
        CREATE INDEX ix_payout_open ON payout (tenant_id, id)
            WHERE state NOT IN ('paid', 'failed', 'withdrawn');
        -- M-Pesa takes a payment back once: one request at a time, and none after it is done.
        CREATE UNIQUE INDEX uq_payout_reversal ON payout (tenant_id, receipt_id)
            WHERE method = 'reversal' AND state NOT IN ('failed', 'withdrawn');
        CREATE INDEX ix_payout_receipt ON payout (tenant_id, receipt_id);
        CREATE INDEX ix_payout_own_receipt ON payout (tenant_id, receipt) WHERE receipt IS NOT NULL;
    """)
    protect("payout_setting", grant="SELECT, INSERT, UPDATE")
    protect("payout", grant="SELECT, INSERT, UPDATE")


def _payout_rules() -> None:
    op.execute("""
        -- What was asked for never changes, and what is paid stays paid. A success that is told after a failure counts.
        CREATE FUNCTION app.payout_guard() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog AS $$
        BEGIN
            IF (OLD.method, OLD.mpesa_account_id, OLD.source_code, OLD.subscriber_id, OLD.receipt_id,
                OLD.ends_purchase_id, OLD.phone, OLD.amount_cents, OLD.original_id, OLD.requested_by)
               IS DISTINCT FROM
               (NEW.method, NEW.mpesa_account_id, NEW.source_code, NEW.subscriber_id, NEW.receipt_id,
                NEW.ends_purchase_id, NEW.phone, NEW.amount_cents, NEW.original_id, NEW.requested_by)
               OR (OLD.needs_second AND NOT NEW.needs_second)
               OR (OLD.approved_by IS NOT NULL AND OLD.approved_by IS DISTINCT FROM NEW.approved_by)
            THEN
                RAISE EXCEPTION 'what a payout asks for never changes' USING ERRCODE = 'restrict_violation';
            END IF;
            IF (OLD.state IN ('paid', 'withdrawn') AND NEW.state <> OLD.state)
               OR (OLD.state = 'failed' AND NEW.state NOT IN ('failed', 'paid'))
               OR (OLD.state <> 'draft' AND NEW.state = 'draft')
               OR (OLD.state NOT IN ('draft', 'approved') AND NEW.state = 'withdrawn')
               OR (OLD.state NOT IN ('draft', 'approved', 'sending') AND NEW.state = 'approved')
               OR (OLD.state <> 'approved' AND OLD.state <> 'sending' AND NEW.state = 'sending')
            THEN
                RAISE EXCEPTION 'a payout does not go from % to %', OLD.state, NEW.state
                    USING ERRCODE = 'restrict_violation';
            END IF;
            RETURN NEW;
        END $$;
        CREATE TRIGGER guard BEFORE UPDATE ON payout FOR EACH ROW EXECUTE FUNCTION app.payout_guard();

        -- Never more than came in. One at a time per receipt, so that two requests do not overlook each other.
        CREATE FUNCTION app.payout_bound() RETURNS trigger LANGUAGE plpgsql
        SET search_path = pg_catalog, public AS $$
        DECLARE came bigint; goes bigint;
        BEGIN
            IF NEW.receipt_id IS NULL THEN
                RETURN NEW;
            END IF;
            PERFORM pg_advisory_xact_lock(hashtextextended(NEW.receipt_id::text, 12));
            SELECT amount_cents INTO came FROM public.provider_receipt
                WHERE tenant_id = NEW.tenant_id AND id = NEW.receipt_id;
            SELECT coalesce(sum(amount_cents), 0) INTO goes FROM public.payout
                WHERE tenant_id = NEW.tenant_id AND receipt_id = NEW.receipt_id
                AND state NOT IN ('failed', 'withdrawn');
            IF came IS NULL OR goes + NEW.amount_cents > came THEN
                RAISE EXCEPTION 'more goes back than came in' USING ERRCODE = 'check_violation';
            END IF;
            RETURN NEW;
        END $$;
        CREATE TRIGGER bound BEFORE INSERT ON payout FOR EACH ROW EXECUTE FUNCTION app.payout_bound();
    """)
