"""The slug of a sub-organization is unique in its parent; that of any other organization on the instance, as before."""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Two indexes in place of one."""
    op.drop_index("uq_organizations_slug", "organizations")
    root = sa.text("parent_org_id IS NULL")
    op.create_index(
        "uq_organizations_slug", "organizations", ["slug"], unique=True, sqlite_where=root, postgresql_where=root
    )
    op.create_index("uq_organizations_parent_slug", "organizations", ["parent_org_id", "slug"], unique=True)
