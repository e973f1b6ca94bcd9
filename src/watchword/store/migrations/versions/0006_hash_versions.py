"""Which key a credential is hashed with, so that the key can be rotated."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Everything until now is hashed with the first."""
    for table in ("client_secrets", "service_tokens", "invitations", "one_time_tokens"):
        op.add_column(table, sa.Column("hash_version", sa.BigInteger(), server_default="1", nullable=False))
