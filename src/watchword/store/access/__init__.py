"""Access in the database: memberships, roles, privileges, and who holds what in a project."""
