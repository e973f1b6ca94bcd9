"""Every query there is, run on both engines: found by looping over the modules, so a new one is tested before
it is used.
"""

import asyncio
import contextlib
import inspect
from typing import Any, get_type_hints

import asyncpg
import pytest
from sqlalchemy import delete, func, literal, select

from tests.store import samples
from watchword.store import schema
from watchword.store.engine import AlreadyThere, Prepared, StillNeeded, Store
from watchword.store.postgres import _DIALECT as POSTGRES
from watchword.store.postgres import PostgresStore
from watchword.store.secrets.secrets import VersionConflict
from watchword.store.sqlite import _DIALECT as SQLITE
from watchword.store.sqlite import SqliteStore

QUERIES = dict(samples.queries())
ENTRIES = dict(samples.entries())
PREPARED = {
    f"{module.__name__.rpartition('.')[2]}.{name}": value
    for module in samples.modules()
    for name, value in vars(module).items()
    if isinstance(value, Prepared)
}
EMBEDDED = {
    name: statement for name, statement in PREPARED.items() if name != "logins._SETTLE"
}  # which SQLite has no words for
# What `**fields` stands for where it is not `updated_at`.
FIELDS: dict[str, dict[str, Any]] = {
    "accounts.put_session": {"last_used_at": 1},
}
# Arguments that cannot be empty.
GIVEN: dict[str, dict[str, Any]] = {
    "groups.listed": {"kinds": ("user", "identity")},
}


class Undo(Exception):
    """Leave the unit and take everything back."""


def arguments(name: str, query: Any, *, empty: bool) -> tuple[list[Any], dict[str, Any]]:
    """Arguments for a query made from its annotations: about the rows of `samples.fill`, or about nothing."""
    hints = get_type_hints(query)
    positional, named = [], {}  # type: ignore[var-annotated]
    for parameter in list(inspect.signature(query).parameters.values())[1:]:
        if parameter.kind is parameter.VAR_KEYWORD:
            named |= FIELDS.get(name, {"updated_at": 1})
            continue
        value = GIVEN.get(name, {}).get(parameter.name) or samples.sample(
            hints[parameter.name], "2" if empty else "1", empty=empty
        )
        if parameter.kind is parameter.KEYWORD_ONLY:
            named[parameter.name] = value
        else:
            positional.append(value)
    return positional, named


@pytest.mark.parametrize("empty", [False, True], ids=["full", "empty"])
async def test_every_query_runs(store: Store, empty: bool) -> None:
    async with store.write() as tx:
        await samples.fill(tx)
    faults: list[str] = []

    for name, query in QUERIES.items():
        positional, named = arguments(name, query, empty=empty)
        try:
            with contextlib.suppress(Undo, AlreadyThere, StillNeeded, VersionConflict):
                async with store.write() as tx:
                    await query(tx, *positional, **named)
                    raise Undo
        except Exception as error:
            faults.append(f"{name}: {error!r} {error.__cause__!r}")

    assert [] == faults
    assert len(QUERIES) > 100


async def test_every_journal_entry_applies_one_and_many(store: Store) -> None:
    async with store.write() as tx:
        await samples.fill(tx)
    faults: list[str] = []

    for name, entry in ENTRIES.items():
        one = samples.sample(entry, "1")
        for many in ([one], [samples.sample(entry, "3"), samples.sample(entry, "2", empty=True), one]):
            try:
                with contextlib.suppress(Undo, AlreadyThere, StillNeeded, VersionConflict):
                    async with store.write() as tx:
                        answers = await entry.apply(tx, many)
                        if len(answers) != len(many):
                            faults.append(f"{name}: {len(answers)} answers for {len(many)}")
                        raise Undo
            except Exception as error:
                faults.append(f"{name}: {error!r} {error.__cause__!r}")

    assert [] == faults


async def test_sqlite_understands_every_prepared_statement(sqlite_store: SqliteStore) -> None:
    for name, statement in EMBEDDED.items():
        ready = statement.on(SQLITE)
        values = [None] * len(ready.order)
        rows = sqlite_store._writer.execute(f"EXPLAIN {ready.text}", values).fetchall()

        assert rows, name


async def test_postgresql_understands_every_prepared_statement(postgres_store: PostgresStore) -> None:
    connection = await asyncpg.connect(postgres_store._dsn)
    try:
        for name, statement in PREPARED.items():
            ready = statement.on(POSTGRES)
            prepared = await connection.prepare(ready.text)

            assert len(ready.order) == len(prepared.get_parameters()), name
            if statement.at_once or ready.is_plain_insert:
                assert await connection.prepare(statement.for_lists(POSTGRES).text), name
    finally:
        await connection.close()


async def test_no_prepared_statement_reads_a_whole_table_that_grows(sqlite_store: SqliteStore) -> None:
    """A scan of a table that grows with use is a request that gets slower every day."""
    growing = {
        "audit_events",
        "denials",
        "access_tokens",
        "client_secrets",
        "revocations",
        "secret_versions",
        "secrets",
        "identities",
        "memberships",
        "membership_roles",
        "lockouts",
        "spent_proofs",
        "folders",
        "sessions",
    }
    scans = []

    for name, statement in EMBEDDED.items():
        ready = statement.on(SQLITE)
        values = [None] * len(ready.order)
        plan = [row[3] for row in sqlite_store._writer.execute(f"EXPLAIN QUERY PLAN {ready.text}", values)]
        scans += [
            f"{name}: {step}"
            for step in plan
            if step.startswith("SCAN ") and step.split()[1] in growing and "USING" not in step
        ]

    # What only `watchword keys` runs, which a person waits for, reads what there is once.
    once = {f"client_secrets.{name}" for name in ("_BEHIND", "_COUNT_BEHIND")}
    once |= {f"token_rows.{name}" for name in ("_END_REST", "_END_SOME")}
    assert [] == [scan for scan in scans if not scan.startswith("sweeps.") and scan.partition(":")[0] not in once]


# --- surveys


def _counted(most: int) -> Any:
    first = select(literal(1).label("n")).cte("numbers", recursive=True)
    numbers = first.union_all(select(first.c.n + 1).where(first.c.n < most))
    return select(func.count()).select_from(numbers)


async def test_while_a_survey_counts_others_read_and_write(store: Store) -> None:
    async with store.survey() as tx:
        counting = asyncio.create_task(tx.one(_counted(1_000_000)))
        others = 0
        while not counting.done():
            async with store.write() as unit:
                unit.changed("identity/1")
            async with store.read() as view:
                await view.one(_counted(1))
            others += 1

        assert (1_000_000, True) == (((await counting) or [0])[0], others > 1)


async def test_a_survey_that_nobody_waits_for_ends_and_leaves_room_for_the_next(store: Store) -> None:
    async def survey() -> None:
        async with store.survey() as tx:
            await tx.one(_counted(1_000_000_000))

    lost = asyncio.create_task(survey())
    await asyncio.sleep(0.05)
    lost.cancel()
    with pytest.raises(asyncio.CancelledError):
        await lost

    async with asyncio.timeout(60), store.survey() as tx:
        assert [7] == list(await tx.one(_counted(7)) or ())


async def test_a_survey_sees_one_moment_and_writes_nothing(store: Store) -> None:
    async with store.survey() as tx:
        before = await tx.all(select(schema.versions.c.key))
        async with store.write() as unit:
            unit.changed("identity/of a later moment")
        assert before == await tx.all(select(schema.versions.c.key))
        with pytest.raises(AssertionError):
            await tx.run(delete(schema.versions))
