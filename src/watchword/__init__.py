"""Watchword gives every workload an identity."""

__version__ = "0.1.0"
