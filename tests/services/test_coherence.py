"""After a change was answered no request sees what was before: one server on SQLite, two over one PostgreSQL."""

from collections.abc import AsyncIterator

import pytest

from tests.api import Api, running
from tests.services import coherence
from watchword.settings import Settings


@pytest.fixture
async def servers(any_settings: Settings) -> AsyncIterator[tuple[Api, Api]]:
    """Two clients: of one server on SQLite, of two on PostgreSQL."""
    async with running(any_settings) as one:
        if any_settings.database_url is None:
            yield one, one
            return
        async with running(any_settings, fresh=False) as two:
            two.token, two.person, two.org_id, two.instance_token = (
                one.token,
                one.person,
                one.org_id,
                one.instance_token,
            )
            yield one, two


async def test_what_is_taken_away_and_given_back_is_seen_by_every_request_that_begins_later(
    servers: tuple[Api, Api],
) -> None:
    changes, reads = await coherence.race(servers, await coherence.everything(servers[0]), seconds=4)

    assert changes > 20
    assert reads > changes


async def test_what_ended_has_ended_for_every_request_that_begins_later(servers: tuple[Api, Api]) -> None:
    found = await coherence.ends(servers, 2)

    assert {name: {401} for name in found} == found
