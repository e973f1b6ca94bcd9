"""A reset link says which administrator made it: it is dead once that one administers the instance no more."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Links of before were asked for by mail, or are dead within the hour."""
    op.add_column("one_time_tokens", sa.Column("given_by", sa.Text(), nullable=True))
