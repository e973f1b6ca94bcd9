"""The real outside: clock, randomness, outbound requests, keys, logs."""
