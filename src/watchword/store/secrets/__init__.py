"""Secrets in the database, sealed, with their versions, and the imports of folders."""
