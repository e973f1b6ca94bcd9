"""Authentication, the rules: how a token is read and checked, a foreign signature verified, a failed login counted.

An access token is *live* from its issue until the first of: its TTL ends (a renewal moves this end, never beyond max
TTL), its last use is spent, or a revocation names it, its credential, its auth method or its identity's generation. A
lockout is *open*, *counting* or *locked*; it opens by time or by an operator. Who may do what once the caller is known
is `domain.access`.
"""
