"""Access in the database: memberships with their roles and privileges, custom roles, and who holds what in a
project.
"""
