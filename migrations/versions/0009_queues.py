"""A job waits on a queue that has a worker, or is not taken"""

from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # The release before this one puts jobs on these queues only; a later one adds its queue here before it is deployed.
    op.execute("""
        ALTER TABLE outbox ADD CONSTRAINT ck_outbox_queue
            CHECK (queue IN ('settlement', 'daraja', 'network', 'messages', 'bulk')) NOT VALID;
    """)
    # In a transaction of its own: what is checked at length is not locked against writing.
    with op.get_context().autocommit_block():
        op.execute("ALTER TABLE outbox VALIDATE CONSTRAINT ck_outbox_queue")
