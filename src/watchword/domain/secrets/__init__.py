"""Secrets: the records, references between values, what texts may hold, and secrets as files."""
