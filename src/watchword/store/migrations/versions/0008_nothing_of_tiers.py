"""The column `folder_tier` of privileges goes: it was never written."""

from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """SQLite has been able to drop a column by itself since 3.35."""
    op.drop_column("privileges", "folder_tier")
