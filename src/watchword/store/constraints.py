"""Messages for constraint violations: one for every unique index, primary key and foreign key of the schema.

Services ask first and answer in their own words. These sentences are for what they cannot have seen: another request
that was first.
"""

from collections.abc import Iterator, Sequence

from sqlalchemy import Table

from watchword.store.schema import metadata

# Where the name of a table or column is not what people call the thing.
_NOUNS = {
    "users": "account",
    "method_configs": "auth method",
    "method_templates": "template",
    "actor_metadata": "metadata entry",
    "one_time_tokens": "link",
    "group_members": "member of the group",
    "memberships": "membership",
    "membership_roles": "role of the membership",
    "privileges": "additional privilege",
    "secret_imports": "import",
    "data_keys": "key",
    "audit_events": "audit event",
}
_COLUMNS = {
    "email": "address",
    "token_hash": "token",
    "key": "name",
    "locator": "client id",
    "method": "method",
    "hash": "value",
}
_SCOPES = frozenset({"actor_kind", "version"})  # with the ids: what a name is unique in, and no name


def noun(table: str) -> str:
    """The name of a row of a table in messages."""
    if table in _NOUNS:
        return _NOUNS[table]
    words = table.replace("_", " ")
    return words[:-3] + "y" if words.endswith("ies") else words.removesuffix("s")


def taken(table: str, columns: Sequence[str] = ()) -> str:
    """The message that a row with the same values in these columns exists already."""
    row = noun(table)
    names = [
        _COLUMNS.get(name, name.replace("_", " "))
        for name in columns
        if name != "id" and not name.endswith("_id") and name not in _SCOPES
    ]
    if not names:
        return f"There is such {_a(row)} already"
    return f"There is {_a(row)} with this {' and '.join(names)} already"


def gone(table: str, columns: Sequence[str] = ()) -> str:
    """The message that what a row of the table would belong to does not exist.

    `columns` say which of several parents it is, where the database does.
    """
    targets = [noun(target) for column, target in parents(table) if not columns or column in columns] or ["thing"]
    named = list(dict.fromkeys(targets))
    return f"The {', '.join(named[:-1])}{' or ' if len(named) > 1 else ''}{named[-1]} was deleted meanwhile"


def needed(table: str) -> str:
    """The message that a row of the table cannot be deleted."""
    return f"The {noun(table)} is still in use: remove what uses it first"


def parents(table: str) -> Iterator[tuple[str, str]]:
    """The foreign keys of a table: column and table that it leads to."""
    parent_table = metadata.tables.get(table)
    if parent_table is not None:
        for column in parent_table.columns:
            for key in column.foreign_keys:
                yield column.name, key.column.table.name


def uniques(table: Table) -> Iterator[tuple[str, tuple[str, ...]]]:
    """The unique indexes of a table and its primary key: name and columns."""
    for index in table.indexes:
        if index.unique:
            yield str(index.name), tuple(column.name for column in index.columns)
    yield f"pk_{table.name}", tuple(column.name for column in table.primary_key.columns)


_COLUMNS_OF = {name: columns for table in metadata.tables.values() for name, columns in uniques(table)}


def columns_of(index: str) -> tuple[str, ...]:
    """The columns of a unique index or primary key by its name."""
    return _COLUMNS_OF.get(index, ())


def _a(name: str) -> str:
    return f"an {name}" if name[0] in "aeiou" else f"a {name}"
