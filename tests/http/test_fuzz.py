"""Requests made from the OpenAPI document, good and hostile, to one world on SQLite and the same one on PostgreSQL.

`make soak` goes on for minutes with new seeds; `tests/fuzzing.py` says what every answer must keep to.
"""

import contextlib
import time
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from tests.api import postgres_settings, sqlite_settings
from tests.databases import emptied, placed
from tests.fuzzing import Answered, Judge, Requests, Tally, Wanted, World, compared, own_document

MINUTES = 5
document = cache(own_document)


async def both(seed: str, count: int, tally: Tally, folder: Path, migrated_file: Path, migrated: str) -> None:
    """One episode on both engines."""
    folder.mkdir(exist_ok=True)
    await emptied(migrated)
    async with contextlib.AsyncExitStack() as stack:
        worlds = [
            await stack.enter_async_context(World.begun(settings, seed))
            for settings in (sqlite_settings(placed(migrated_file, folder)), postgres_settings(migrated))
        ]
        await compared(worlds, document(), seed, count, tally)


@pytest.mark.parametrize("seed", ["first", "second"])
async def test_both_engines_answer_whatever_is_asked_alike_and_as_documented(
    seed: str, tmp_path: Path, migrated_file: Path, migrated: str
) -> None:
    tally = Tally()

    await both(seed, 100, tally, tmp_path, migrated_file, migrated)

    assert [] == list(tally.faults.values())
    assert len(tally.reached) > 10


@pytest.mark.soak
async def test_both_engines_answer_alike_for_minutes(tmp_path: Path, migrated_file: Path, migrated: str) -> None:
    tally, until, seed = Tally(), time.monotonic() + 60 * MINUTES, 0

    while time.monotonic() < until:
        seed += 1
        await both(f"soak {seed}", 500, tally, tmp_path / str(seed), migrated_file, migrated)

    assert [] == list(tally.faults.values())
    assert len(tally.reached) > 200


def asked(operation: str, **fields: Any) -> Wanted:
    method = operation.split(" ", maxsplit=1)[0]
    known = {"number": 1, "path": "/", "query": "", "body": b"", "headers": (), "caller": "", "names": frozenset()}
    return Wanted(operation=operation, method=method, is_object=True, **{**known, **fields})


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (500, b'{"reqId": "r", "statusCode": 500, "message": "", "error": "x"}', "application/json"),
        (409, b'{"reqId": "r", "statusCode": 409, "message": "", "error": "x"}', "application/json"),
        (404, b'{"message": "gone"}', "application/json"),
        (404, b"gone", "text/plain"),
        (200, b'{"identity": {"id": 7}}', "application/json"),
        (422, b'{"reqId": "r", "statusCode": 422, "message": [], "error": "ValidationFailure"}', "application/json"),
        (
            422,
            b'{"reqId": "r", "statusCode": 422, "message": [{"code": "x", "path": [], "message": "No"}], "error": "ValidationFailure"}',
            "application/json",
        ),
    ],
)
def test_an_answer_that_breaks_the_document_is_a_fault(status: int, body: bytes, kind: str) -> None:
    answer = Answered(status, {"content-type": kind}, body)

    assert Judge(document()).faults(asked("POST /api/v1/identities"), answer)


def test_the_same_seed_asks_the_same() -> None:
    ids = {"project_id": "01a203ee-9dba-7b90-b424-1f20aa43038b"}
    callers = {"person admin": "t", "identity admin": "t", "instance": "t"}
    one, other = (Requests(document(), "seed", ids) for _ in range(2))

    assert [one.next(callers) for _ in range(50)] == [other.next(callers) for _ in range(50)]
