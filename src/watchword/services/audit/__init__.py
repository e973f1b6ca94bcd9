"""Audit, the use cases: read the audit log and the refused logins.

Events are written by the unit or journal entry that they record.
"""
