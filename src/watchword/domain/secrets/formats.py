"""Secrets as files: dotenv, JSON, YAML and CSV, read and written.

What is written here is read back equal, except that JSON and YAML files, being plain maps of names to values, carry no
comments.

Some of these files are run rather than read: a shell sources a dotenv file, a spreadsheet calculates the cells of a CSV
file. Names and values come from whoever may write a secret, so nothing in a file may be taken for a command or a
formula there.
"""

import csv
import io
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final, Literal

import msgspec

Format = Literal["dotenv", "json", "yaml", "csv"]
MAX_TEXT: Final = 32 * 1024 * 1024


class Item(msgspec.Struct, frozen=True):
    """One line of such a file, so to speak."""

    key: str
    value: str
    comment: str = ""

    def __repr__(self) -> str:
        return f"Item({self.key}, ***)"


class BadFile(ValueError):
    """The text is not in the format; the message says where, and never shows a value."""


def dump(format: Format, items: Iterable[Item]) -> str:
    """The items as the text of a file. Raises BadFile naming the items that the format cannot carry."""
    return _WRITERS[format](list(items))


def load(format: Format, text: str) -> tuple[Item, ...]:
    """The items in the text of a file; of a name that is there twice, the last. Raises BadFile."""
    if len(text) > MAX_TEXT:
        raise BadFile(f"The file has more than {MAX_TEXT} characters")
    items = {item.key: item for item in _READERS[format](text.removeprefix("\ufeff"))}
    return tuple(items.values())


# --- dotenv

_PLAIN: Final = re.compile(r"[A-Za-z0-9_./:@%+,=\-]*")
# What a dotenv file may call a variable: nothing in it means anything to a shell. A dot or a dash makes no name of a
# variable there, but programs that read such files know them. Letters beyond ASCII make a command of the whole line.
_VARIABLE: Final = re.compile(r"[\w.][\w.\-]*", re.ASCII)
_SHOWN_NAMES: Final = 20
_ESCAPES: Final = {"n": "\n", "r": "\r", "t": "\t", '"': '"', "\\": "\\", "$": "$", "`": "`"}
_ASSIGNMENT: Final = re.compile(r"[ \t]*(?:export[ \t]+)?(?P<key>[^\s=#'\"]+)[ \t]*=[ \t]*")
_DOUBLE: Final = re.compile(r'"(?P<inside>(?:[^"\\]|\\.)*)"', re.DOTALL)
_SINGLE: Final = re.compile(r"'(?P<inside>[^']*)'")
# As the dotenv of Node reads it: several lines, and nothing is escaped. A shell would run it, so none is written.
_BACKTICKS: Final = re.compile(r"`(?P<inside>[^`]*)`")
_REST: Final = re.compile(r"[ \t]*(?:#[^\n]*)?(?:\r?\n|$)")


def _quoted(value: str) -> str:
    if _PLAIN.fullmatch(value):
        return value
    if "'" not in value:
        return f"'{value}'"
    # What a shell and readers of dotenv files agree on: these four are escaped, and line breaks stand as they are.
    escaped = re.sub(r'[\\"$`]', lambda sign: "\\" + sign[0], value)
    return f'"{escaped}"'


def _write_dotenv(items: Sequence[Item]) -> str:
    strange = [item.key for item in items if not _VARIABLE.fullmatch(item.key)]
    if strange:
        rule = "a name there has letters A to Z and a to z, digits, '_', '.' and '-' only, and does not begin with '-'"
        raise BadFile(
            f"These names cannot stand in a dotenv file: {_names(strange)}; {rule}. The formats json and yaml take "
            "every name"
        )
    cut = [item.key for item in items if "\0" in item.value]
    if cut:
        raise BadFile(
            f"These values hold a zero character, which no variable can: {_names(cut)}. The format json takes every "
            "value"
        )
    lines = []
    for item in items:
        lines += [f"# {line}" for line in item.comment.splitlines()]
        lines.append(f"{item.key}={_quoted(item.value)}")
        if item.comment:
            lines.append("")
    return "".join(line + "\n" for line in lines)


def _names(names: Sequence[str]) -> str:
    more = f" and {len(names) - _SHOWN_NAMES} more" if len(names) > _SHOWN_NAMES else ""
    return ", ".join(repr(name) for name in names[:_SHOWN_NAMES]) + more


def _read_dotenv(text: str) -> Iterable[Item]:
    if text.count("\n") == text.count("\r\n"):
        text = text.replace("\r\n", "\n")  # written elsewhere; in a file of ours a carriage return belongs to a value
    position, comment = 0, list[str]()
    while position < len(text):
        end = text.find("\n", position)
        end = len(text) if end < 0 else end
        line = text[position:end].strip()
        if not line or line.startswith("#"):
            comment = [*comment, line.lstrip("#").strip()] if line else []
            position = end + 1
            continue
        match = _ASSIGNMENT.match(text, position)
        if match is None or match.end() > end + 1:
            raise BadFile(f"Line {_line(text, position)} is no assignment NAME=value")
        value, position = _dotenv_value(text, match.end())
        yield Item(match["key"], value, "\n".join(comment))
        comment = []


def _dotenv_value(text: str, position: int) -> tuple[str, int]:
    for pattern in (_DOUBLE, _SINGLE, _BACKTICKS):
        match = pattern.match(text, position)
        if match is not None:
            rest = _REST.match(text, match.end())
            if rest is None:
                raise BadFile(f"Line {_line(text, match.end())} goes on after the closing quote")
            value = match["inside"]
            if pattern is _DOUBLE:
                value = re.sub(r"\\(.)", lambda escape: _ESCAPES.get(escape[1], escape[0]), value, flags=re.DOTALL)
            return value, rest.end()
    if text[position : position + 1] in ("'", '"', "`"):
        raise BadFile(f"The quote in line {_line(text, position)} is never closed")
    end = text.find("\n", position)
    end = len(text) if end < 0 else end
    return re.sub(r"(?:^|\s+)#.*", "", text[position:end]).strip(), end + 1


def _line(text: str, position: int) -> int:
    return text.count("\n", 0, position) + 1


# --- JSON and YAML


class _Entry(msgspec.Struct, frozen=True):
    """An item of a JSON list, under the names that exports give the fields."""

    key: str = ""
    value: str = ""
    comment: str = ""
    secret_key: str = msgspec.field(default="", name="secretKey")
    secret_value: str = msgspec.field(default="", name="secretValue")
    secret_comment: str = msgspec.field(default="", name="secretComment")


def _write_json(items: Sequence[Item]) -> str:
    return msgspec.json.format(msgspec.json.encode({item.key: item.value for item in items}), indent=2).decode() + "\n"


def _read_json(text: str) -> Iterable[Item]:
    try:
        if text.lstrip().startswith("["):
            return _listed(msgspec.json.decode(text, type=list[_Entry]))
        return _read_object(text)
    except BadFile:
        raise
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        position = re.search(r"\(byte \d+\)", str(error))
        raise BadFile(
            f"The text is no JSON object of names and values {position[0] if position else ''}".strip()
        ) from None


def _listed(entries: Iterable[_Entry]) -> list[Item]:
    items = [
        Item(entry.key or entry.secret_key, entry.value or entry.secret_value, entry.comment or entry.secret_comment)
        for entry in entries
    ]
    if not all(item.key for item in items):
        raise BadFile("Every item of the list needs a key")
    return items


_Members = dict[str, msgspec.Raw]


def _read_object(text: str | msgspec.Raw) -> list[Item]:
    """The items of a JSON object: names with their values, or an answer of an API that is known by its fields."""
    members = msgspec.json.decode(text, type=_Members)
    for read in (_from_answer, _from_vault, _from_doppler, _from_aws):
        items = read(members)
        if items is not None:
            return items
    return [Item(key, _json_text(raw)) for key, raw in members.items()]


def _object(raw: msgspec.Raw | None) -> _Members | None:
    """The members of a value that is an object; None for any other."""
    if raw is None or not bytes(raw).lstrip().startswith(b"{"):
        return None
    return msgspec.json.decode(raw, type=_Members)


def _from_answer(members: _Members) -> list[Item] | None:
    """`{secrets: […], imports: […]}` or `{secret: {…}}` of this API: own secrets win, then the last import."""
    if members.keys() == {"secret"} and "secretKey" in (_object(members["secret"]) or ()):
        return _own([msgspec.json.decode(members["secret"], type=_Answered)])
    if "secrets" not in members or members.keys() - {"secrets", "imports", "secretImports", "totalCount"}:
        return None
    if not bytes(members["secrets"]).lstrip().startswith(b"["):
        return None
    own = msgspec.json.decode(members["secrets"], type=list[_Answered])
    groups = msgspec.json.decode(members["imports"], type=list[_Group] | None) if "imports" in members else None
    return _own([*(entry for group in groups or () for entry in group.secrets), *own])


class _Answered(_Entry, frozen=True):
    type: str = "shared"
    is_hidden: bool = msgspec.field(default=False, name="secretValueHidden")


class _Group(msgspec.Struct, frozen=True):
    secrets: list[_Answered] = []


def _own(entries: Sequence[_Answered]) -> list[Item]:
    shared = [entry for entry in entries if entry.type == "shared"]
    hidden = [entry.secret_key for entry in shared if entry.is_hidden]
    if hidden:
        raise BadFile(f"The file does not have the values of {_names(hidden)}: they were hidden where it was made")
    return _listed(shared)


_VAULT: Final = frozenset({"request_id", "lease_id", "renewable", "lease_duration"})


def _from_vault(members: _Members) -> list[Item] | None:
    """The answer of Vault or OpenBao to reading a secret of a KV store, version 1 or 2: the secret is in `data`."""
    data = _object(members.get("data"))
    if data is None:
        return None
    for level in (members, data):
        inner = _object(level.get("data"))
        metadata = _object(level.get("metadata")) or {}
        if inner is not None and level.keys() <= {"data", "metadata"} and "created_time" in metadata:
            return [Item(key, _json_text(raw)) for key, raw in inner.items()]
    if members.keys() >= _VAULT:
        return [Item(key, _json_text(raw)) for key, raw in data.items()]
    return None


def _from_doppler(members: _Members) -> list[Item] | None:
    """Doppler's secrets with their details: each has `computed` and `raw`, at the top or in `secrets`."""
    secrets = _object(members.get("secrets")) if "secrets" in members else members
    parts = {key: _object(raw) for key, raw in (secrets or {}).items()}
    if not parts or not all(part is not None and {"computed", "raw"} <= part.keys() for part in parts.values()):
        return None
    items = []
    for key, part in parts.items():
        if part is None or key in _OF_DOPPLER:
            continue
        note = _json_text(part["note"]) if "note" in part else ""
        items.append(Item(key, _json_text(part["computed"]), note))
    return items


# What Doppler adds to each answer of its own.
_OF_DOPPLER: Final = frozenset({"DOPPLER_CONFIG", "DOPPLER_ENVIRONMENT", "DOPPLER_PROJECT"})


def _from_aws(members: _Members) -> list[Item] | None:
    """The answer of AWS Secrets Manager to GetSecretValue: `SecretString` is an object of names, or one value."""
    if not {"ARN", "Name"} <= members.keys():
        return None
    if "SecretString" not in members:
        if "SecretBinary" in members:
            raise BadFile("The secret of AWS Secrets Manager is binary: only texts can be taken")
        return None
    text = _json_text(members["SecretString"])
    try:
        return [Item(key, _json_text(raw)) for key, raw in msgspec.json.decode(text, type=_Members).items()]
    except (msgspec.DecodeError, UnicodeError):
        return [Item(_json_text(members["Name"]).rpartition("/")[2], text)]


_TOKENS: Final = re.compile(r'"(?:[^"\\]|\\.)*"|[^\s"]')
_SPACED: Final = {",": ", ", ":": ": "}


def _json_text(raw: msgspec.Raw) -> str:
    """A string as it is, null as nothing; a number or flag as it is written; a structure on one line."""
    value = msgspec.json.decode(raw)
    if isinstance(value, (dict, list)):
        return "".join(
            _quoted_json(msgspec.json.decode(token)) if token.startswith('"') else _SPACED.get(token, token)
            for token in _TOKENS.findall(bytes(raw).decode())
        )
    return value if isinstance(value, str) else "" if value is None else bytes(raw).decode()


_ODD: Final = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff\U00010000-\U0010ffff]")


def _write_yaml(items: Sequence[Item]) -> str:
    import yaml  # noqa: PLC0415 - slow to import, and few servers ever need it

    readable = not any(_ODD.search(item.value) for item in items)  # the writer loses some signs unless it escapes
    return (
        yaml.safe_dump({item.key: item.value for item in items}, allow_unicode=readable, sort_keys=False, width=1 << 30)
        if items
        else "{}\n"
    )


def _read_yaml(text: str) -> Iterable[Item]:
    import yaml  # noqa: PLC0415

    try:
        # The base loader makes no numbers or dates of what was meant as text, and no objects of anything.
        root = yaml.compose(text, Loader=yaml.BaseLoader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        raise BadFile(f"The text is no YAML{f' (line {mark.line + 1})' if mark else ''}") from None
    except RecursionError:
        raise BadFile("The YAML is nested too deep") from None
    if root is None or (isinstance(root, yaml.ScalarNode) and not root.value):
        return []
    if not isinstance(root, yaml.MappingNode) or not all(isinstance(key, yaml.ScalarNode) for key, _ in root.value):
        raise BadFile("The YAML must be a map of names to values")
    try:
        return [Item(key.value, _yaml_text(value)) for key, value in root.value]
    except RecursionError:
        raise BadFile("The YAML is nested too deep") from None


def _yaml_text(node: Any) -> str:
    """A text as it is; a map or list as JSON, as a JSON file has it."""
    if isinstance(node.value, str):
        return node.value
    parts: list[str] = []
    _as_json(node, parts, [MAX_TEXT])
    return "".join(parts)


_JSON_PLAIN: Final = re.compile(r"true|false|null|-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?")


def _as_json(node: Any, parts: list[str], room: list[int]) -> None:
    """Add the JSON of a node to `parts`. Aliases may repeat a node very often: beyond `room` it is refused."""
    if isinstance(node.value, str):
        is_plain = node.style is None and _JSON_PLAIN.fullmatch(node.value)
        added = node.value if is_plain else _quoted_json(node.value)
        room[0] -= len(added)
        if room[0] < 0:
            raise BadFile(f"With its aliases the YAML has more than {MAX_TEXT} characters")
        parts.append(added)
        return
    is_map = node.id == "mapping"
    parts.append("{" if is_map else "[")
    for number, entry in enumerate(node.value):
        room[0] -= 2
        if number:
            parts.append(", ")
        if is_map:
            if not isinstance(entry[0].value, str):
                raise BadFile("A map in the YAML has a key that is no text")
            parts += (_quoted_json(entry[0].value), ": ")
        _as_json(entry[1] if is_map else entry, parts, room)
    parts.append("}" if is_map else "]")


def _quoted_json(text: str) -> str:
    return msgspec.json.encode(text).decode()


# --- CSV

_HEAD: Final = ("key", "value", "comment")
# A spreadsheet calculates a cell that begins so, and can run programs and send cells away while it does. One apostrophe
# before it makes it a text, for people and spreadsheets alike; a cell that begins with apostrophes already gets one
# more, so that it can be undone.
_FORMULA: Final = re.compile(r"'*\s*[=+\-@\uff1d\uff0b\uff0d\uff20]|'*[\t\r\n]")
# Spreadsheets take these for separators as well, but not within quotes: what follows one would begin a cell of its own.
_SEPARATOR: Final = re.compile(r"[;\t|]")
_HEADS: Final = {"name": "key", "secretkey": "key", "secretvalue": "value", "secretcomment": "comment"}


def _write_csv(items: Sequence[Item]) -> str:
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\r\n")
    quoting = csv.writer(out, lineterminator="\r\n", quoting=csv.QUOTE_ALL)
    writer.writerow(_HEAD)
    for item in items:  # one by one: a thread that writes many at once gives way to nobody
        cells = tuple(map(_as_text, (item.key, item.value, item.comment)))
        (quoting if any(map(_SEPARATOR.search, cells)) else writer).writerow(cells)
    return out.getvalue()


def _as_text(cell: str) -> str:
    return f"'{cell}" if _FORMULA.match(cell) else cell


def _from_text(cell: str) -> str:
    return cell[1:] if cell.startswith("'") and _FORMULA.match(cell) else cell


def _read_csv(text: str) -> Iterable[Item]:
    try:
        rows = list(csv.reader(io.StringIO(text, newline=""), strict=True))
    except csv.Error as error:
        raise BadFile(f"The text is no CSV: {error}") from None
    if not rows:
        return []
    head = [name.strip().lower().replace("_", "") for name in rows[0]]
    head = [_HEADS.get(name, name) for name in head]
    if "key" not in head or "value" not in head:
        raise BadFile("The first line must name the columns key and value")
    items = []
    for number, row in enumerate(rows[1:], 2):
        fields = dict(zip(head, map(_from_text, row), strict=False))
        if row and (not fields.get("key") or "value" not in fields):
            raise BadFile(f"Row {number} has no key or no value")
        if row:
            items.append(Item(fields["key"], fields["value"], fields.get("comment", "")))
    return items


_WRITERS: Final[Mapping[str, Callable[[Sequence[Item]], str]]] = {
    "dotenv": _write_dotenv,
    "json": _write_json,
    "yaml": _write_yaml,
    "csv": _write_csv,
}
_READERS: Final[Mapping[str, Callable[[str], Iterable[Item]]]] = {
    "dotenv": _read_dotenv,
    "json": _read_json,
    "yaml": _read_yaml,
    "csv": _read_csv,
}
