"""Values at rest: bound to their place, and nowhere in clear."""

import logging
from pathlib import Path

import pytest
from sqlalchemy import update

from tests.api import Api, running, sqlite_settings
from tests.vault import Vault
from watchword.domain.keys.sealing import CannotOpen
from watchword.services.authentication.bearer import VerifiedTokens, authenticate_bearer
from watchword.services.context import Ctx
from watchword.services.secrets import reading
from watchword.store import schema, versions

_s = schema.secrets


async def _read(api: Api, vault: Vault, name: str) -> str:
    """Read past the edge, so that the error itself is seen."""
    ctx = Ctx(api.runtime)
    ctx.actor = await authenticate_bearer(ctx, api.token, VerifiedTokens(api.runtime.keys, 100))
    return (
        await reading.get(ctx, reading.SecretRequest(project_id=vault.project_id, environment="dev", name=name))
    ).value


async def _overwrite(api: Api, id: str, **fields: object) -> None:
    async with api.runtime.store.write() as tx:
        await tx.run(update(_s).where(_s.c.id == id).values(**fields))
        row = await tx.one(_s.select().with_only_columns(_s.c.folder_id).where(_s.c.id == id))
        tx.changed(versions.folder(row[0]))


async def _stored(api: Api, id: str) -> bytes:
    async with api.runtime.store.read() as tx:
        row = await tx.one(_s.select().with_only_columns(_s.c.value).where(_s.c.id == id))
        return bytes(row[0])


async def test_an_envelope_does_not_open_in_another_row_or_version(any_api: Api) -> None:
    vault = await Vault.new(any_api)
    one, two = await vault.put("ONE", "value one"), await vault.put("TWO", "value two")
    first, second = await _stored(any_api, one["id"]), await _stored(any_api, two["id"])

    await _overwrite(any_api, one["id"], value=second)
    with pytest.raises(CannotOpen):
        await _read(any_api, vault, "ONE")
    await _overwrite(any_api, one["id"], value=first, version=2)
    with pytest.raises(CannotOpen):
        await _read(any_api, vault, "ONE")
    await _overwrite(any_api, one["id"], value=first, version=1)
    assert "value one" == await _read(any_api, vault, "ONE")


async def test_a_row_put_into_another_folder_or_project_does_not_open(any_api: Api) -> None:
    vault, other = await Vault.new(any_api, "one"), await Vault.new(any_api, "two")
    made = await vault.put("A", "v")
    there = await other.put("B", "v")

    async with any_api.runtime.store.write() as tx:
        row = await tx.one(_s.select().with_only_columns(_s.c.folder_id).where(_s.c.id == there["id"]))
        await tx.run(update(_s).where(_s.c.id == made["id"]).values(folder_id=row[0], project_id=other.project_id))
        tx.changed(versions.folder(row[0]))

    with pytest.raises(CannotOpen):
        await _read(any_api, other, "A")


async def test_an_old_envelope_is_not_taken_for_the_present_one(any_api: Api) -> None:
    """Who can write the database could otherwise bring a rotated password back unnoticed."""
    vault = await Vault.new(any_api)
    made = await vault.put("A", "old")
    before = await _stored(any_api, made["id"])
    await vault.change("A", secretValue="new")

    await _overwrite(any_api, made["id"], value=before)

    with pytest.raises(CannotOpen):
        await _read(any_api, vault, "A")


async def test_no_value_and_no_credential_is_in_the_database_the_logs_or_an_error(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    canary, errors = "canary-7f3a9c", ""
    async with running(sqlite_settings(tmp_path, log_requests=True)) as api:
        vault = await Vault.new(api)
        metadata = [{"key": "k", "value": f"{canary}-metadata", "isEncrypted": True}]
        made = await vault.put("A", f"{canary}-value", secretComment=f"{canary}-comment", secretMetadata=metadata)
        await vault.change("A", secretValue=f"{canary}-changed")
        identity = await api.identity("member")
        login = await api.universal(identity["id"])
        token = await api.login(login)
        await vault.folder("/to")
        move = {
            "workspaceId": vault.project_id,
            "sourceEnvironment": "dev",
            "destinationEnvironment": "dev",
            "destinationSecretPath": "/to",
        }
        await api.ok("POST", "/api/v3/secrets/move", {**move, "secretIds": [made["id"]]})
        await vault.value("A", path="/to")
        for reply in [
            await vault.call("POST", "A", path="/to", secretValue=f"{canary}-taken"),
            await vault.call("POST", "B B", secretValue=f"{canary}-badname"),
            await vault.call("POST", "C", secretValue={"x": f"{canary}-object"}),
            await vault.call("GET", "A", path="/to", token=token),
            await api.post(
                "/api/v1/auth/universal-auth/login", {**login, "clientSecret": f"{canary}-secret"}, token=None
            ),
            await api.get("/api/v3/secrets/raw", token=f"{canary}-token"),
        ]:
            assert reply.status_code >= 400
            errors += reply.text
        found = [login["clientSecret"], token, api.token, api.instance_token, api.person, canary]
        on_disk = _files(tmp_path)

    assert len(on_disk) > 100_000
    for secret in found:
        assert secret.encode() not in on_disk
        assert secret not in caplog.text
        assert secret not in errors
    assert b"canary" not in _files(tmp_path)


def _files(folder: Path) -> bytes:
    """The database, its write-ahead log, and whatever else is there."""
    return b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())
