"""What is true of every auth method in the registry, and that a new one takes one file and its name in the list."""

import inspect
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.databases import placed
from tests.house import Api, running, sqlite_settings
from tests.methods.world import SLUGS
from watchword import app
from watchword.app import Server
from watchword.domain.secret import Secret
from watchword.methods import METHODS, registry
from watchword.methods.base import AuthMethod, Given, Schema, Verified

MOST_LINES = 170


@pytest.fixture(params=METHODS, ids=lambda method: method.slug)
def method(request: pytest.FixtureRequest) -> Any:
    return request.param


def test_every_method_that_meets_the_outside_is_proved_over_http() -> None:
    assert {"universal-auth", "token-auth", *SLUGS} == {method.slug for method in METHODS}


def test_names_are_used_once() -> None:
    for names in ([one.slug for one in METHODS], [one.wrapper for one in METHODS], [one.title for one in METHODS]):
        assert len(set(names)) == len(names)


async def test_a_method_has_all_its_routes_documented_with_their_bodies(api: Api, method: Any) -> None:
    document = await api.ok("GET", "/api/docs/openapi.json", token=None)
    path = f"/api/v1/auth/{method.slug}/identities/{{identity_id}}"
    expected = {path: {"post", "patch", "get", "delete"}}
    if method.login is not None:
        expected |= {f"/api/v1/auth/{method.slug}/login": {"post"}, f"{path}/test-login": {"post"}}
    if method.has_lockout:
        expected[f"{path}/clear-lockouts"] = {"post"}

    assert expected == {one: set(document["paths"].get(one, ())) for one in expected}
    schema = document["paths"][path]["post"]["requestBody"]["content"]["application/json"]["schema"]
    shape = document["components"]["schemas"][schema["$ref"].rpartition("/")[2]]["properties"]
    own = {field.encode_name for field in msgspec.structs.fields(method.config)} - set(method.managed)
    assert own | {"accessTokenTTL", "accessTokenMaxTTL", "accessTokenNumUsesLimit", "accessTokenTrustedIps"} <= shape.keys()
    assert shape.keys().isdisjoint(method.managed)


def test_a_method_is_one_small_documented_file(method: Any) -> None:
    module = inspect.getmodule(method.config)
    assert module is not None
    source = inspect.getsource(module)

    assert len(source.splitlines()) <= MOST_LINES
    assert all(inspect.getdoc(thing) for thing in (module, method.config, method.login or method.config, method.verify or method.config))


def test_no_secret_hides_inside_another_setting(method: Any) -> None:
    """Only settings at the top are sealed, so a secret below would be stored as it is."""
    for field in msgspec.structs.fields(method.config):
        inner = [
            part for part in getattr(field.type, "__args__", (field.type,)) if isinstance(part, type) and issubclass(part, msgspec.Struct)
        ]
        assert [] == [
            one for struct in inner for one in msgspec.structs.fields(struct) if Secret in (one.type, *getattr(one.type, "__args__", ()))
        ]


class Config(Schema, frozen=True, kw_only=True):
    """The word of the house."""

    word: Secret
    allowed_towns: str = ""


class Login(Schema, frozen=True, kw_only=True):
    """The word, spoken."""

    identity_id: str
    word: Secret
    town: str


async def verify(config: Config, login: Login, given: Given) -> Verified:
    """The word is the house's."""
    given.checks.require(config.word == login.word, "word_wrong", "This is not the word")
    given.checks.require(login.town in config.allowed_towns.split(","), "town_not_allowed", f"{login.town} is not allowed")
    return Verified(claims={"toy": {"town": login.town}})


TOY = AuthMethod(
    slug="toy-auth", wrapper="identityToyAuth", title="Toy Auth", config=Config, login=Login, verify=verify, proof=("word_wrong",)
)


@pytest.fixture
async def toy(tmp_path: Path, migrated_file: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Api]:
    monkeypatch.setattr(app, "registry", lambda: {**registry(), TOY.slug: TOY})
    async with running(sqlite_settings(placed(migrated_file, tmp_path))) as found:
        yield found


async def test_a_method_is_there_once_its_name_is_in_the_list(toy: Api) -> None:
    identity = await toy.identity("member")
    path = f"/api/v1/auth/toy-auth/identities/{identity['id']}"
    made = (await toy.ok("POST", path, {"word": "swordfish", "allowedTowns": "oslo,rome"}))["identityToyAuth"]
    login = {"identityId": f" {identity['id']}\n", "word": "swordfish", "town": "rome"}
    reply = await toy.client.post("/api/v1/auth/toy-auth/login", data=login)
    wrong = await toy.post("/api/v1/auth/toy-auth/login", login | {"word": "x"}, token=None)
    abroad = await toy.post("/api/v1/auth/toy-auth/login", login | {"town": "bonn"}, token=None)
    events = {event["event"]["type"] for event in (await toy.ok("GET", "/api/v1/organization/audit-logs"))["auditLogs"]}

    assert ("", True, "oslo,rome", 2_592_000) == (made["word"], made["wordIsSet"], made["allowedTowns"], made["accessTokenTTL"])
    assert (200, 401, 401) == (reply.status_code, wrong.status_code, abroad.status_code)
    assert "bonn is not allowed" == abroad.json()["message"]
    assert {"add-identity-toy-auth", "login-identity-toy-auth", "login-identity-toy-auth-failed"} <= events
    assert 200 == (await toy.get(f"/api/v1/identities/{identity['id']}", token=reply.json()["accessToken"])).status_code


async def test_a_method_of_a_package_may_not_take_the_place_of_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    class Point:
        dist = "evil 1.0"

        def load(self) -> Any:
            return msgspec.structs.replace(TOY, slug="oidc-auth")

    monkeypatch.setattr("watchword.methods.entry_points", lambda **_: [Point()])

    with pytest.raises(ValueError, match=r"evil 1\.0 brings an auth method named oidc-auth"):
        registry()


async def test_the_routes_of_all_methods_are_in_the_table(api: Api) -> None:
    paths = {route.path for route in Server(api.house).routes}

    assert {f"/api/v1/auth/{method.slug}/login" for method in METHODS if method.login} <= paths
