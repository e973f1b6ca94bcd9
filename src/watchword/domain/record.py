"""The stored records: frozen structs, one module for each area. Times are integer milliseconds UTC, ids are text.

They, and what the cache keeps of them, are no concern of the garbage collector (`gc=False`): what is frozen when it is
made can be no part of a cycle (docs/explanation/performance.md).
"""

import msgspec


class Record(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A row as the rest of the server sees it."""
