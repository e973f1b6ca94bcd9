"""Data keys, sealed, as they are stored."""

from watchword.domain.record import Record


class DataKey(Record, frozen=True, kw_only=True):
    """A key sealed under its parent.

    The parent is the root key for `instance/…` and `org/…`, the organization's key for `project/…`.
    """

    scope: str
    version: int
    parent: str
    parent_version: int
    sealed: bytes
    is_active: bool = True
    created_at: int
