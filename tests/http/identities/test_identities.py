"""The search of identities: what it costs is bounded, however its alternatives are put together."""

import time
from typing import Any

import pytest

from tests.api import Api


def inside_each_other(depth: int) -> dict[str, Any]:
    search: dict[str, Any] = {"name": {"$contains": "bot"}}
    for _ in range(depth):
        search = {"$or": [search]}
    return search


@pytest.mark.parametrize(
    "search",
    [
        {"$or": [{"name": {"$contains": "a"}}] * 101},
        {"$or": [{"$or": [{"name": {"$eq": "a"}}] * 50}, {"$or": [{"name": {"$eq": "b"}}] * 50}]},
        {"name": {"$in": ["a"] * 1_001}},
        {"role": {"$in": ["a"] * 1_001}},
        {"name": {"$contains": "%a" * 501}},
        {"name": {"$eq": "a" * 1_001}},
        {"$or": [{"name": {"$in": ["a" * 1_001]}}]},
    ],
)
async def test_a_search_of_too_much_is_refused(any_api: Api, search: Any) -> None:
    reply = await any_api.post("/api/v1/identities/search", {"search": search})

    assert 422 == reply.status_code, reply.text


@pytest.mark.parametrize(
    "search",
    [
        inside_each_other(1),
        inside_each_other(25),
        {"$or": [{"name": {"$contains": "bot"}}, {}]},
        {"$or": [{"name": {"$eq": f"bot{k}"}} for k in range(99)] + [{"name": {"$eq": "bot"}}]},
        {"name": {"$in": [f"bot{k}" for k in range(999)] + ["bot"]}},
    ],
)
async def test_a_search_of_many_or_nested_alternatives_is_answered_at_once(any_api: Api, search: Any) -> None:
    org = any_api.org_id
    for name in ("bot", "other"):
        await any_api.ok("POST", "/api/v1/identities", {"name": name, "organizationId": org, "role": "no-access"})
    began = time.process_time()
    found = await any_api.ok("POST", "/api/v1/identities/search", {"search": search})

    assert ["bot"] == [one["identity"]["name"] for one in found["identities"]]
    assert time.process_time() - began < 5
