"""Audit in the database: events and refused logins, written (`events`) and read by filters (`queries`)."""
