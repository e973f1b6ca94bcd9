"""Replicas: the reserved folders with the copies that replicated imports show.

A replica is a folder below the one that imports, with a name that is made of the import's id. No request can name it:
what is in it counts as being in the folder that imports, for permissions and in answers.
"""

from typing import Final

PREFIX: Final = "__reserve_replication_"


def replica_name(import_id: str) -> str:
    """Return the name of the folder with the copies of this import."""
    return PREFIX + import_id


def is_replica(name: str) -> bool:
    """Whether a folder with this name is reserved for copies."""
    return name.startswith(PREFIX)


def shown_path(path: str) -> str:
    """Return the path that what is in the folder at `path` counts as being in: of a replica its parent's."""
    parent, _, name = path.rpartition("/")
    return (parent or "/") if is_replica(name) else path
