"""Keys: a wrong root key changes nothing, a sealed value opens in its own place only, and nothing shows a key."""

import asyncio
import logging
import os
from typing import Any

import pytest
from sqlalchemy import select, update

from tests.api import ROOT_KEY, Api, running
from tests.store import samples
from watchword.app import build_runtime, opened
from watchword.domain.keys.sealing import CannotOpen
from watchword.domain.secret import Secret
from watchword.services.keys.keyring import HMAC, Keyring, WrongRootKey, org_scope, project_scope
from watchword.settings import Settings
from watchword.store import schema
from watchword.store.engine import Store

OTHER_ROOT = "22" * 32
KEYS = select(schema.data_keys).order_by(schema.data_keys.c.scope, schema.data_keys.c.version)


async def everything(store: Store) -> dict[str, list[Any]]:
    async with store.read() as tx:
        return {
            name: sorted(map(repr, map(tuple, await tx.all(select(table)))))
            for name, table in schema.metadata.tables.items()
        }


def with_root(settings: Settings, key: str) -> Settings:
    return Settings(
        **{**{name: getattr(settings, name) for name in settings.__struct_fields__}, "root_key": Secret(key)}
    )


# --- the root key


async def test_a_wrong_root_key_fails_at_once_and_changes_nothing(any_settings: Settings) -> None:
    async with running(any_settings) as api:
        await api.bot("member")
    async with opened(build_runtime(any_settings)) as parts:
        before = await everything(parts.store)
    wrong = build_runtime(with_root(any_settings, OTHER_ROOT))

    with pytest.raises(WrongRootKey) as refusal:
        async with opened(wrong):
            pass

    async with opened(build_runtime(any_settings)) as parts:
        assert before == await everything(parts.store)
    assert ROOT_KEY not in str(refusal.value)
    assert OTHER_ROOT not in str(refusal.value)


async def test_two_servers_that_start_on_an_empty_database_at_once_have_the_same_keys(any_settings: Settings) -> None:
    first, second = build_runtime(any_settings), build_runtime(any_settings)
    await first.store.open()
    await second.store.open()
    await asyncio.gather(first.keys.open(first.store), second.keys.open(second.store))

    assert first.keys.jwks == second.keys.jwks
    assert first.keys.digest("x") == second.keys.digest("x")
    await first.store.close()
    await second.store.close()


# --- every value in its own place


async def sealers(api: Api) -> tuple[Any, Any]:
    other, _ = await api.organization()
    async with api.runtime.store.read() as tx:
        return await api.runtime.keys.sealer(tx, org_scope(api.org_id)), await api.runtime.keys.sealer(
            tx, org_scope(other)
        )


async def test_a_value_opens_in_its_own_scope_and_context_only(api: Api) -> None:
    one, other = await sealers(api)
    sealed = one.seal("secret/1/1/value", b"hush")

    assert b"hush" == one.open("secret/1/1/value", sealed)
    for sealer, context in (
        (one, "secret/1/2/value"),
        (one, "secret/2/1/value"),
        (one, "secret/1/1/comment"),
        (other, "secret/1/1/value"),
    ):
        with pytest.raises(CannotOpen):
            sealer.open(context, sealed)


async def test_sealing_twice_gives_two_envelopes(api: Api) -> None:
    one, _ = await sealers(api)

    assert one.seal("here", b"same") != one.seal("here", b"same")


async def test_a_secret_whose_sealed_value_was_copied_from_another_does_not_open(any_api: Api) -> None:
    """Who can write to the database cannot read a secret by moving it to where he may read."""
    project = (await any_api.ok("POST", "/api/v2/workspace", {"projectName": "Sealed"}))["project"]["id"]
    place = {"workspaceId": project, "environment": "dev", "secretPath": "/"}
    for key in ("ONE", "TWO"):
        await any_api.ok("POST", f"/api/v3/secrets/raw/{key}", {**place, "secretValue": f"value of {key}"})
    table = schema.secrets
    async with any_api.runtime.store.write() as tx:
        row = await tx.one(select(table.c.value, table.c.folder_id).where(table.c.key == "ONE"))
        assert row
        await tx.run(update(table).where(table.c.key == "TWO").values(value=row[0]))
        tx.changed(f"folder/{row[1]}")

    reply = await any_api.get("/api/v3/secrets/raw/TWO", query=place)

    assert reply.status_code >= 500
    assert "value of" not in reply.text


async def test_a_data_key_that_was_put_under_another_scope_does_not_open(any_api: Api) -> None:
    other, _ = await any_api.organization()
    table = schema.data_keys
    async with any_api.runtime.store.write() as tx:
        row = await tx.one(select(table.c.sealed).where(table.c.scope == org_scope(other)))
        assert row
        await tx.run(update(table).where(table.c.scope == org_scope(any_api.org_id)).values(sealed=row[0]))
    fresh = Keyring(bytes.fromhex(ROOT_KEY), os.urandom, any_api.clock)
    await fresh.open(any_api.runtime.store)

    with pytest.raises(WrongRootKey):
        async with any_api.runtime.store.read() as tx:
            await fresh.sealer(tx, org_scope(any_api.org_id))


async def test_a_key_that_is_not_there_opens_nothing(api: Api) -> None:
    with pytest.raises(CannotOpen):
        async with api.runtime.store.read() as tx:
            await api.runtime.keys.sealer(tx, project_scope("nowhere"))


async def test_credentials_are_kept_as_keyed_hashes(api: Api) -> None:
    """With the database alone nobody can try out client secrets: the hash needs the server's key."""
    identity = await api.identity()
    login = await api.universal(identity["id"])
    async with api.runtime.store.read() as tx:
        rows = [row[0] for row in await tx.all(select(schema.client_secrets.c.hash))]
        stored = [
            row[0] for row in await tx.all(select(schema.data_keys.c.sealed).where(schema.data_keys.c.scope == HMAC))
        ]
        dump = {
            name: [tuple(row) for row in await tx.all(select(table))] for name, table in schema.metadata.tables.items()
        }

    assert [api.runtime.keys.digest(login["clientSecret"])] == rows
    assert 1 == len(stored)
    assert login["clientSecret"] not in repr(dump)


# --- nothing shows


async def test_no_repr_shows_a_key_or_a_secret(api: Api) -> None:
    identity = await api.identity()
    login = await api.universal(identity["id"])
    one, _ = await sealers(api)
    shown = " ".join(
        map(repr, (api.runtime.keys, one, api.runtime.keys.signer, api.runtime.settings, Secret("hush"), api.runtime))
    )

    for hidden in (ROOT_KEY, "hush", login["clientSecret"]):
        assert hidden not in shown
    assert ("***", "***") == (repr(Secret("hush")), f"{Secret('hush')}")


async def test_no_log_line_shows_a_credential(any_settings: Settings, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    async with running(any_settings) as api:
        identity = await api.identity("member")
        login = await api.universal(identity["id"])
        token = await api.login(login)
        await api.post("/api/v1/auth/universal-auth/login", {**login, "clientSecret": "f" * 64}, token=None)
        await api.get(f"/api/v1/identities/{identity['id']}", token=token)
        await api.get(f"/api/v1/identities/{identity['id']}", token=token[:-3])
        await api.post("/api/v1/auth/token/renew", {"accessToken": token}, token=None)
    lines = "\n".join(f"{record.getMessage()} {vars(record)}" for record in caplog.records)

    for hidden in (
        login["clientSecret"],
        "f" * 64,
        token,
        token.split(".")[2],
        token[:-3],
        ROOT_KEY,
        "correct horse battery",
    ):
        assert hidden not in lines


def test_every_column_that_holds_bytes_is_sealed_or_hashed_and_known_here() -> None:
    """A new column of bytes must say which: sealed under a key, or the keyed hash of a credential."""
    sealed = {
        "data_keys.sealed",
        "users.mfa_secret",
        "secrets.value",
        "secrets.comment",
        "secret_versions.value",
        "secret_versions.comment",
        "delivery_targets.sealed",
        "wraps.sealed",  # under a key made from the wrapping token, which is stored nowhere
    }
    hashed = {
        "client_secrets.hash",
        "invitations.token_hash",
        "one_time_tokens.token_hash",
        "service_tokens.hash",
        "wraps.verifier",
    }
    found = {
        f"{table}.{column.name}"
        for table in schema.metadata.tables.values()
        for column in table.columns
        if column.type.python_type is bytes
    }

    assert sealed | hashed == found
    assert samples.mappers()
