"""A package bought while another runs waits for it; a right is for one service; what a customer spends of a wallet"""

from alembic import op

revision = "0011"
down_revision = "0015"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # Rights that are there were all sold on hotspots: nothing else was for sale before. The checks are of new columns,
    # whose one value is there already.
    op.execute("""
        -- squawk-ignore constraint-missing-not-valid
        ALTER TABLE purchase ADD COLUMN channel text NOT NULL DEFAULT 'hotspot'
            CONSTRAINT ck_purchase_channel CHECK (channel IN ('hotspot', 'pppoe'));
        -- squawk-ignore constraint-missing-not-valid
        ALTER TABLE purchase ADD COLUMN wallet_cents bigint NOT NULL DEFAULT 0
            CONSTRAINT ck_purchase_wallet_cents CHECK (wallet_cents BETWEEN 0 AND price_cents);
        -- squawk-ignore constraint-missing-not-valid
        ALTER TABLE purchase ADD COLUMN moved_cents bigint NOT NULL DEFAULT 0
            CONSTRAINT ck_purchase_moved_cents CHECK (moved_cents >= 0);
        -- squawk-ignore require-concurrent-index-creation
        CREATE INDEX ix_purchase_mac ON purchase (tenant_id, mac, id) WHERE mac IS NOT NULL;
        -- squawk-ignore require-concurrent-index-creation
        CREATE INDEX ix_provider_receipt_intent ON provider_receipt (tenant_id, intent_id)
            WHERE intent_id IS NOT NULL;

        -- squawk-ignore constraint-missing-not-valid
        ALTER TABLE entitlement ADD COLUMN service text NOT NULL DEFAULT 'hotspot'
            CONSTRAINT ck_entitlement_service CHECK (service IN ('hotspot', 'pppoe'));
        ALTER TABLE entitlement ADD COLUMN follows_id uuid;
        -- One behind another: a queue never forks.
        -- squawk-ignore disallowed-unique-constraint,constraint-missing-not-valid
        ALTER TABLE entitlement ADD CONSTRAINT uq_entitlement_tenant_id_follows_id UNIQUE (tenant_id, follows_id);
        -- There is nothing to check; but the check asks whose rows it may see.
        SET LOCAL app.tenant_id = '00000000-0000-0000-0000-000000000000';
        -- squawk-ignore adding-foreign-key-constraint,constraint-missing-not-valid
        ALTER TABLE entitlement ADD CONSTRAINT fk_entitlement_follows FOREIGN KEY (tenant_id, follows_id)
            REFERENCES entitlement (tenant_id, id);
        RESET app.tenant_id;
    """)
