"""What was left of deleted organizations, projects and identities goes: keys, and rows that no foreign key
takes along.
"""

from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Only rows without whom they belong to."""
    for table, prefix in (("organizations", "org/"), ("projects", "project/")):
        known = f"SELECT '{prefix}' || id FROM {table}"  # noqa: S608 - our own names
        op.execute(f"DELETE FROM data_keys WHERE scope LIKE '{prefix}%' AND scope NOT IN ({known})")  # noqa: S608
    op.execute("DELETE FROM revocations WHERE identity_id NOT IN (SELECT id FROM identities)")
    op.execute(
        "DELETE FROM membership_roles WHERE membership_id IN"
        " (SELECT id FROM memberships WHERE actor_kind = 'identity' AND actor_id NOT IN (SELECT id FROM identities))"
    )
    for table in ("actor_metadata", "privileges", "group_members", "memberships"):
        op.execute(f"DELETE FROM {table} WHERE actor_kind = 'identity' AND actor_id NOT IN (SELECT id FROM identities)")  # noqa: S608
