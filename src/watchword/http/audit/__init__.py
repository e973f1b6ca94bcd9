"""The audit log and the refused logins over HTTP."""
