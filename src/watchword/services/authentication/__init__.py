"""Authentication, the use cases: prove who calls, and issue, check, renew and revoke credentials.

A login is *located* (its configuration is found), *verified* (the auth method accepts the proof) and *issued* (one
journal entry spends, counts and records); each step can end it as *refused*, and operators read why by the request id.
The auth methods themselves are in `watchword.methods`; signing in as a person is `services.people`; what a known
caller may do is `services.access`.
"""
