# ruff: noqa: RUF001 - names that look alike are what these tests are about
"""The lockout of LDAP logins: counted by the entry of the directory, whatever spelling leads to it."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.adapters.directories import BASE, PEOPLE, SERVICE, SERVICE_PASSWORD, SLAPD, SmallDirectory, listening, slapd
from tests.api import Api, running, sqlite_settings
from tests.databases import placed
from tests.methods.clouds import Trust
from watchword.domain.authentication.ldap_names import directory_name

LOGIN = "/api/v1/auth/ldap-auth/login"
SPELLINGS = ["ADA", "Ada", " ada", "ａda", "𝐚da", "𝕒da", "ＡＤＡ"]


class FoldingDirectory(SmallDirectory):
    """A directory that takes more spellings for one name than ours does: names without their accents and dots."""

    async def answer(self, session: Any, message: Any, writer: Any) -> None:
        value = getattr(getattr(message, "filter", None), "value", b"").decode()
        plain = directory_name(value).replace("á", "a").replace(".", "")
        if value:
            self.found = [dn for dn, entry in PEOPLE.items() if plain in entry["uid"]]
        await super().answer(session, message, writer)


@contextlib.asynccontextmanager
async def directory(kind: str, folder: Path) -> AsyncIterator[tuple[str, str]]:
    """The URL and the CA of a directory."""
    trust = Trust(folder)
    if kind == "slapd":
        with slapd(folder, trust) as (_, port):
            yield f"ldaps://localhost:{port}", trust.pem
    else:
        async with listening(FoldingDirectory(), tls=trust.context("localhost")) as port:
            yield f"ldaps://localhost:{port}", trust.pem


@pytest.fixture(params=["slapd", "folding"])
async def at(
    request: pytest.FixtureRequest, tmp_path: Path, migrated_file: Path
) -> AsyncIterator[tuple[Api, str, str]]:
    """A server, an identity whose logins a directory proves, and the kind of the directory."""
    if request.param == "slapd" and not SLAPD:
        pytest.skip("slapd is not installed (Debian: apt-get install slapd)")
    (tmp_path / "directory").mkdir()
    settings = sqlite_settings(placed(migrated_file, tmp_path), allowed_private_hosts=("localhost",))
    async with directory(request.param, tmp_path / "directory") as (url, ca), running(settings) as api:
        identity = await api.identity()
        body = {
            "url": url,
            "bindDN": SERVICE,
            "bindPass": SERVICE_PASSWORD,
            "searchBase": BASE,
            "ldapCaCertificate": ca,
        }
        await api.ok("POST", f"/api/v1/auth/ldap-auth/identities/{identity['id']}", body)
        yield api, identity["id"], request.param


async def tried(at: tuple[Api, str, str], username: str, password: str = "ada's password") -> int:
    body = {"identityId": at[1], "username": username, "password": password}
    return (await at[0].post(LOGIN, body, token=None)).status_code


async def reason(api: Api, body: dict[str, str]) -> str:
    reply = await api.post(LOGIN, body, token=None)
    found = await api.ok("GET", f"/api/v1/organization/auth-failures/{reply.json()['reqId']}")
    return str(found["authFailure"]["reasonCode"])


async def test_every_spelling_of_a_name_is_counted_and_locked_as_one(at: tuple[Api, str, str]) -> None:
    assert 200 == await tried(at, "ada")
    guesses = [await tried(at, name, "wrong") for name in SPELLINGS[:3]]

    locked = [await tried(at, name) for name in ["ada", *SPELLINGS]]
    others = await tried(at, "bob", "bob's password")
    at[0].clock.forward(301)

    assert [401] * 3 == guesses
    assert [401] * 8 == locked
    assert (200, 200) == (others, await tried(at, "ada"))


async def test_the_lock_holds_for_spellings_that_only_the_directory_takes_for_the_same(
    at: tuple[Api, str, str],
) -> None:
    if at[2] == "slapd":
        pytest.skip("OpenLDAP folds no more than we do")
    assert [200, 200] == [await tried(at, name) for name in ("ádá", "a.d.a")]
    for name in ("ada", "ádá", "a.da"):
        await tried(at, name, "wrong")

    assert [401] * 4 == [await tried(at, name) for name in ("ada", "ádá", "a.d.a", "ad.a.")]


async def test_a_name_that_is_written_like_an_entry_does_not_lock_that_entry(at: tuple[Api, str, str]) -> None:
    for _ in range(4):
        await tried(at, f"uid=ada,ou=people,{BASE}", "wrong")

    assert 200 == await tried(at, "ada")


async def test_a_right_password_whose_attributes_do_not_fit_is_refused_and_not_counted(
    at: tuple[Api, str, str],
) -> None:
    api, identity_id, _ = at
    path = f"/api/v1/auth/ldap-auth/identities/{identity_id}"
    await api.ok("PATCH", path, {"allowedFields": [{"key": "employeeType", "value": "nobody"}]})
    refused = [await tried(at, "ada") for _ in range(5)]
    await api.ok("PATCH", path, {"allowedFields": []})

    assert [401] * 5 == refused
    assert 200 == await tried(at, "ada")


async def test_a_right_password_forgets_the_wrong_ones_of_other_spellings(at: tuple[Api, str, str]) -> None:
    for _ in range(3):
        for name in ("ADA", "ａda"):
            assert 401 == await tried(at, name, "wrong")
        assert 200 == await tried(at, "ada")


async def test_of_many_guesses_at_once_the_threshold_is_all_that_is_weighed(at: tuple[Api, str, str]) -> None:
    names = [*SPELLINGS, "ada"] * 5

    answers = await asyncio.gather(*[tried(at, name, f"guess {i}") for i, name in enumerate(names)])

    assert {401} == set(answers)
    assert [401, 401] == [await tried(at, "ada"), await tried(at, "ADA")]
