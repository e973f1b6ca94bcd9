"""The edge: what it takes of a request, and how it answers."""

import asyncio
import gzip
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast
from urllib.parse import unquote

import httpx
import msgspec
import pytest

from tests.api import EMAIL, PASSWORD, Api, running, sqlite_settings
from tests.databases import placed
from tests.loopback import listening
from watchword.app import Server
from watchword.domain.errors import BadRequest, Refusal, TooManyRequests, Unavailable
from watchword.http.edge import Edge, rendered
from watchword.http.heads import by_name
from watchword.settings import UNIX


@pytest.mark.parametrize(
    ("refusal", "status", "header"),
    [
        (TooManyRequests(retry_after=7), 429, b"7"),
        (TooManyRequests(retry_after=0.2), 429, b"1"),
        (TooManyRequests(retry_after=30.1), 429, b"31"),
        (TooManyRequests(), 429, b"1"),
        (Unavailable(), 503, b"1"),
    ],
)
def test_a_refusal_that_passes_says_after_how_many_whole_seconds(refusal: Refusal, status: int, header: bytes) -> None:
    answered, _, headers = rendered(refusal, "req-1")
    assert (status, header) == (answered, dict(headers)[b"retry-after"])


def test_other_refusals_name_no_time() -> None:
    assert b"retry-after" not in dict(rendered(BadRequest(), "req-1")[2])


class Asked:
    """One request as the server process hands it over, with headers as they stand on the wire."""

    def __init__(self, api: Api) -> None:
        self._app = Server(api.runtime)

    async def __call__(
        self,
        method: str,
        path: str,
        headers: Sequence[tuple[str, str]] = (),
        body: bytes = b"",
        *,
        peer: str | None = "127.0.0.1",
        version: str = "1.1",
    ) -> tuple[int, dict[str, str], bytes]:
        bare, _, query = path.partition("?")
        pairs = [(name.lower().encode(), value.encode()) for name, value in headers]
        scope: dict[str, Any] = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": version,
            "method": method,
            "path": unquote(bare),
            "raw_path": bare.encode(),
            "query_string": query.encode(),
            "headers": pairs,
            "client": (peer, 4000) if peer else None,
            "server": ("127.0.0.1", 80),
            "scheme": "http",
            "state": {},
            "root_path": "",
        }
        sent: list[dict[str, Any]] = []

        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": body, "more_body": False}

        async def send(message: dict[str, Any]) -> None:
            sent.append(message)

        await self._app(scope, receive, send)
        said = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
        return sent[0]["status"], said, b"".join(message.get("body", b"") for message in sent[1:])


HOST = ("host", "watchword.test")
FORM = ("content-type", "application/json")


def as_(*bearers: str) -> list[tuple[str, str]]:
    return [HOST, *(("authorization", bearer) for bearer in bearers)]


async def test_of_two_credentials_none_is_taken_and_neither_is_another_scheme(api: Api) -> None:
    ask, path, token = Asked(api), "/api/v1/organization", api.person

    found = {
        given: (await ask("GET", path, as_(*given)))[0]
        for given in [
            (f"Bearer {token}",),
            (f"bearer {token}",),
            (f"Bearer {token}", f"Bearer {token}"),
            (f"Bearer {token}", "Bearer x"),
            ("Bearer x", f"Bearer {token}"),
            (f"Basic {token}", f"Bearer {token}"),
            (f"Banana {token}",),
            (token,),
            (f"Bearer\t{token}",),
            ("Bearer",),
            (),
        ]
    }

    assert [200, 200] + [401] * 9 == list(found.values())


async def test_another_scheme_on_a_public_route_is_none_of_ours(api: Api) -> None:
    """A proxy that asks people for a password of its own lets their browsers send it along."""
    login = msgspec.json.encode({"email": EMAIL, "password": PASSWORD})
    status, _, _ = await Asked(api)("POST", "/api/v3/auth/login", [*as_("Basic YTpi"), FORM], login)

    assert 200 == status


@pytest.mark.parametrize("hosts", [[], ["a", "b"], ["a", "a"], [""], ["a b"], ["a/b"], ["u@a"]])
async def test_a_request_names_exactly_one_host(api: Api, hosts: list[str]) -> None:
    ask, headers = Asked(api), [("host", host) for host in hosts]

    assert (400, 400) == (
        (await ask("GET", "/api/status", headers))[0],
        (await ask("GET", "/no/such/path", headers))[0],
    )
    assert (200 if not hosts else 400) == (await ask("GET", "/api/status", headers, version="1.0"))[0]


async def test_a_host_that_was_valid_once_does_not_stand_twice(api: Api) -> None:
    ask = Asked(api)

    assert [200, 400, 200] == [(await ask("GET", "/api/status", [HOST] * times))[0] for times in (1, 2, 1)]


CASES = [line.split("\t") for line in (Path(__file__).parent / "forwarded-for.tsv").read_text().splitlines()[1:]]


@pytest.mark.parametrize(("lines", "caller"), CASES)
async def test_what_proxies_send_names_the_caller(tmp_path: Path, migrated_file: Path, lines: str, caller: str) -> None:
    settings = sqlite_settings(placed(migrated_file, tmp_path), trusted_proxies=("127.0.0.0/8", "::1/128"))
    async with running(settings) as api:
        edge, headers = (
            Edge(api.runtime, cast("Any", None), cast("Any", None)),
            [(b"x-forwarded-for", line.encode()) for line in lines.split("|")],
        )
        found = edge.context({"state": {"request_id": ""}, "client": ("127.0.0.1", 1)}, by_name(headers))

    assert caller == str(found.address)


async def test_a_network_restriction_holds_behind_two_proxies(tmp_path: Path, migrated_file: Path) -> None:
    settings = sqlite_settings(placed(migrated_file, tmp_path), trusted_proxies=("127.0.0.0/8", "10.0.0.0/8"))
    async with running(settings) as api:
        ask = Asked(api)
        identity = await api.identity()
        login = await api.universal(identity["id"], clientSecretTrustedIps=[{"ipAddress": "20.0.0.0/8"}])

        async def status(*lines: str, peer: str = "127.0.0.1") -> int:
            headers = [HOST, FORM, *(("x-forwarded-for", line) for line in lines)]
            return (
                await ask("POST", "/api/v1/auth/universal-auth/login", headers, msgspec.json.encode(login), peer=peer)
            )[0]

        allowed = [
            await status("20.1.1.1"),
            await status("20.1.1.1", "10.0.0.1"),
            await status("20.1.1.1:99"),
            await status("9.9.9.9", "20.1.1.1, 10.0.0.1"),
        ]
        refused = [
            await status("20.1.1.1", "9.9.9.9"),
            await status("9.9.9.9", "10.0.0.1"),
            await status("20.1.1.1", "banana"),
            await status("banana"),
            await status("20.1.1.1, unknown, 10.0.0.1"),
            await status(),
            await status("20.1.1.1", peer="9.9.9.9"),
        ]
        events = (await api.ok("GET", "/api/v1/organization/audit-logs", query={"limit": "100"}))["auditLogs"]

    assert ([200] * 4, [403] * 7) == (allowed, refused)
    assert {"20.1.1.1", "9.9.9.9", "10.0.0.1", "127.0.0.1", "", None} >= {event["ipAddress"] for event in events}


async def test_the_standard_header_is_read_where_a_setting_says_so_and_the_other_is_not(
    tmp_path: Path, migrated_file: Path
) -> None:
    settings = sqlite_settings(
        placed(migrated_file, tmp_path), trusted_proxies=("127.0.0.0/8", UNIX), forwarded_header="forwarded"
    )
    async with running(settings) as api:
        edge = Edge(api.runtime, cast("Any", None), cast("Any", None))
        headers = {b"forwarded": b'for="[2001:db8::1]:80", for=127.0.0.1', b"x-forwarded-for": b"9.9.9.9"}
        found = [
            edge.context({"state": {"request_id": ""}, "client": client}, headers).address
            for client in (("127.0.0.1", 1), None, ("8.8.8.8", 1))
        ]

    assert ["2001:db8::1", "2001:db8::1", "8.8.8.8"] == found


async def test_nobody_is_believed_through_the_socket_unless_a_setting_says_so(api: Api) -> None:
    edge = Edge(api.runtime, cast("Any", None), cast("Any", None))

    assert edge.context({"state": {"request_id": ""}, "client": None}, {b"x-forwarded-for": b"9.9.9.9"}).address is None


async def test_a_zero_character_in_any_text_is_refused_by_its_name(any_api: Api) -> None:
    api = any_api
    ask, token = Asked(api), f"Bearer {api.token}"
    project = (await api.ok("POST", "/api/v2/workspace", {"projectName": "P"}))["project"]["id"]
    nul = msgspec.json.encode({"name": "a\x00b", "organizationId": api.org_id})
    secret = msgspec.json.encode(
        {"workspaceId": project, "environment": "dev", "secretPath": "/", "secretValue": "a\x00b"}
    )
    headers = [*as_(token), FORM]

    replies = [
        await ask("POST", "/api/v1/identities", headers, nul),
        await ask("POST", "/api/v3/secrets/raw/A%00", headers, secret),
        await ask("GET", "/api/v1/identities/a%00b", headers),
        await ask("GET", f"/api/v3/secrets/raw?workspaceId={project}&environment=d%00v", headers),
        await ask(
            "POST",
            "/api/v1/auth/universal-auth/login",
            [HOST, ("content-type", "application/x-www-form-urlencoded")],
            b"clientId=a%00&clientSecret=b",
        ),
    ]
    stored = await ask("POST", "/api/v3/secrets/raw/A", headers, secret)
    read = await ask("GET", f"/api/v3/secrets/raw/A?workspaceId={project}&environment=dev", headers)

    assert [422] * 5 == [status for status, _, _ in replies], replies
    assert [["name"], ["secret_name"], ["identity_id"], ["environment"], ["clientId"]] == [
        json.loads(body)["message"][0]["path"] for _, _, body in replies
    ]
    assert (200, "a\x00b") == (stored[0], json.loads(read[2])["secret"]["secretValue"]), "a sealed text may be any"


async def test_no_answer_is_kept_by_what_lies_between_but_public_ones(api: Api) -> None:
    ask = Asked(api)
    headers = as_(f"Bearer {api.token}")
    answers = {
        path: (await ask("GET", path, headers))[1].get("cache-control", "")
        for path in (
            "/api/v1/organization",
            "/api/v1/no-such-thing",
            f"/api/v2/organizations/{api.org_id}",
            "/api/v1/identities",
            "/api/v1/identities/x",
            "/api/status",
            "/.well-known/jwks.json",
            "/api/docs",
        )
    }

    public = {path: said for path, said in answers.items() if said != "no-store"}
    assert {"/.well-known/jwks.json", "/api/docs"} >= public.keys()


async def test_a_condition_is_answered_as_the_standard_says(api: Api) -> None:
    ask = Asked(api)
    path = f"/api/v1/identities?orgId={api.org_id}"
    headers = as_(f"Bearer {api.token}")
    tag = (await ask("GET", path, headers))[1]["etag"]

    found = [
        await ask("GET", path, [*headers, ("if-none-match", said)])
        for said in (tag, f"W/{tag}", f'"x", {tag}', "*", '"x"', "x")
    ]
    lines = await ask("GET", path, [*headers, ("if-none-match", '"x"'), ("if-none-match", tag)])

    assert [304, 304, 304, 304, 200, 200, 304] == [status for status, _, _ in (*found, lines)]
    assert [(tag, "no-store", b"")] * 5 == [
        (said["etag"], said["cache-control"], body) for status, said, body in (*found, lines) if status == 304
    ]


async def test_large_answers_are_compressed_for_whoever_takes_it_but_not_secrets(api: Api) -> None:
    ask = Asked(api)
    headers = as_(f"Bearer {api.token}")
    for i in range(20):
        await api.identity(name=f"bot {i} with a long name")
    project = (await api.ok("POST", "/api/v2/workspace", {"projectName": "P"}))["project"]["id"]
    place = {"workspaceId": project, "environment": "dev", "secretPath": "/"}
    await api.ok("POST", "/api/v3/secrets/raw/A", {**place, "secretValue": "x" * 50_000})
    path, zipped = f"/api/v1/identities?orgId={api.org_id}", ("accept-encoding", "gzip, deflate")

    plain, small = (
        await ask("GET", path, headers),
        await ask("GET", "/api/v1/organization", [*as_(f"Bearer {api.person}"), zipped]),
    )
    less = await ask("GET", path, [*headers, zipped])
    again = await ask("GET", path, [*headers, zipped, ("if-none-match", less[1]["etag"])])
    other = await ask("GET", path, [*headers, ("if-none-match", less[1]["etag"])])
    secret = await ask("GET", f"/api/v3/secrets/raw?workspaceId={project}&environment=dev", [*headers, zipped])

    assert ("gzip", "Accept-Encoding", plain[2]) == (
        less[1]["content-encoding"],
        less[1]["vary"],
        gzip.decompress(less[2]),
    )
    assert len(less[2]) == int(less[1]["content-length"]) < len(plain[2]) / 3
    assert ("Accept-Encoding", False) == (plain[1]["vary"], "content-encoding" in plain[1])
    assert less[1]["etag"] != plain[1]["etag"]
    assert (304, less[1]["etag"], 200) == (again[0], again[1]["etag"], other[0])
    assert not {"content-encoding", "vary"} & {*small[1], *secret[1]}


async def test_strangers_send_little_and_whoever_signs_in_may_send_more(api: Api) -> None:
    ask = Asked(api)
    value = b'{"a": "' + b"x" * 70_000 + b'"}'
    many = b'{"name": [' + b"[]," * 9_000 + b"0]}"

    login = await ask("POST", "/api/v1/auth/universal-auth/login", [HOST, FORM], value)
    values = await ask("POST", "/api/v1/auth/universal-auth/login", [HOST, FORM], many)
    nobody = await ask("POST", "/api/v1/identities", [HOST, FORM], value)
    forged = await ask("POST", "/api/v1/identities", [*as_("Bearer a.b.c"), FORM], value)
    other = await ask("POST", "/api/v1/identities", [*as_(f"Bearer {api.token}"), FORM], value)

    assert [413, 413, 401, 401, 422] == [reply[0] for reply in (login, values, nobody, forged, other)]


async def test_options_of_the_whole_server_says_which_methods_there_are(api: Api) -> None:
    async with listening(Server(api.runtime)) as url:
        reader, writer = await asyncio.open_connection("127.0.0.1", httpx.URL(url).port)
        writer.write(b"OPTIONS * HTTP/1.1\r\nHost: watchword.test\r\nConnection: close\r\n\r\n")
        head = (await reader.read()).split(b"\r\n\r\n")[0].split(b"\r\n")
        writer.close()

    assert b"204" == head[0].split(b" ")[1]
    assert b"allow: GET, HEAD, PUT, PATCH, POST, DELETE, OPTIONS" in head
