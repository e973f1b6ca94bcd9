"""Generations of an identity's tokens: what ends all of them is counted by the database instead of told by a clock."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """What was issued until now has generation 0, and stays good."""
    op.add_column("identities", sa.Column("token_generation", sa.BigInteger(), server_default="1", nullable=False))
    op.add_column("identities", sa.Column("tokens_since", sa.BigInteger(), server_default="0", nullable=False))
    op.add_column("method_configs", sa.Column("tokens_since", sa.BigInteger(), server_default="0", nullable=False))
    op.add_column("method_configs", sa.Column("longest_life", sa.BigInteger(), nullable=True))
