"""A refused login counts the ones like it: how many there were, and when the last one was."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Refusals of before are one each."""
    op.add_column("denials", sa.Column("times", sa.BigInteger(), nullable=False, server_default=sa.text("1")))
    op.add_column("denials", sa.Column("last_at", sa.BigInteger(), nullable=True))
