"""The statuses that the API contract promises are those that a server answers: each row of its Annex A has a
case here.
"""

import re
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.api import Api

PAGE = Path(__file__).parent.parent / "docs" / "reference" / "api-contract.md"
ROWS = re.findall(r"^\| ([^|]+) \| (\d{3}) \| `(\w+)` \|$", PAGE.read_text().partition("Annex A.")[2], re.MULTILINE)
NOWHERE = "5a1c6c5e-0000-4000-8000-000000000000"
DETAILS = "/api/v1/identities/details"
Answers = list[httpx.Response]
CASES: dict[str, Callable[[Api], Awaitable[Answers]]] = {}
# Needs two requests at one moment, on both engines: tests/protection/test_races.py.
ELSEWHERE = {"another request was first, where nothing above fits"}


def case(situation: str) -> Callable[[Callable[[Api], Awaitable[Answers]]], None]:
    def add(made: Callable[[Api], Awaitable[Answers]]) -> None:
        CASES[situation] = made

    return add


async def project(api: Api) -> Mapping[str, Any]:
    made: Mapping[str, Any] = (await api.ok("POST", "/api/v1/projects", {"projectName": "Billing"}))["project"]
    return made


@case("no credential")
async def _(api: Api) -> Answers:
    return [await api.get(DETAILS, token=None)]


@case("malformed or expired token")
async def _(api: Api) -> Answers:
    _, token = await api.bot(accessTokenTTL=60)
    api.clock.forward(61)
    return [await api.get(DETAILS, token=token), await api.get(DETAILS, token="no.token.at-all")]


@case("revoked or used-up token")
async def _(api: Api) -> Answers:
    _, revoked = await api.bot()
    await api.ok("POST", "/api/v1/auth/token/revoke", {"accessToken": revoked})
    _, used_up = await api.bot(accessTokenNumUsesLimit=1)
    await api.ok("GET", DETAILS, token=used_up)
    return [await api.get(DETAILS, token=revoked), await api.get(DETAILS, token=used_up)]


@case("wrong client secret, or unknown client id")
async def _(api: Api) -> Answers:
    login = await api.universal((await api.identity())["id"])
    path = "/api/v1/auth/universal-auth/login"
    return [
        await api.post(path, login | {"clientSecret": "wrong"}, token=None),
        await api.post(path, login | {"clientId": NOWHERE}, token=None),
    ]


@case("network not trusted")
async def _(api: Api) -> Answers:
    _, token = await api.bot(accessTokenTrustedIps=[{"ipAddress": "198.51.100.0/24"}])
    return [await api.get(DETAILS, token=token)]


@case("a kind of caller that the route does not take")
async def _(api: Api) -> Answers:
    _, token = await api.bot("admin")
    return [await api.get("/api/v1/organization", token=token)]


@case("not a member of the organization or project")
async def _(api: Api) -> Answers:
    _, token = await api.bot("admin")
    other, _ = await api.organization()
    inside = (await project(api))["id"]
    return [
        await api.get(f"/api/v1/identities?orgId={other}", token=token),
        await api.get(f"/api/v1/projects/{inside}", token=token),
    ]


@case("missing permission")
async def _(api: Api) -> Answers:
    identity, token = await api.bot("no-access")
    return [await api.get(f"/api/v1/identities/{identity['id']}", token=token)]


@case("more privileged target")
async def _(api: Api) -> Answers:
    _, token = await api.bot("member")
    return [
        await api.post("/api/v1/identities", {"name": "x", "organizationId": api.org_id, "role": "admin"}, token=token)
    ]


@case("faults of input")
async def _(api: Api) -> Answers:
    return [
        await api.post("/api/v1/identities", {"name": 1}),
        await api.post("/api/v1/auth/universal-auth/login", {}, token=None),
    ]


@case("unknown identity, role, environment, folder, secret or tag")
async def _(api: Api) -> Answers:
    inside = (await project(api))["id"]
    secret = {"workspaceId": inside, "environment": "dev", "secretValue": "x"}
    await api.ok("POST", "/api/v3/secrets/raw/THERE", secret)
    return [
        await api.get(f"/api/v1/identities/{NOWHERE}"),
        await api.post("/api/v1/identities", {"name": "x", "organizationId": api.org_id, "role": "nobody-has-it"}),
        await api.get(f"/api/v1/projects/{inside}/environments/{NOWHERE}"),
        await api.get(f"/api/v2/folders/{NOWHERE}"),
        await api.get(f"/api/v3/secrets/raw/ABSENT?workspaceId={inside}&environment=dev"),
        await api.post("/api/v3/secrets/raw/NEW", secret | {"secretPath": "/absent"}),
        await api.get(f"/api/v1/projects/{inside}/tags/{NOWHERE}"),
    ]


@case("auth method that is not attached")
async def _(api: Api) -> Answers:
    path = f"/api/v1/auth/oidc-auth/identities/{(await api.identity())['id']}"
    return [await api.get(path), await api.patch(path, {"boundSubject": "x"}), await api.delete(path)]


@case("auth method that is attached already")
async def _(api: Api) -> Answers:
    identity, _ = await api.bot()
    return [await api.post(f"/api/v1/auth/universal-auth/identities/{identity['id']}", {})]


@case("taken slug or name")
async def _(api: Api) -> Answers:
    inside = await project(api)
    secret = {"workspaceId": inside["id"], "environment": "dev", "secretValue": "x"}
    await api.ok("POST", "/api/v3/secrets/raw/THERE", secret)
    return [
        await api.post("/api/v1/projects", {"projectName": "Other", "slug": inside["slug"]}),
        await api.post(f"/api/v1/projects/{inside['id']}/environments", {"name": "Other", "slug": "dev"}),
        await api.post("/api/v3/secrets/raw/THERE", secret),
    ]


@case("role in use")
async def _(api: Api) -> Answers:
    role = (
        await api.ok("POST", "/api/v1/organization/roles", {"slug": "reader", "name": "Reader", "permissions": []})
    )["role"]
    await api.identity("reader")
    return [await api.delete(f"/api/v1/organization/roles/{role['id']}")]


@case("import of the folder itself, a duplicate, a circle")
async def _(api: Api) -> Answers:
    def within(environment: str, source: str) -> dict[str, Any]:
        return {
            "projectId": inside,
            "environment": environment,
            "path": "/",
            "import": {"environment": source, "path": "/"},
        }

    inside = (await project(api))["id"]
    await api.ok("POST", "/api/v2/secret-imports", within("dev", "prod"))
    return [
        await api.post("/api/v2/secret-imports", within(*both))
        for both in (("dev", "dev"), ("dev", "prod"), ("prod", "dev"))
    ]


@case("a method that the path does not have")
async def _(api: Api) -> Answers:
    return [await api.request("PUT", DETAILS)]


@case("body that is no JSON")
async def _(api: Api) -> Answers:
    return [
        await api.client.post(
            "/api/v1/auth/universal-auth/login", content=b"{", headers={"content-type": "application/json"}
        )
    ]


@case("content type that is not read")
async def _(api: Api) -> Answers:
    return [
        await api.client.post(
            "/api/v1/auth/universal-auth/login", content=b"<a/>", headers={"content-type": "application/xml"}
        )
    ]


@case("body or query too large")
async def _(api: Api) -> Answers:
    return [
        await api.post("/api/v1/auth/universal-auth/login", {"clientId": "x" * 70_000}, token=None),
        await api.get(f"{DETAILS}?x={'x' * 17_000}"),
    ]


@case("too many refused logins from one address")
async def _(api: Api) -> Answers:
    wrong = {"clientId": NOWHERE, "clientSecret": "wrong"}
    for _ in range(3 * api.runtime.settings.refused_logins_per_minute):  # places come free while the requests are made
        reply = await api.post("/api/v1/auth/universal-auth/login", wrong, token=None)
        if reply.status_code != 401:
            break
    return [reply]


def test_every_situation_of_the_contract_has_a_case() -> None:
    assert {situation for situation, _, _ in ROWS} == set(CASES) | ELSEWHERE
    assert len(ROWS) > 20


@pytest.mark.parametrize(
    ("situation", "status", "error"), [row for row in ROWS if row[0] not in ELSEWHERE], ids=lambda value: str(value)
)
async def test_a_situation_is_answered_as_the_contract_says(api: Api, situation: str, status: str, error: str) -> None:
    answers = await CASES[situation](api)

    assert [(int(status), error)] * len(answers) == [
        (answer.status_code, answer.json().get("error")) for answer in answers
    ]
    assert all(answer.json()["statusCode"] == int(status) and answer.json()["reqId"] for answer in answers)
