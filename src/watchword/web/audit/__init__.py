"""The audit log and the reports as pages."""
