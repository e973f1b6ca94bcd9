"""The composition root: what the settings choose, and that everything opened is closed again."""

from pathlib import Path

import msgspec
import pytest

from tests.api import postgres_settings, sqlite_settings
from watchword.app import Server, address_of, build_runtime, open_store, opened
from watchword.domain.secret import Secret
from watchword.services.context import Ctx
from watchword.services.keys.keyring import WrongRootKey
from watchword.settings import Settings
from watchword.store.audit.queries import EventFilter, events


def test_the_engine_follows_from_the_settings(tmp_path: Path) -> None:
    assert "sqlite" == open_store(sqlite_settings(tmp_path)).name
    assert "postgresql" == open_store(postgres_settings("postgresql://nobody@127.0.0.1/none")).name
    assert f"sqlite:///{tmp_path}/watchword.db" == address_of(sqlite_settings(tmp_path))


async def test_what_the_journal_holds_at_the_end_is_written(any_settings: Settings) -> None:
    async with opened(build_runtime(any_settings)) as parts:
        await Ctx(parts, request_id="last").audit_read("get-something", org_id="org")
    async with opened(build_runtime(any_settings)) as parts, parts.store.read() as tx:
        found = await events(tx, EventFilter(org_id="org"))

    assert ["get-something"] == [event.event for event in found]


async def test_a_wrong_root_key_leaves_nothing_open(any_settings: Settings) -> None:
    async with opened(build_runtime(any_settings)):
        pass
    wrong = msgspec.structs.replace(any_settings, root_key=Secret("00" * 32))

    for _ in range(3):
        with pytest.raises(WrongRootKey):
            async with opened(build_runtime(wrong)):
                pass
    async with opened(build_runtime(any_settings)) as parts:
        await parts.store.check()


async def test_no_path_is_routed_twice(any_settings: Settings) -> None:
    async with opened(build_runtime(any_settings)) as parts:
        places = [(route.method, route.path) for route in Server(parts).routes]

    assert sorted(set(places)) == sorted(places)
