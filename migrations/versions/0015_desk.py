"""Money that staff take: cash, and transfers to the bank; numbers without gaps"""

from alembic import op

from migrations.rls import append_only, protect

revision = "0015"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("""
        CREATE TABLE number_series (
            tenant_id uuid NOT NULL,
            id uuid NOT NULL,
            name text NOT NULL,
            last bigint NOT NULL CONSTRAINT ck_number_series_last CHECK (last > 0),
            created_at timestamptz NOT NULL DEFAULT now(),
            CONSTRAINT pk_number_series PRIMARY KEY (tenant_id, id),
            CONSTRAINT uq_number_series_name UNIQUE (tenant_id, name)
        );
        CREATE TABLE desk_payment (
            tenant_id uuid NOT NULL,
            id uuid NOT NULL,
            nonce text NOT NULL,
            number bigint NOT NULL,
            subscriber_id uuid NOT NULL,
            method text NOT NULL CONSTRAINT ck_desk_payment_method CHECK (method IN ('cash', 'bank')),
            amount_cents bigint NOT NULL CONSTRAINT ck_desk_payment_amount CHECK (amount_cents > 0),
            reference text,
            taken_by_id uuid NOT NULL,
            taken_by text NOT NULL,
            transaction_id uuid NOT NULL,
            created_at timestamptz NOT NULL DEFAULT now(),
            CONSTRAINT pk_desk_payment PRIMARY KEY (tenant_id, id),
            CONSTRAINT uq_desk_payment_nonce UNIQUE (tenant_id, nonce),
            CONSTRAINT uq_desk_payment_number UNIQUE (tenant_id, number),
            CONSTRAINT fk_desk_payment_subscriber FOREIGN KEY (tenant_id, subscriber_id)
                REFERENCES subscriber (tenant_id, id),
            CONSTRAINT fk_desk_payment_transaction FOREIGN KEY (tenant_id, transaction_id)
                REFERENCES ledger_transaction (tenant_id, id)
        );
        CREATE TABLE desk_void (
            tenant_id uuid NOT NULL,
            id uuid NOT NULL,
            payment_id uuid NOT NULL,
            reason text NOT NULL,
            voided_by text NOT NULL,
            transaction_id uuid NOT NULL,
            created_at timestamptz NOT NULL DEFAULT now(),
            CONSTRAINT pk_desk_void PRIMARY KEY (tenant_id, id),
            CONSTRAINT uq_desk_void_payment UNIQUE (tenant_id, payment_id),
            CONSTRAINT fk_desk_void_payment FOREIGN KEY (tenant_id, payment_id) REFERENCES desk_payment (tenant_id, id),
            CONSTRAINT fk_desk_void_transaction FOREIGN KEY (tenant_id, transaction_id)
                REFERENCES ledger_transaction (tenant_id, id)
        );
    """)
    protect("number_series", grant="SELECT, INSERT, UPDATE")
    protect("desk_payment", grant="SELECT, INSERT")
    append_only("desk_payment")
    protect("desk_void", grant="SELECT, INSERT")
    append_only("desk_void")
