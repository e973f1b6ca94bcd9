"""Live tokens can be listed: logins are found by identity, and what outlives its login's event has a row."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Of rows that are there the generation and the origin are not known: they count as live until their end."""
    op.add_column("access_tokens", sa.Column("generation", sa.BigInteger(), nullable=True))
    op.add_column("access_tokens", sa.Column("address", sa.Text(), nullable=True))
    op.add_column("access_tokens", sa.Column("user_agent", sa.Text(), nullable=True))
    op.create_index("ix_access_tokens_newest", "access_tokens", ["identity_id", "id"])
    condition = sa.text("substr(event, 1, 15) = 'login-identity-'")
    op.create_index(
        "ix_audit_events_logins",
        "audit_events",
        ["actor_id", "id"],
        sqlite_where=condition,
        postgresql_where=condition,
    )
