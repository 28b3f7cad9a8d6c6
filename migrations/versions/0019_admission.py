"""Whom RADIUS has let in and no accounting has told of yet: their places are taken"""

from alembic import op

from migrations.rls import protect

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("""
        CREATE TABLE admission (
            tenant_id uuid NOT NULL,
            id uuid NOT NULL,
            mac text NOT NULL,
            entitlement_id uuid NOT NULL,
            subscriber_id uuid NOT NULL,
            admitted_at timestamptz NOT NULL,
            created_at timestamptz NOT NULL DEFAULT now(),
            CONSTRAINT pk_admission PRIMARY KEY (tenant_id, id),
            CONSTRAINT uq_admission_tenant_id_mac UNIQUE (tenant_id, mac),
            CONSTRAINT fk_admission_entitlement FOREIGN KEY (tenant_id, entitlement_id)
                REFERENCES entitlement (tenant_id, id),
            CONSTRAINT fk_admission_subscriber FOREIGN KEY (tenant_id, subscriber_id)
                REFERENCES subscriber (tenant_id, id)
        );
        CREATE INDEX ix_admission_entitlement ON admission (tenant_id, entitlement_id);
    """)
    protect("admission", grant="SELECT, INSERT, UPDATE")
