"""Since when an M-Pesa account needs mending"""

from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("ALTER TABLE mpesa_account ADD COLUMN fault_since timestamptz")
