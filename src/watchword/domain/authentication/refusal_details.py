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
    """The record of a refusal, cut to at most `MOST` bytes.

    Proposals go first, then long texts and lists are cut, what was presented goes, last the checks that passed.
    """
    fitted_refusal = msgspec.structs.replace(
        denial,
        request_id=clipped(denial.request_id, 64),
        message=clipped(denial.message.replace("\x00", "\ufffd"), 400),
        address=denial.address and clipped(denial.address, 64),
        user_agent=denial.user_agent and clipped(denial.user_agent, 400),
    )
    if size(fitted_refusal) > MOST:  # half a proposal is none
        fitted_refusal = msgspec.structs.replace(
            fitted_refusal,
            checks=tuple({k: v for k, v in check.items() if k != "proposal"} for check in fitted_refusal.checks),
        )
    for texts, items in ((512, 32), (128, 16), (48, 8), (24, 4)):
        if size(fitted_refusal) <= MOST:
            return fitted_refusal
        fitted_refusal = msgspec.structs.replace(
            fitted_refusal,
            facts=_cut(fitted_refusal.facts, texts, items),
            checks=tuple(_cut(check, texts, items) for check in fitted_refusal.checks),
        )
    if size(fitted_refusal) > MOST:
        names = tuple({k: _cut(check[k], 48, 4) for k in ("name", "passed")} for check in fitted_refusal.checks[-8:])
        fitted_refusal = msgspec.structs.replace(fitted_refusal, facts={}, checks=names)
    if size(fitted_refusal) > MOST:
        fitted_refusal = msgspec.structs.replace(
            fitted_refusal,
            user_agent=None,
            message=clipped(fitted_refusal.message, 100),
            checks=fitted_refusal.checks[-1:],
        )
    return fitted_refusal


def size(denial: Denial) -> int:
    """The bytes that the refusal takes where it is stored."""
    return sum(len(_encode(value)) for value in msgspec.structs.astuple(denial))


def _cut(value: Any, texts: int, items: int) -> Any:
    if isinstance(value, str):
        return clipped(value, texts)
    if isinstance(value, dict):
        return {clipped(str(key), texts): _cut(item, texts, items) for key, item in list(value.items())[:items]}
    if isinstance(value, list | tuple):
        more = [f"… {len(value) - items} more"] if len(value) > items else []
        return [*(_cut(item, texts, items) for item in value[:items]), *more]
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) >> 64:
        return clipped(hex(value), texts)
    return value
