"""${message}"""

from alembic import op

from migrations.rls import protect

revision = ${repr(up_revision)}
down_revision = ${repr(down_revision)}
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("""""")
    protect("", grant="SELECT, INSERT, UPDATE")
