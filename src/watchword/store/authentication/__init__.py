"""Authentication in the database: configurations of auth methods, credentials, revocations, lockouts, spent proofs.

A login writes no row of its own: rows are there for what has a name or is counted. `services.authentication` decides.

- `method_configs`: the auth methods of identities, each with its configuration
- `client_secrets`: client secrets, and how often each was used
- `token_rows`: tokens that have a name or a use limit, or were renewed
- `token_revocations`: what ends tokens: revocations, and generations of an identity's tokens
- `live_tokens`: what a report of live tokens is made of
- `logins`: the journal entry of a login, which counts and records all that one leaves behind
- `lockouts`: counters of failed logins
- `spent_proofs`: proofs that may be used once
- `templates`: configurations that several identities share
- `wraps`: credentials that are handed over once
"""
