"""What can go wrong before anything is measured."""


class BenchError(Exception):
    """The benchmark cannot go on; the message says what to do."""
