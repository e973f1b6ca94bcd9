"""The garbage collector while a process starts."""

import contextlib
import gc
from collections.abc import Iterator


@contextlib.contextmanager
def staying() -> Iterator[None]:
    """Keep what is made inside out of the garbage collector, now and later: imports, and what lives until the end.

    Nothing is gained by looking for garbage in it, and the first look at half a million new objects would take a
    twentieth of a start (docs/explanation/performance.md).
    """
    gc.disable()
    try:
        yield
        gc.freeze()
    finally:
        gc.enable()
