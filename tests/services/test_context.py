"""The two guards of Ctx, and audit events that stand or fall with their unit."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from sqlalchemy import func, select

from tests.api import Api, running, sqlite_settings
from tests.databases import placed
from watchword.domain.access.abilities import Rule, compile_rules
from watchword.domain.errors import PermissionDenied
from watchword.services.context import CallerScope, Ctx, PermissionNotAsked, RemoteInsideUnit
from watchword.store import schema
from watchword.store.audit.events import Audited
from watchword.store.people import people

COUNT = select(func.count()).select_from(schema.audit_events)


@pytest.fixture
def ctx(api: Api) -> Ctx:
    return Ctx(api.runtime, request_id="req-test")


async def names(api: Api) -> set[str]:
    async with api.runtime.store.read() as tx:
        return {row[0] for row in await tx.all(select(schema.audit_events.c.event))}


async def rename(ctx: Ctx, api: Api, name: str) -> None:
    async with ctx.unit() as tx:
        await people.change_organization(tx, api.org_id, name=name)
        ctx.audit("renamed", org_id=api.org_id, name=name)


async def name_of(api: Api) -> str:
    async with api.runtime.store.read() as tx:
        found = await people.organization(tx, api.org_id)
    assert found
    return found.name


async def test_a_unit_cannot_commit_before_permission_was_asked_for(ctx: Ctx, api: Api) -> None:
    with pytest.raises(PermissionNotAsked):
        await rename(ctx, api, "Stolen")

    assert "Acme" == await name_of(api)
    assert "renamed" not in await names(api)


async def test_asking_and_being_refused_is_no_way_to_commit_unless_the_service_goes_on(ctx: Ctx, api: Api) -> None:
    scope = CallerScope(org_id=api.org_id, ability=compile_rules([Rule(subject="identity", actions=("read",))]))

    with pytest.raises(PermissionDenied) as refusal:
        ctx.require(scope, "edit", "identity", name="x")

    assert [("edit", "identity")] == [(missing["action"], missing["subject"]) for missing in refusal.value.details]


async def test_a_public_request_says_why(ctx: Ctx, api: Api) -> None:
    with pytest.raises(PermissionNotAsked):
        ctx.public("")

    ctx.public("everybody may")
    await rename(ctx, api, "Renamed")

    assert "Renamed" == await name_of(api)


async def test_an_audit_event_stands_or_falls_with_its_unit(ctx: Ctx, api: Api) -> None:
    ctx.public("a test")
    with pytest.raises(ZeroDivisionError):
        async with ctx.unit() as tx:
            await people.change_organization(tx, api.org_id, name="Half")
            ctx.audit("half done", org_id=api.org_id)
            raise ZeroDivisionError

    assert ("Acme", False) == (await name_of(api), "half done" in await names(api))


async def test_an_event_is_stored_once(ctx: Ctx, api: Api) -> None:
    ctx.public("a test")
    await rename(ctx, api, "One")
    await rename(ctx, api, "Two")

    async with api.runtime.store.read() as tx:
        events = await tx.all(
            select(schema.audit_events.c.metadata, schema.audit_events.c.request_id).where(
                schema.audit_events.c.event == "renamed"
            )
        )

    assert [('{"name":"One"}', "req-test"), ('{"name":"Two"}', "req-test")] == sorted(tuple(row) for row in events)


@pytest.mark.parametrize("outer", ["unit", "view"])
async def test_nothing_remote_and_no_second_unit_while_one_is_open(ctx: Ctx, outer: str) -> None:
    ctx.public("a test")

    async with getattr(ctx, outer)():
        with pytest.raises(RemoteInsideUnit):
            _ = ctx.outbound
        for inner in (ctx.unit, ctx.view):
            with pytest.raises(RemoteInsideUnit):
                await inner().__aenter__()

    assert ctx.outbound is ctx.runtime.outbound


async def test_after_a_unit_that_failed_the_next_one_opens(ctx: Ctx, api: Api) -> None:
    ctx.public("a test")
    with pytest.raises(ZeroDivisionError):
        async with ctx.unit():
            raise ZeroDivisionError

    await rename(ctx, api, "Again")

    assert "Again" == await name_of(api)


async def test_a_request_sees_what_it_changed_itself(ctx: Ctx, api: Api) -> None:
    async def load(tx: people.Tx) -> tuple[str, tuple[str, ...]]:  # type: ignore[name-defined]
        found = await people.organization(tx, api.org_id)
        assert found
        return found.name, (f"org/{api.org_id}",)

    before = await ctx.fresh.get("name", load)
    ctx.public("a test")
    await rename(ctx, api, "Seen")

    assert ("Acme", "Seen") == (before, await ctx.fresh.get("name", load))


@pytest.fixture
async def strict(tmp_path: Path, migrated_file: Path) -> AsyncIterator[Api]:
    async with running(sqlite_settings(placed(migrated_file, tmp_path), audit_reads="strict")) as found:
        yield found


async def test_a_strict_read_is_answered_after_its_event_is_durable(strict: Api) -> None:
    identity = await strict.identity()
    await strict.universal(identity["id"])

    await strict.ok("GET", f"/api/v1/auth/universal-auth/identities/{identity['id']}/client-secrets")

    assert "get-identity-universal-auth-client-secret" in await names(strict)


async def test_a_new_id_is_a_uuid_of_version_7_that_grows_with_time(api: Api) -> None:
    first = api.runtime.new_id()
    api.clock.forward(0.002)
    second = api.runtime.new_id()

    assert ("7", "7", True) == (first[14], second[14], first < second)
    assert {first[19], second[19]} <= set("89ab")


async def test_a_write_cannot_be_handed_on_before_permission_was_asked_for(ctx: Ctx) -> None:
    entry = Audited(ctx.event("told", {}))

    with pytest.raises(PermissionNotAsked):
        await ctx.join(entry)


async def test_a_write_cannot_be_handed_on_while_a_unit_is_open(ctx: Ctx) -> None:
    ctx.public("a test")
    entry = Audited(ctx.event("told", {}))

    with pytest.raises(RemoteInsideUnit):
        async with ctx.unit():
            await ctx.join(entry)
