"""Routes made of handlers: older paths of an act, and the names in a path."""

from typing import Any

import msgspec
import pytest

from watchword.http.routing import USER, Routes


class Body(msgspec.Struct, frozen=True):
    name: str


class OlderBody(Body, frozen=True):
    name: str = msgspec.field(name="title")


class Reply(msgspec.Struct, frozen=True):
    thing: str
    of: str


class OlderReply(Reply, frozen=True):
    thing: str = msgspec.field(name="oldThing")


def made() -> Routes:
    routes = Routes("things")

    async def id_of(ctx: Any, slug: str) -> str:
        return f"{ctx}/{slug}"

    @routes.older("POST", "/old/{slug}", USER, body=OlderBody, reply=OlderReply, found={"id": ("slug", id_of)})
    @routes.older("POST", "/same/{id}", USER)
    @routes.post("/new/{id}", USER)
    async def create(ctx: Any, id: str, body: Body) -> Reply:
        """Make a thing."""
        return Reply(thing=body.name, of=id)

    return routes


async def test_an_older_path_takes_and_answers_its_own_spelling() -> None:
    new, same, old = made().all

    body = msgspec.json.decode(b'{"title": "a"}', type=old.body)
    answer = await old.handler("ctx", slug="s", body=body)

    assert b'{"oldThing":"a","of":"ctx/s"}' == msgspec.json.encode(answer)
    assert (Body, Reply, ("id",)) == (new.body, new.reply, new.names)
    assert (OlderBody, OlderReply, ("slug",)) == (old.body, old.reply, old.names)
    assert new.handler is same.handler


def test_an_older_path_says_so_in_its_summary() -> None:
    assert ["Make a thing.", "Make a thing (older path).", "Make a thing (older path)."] == [
        route.summary for route in made().all
    ]


def test_a_path_names_what_the_handler_takes() -> None:
    routes = Routes("things")

    async def get(ctx: Any, id: str) -> Reply:
        raise AssertionError

    with pytest.raises(TypeError, match=r"GET /things/\{other\}"):
        routes.older("GET", "/things/{other}")(get)
