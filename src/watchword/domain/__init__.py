"""The rules of Watchword: pure functions and records, with no I/O, no clock and no randomness."""
