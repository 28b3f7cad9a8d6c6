"""A device may be paid for by several subscribers"""

from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # A MAC address is no secret: whoever else pays for one must not take it from who paid before.
    op.execute("""
        -- squawk-ignore ban-drop-constraint
        ALTER TABLE device DROP CONSTRAINT uq_device_tenant_id_mac;
        -- squawk-ignore disallowed-unique-constraint,constraint-missing-not-valid
        ALTER TABLE device ADD CONSTRAINT uq_device_tenant_id_mac_subscriber_id UNIQUE (tenant_id, mac, subscriber_id);
    """)
