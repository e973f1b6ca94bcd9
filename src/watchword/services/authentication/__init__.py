"""Authentication, the use cases: prove who calls, and issue, check, renew and revoke what they call with.

A login is *found* (its configuration is located), *verified* (the auth method believes the proof) and *issued* (one
journal entry spends, counts and records); each step can end it as *refused*, and operators read why by the id of the
request. Auth methods themselves are in `watchword.methods`; signing in as a person is `services.people`; what a known
caller may do, `services.access`.
"""
