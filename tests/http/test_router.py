"""Every route is found at its path; a path without the method says which methods it has."""

import pytest

from watchword.app import Server
from watchword.domain.errors import MethodNotAllowed, NotFound
from watchword.http.router import build
from watchword.http.routing import Route


class Edge:
    """Keeps what was to be served."""

    async def serve(self, route, scope, receive, params):
        self.served = route, dict(params)
        return 200, b"{}", []


@pytest.fixture
def routes(api) -> list[Route]:
    return list(Server(api.runtime).routes)


@pytest.fixture
def edge() -> Edge:
    return Edge()


@pytest.fixture
def ask(routes, edge):
    router = build(routes, lambda: edge)

    async def sent(message):
        del message

    async def asked(method: str, path: str) -> None:
        await router({"type": "http", "method": method, "path": path, "headers": []}, None, sent)

    return asked


async def test_every_route_is_found_at_its_path_with_its_parameters(routes, edge, ask):
    for route in routes:
        given = {part[1:-1]: f"a-{part[1:-1]}" for part in route.path.split("/") if part.startswith("{")}
        await ask(route.method, "/".join(given.get(part[1:-1], part) for part in route.path.split("/")))

        assert edge.served == (route, given)


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/api",
        "/api/v1",
        "/api/v1/identities/a/b/c/d",
        "/api/v1/identitie",
        "/API/v1/identities",
        "/api/v1/identities/",
    ],
)
async def test_an_unknown_path_is_not_found(ask, path):
    with pytest.raises(NotFound, match=r"^Route GET:"):
        await ask("GET", path)


async def test_every_path_names_its_methods_to_whoever_asks_another(routes, ask):
    for path in {route.path for route in routes}:
        concrete = "/".join("a" if part.startswith("{") else part for part in path.split("/"))
        with pytest.raises(MethodNotAllowed) as refused:
            await ask("TRACE", concrete)

        here = {route.method for route in routes if route.path == path}
        assert here <= set(refused.value.allowed)


async def test_a_method_that_a_path_has_not_is_405_with_the_header_allow(api):
    reply = await api.request("PUT", "/api/v1/identities", {})

    assert reply.status_code == 405, reply.text
    assert reply.headers["allow"] == "GET, POST"
    assert reply.json()["error"] == "MethodNotAllowed"
    assert "GET, POST" in reply.json()["message"]


async def test_a_path_written_out_is_not_taken_for_a_parameter(routes, edge, ask):
    written = [route for route in routes if "{" not in route.path]
    for route in written:
        await ask(route.method, route.path)

        assert edge.served[0].path == route.path
