"""Roles, who is where with which role, and who can do what, as pages."""
