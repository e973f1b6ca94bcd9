"""The search of identities: its filters, its count, and what it may cost however its alternatives are put together."""

from typing import Any

import pytest

from tests.api import Api

SEARCH = "/api/v2/identities/search"


async def found(api: Api, search: Any) -> tuple[list[str], int]:
    page = await api.ok("POST", SEARCH, {"search": search})
    counted = await api.ok("POST", f"{SEARCH}/count", {"search": search})
    assert page["totalCount"] == counted["totalCount"]
    return [one["identity"]["name"] for one in page["identities"]], counted["totalCount"]


async def test_filters_are_joined_and_alternatives_add_and_the_count_agrees(any_api: Api) -> None:
    for name, role in (("web-1", "member"), ("web-2", "admin"), ("job", "member")):
        await any_api.identity(role, name)

    assert (["web-1", "web-2"], 2) == await found(any_api, {"name": {"$contains": "WEB"}})
    assert (["web-2"], 1) == await found(any_api, {"name": {"$contains": "web"}, "role": {"$eq": "admin"}})
    either = {"$or": [{"name": {"$eq": "job"}}, {"name": {"$in": ["web-1"]}, "role": {"$in": ["member"]}}]}
    assert (["job", "web-1"], 2) == await found(any_api, either)


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
    found = await any_api.ok("POST", "/api/v1/identities/search", {"search": search})

    assert ["bot"] == [one["identity"]["name"] for one in found["identities"]]


@pytest.mark.parametrize("path", [SEARCH, f"{SEARCH}/count", "/api/v1/identities/search"])
async def test_the_number_of_alternatives_is_bounded_wherever_they_stand(api: Api, path: str) -> None:
    wide = {"$or": [{"name": {"$eq": str(n)}} for n in range(101)]}
    inside = {"$or": [{"$or": [{"name": {"$eq": str(n)}} for n in range(60)]} for _ in range(2)]}
    refused = [await api.post(path, {"search": search}) for search in (wide, inside)]

    assert [422, 422] == [reply.status_code for reply in refused]
    assert 200 == (await api.post(path, {"search": {"$or": wide["$or"][:100]}})).status_code
