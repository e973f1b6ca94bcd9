"""The audit log and the refused logins, for those who may read them.

Events are written by the unit or journal entry they tell of.
"""
