"""The reports on 50,000 identities: their first and their last page come from an index, on both engines."""

from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.dialects import postgresql, sqlite

from tests.api import Api
from watchword.domain.identities.records import Identity
from watchword.store.identities import reports
from watchword.store.identities.identities import IDENTITIES

MANY, DAY = 50_000, 24 * 3600 * 1000


def _one(api: Api, number: int, now: int) -> Identity:
    """A third never logged in, a third logged in long ago or lately, a third also expires some time."""
    return Identity(
        id=f"0190{number:04x}-0000-7000-8000-{number:012x}",
        org_id=api.org_id,
        name=f"bot {number}",
        last_login_at=None if number % 3 == 0 else now - (number % 400) * DAY,
        expires_at=now + (number % 500) * DAY if number % 3 == 1 else None,
        created_at=now - 500 * DAY + number,
        updated_at=now,
    )


@pytest.fixture
async def crowd(any_api: Api) -> Api:
    now = any_api.clock()
    async with any_api.runtime.store.write() as tx:
        await tx.many(IDENTITIES.INSERT, [IDENTITIES.values(_one(any_api, number, now)) for number in range(MANY)])
        tx.changed(f"identity/{any_api.org_id}")
    return any_api


class _Plans:
    """A view that, instead of running a statement, asks the engine how it would."""

    def __init__(self, tx: Any, engine: str) -> None:
        self.tx = tx
        self.engine = engine
        self.plan = ""

    async def all(self, statement: Any, /, **params: Any) -> list[Any]:
        dialect = sqlite.dialect(paramstyle="qmark") if self.engine == "sqlite" else postgresql.dialect()
        literal = str(statement.compile(dialect=dialect, compile_kwargs={"literal_binds": True}))
        if (
            self.engine == "postgresql"
        ):  # whether an index has the order; what the planner guesses before it has counted is no matter
            await self.tx.all(text("SET LOCAL enable_sort = off"))
        how = "EXPLAIN QUERY PLAN " if self.engine == "sqlite" else "EXPLAIN "
        rows = await self.tx.all(text(how + literal.replace(":", "\\:")))
        self.plan = "\n".join(str(row[-1]) for row in rows)
        return []


REPORTS = {
    "unused": (reports.unused, "ix_identities_org_login"),
    "never-used": (reports.never_used, "ix_identities_org_login"),
}


async def test_every_page_of_a_report_is_read_from_the_index_where_it_begins(crowd: Api) -> None:
    for kind in REPORTS:
        for plan, index in [await _plan(crowd, kind, later=later) for later in (False, True)]:
            assert index in plan
            assert "Sort" not in plan
            assert "TEMP B-TREE" not in plan
        found = await crowd.ok("GET", f"/api/v1/organization/identity-reports/{kind}", query={"days": 30})
        assert 100 == len(found["identities"])


async def _plan(api: Api, kind: str, *, later: bool) -> tuple[str, str]:
    ask, index = REPORTS[kind]
    now = api.clock()
    cursor = (now - 200 * DAY, "0190c000")
    async with api.runtime.store.read() as tx:
        plans = _Plans(tx, api.runtime.store.name)
        await ask(plans, api.org_id, after=cursor if later else None, limit=101, before=now - 30 * DAY)  # type: ignore[arg-type]
    return plans.plan, index
