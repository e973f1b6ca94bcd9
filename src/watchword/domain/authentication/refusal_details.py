"""Limit the record of a refused login to 4 KiB, whatever a caller sends."""

from typing import Any, Final

import msgspec

from watchword.domain.audit.records import Denial

MOST: Final = 4_096  # bytes of one stored refusal, all columns together
_encode: Final = msgspec.json.encode


def clipped(text: str, most: int) -> str:
    """The text, cut to `most` characters; a cut one ends in an ellipsis."""
    return text if len(text) <= most else text[: most - 1] + "…"


def fitted(denial: Denial) -> Denial:
    """The refusal in at most `MOST` bytes: long texts and lists are cut, then what was presented goes, last the
    checks that passed.
    """
    found = msgspec.structs.replace(
        denial,
        request_id=clipped(denial.request_id, 64),
        message=clipped(denial.message.replace("\x00", "\ufffd"), 400),
        address=denial.address and clipped(denial.address, 64),
        user_agent=denial.user_agent and clipped(denial.user_agent, 400),
    )
    for texts, items in ((512, 32), (128, 16), (48, 8), (24, 4)):
        if size(found) <= MOST:
            return found
        found = msgspec.structs.replace(
            found,
            facts=_cut(found.facts, texts, items),
            checks=tuple(_cut(check, texts, items) for check in found.checks),
        )
    if size(found) > MOST:
        names = tuple({k: _cut(check[k], 48, 4) for k in ("name", "passed")} for check in found.checks[-8:])
        found = msgspec.structs.replace(found, facts={}, checks=names)
    if size(found) > MOST:
        found = msgspec.structs.replace(
            found, user_agent=None, message=clipped(found.message, 100), checks=found.checks[-1:]
        )
    return found


def size(denial: Denial) -> int:
    """The bytes that the refusal takes where it is stored."""
    return sum(len(_encode(value)) for value in msgspec.structs.astuple(denial))


def _cut(value: Any, texts: int, items: int) -> Any:
    if isinstance(value, str):
        return clipped(value, texts)
    if isinstance(value, dict):
        return {clipped(str(key), texts): _cut(one, texts, items) for key, one in list(value.items())[:items]}
    if isinstance(value, list | tuple):
        more = [f"… {len(value) - items} more"] if len(value) > items else []
        return [*(_cut(one, texts, items) for one in value[:items]), *more]
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) >> 64:
        return clipped(hex(value), texts)
    return value
