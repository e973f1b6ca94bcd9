"""What is true of every auth method in the registry, and that a new one takes one file and its name in the list."""

import base64
import inspect
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.api import Api, running, sqlite_settings
from tests.databases import placed
from tests.methods.providers import SLUGS
from watchword import app
from watchword.app import Server
from watchword.domain.secret import Secret
from watchword.methods import METHODS, registry
from watchword.methods.base import AuthMethod, Given, Schema, Verified, no_risks, risks_of
from watchword.services.identities import lifecycle

MOST_LINES = 360  # with the words that people are told


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
    assert (
        own | {"accessTokenTTL", "accessTokenMaxTTL", "accessTokenNumUsesLimit", "accessTokenTrustedIps"}
        <= shape.keys()
    )
    assert shape.keys().isdisjoint(method.managed)


def test_a_method_is_one_small_documented_file(method: Any) -> None:
    module = inspect.getmodule(method.config)
    assert module is not None
    source = inspect.getsource(module)

    assert len(source.splitlines()) <= MOST_LINES
    assert all(
        inspect.getdoc(thing)
        for thing in (module, method.config, method.login or method.config, method.verify or method.config)
    )


def test_a_method_says_which_settings_let_anybody_in(method: Any) -> None:
    """A method that restricts nobody by its settings says so with `no_risks`; forgetting is no way to say it."""
    assert method.risks is not None
    if method.risks is no_risks:
        assert method.slug in {"universal-auth", "token-auth", "bound-keypair"}
        return
    known = {field.encode_name for field in msgspec.structs.fields(method.config)}
    found = risks_of(method, {name: "*" if name == "allowedSpiffeIds" else None for name in known})

    assert ["admits_anybody"] == [risk.code for risk in found]
    assert {risk.field for risk in found} <= known


OPEN: dict[str, list[tuple[dict[str, Any], bool]]] = {
    "aws-auth": [
        ({}, True),
        ({"allowedPrincipalArns": ", ", "allowedAccountIds": ""}, True),
        ({"allowedAccountIds": "123456789012"}, False),
    ],
    "azure-auth": [({"allowedServicePrincipalIds": ""}, True), ({"allowedServicePrincipalIds": "a"}, False)],
    "gcp-auth": [
        ({"type": "iam"}, True),
        ({"type": "iam", "allowedProjects": "p"}, True),
        ({"type": "gce", "allowedProjects": "p"}, False),
        ({"type": "gce", "allowedZones": "europe-west1-b"}, True),
        ({"type": "iam", "allowedServiceAccounts": "a"}, False),
        ({"type": "iam", "allowedServiceAccounts": "*@*"}, True),
        ({"type": "iam", "allowedServiceAccounts": "*.iam.gserviceaccount.com"}, True),
        ({"type": "iam", "allowedServiceAccounts": "*@our-project.iam.gserviceaccount.com"}, False),
    ],
    "oidc-auth": [
        ({"boundClaims": {}}, True),
        ({"boundAudiences": "us", "boundClaims": {}}, True),
        ({"boundSubject": "**", "boundClaims": {}}, True),
        ({"boundSubject": "*:*", "boundClaims": {"repository": "*/*"}}, True),
        ({"boundSubject": "repo:us/app:**"}, False),
        ({"boundSubject": "repo:*/*:pull_request"}, True),
        ({"boundSubject": "repo:*/**"}, True),
        ({"boundSubject": "{repo:us/app:**,**}"}, True),
        ({"boundSubject": "repo:us/*"}, False),
        ({"boundSubject": "", "boundClaims": {"ref": "*", "repository": "us/app"}}, False),
        ({"boundClaims": {"repository": "us/app, **"}}, True),
    ],
    "jwt-auth": [
        ({"boundIssuer": "us", "boundAudiences": "us", "boundClaims": {}}, True),
        ({"boundSubject": "bot"}, False),
    ],
    "kubernetes-auth": [
        ({"allowedNamespaces": "", "allowedNames": ""}, True),
        ({"allowedNames": "ci", "allowedNamespaces": ""}, False),
    ],
    "ldap-auth": [
        ({"searchFilter": "(uid={{username}})", "allowedFields": None}, True),
        ({"searchFilter": "(uid={{username}})", "allowedFields": []}, True),
        ({"searchFilter": "(&(uid={{username}})(memberOf=cn=ci))", "allowedFields": None}, False),
        ({"searchFilter": "(uid={{username}})", "allowedFields": [{"key": "ou", "value": "ci"}]}, False),
    ],
    "tls-cert-auth": [
        ({"allowedCommonNames": None}, True),
        ({"allowedCommonNames": "", "allowedSubjectAltNames": []}, True),
        ({"allowedSubjectAltNames": ["a.test"]}, False),
    ],
    "oci-auth": [({"allowedUsernames": None}, True), ({"allowedUsernames": "bot"}, False)],
    "alicloud-auth": [({"allowedArns": ""}, True), ({"allowedArns": "acs:ram::12345:user/a"}, False)],
    "spiffe-auth": [
        ({"trustDomain": "prod.test", "allowedSpiffeIds": "spiffe://prod.test/web/*, spiffe://prod.test/**"}, True),
        ({"trustDomain": "prod.test", "allowedSpiffeIds": "spiffe://prod.test/web/**"}, False),
        ({"allowedSpiffeIds": "**"}, True),
    ],
    "universal-auth": [({}, False)],
    "token-auth": [({}, False)],
    "bound-keypair": [({}, False)],
}


def test_settings_that_let_anybody_in_are_told_from_those_that_do_not(method: Any) -> None:
    for settings, is_open in OPEN[method.slug]:
        assert (settings, is_open) == (settings, bool(risks_of(method, settings)))


async def test_a_configuration_that_admits_anybody_is_answered_with_a_warning_until_it_is_narrowed(
    any_api: Api,
) -> None:
    bot = await any_api.identity("member", "open")
    await any_api.identity("member", "closed")
    path = f"/api/v1/auth/aws-auth/identities/{bot['id']}"

    made = await any_api.ok("POST", path, {})
    read = await any_api.ok("GET", path)
    report = await any_api.ok("GET", "/api/v1/organization/identity-reports/risky", query={"severity": "high"})
    changed = await any_api.ok("PATCH", path, {"allowedAccountIds": "123456789012"})
    after = await any_api.ok("GET", "/api/v1/organization/identity-reports/risky", query={"severity": "high"})

    message = "Neither of allowedPrincipalArns and allowedAccountIds restricts who logs in: every user and role of every AWS account may"
    warning = {
        "code": "admits_anybody",
        "severity": "high",
        "field": "allowedPrincipalArns",
        "message": message,
        "mend": "Say in allowedPrincipalArns or allowedAccountIds who may",
    }
    assert ([warning], [warning], []) == (made["warnings"], read["warnings"], changed["warnings"])
    assert [(bot["id"], ["aws-auth"], [{"authMethod": "aws-auth", **warning}])] == [
        (one["id"], one["authMethods"], one["warnings"]) for one in report["identities"]
    ]
    assert ([], None) == (after["identities"], after["nextCursor"])


async def test_the_report_of_risky_settings_goes_through_all_identities_page_by_page(
    any_api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lifecycle, "_LOOKED_AT", 2)
    monkeypatch.setattr(lifecycle, "_CHUNKS", 2)
    wanted = []
    for number in range(9):
        one = await any_api.identity("no-access", f"bot {number % 3}")
        if number in (0, 4, 5, 8):
            await any_api.ok("POST", f"/api/v1/auth/aws-auth/identities/{one['id']}", {})
            wanted.append(one["id"])
    found, query = list[str](), {"limit": 1, "severity": "high"}
    while True:
        page = await any_api.ok("GET", "/api/v1/organization/identity-reports/risky", query=query)
        found += [one["id"] for one in page["identities"]]
        if page["nextCursor"] is None:
            break
        query["cursor"] = page["nextCursor"]

    assert (sorted(wanted), len(wanted)) == (sorted(found), len(found))
    assert (
        422 == (await any_api.get("/api/v1/organization/identity-reports/risky", query={"cursor": "bm8="})).status_code
    )


def test_no_secret_hides_inside_another_setting(method: Any) -> None:
    """Only settings at the top are sealed, so a secret below would be stored as it is."""
    for field in msgspec.structs.fields(method.config):
        inner = [
            part
            for part in getattr(field.type, "__args__", (field.type,))
            if isinstance(part, type) and issubclass(part, msgspec.Struct)
        ]
        assert [] == [
            one
            for struct in inner
            for one in msgspec.structs.fields(struct)
            if Secret in (one.type, *getattr(one.type, "__args__", ()))
        ]


def decoded(token: str) -> dict[str, Any]:
    """The claims of an access token."""
    payload = token.split(".")[1]
    return json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))


class Config(Schema, frozen=True, kw_only=True):
    """The word of the server."""

    word: Secret
    allowed_towns: str = ""


class Login(Schema, frozen=True, kw_only=True):
    """The word, spoken."""

    identity_id: str
    word: Secret
    town: str


async def verify(config: Config, login: Login, given: Given) -> Verified:
    """The word is the server's."""
    given.checks.prove(config.word == login.word, "word_wrong", "This is not the word")
    given.checks.compare(
        login.town in config.allowed_towns.split(","), "town_not_allowed", f"{login.town} is not allowed"
    )
    return Verified(claims={"toy": {"town": login.town}})


TOY = AuthMethod(
    slug="toy-auth",
    wrapper="identityToyAuth",
    title="Toy Auth",
    config=Config,
    login=Login,
    verify=verify,
    claims_under="toy",
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
    remote = await toy.post("/api/v1/auth/toy-auth/login", login | {"town": "bonn"}, token=None)
    events = {event["event"]["type"] for event in (await toy.ok("GET", "/api/v1/organization/audit-logs"))["auditLogs"]}

    assert ("", True, "oslo,rome", 2_592_000) == (
        made["word"],
        made["wordIsSet"],
        made["allowedTowns"],
        made["accessTokenTTL"],
    )
    assert (200, 401, 401) == (reply.status_code, wrong.status_code, remote.status_code)
    assert "bonn is not allowed" == remote.json()["message"]
    assert {"toy": {"town": "rome"}} == decoded(reply.json()["accessToken"])["identityAuth"]
    assert {"add-identity-toy-auth", "login-identity-toy-auth", "login-identity-toy-auth-failed"} <= events
    assert 200 == (await toy.get(f"/api/v1/identities/{identity['id']}", token=reply.json()["accessToken"])).status_code


async def test_everything_about_a_method_follows_from_its_declaration(toy: Api) -> None:
    """Routes, documented bodies, checks of bodies, the dry run and what is told of a fault: nothing of it is
    written for the method.
    """
    await test_a_method_has_all_its_routes_documented_with_their_bodies(toy, TOY)
    identity = await toy.identity("member")
    path = f"/api/v1/auth/toy-auth/identities/{identity['id']}"
    wrong_body = await toy.post(path, {"word": 7})
    await toy.ok("POST", path, {"word": "swordfish", "allowedTowns": "rome"})
    tried = await toy.ok("POST", f"{path}/test-login", {"word": "swordfish", "town": "bonn", "address": "192.0.2.1"})
    wrong_login = await toy.post("/api/v1/auth/toy-auth/login", {"identityId": identity["id"]}, token=None)

    assert (422, 422) == (wrong_body.status_code, wrong_login.status_code)
    assert {"word", "town"} <= {name for fault in wrong_login.json()["message"] for name in fault["path"]}
    assert (True, "town_not_allowed") == (tried["isProved"], tried["reason"])
    assert ["word_wrong", "town_not_allowed"] == [check["name"] for check in tried["checks"]][:2]


async def test_the_routes_of_all_methods_are_in_the_table(api: Api) -> None:
    paths = {route.path for route in Server(api.runtime).routes}

    assert {f"/api/v1/auth/{method.slug}/login" for method in METHODS if method.login} <= paths
