"""Authentication in the database: configurations of auth methods, credentials, revocations, lockouts, spent proofs.

A login writes no row of its own: rows are there for what has a name or is counted. `services.authentication` decides.
"""
