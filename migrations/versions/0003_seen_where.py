"""When a person was last seen is a fact of one team; the trail can be asked how often something was done"""

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # The old column goes at once, and nothing of it is carried over: it told one ISP of work at another. Neither this
    # nor the index is for a database in use; no installation is older than this migration.
    op.execute("""
        ALTER TABLE membership ADD COLUMN seen_at timestamptz;
        -- squawk-ignore ban-drop-column
        ALTER TABLE person DROP COLUMN seen_at;
        -- squawk-ignore require-concurrent-index-creation
        CREATE INDEX ix_audit_entry_tenant_id_action_created_at ON audit_entry (tenant_id, action, created_at);
    """)
