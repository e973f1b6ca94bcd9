"""Keys: the record of a data key, and the sealing of values so that they open only where they belong."""
