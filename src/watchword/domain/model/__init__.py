"""The stored records: frozen structs, one module for each area. Times are integer milliseconds UTC, ids are text."""

import msgspec


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """A row as the rest of the house sees it."""
