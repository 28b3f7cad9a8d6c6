"""Customers' claims of payments, QR codes to pay by, standing orders"""

from alembic import op

from migrations.rls import protect

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None


def upgrade() -> None:
    _claims()
    _codes()
    _orders()


def _claims() -> None:
    op.execute("""
        CREATE TABLE payment_claim (
            tenant_id uuid NOT NULL,
            id uuid NOT NULL,
            nonce text NOT NULL CONSTRAINT ck_payment_claim_nonce CHECK (nonce ~ '^[0-9a-f]{32}$'),
            code text NOT NULL,
            phone text NOT NULL,
            channel text NOT NULL CONSTRAINT ck_payment_claim_channel CHECK (channel IN ('hotspot', 'pppoe')),
            subscriber_id uuid NOT NULL,
            purchase_id uuid,
            state text NOT NULL DEFAULT 'looking' CONSTRAINT ck_payment_claim_state CHECK (state IN (
                'looking', 'found', 'used', 'not_ours', 'unknown')),
            receipt_id uuid,
            cents bigint NOT NULL DEFAULT 0,
            moved_cents bigint NOT NULL DEFAULT 0,
            created_at timestamptz NOT NULL DEFAULT now(),
            CONSTRAINT pk_payment_claim PRIMARY KEY (tenant_id, id),
            CONSTRAINT uq_payment_claim_nonce UNIQUE (tenant_id, nonce),
            CONSTRAINT uq_payment_claim_code UNIQUE (tenant_id, code, phone),
            CONSTRAINT uq_payment_claim_receipt UNIQUE (tenant_id, receipt_id),
            CONSTRAINT ck_payment_claim_cents CHECK (moved_cents BETWEEN 0 AND cents),
            CONSTRAINT fk_payment_claim_subscriber FOREIGN KEY (tenant_id, subscriber_id)
                REFERENCES subscriber (tenant_id, id),
            CONSTRAINT fk_payment_claim_purchase FOREIGN KEY (tenant_id, purchase_id)
                REFERENCES purchase (tenant_id, id),
            CONSTRAINT fk_payment_claim_receipt FOREIGN KEY (tenant_id, receipt_id)
                REFERENCES provider_receipt (tenant_id, id)
        );
        CREATE INDEX ix_payment_claim_phone ON payment_claim (tenant_id, phone, created_at);
        CREATE INDEX ix_payment_claim_subscriber ON payment_claim (tenant_id, subscriber_id);
    """)
    protect("payment_claim", grant="SELECT, INSERT, UPDATE")


def _codes() -> None:
    op.execute("""
        CREATE TABLE mpesa_qr (
            tenant_id uuid NOT NULL,
            id uuid NOT NULL,
            mpesa_account_id uuid NOT NULL,
            reference text NOT NULL CONSTRAINT ck_mpesa_qr_reference CHECK (reference ~ '^[A-Z0-9]{1,12}$'),
            amount_cents bigint NOT NULL CONSTRAINT ck_mpesa_qr_amount CHECK (amount_cents > 0),
            title text NOT NULL,
            subject_id uuid,
            state text NOT NULL DEFAULT 'asked' CONSTRAINT ck_mpesa_qr_state CHECK (state IN (
                'asked', 'ready', 'refused')),
            code text,
            picture bytea,
            created_at timestamptz NOT NULL DEFAULT now(),
            CONSTRAINT pk_mpesa_qr PRIMARY KEY (tenant_id, id),
            CONSTRAINT uq_mpesa_qr_asked UNIQUE (tenant_id, mpesa_account_id, reference, amount_cents),
            CONSTRAINT ck_mpesa_qr_picture CHECK ((state = 'ready') = (picture IS NOT NULL)),
            CONSTRAINT fk_mpesa_qr_account FOREIGN KEY (tenant_id, mpesa_account_id)
                REFERENCES mpesa_account (tenant_id, id)
        );
        CREATE INDEX ix_mpesa_qr_reference ON mpesa_qr (tenant_id, reference);
    """)
    protect("mpesa_qr", grant="SELECT, INSERT, UPDATE")


def _orders() -> None:
    op.execute("""
        CREATE TABLE standing_order (
            tenant_id uuid NOT NULL,
            id uuid NOT NULL,
            nonce text NOT NULL CONSTRAINT ck_standing_order_nonce CHECK (nonce ~ '^[0-9a-f]{32}$'),
            mpesa_account_id uuid NOT NULL,
            subscriber_id uuid NOT NULL,
            package_id uuid NOT NULL,
            terms jsonb NOT NULL,
            phone text NOT NULL,
            amount_cents bigint NOT NULL CONSTRAINT ck_standing_order_amount CHECK (amount_cents > 0),
            name text NOT NULL,
            reference text NOT NULL,
            starts_on date NOT NULL,
            ends_on date NOT NULL,
            state text NOT NULL DEFAULT 'created' CONSTRAINT ck_standing_order_state CHECK (state IN (
                'created', 'submitting', 'asked', 'stands', 'refused', 'unknown')),
            code text,
            token_fingerprint text NOT NULL,
            token_sealed bytea NOT NULL,
            order_reference text,
            submitted_at timestamptz,
            told_at timestamptz,
            last_paid_at timestamptz,
            created_at timestamptz NOT NULL DEFAULT now(),
            CONSTRAINT pk_standing_order PRIMARY KEY (tenant_id, id),
            CONSTRAINT uq_standing_order_nonce UNIQUE (tenant_id, nonce),
            CONSTRAINT uq_standing_order_token UNIQUE (tenant_id, token_fingerprint),
            CONSTRAINT ck_standing_order_days CHECK (starts_on < ends_on),
            CONSTRAINT fk_standing_order_account FOREIGN KEY (tenant_id, mpesa_account_id)
                REFERENCES mpesa_account (tenant_id, id),
            CONSTRAINT fk_standing_order_subscriber FOREIGN KEY (tenant_id, subscriber_id)
                REFERENCES subscriber (tenant_id, id),
            CONSTRAINT fk_standing_order_package FOREIGN KEY (tenant_id, package_id)
                REFERENCES package (tenant_id, id)
        );
        CREATE INDEX ix_standing_order_phone ON standing_order (tenant_id, phone, created_at);
        CREATE TABLE standing_order_event (
            tenant_id uuid NOT NULL,
            id uuid NOT NULL,
            order_id uuid NOT NULL,
            body_digest bytea NOT NULL,
            body bytea NOT NULL,
            peer text,
            outcome text,
            processed_at timestamptz,
            created_at timestamptz NOT NULL DEFAULT now(),
            CONSTRAINT pk_standing_order_event PRIMARY KEY (tenant_id, id),
            CONSTRAINT uq_standing_order_event_body UNIQUE (tenant_id, order_id, body_digest),
            CONSTRAINT fk_standing_order_event_order FOREIGN KEY (tenant_id, order_id)
                REFERENCES standing_order (tenant_id, id)
        );
    """)
    op.execute("""
        -- Whether standing orders are offered is kept with the packages that a portal shows.
        CREATE TRIGGER version AFTER UPDATE OF standing_orders, active ON mpesa_account
            FOR EACH ROW EXECUTE FUNCTION app.renew_tenant();
    """)
    protect("standing_order", grant="SELECT, INSERT, UPDATE")
    protect("standing_order_event", grant="SELECT, INSERT, UPDATE")
