"""What a body may be: bounded before it is decoded, and every fault of it told within bounds."""

import asyncio
import gc
import json
import time
from collections.abc import Sequence
from typing import Annotated, Any

import msgspec
import pytest

from tests.api import Api
from watchword.app import Server
from watchword.domain.decode import Trimmed, decode
from watchword.domain.errors import BadRequest, Invalid, Refusal, TooLarge, Unauthorized, Unavailable
from watchword.http import bodies
from watchword.http.bodies import Body, Census, Reader, query_as, read_as

JSON = "application/json"


def counted(text: bytes, size: int = 64 * 1024, most: int = 1000) -> Refusal | None:
    census = Census(most)
    try:
        for start in range(0, len(text), size):
            census.feed(text[start : start + size])
    except Refusal as refusal:
        return refusal
    return None


TEXTS = [
    json.dumps({"a": ["x,y[{", 'quote " and \\ backslash', "\\", '\\"', ",,,,,"] * 30, "b\\": "[" * 5000}).encode(),
    json.dumps({"secretValue": json.dumps({"a": [1, 2, 3] * 2000})}).encode(),
    b'{"a": "' + b"\\\\" * 5000 + b'", "b": "' + b'\\"' * 5000 + b'"}',
]


@pytest.mark.parametrize("text", TEXTS, ids=range(len(TEXTS)))
@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000, 10**6])
def test_what_stands_in_texts_is_no_value_wherever_the_pieces_end(text: bytes, size: int) -> None:
    assert counted(text, size) is None


@pytest.mark.parametrize(
    "text",
    [
        b"[" + b"[]," * 2000,
        b'{"a":[' + b"{}," * 2000,
        b"[" * 2000,
        b'[{"a":1},' * 1000,
        b"[" + b"1," * 2000,
        b'["a' + b'","' * 2000,
        b'{"' + b'":1,"' * 2000,
        b'["\\\\",' + b"[]," * 2000,
        b'["\\"",' + b"[]," * 2000,
        b" " * 5_000_000,
        b"[" + b"1.5," * 1100,
        b"[" + b"1e9," * 1100,
        b'"' + b"\\n" * 2_100_000,
    ],
)
@pytest.mark.parametrize("size", [7, 64 * 1024])
def test_too_many_values_are_refused_before_they_are_decoded(text: bytes, size: int) -> None:
    assert isinstance(counted(text, max(size, len(text) // 1000)), TooLarge)


def test_a_number_that_is_too_long_is_refused() -> None:
    assert isinstance(counted(b"[" + b"1" * 4000 + b"]"), BadRequest)


class Sent:
    """A body that comes in pieces."""

    def __init__(self, pieces: Sequence[bytes], *, leaves: bool = False) -> None:
        self.left = list(pieces)
        self.taken = 0
        self._leaves = leaves

    async def __call__(self) -> dict[str, Any]:
        if not self.left:
            return {"type": "http.disconnect"}
        self.taken += 1
        return {"type": "http.request", "body": self.left.pop(0), "more_body": bool(self.left) or self._leaves}


async def read(
    sent: Sent,
    *,
    reader: Reader | None = None,
    most: int = 10**6,
    admit: Any = None,
    headers: dict[bytes, bytes] | None = None,
) -> Body:
    return await (reader or Reader(10**6)).read(
        sent, await sent(), most=most, headers=headers or {}, admit=admit, about=("it",), is_strange=False
    )


async def test_a_body_is_put_together() -> None:
    assert b"abc" == (await read(Sent([b"a", b"", b"b", b"c"]))).data


async def test_a_body_that_ends_too_early_is_none() -> None:
    with pytest.raises(BadRequest, match="went away"):
        await read(Sent([b"a", b"b"], leaves=True))


async def test_a_body_past_its_limit_is_not_read_to_its_end() -> None:
    sent = Sent([bytes(50_000)] * 20)
    with pytest.raises(TooLarge):
        await read(sent, most=120_000)

    assert sent.taken == 3


async def test_a_length_past_the_limit_is_refused_at_once() -> None:
    sent = Sent([b"a"] * 20)
    with pytest.raises(TooLarge):
        await read(sent, most=1000, headers={b"content-length": b"1001"})

    assert sent.taken == 1


async def test_a_stranger_is_asked_for_a_credential_before_more_is_taken() -> None:
    asked = []

    async def admit(what: str) -> None:
        asked.append(what)
        raise Unauthorized

    small, large = Sent([b"a" * 1000] * 10), Sent([b"a" * 10_000] * 20)
    await read(small, admit=admit)
    with pytest.raises(Unauthorized):
        await read(large, admit=admit)

    assert (["it"], 7) == (asked, large.taken)


async def test_all_large_bodies_together_have_bounds_and_make_room_when_they_are_done() -> None:
    reader = Reader(200 * 1024 * 1024)  # so 400 MiB in all
    piece = b'"' + b"a" * (100 * 1024 * 1024) + b'"'
    held = [await read(Sent([piece]), reader=reader, most=10**9) for _ in range(3)]
    with pytest.raises(Unavailable):
        await read(Sent([piece]), reader=reader, most=10**9)
    held.pop().close()

    assert piece == (await read(Sent([piece]), reader=reader, most=10**9)).data


async def test_bodies_that_are_refused_take_no_room() -> None:
    reader = Reader(1000)
    for _ in range(10):
        with pytest.raises(TooLarge):
            await read(Sent([bytes(50_000_000)] * 2), reader=reader, most=90_000_000)

    await read(Sent([b'"' + b"a" * 80_000_000 + b'"']), reader=reader, most=90_000_000)


class Item(msgspec.Struct, frozen=True):
    name: Trimmed
    size: Annotated[int, msgspec.Meta(ge=1)]


class Items(msgspec.Struct, frozen=True):
    items: list[Item]


def test_a_million_faults_are_told_as_a_hundred_and_that_there_are_more() -> None:
    began = time.process_time()
    with pytest.raises(Invalid) as refused:
        decode(Items, {"items": [{}] * 50_000})

    assert 101 == len(refused.value.issues)
    assert refused.value.issues[0].path == ("items", 0, "name")
    assert "at least 900 more" in refused.value.issues[-1].message
    assert time.process_time() - began < 0.5


def test_how_many_more_faults_there_are_is_counted() -> None:
    with pytest.raises(Invalid) as refused:
        decode(Items, {"items": [{"name": "a"}] * 107})

    assert "There are 7 more faults" in refused.value.issues[-1].message


def test_a_hundred_faults_are_all_told() -> None:
    with pytest.raises(Invalid) as refused:
        decode(Items, {"items": [{"name": "a"}] * 100})

    assert [("items", i, "size") for i in range(100)] == [issue.path for issue in refused.value.issues]


@pytest.mark.parametrize(
    ("body", "kind", "path"),
    [
        (b'{"name": "a\\u0000b"}', JSON, ("name",)),
        (b'{"a": {"b": ["x", "\\u0000"]}}', JSON, ("a", "b", 1)),
        (b'{"a\\u0000": 1}', JSON, ("a\ufffd",)),
        (b"name=a%00b", bodies.FORM, ("name",)),
        (b"name=a\x00b", bodies.FORM, ("name",)),
    ],
)
def test_a_zero_character_is_refused_by_the_name_of_the_field(
    body: bytes, kind: str, path: tuple[str | int, ...]
) -> None:
    with pytest.raises(Invalid) as refused:
        read_as(dict, body, kind, False)

    assert [path] == [issue.path for issue in refused.value.issues]


def test_what_is_sealed_and_what_only_looks_like_one_may_be_any_text() -> None:
    assert {"secretValue": "\x00", "a": "\\u0000"} == read_as(
        dict, b'{"secretValue": "\\u0000", "a": "\\\\u0000"}', JSON, False
    )


@pytest.mark.parametrize(
    "text",
    [
        b'"\\ud800"',
        b'"\\udfff"',
        b'"\\ud800\\ud800"',
        b'"\xed\xa0\x80"',
        b'"\xff"',
        b'"\x00"',
        b"NaN",
        b"Infinity",
        b"1e400",
        b"-1e400",
    ],
)
def test_what_is_no_text_or_number_is_no_json(text: bytes) -> None:
    with pytest.raises(BadRequest, match="not valid JSON"):
        read_as(dict, b'{"a": ' + text + b"}", JSON, False)


class Asked(msgspec.Struct, frozen=True):
    name: str = ""


def test_a_query_is_held_to_the_same() -> None:
    with pytest.raises(Invalid) as refused:
        query_as(Asked, b"name=a%00")
    with pytest.raises(TooLarge):
        query_as(Asked, b"a=b&" * 2000)

    assert [("name",)] == [issue.path for issue in refused.value.issues]


def test_a_form_is_held_to_the_same() -> None:
    for form in (b"a=b&" * 2000, b"a=" + b"b" * 300_000):
        with pytest.raises(TooLarge):
            read_as(dict, form, bodies.FORM, False)


WHERE = b'{"environment": "dev", "workspaceId": "%s", "secrets": ['
HOSTILE = {
    "lists": b'{"name": [' + b"[]," * 2_000_000 + b"[]]}",
    "one text": b'{"name": "' + b"a" * 4_190_000 + b'"}',
    "escapes": b'{"name": "' + b"\\n" * 1_050_000 + b'"}',
    "numbers": b'{"name": [' + b"1234567890123456789," * 48_000 + b"1]}",
    "keys": b'{"name": {' + b",".join(b'"%d":1' % i for i in range(45_000)) + b"}}",
    "faults": b'{"secrets": [' + b"{}," * 24_000 + b"{}]}",
    "values": WHERE
    + b",".join(b'{"secretKey":"A%d","secretValue":"%b"}' % (i, b"a" * 1_000_000) for i in range(4))
    + b"]}",
    "too long a text": b'{"name": "' + b"a" * 30_000_000 + b'"}',
}


@pytest.mark.parametrize("name", HOSTILE)
async def test_no_body_keeps_the_others_waiting(api: Api, name: str) -> None:
    """What counts is the processor's time of the process between two turns of the loop: 50 ms at most, here
    with room for a busy machine.
    """
    project = (await api.ok("POST", "/api/v2/workspace", {"projectName": "P"}))["project"]["id"]
    first = {"environment": "dev", "workspaceId": project, "secrets": [{"secretKey": "FIRST", "secretValue": "x"}]}
    await api.ok("POST", "/api/v3/secrets/batch/raw", first)  # statements are compiled once
    app = Server(api.runtime)
    body = HOSTILE[name].replace(b"%s", project.encode())
    pieces = [body[start : start + 65_536] for start in range(0, len(body), 65_536)]
    pairs = [
        (b"host", b"a"),
        (b"content-type", b"application/json"),
        (b"authorization", f"Bearer {api.token}".encode()),
    ]
    path, answers = "/api/v3/secrets/batch/raw", []
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "POST",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "headers": pairs,
        "client": ("127.0.0.1", 1),
        "server": ("a", 80),
        "scheme": "http",
        "root_path": "",
    }

    async def receive() -> dict[str, Any]:
        await asyncio.sleep(0)
        return {"type": "http.request", "body": pieces.pop(0), "more_body": bool(pieces)}

    async def send(message: Any) -> None:
        answers.append(message)

    longest = 0.0
    gc.collect()
    gc.freeze()  # what the other tests of this process left is not looked through meanwhile
    async with asyncio.TaskGroup() as group:
        asked = group.create_task(app(scope, receive, send))
        before = time.process_time()
        while not asked.done():
            await asyncio.sleep(0)
            now = time.process_time()
            longest, before = max(longest, now - before), now
    gc.unfreeze()

    assert answers[0]["status"] in ((200,) if name == "values" else (413, 422))
    assert longest < 0.2
