"""Audit: the records of events and refused logins, and what kind of client a request came from."""
