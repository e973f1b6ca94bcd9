"""An index of the identities that administer the instance."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """A handful of many: found without reading all identities."""
    condition = sa.text("is_instance_admin = 1")
    op.create_index(
        "ix_identities_instance_admin", "identities", ["id"], sqlite_where=condition, postgresql_where=condition
    )
