"""Secrets over HTTP: both versions of the API, imports, and secrets as files."""
