"""What every engine must do alike: units, translated faults, versions, views, the read index."""

import asyncio
import contextlib
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
from sqlalchemy import bindparam, delete, insert, select, update

from tests.store import samples
from tests.store.conftest import another
from watchword.store import schema, versions
from watchword.store.engine import (
    AlreadyThere,
    ForgottenVersion,
    StillNeeded,
    Store,
    StoreDown,
    Tx,
    Unstorable,
    Write,
    any_of,
    prepare,
)
from watchword.store.postgres import PostgresStore

SETTING = prepare(lambda: insert(schema.settings).values(key=bindparam("key"), value=bindparam("value")))
SETTINGS = prepare(lambda: select(schema.settings.c.key, schema.settings.c.value).order_by(schema.settings.c.key))
CHOSEN = prepare(
    lambda: select(schema.settings.c.key).where(any_of(schema.settings.c.key, "keys")).order_by(schema.settings.c.key)
)
ADD = prepare(
    lambda: (
        update(schema.versions)
        .where(schema.versions.c.key == bindparam("of"))
        .values(n=schema.versions.c.n + 1)
        .returning(schema.versions.c.n)
    )
)

_v = schema.versions
LOWER = prepare(
    lambda: update(_v).where(_v.c.key == bindparam("of"), _v.c.n < 1000).values(n=_v.c.n - bindparam("by")),
    at_once=True,
)
DROP = prepare(lambda: delete(_v).where(_v.c.key == bindparam("of"), _v.c.n == bindparam("is")), at_once=True)
LEFT = prepare(lambda: select(_v.c.key, _v.c.n).where(_v.c.key.startswith("at-once/")))


async def settings(store: Store) -> list[tuple[str, str]]:
    async with store.read() as tx:
        return [tuple(row) for row in await tx.all(SETTINGS)]


async def put(store: Store, key: str, value: str = "v", *version_keys: str) -> None:
    async with store.write() as tx:
        await tx.run(SETTING, key=key, value=value)
        tx.changed(*version_keys)


class Mishap(Exception):
    pass


# --- units


async def test_a_unit_that_ends_is_there(store: Store) -> None:
    await put(store, "a")

    assert [("a", "v")] == await settings(store)


async def test_a_unit_that_raises_leaves_nothing_and_no_version(store: Store) -> None:
    before = await store.versions(("identity/1",))

    with pytest.raises(Mishap):
        async with store.write() as tx:
            await tx.run(SETTING, key="a", value="v")
            tx.changed("identity/1")
            raise Mishap

    assert [] == await settings(store)
    assert before == await store.versions(("identity/1",))


async def test_a_unit_that_is_cancelled_leaves_nothing(store: Store) -> None:
    inside, never = asyncio.Event(), asyncio.Event()

    async def unit() -> None:
        async with store.write() as tx:
            await tx.run(SETTING, key="a", value="v")
            inside.set()
            await never.wait()

    task = asyncio.create_task(unit())
    await inside.wait()
    task.cancel()
    await asyncio.wait([task])

    assert task.cancelled()
    assert [] == await settings(store)
    await put(store, "b")


async def test_a_second_row_under_a_unique_index_is_already_there_and_the_unit_is_gone(store: Store) -> None:
    await put(store, "a")

    with pytest.raises(AlreadyThere):
        async with store.write() as tx:
            await tx.run(SETTING, key="b", value="v")
            await tx.run(SETTING, key="a", value="w")

    assert [("a", "v")] == await settings(store)


async def test_the_refusal_is_raised_by_the_statement_so_that_a_service_can_answer_it(store: Store) -> None:
    await put(store, "a")
    caught = False

    with pytest.raises(Mishap):
        async with store.write() as tx:
            try:
                await tx.run(SETTING, key="a", value="w")
            except AlreadyThere:
                caught = True
                raise Mishap from None

    assert caught


@pytest.mark.parametrize("how", ["many", "count"])
async def test_many_and_count_translate_alike(store: Store, how: str) -> None:
    row = {"key": "a", "value": "v"}

    with pytest.raises(AlreadyThere):
        async with store.write() as tx:
            await (tx.many(SETTING, [row, row]) if how == "many" else twice(tx, row))

    assert [] == await settings(store)


async def twice(tx: Tx, row: dict[str, str]) -> None:
    await tx.count(SETTING, **row)
    await tx.count(SETTING, **row)


async def test_a_row_that_others_need_cannot_go(store: Store) -> None:
    async with store.write() as tx:
        await samples.fill(tx)

    with pytest.raises(StillNeeded):
        async with store.write() as tx:
            await tx.run(delete(schema.method_templates).where(schema.method_templates.c.id == "1"))
            tx.changed("org/1")


async def test_a_reference_to_nothing_is_refused(store: Store) -> None:
    with pytest.raises(StillNeeded):
        async with store.write() as tx:
            mapper = samples.mappers()["identities"]
            await tx.run(mapper.INSERT, **mapper.values(samples.record(mapper.record, "nowhere")))
            tx.changed("identity/nowhere")


@pytest.mark.parametrize("value", ["a\x00b", 2**63], ids=["zero character", "65 bits"])
async def test_what_cannot_be_stored_is_the_caller_s_fault_where_the_engine_minds(store: Store, value: Any) -> None:
    if store.name == "sqlite" and isinstance(value, str):
        pytest.skip("SQLite stores a zero character")
    mapper = samples.mappers()["revocations"]
    fields = {"key": value} if isinstance(value, str) else {"before": value}

    with pytest.raises(Unstorable):
        async with store.write() as tx:
            await tx.run(mapper.INSERT, **{**mapper.values(samples.record(mapper.record)), **fields})
            tx.changed("identity/1")


async def test_conditions_on_lists_take_any_number(store: Store) -> None:
    async with store.write() as tx:
        await tx.many(SETTING, [{"key": f"{i:03}", "value": "v"} for i in range(50)])

    async with store.read() as tx:
        none = await tx.all(CHOSEN, keys=[])
        some = await tx.all(CHOSEN, keys=["003", "007", "it's", 'a"b'])
        every = await tx.all(CHOSEN, keys=[f"{i:03}" for i in range(5000)])

    assert ([], ["003", "007"], 50) == ([row[0] for row in none], [row[0] for row in some], len(every))


@pytest.mark.parametrize("rows", [0, 1, 3, 300])
async def test_what_may_be_done_at_once_does_what_row_by_row_does(store: Store, rows: int) -> None:
    async with store.write() as tx:
        await tx.many(versions.RAISE, [{"key": f"at-once/{i}", "one": 1} for i in range(rows)])
        await tx.many(versions.RAISE, [{"key": f"at-once/{i}", "one": 1} for i in range(0, rows, 2)])
        await tx.many(LOWER, [{"of": f"at-once/{i}", "by": i} for i in range(rows)])
        await tx.many(DROP, [{"of": f"at-once/{i}", "is": 1} for i in range(rows)])

    async with store.read() as tx:
        found = {row[0]: row[1] for row in await tx.all(LEFT)}
    raised = {i: 2 - i % 2 for i in range(rows)}
    assert {f"at-once/{i}": n - i for i, n in raised.items() if n - i != 1} == found


async def test_writes_together_are_all_carried_out(store: Store) -> None:
    async with store.write() as tx:
        await tx.many(versions.RAISE, [{"key": f"at-once/{i}", "one": 5} for i in range(4)])
        await tx.together(
            [
                Write(SETTING, [{"key": "a", "value": "v"}, {"key": "b", "value": "w"}]),
                Write(SETTING, []),
                Write(LOWER, [{"of": "at-once/0", "by": 2}, {"of": "at-once/1", "by": 1}], counts=True),
                Write(DROP, [{"of": "at-once/2", "is": 5}]),
            ]
        )
        await tx.together([])

    async with store.read() as tx:
        found = {row[0]: row[1] for row in await tx.all(LEFT)}
    assert [("a", "v"), ("b", "w")] == await settings(store)
    assert {"at-once/0": 3, "at-once/1": 4, "at-once/3": 5} == found


async def test_of_writes_together_one_that_is_refused_refuses_all(store: Store) -> None:
    await put(store, "a")

    with pytest.raises(AlreadyThere):
        async with store.write() as tx:
            await tx.together(
                [Write(SETTING, [{"key": "b", "value": "v"}]), Write(SETTING, [{"key": "a", "value": "v"}])]
            )

    assert [("a", "v")] == await settings(store)


async def test_writes_together_must_raise_a_family_unless_they_count(store: Store) -> None:
    lock = Write(
        prepare(lambda: delete(schema.lockouts).where(schema.lockouts.c.key == bindparam("of"))), [{"of": "k"}]
    )

    with pytest.raises(ForgottenVersion):
        async with store.write() as tx:
            await tx.together([lock])
    async with store.write() as tx:
        await tx.together([Write(lock.statement, lock.rows, counts=True)])


async def test_families_named_before_and_after_writes_together_are_raised_once(store: Store) -> None:
    await put(store, "first", "v", "folder/1", "folder/2")  # a version key begins anywhere, and then goes on by one
    before = await store.versions(("folder/1", "folder/2"))

    async with store.write() as tx:
        tx.changed("folder/1")
        await tx.together([Write(SETTING, [{"key": "a", "value": "v"}])])
        tx.changed("folder/1", "folder/2")
        await tx.together([Write(SETTING, [{"key": "b", "value": "v"}])], is_last=True)
        tx.changed("folder/2")

    assert tuple(n + 1 for n in before) == await store.versions(("folder/1", "folder/2"))
    async with store.read() as tx:
        assert tuple(n + 1 for n in before) == await tx.versions(("folder/1", "folder/2"))


async def test_a_unit_of_one_statement_is_there_with_its_answer(store: Store) -> None:
    async with store.write() as tx:
        await tx.many(versions.RAISE, [{"key": "at-once/0", "one": 5}])

    answers = [list(row) for row in await store.once(ADD, of="at-once/0")]

    async with store.read() as tx:
        left = [list(row) for row in await tx.all(LEFT)]
    assert ([[6]], [["at-once/0", 6]]) == (answers, left)


async def test_run_says_how_many_rows_it_touched(store: Store) -> None:
    await put(store, "a")
    await put(store, "b")

    async with store.write() as tx:
        touched = await tx.run(update(schema.settings).values(value="w"))
        none = await tx.run(delete(schema.settings).where(schema.settings.c.key == "c"))

    assert (2, 0) == (touched, none)


# --- versions


async def test_a_unit_that_forgets_the_family_of_a_table_is_rolled_back(store: Store) -> None:
    async with store.write() as tx:
        await samples.fill(tx)
    let_through: list[tuple[str, tuple[str, ...]]] = []

    for table, owners in versions.VERSION_KEYS_OF.items():
        column = next(iter(schema.metadata.tables[table].columns))
        statement = update(schema.metadata.tables[table]).values({column.name: column})
        wrong = next(f"{version_key}/1" for version_key in ("project", "folder", "org") if version_key not in owners)
        for version_keys in ((), (wrong,), (f"{owners[0]}s/1",)):
            with contextlib.suppress(ForgottenVersion):
                await change(store, statement, *version_keys)
                let_through.append((table, version_keys))
        for version_key in owners:
            await change(store, statement, f"{version_key}/1")

    assert [] == let_through


async def change(store: Store, statement: Any, *version_keys: str) -> None:
    async with store.write() as tx:
        await tx.run(statement)
        tx.changed(*version_keys)


async def test_every_table_with_records_is_cached_under_a_family_or_is_known_not_to_be() -> None:
    """A new table must say which: nothing that decides may be read from a cache without a version key."""
    uncached = {
        "versions",
        "settings",
        "data_keys",
        "invitations",
        "one_time_tokens",
        "spent_proofs",
        "secret_versions",
        "secret_replications",
        "audit_events",
        "denials",
        "person_failures",
        "wraps",
        "deliveries",
        "alert_marks",
        "passkeys",
    }

    assert [] == [
        name for name in schema.metadata.tables if name not in versions.VERSION_KEYS_OF and name not in uncached
    ]


async def test_a_family_is_raised_once_in_a_unit_however_often_it_is_named(store: Store) -> None:
    await put(store, "first", "v", "identity/1")
    (before,) = await store.versions(("identity/1",))

    async with store.write() as tx:
        tx.changed("identity/1", "identity/1")
        tx.changed("identity/1")

    assert (before + 1,) == await store.versions(("identity/1",))


async def test_families_are_raised_after_everything_else(postgres_store: PostgresStore) -> None:
    """While a unit is open nobody waits for its version keys: the row's lock is taken just before the commit."""
    await put(postgres_store, "first", "v", "identity/1")
    (before,) = await postgres_store.versions(("identity/1",))
    async with postgres_store.write() as tx:
        tx.changed("identity/1")
        await tx.run(SETTING, key="a", value="v")

        await asyncio.wait_for(put(postgres_store, "b", "v", "identity/1"), 2)

    assert (before + 2,) == await postgres_store.versions(("identity/1",))


async def test_concurrent_units_of_one_family_each_raise_it(store: Store) -> None:
    await put(store, "first", "v", "identity/1", "org/1")
    (before,) = await store.versions(("identity/1",))

    await asyncio.gather(*[put(store, f"{i}", "v", "identity/1", "org/1") for i in range(20)])

    assert (before + 20,) == await store.versions(("identity/1",))


async def test_units_that_name_families_in_different_orders_do_not_lock_each_other_out(store: Store) -> None:
    names = [f"identity/{i}" for i in range(6)]

    await asyncio.gather(*[put(store, f"{i}", "v", *(names if i % 2 else reversed(names))) for i in range(40)])

    assert 40 == len(await settings(store))


# --- views


async def test_a_view_cannot_write(store: Store) -> None:
    for write in (
        lambda tx: tx.run(SETTING, key="a", value="v"),
        lambda tx: tx.many(SETTING, [{"key": "a", "value": "v"}]),
        lambda tx: tx.count(SETTING, key="a", value="v"),
    ):
        with pytest.raises(AssertionError, match="a view cannot write"):
            async with store.read() as tx:
                await write(tx)

    assert [] == await settings(store)


async def test_a_view_sees_one_moment(postgres_store: PostgresStore) -> None:
    """On SQLite nothing else runs while a view is open; on PostgreSQL everything does."""
    async with postgres_store.read() as tx:
        before = await tx.all(SETTINGS)
        stamp = await tx.versions(("identity/1",))
        await put(postgres_store, "a", "v", "identity/1")
        after = await tx.all(SETTINGS)

        assert ([], [], stamp) == ([*before], [*after], await tx.versions(("identity/1",)))
    assert [("a", "v")] == await settings(postgres_store)


async def test_what_a_view_reads_and_its_versions_belong_together(store: Store) -> None:
    """The stamp of a cached thing is never newer than the thing."""
    await put(store, "n", "0", "identity/1")
    (base,) = await store.versions(("identity/1",))
    number = select(schema.settings.c.value)
    pairs: list[tuple[int, int]] = []

    async def write() -> None:
        for i in range(1, 40):
            async with store.write() as tx:
                await tx.run(update(schema.settings).values(value=str(i)))
                tx.changed("identity/1")

    async def read() -> None:
        while len(pairs) < 200:
            async with store.read() as tx:
                row = await tx.one(number)
                (n,) = await tx.versions(("identity/1",))
                pairs.append((int(row[0]), n - base))
            await asyncio.sleep(0)

    await asyncio.gather(write(), read(), read())

    assert [] == [pair for pair in pairs if pair[0] != pair[1]]


# --- the read index


async def test_a_read_of_versions_that_begins_after_a_commit_was_answered_sees_it(store: Store) -> None:
    answered = 0
    wrong: list[tuple[int, int]] = []
    (base,) = await store.versions(("identity/1",))

    async def write() -> None:
        nonlocal answered
        for _ in range(60):
            async with store.write() as tx:
                tx.changed("identity/1")
                if store.name == "sqlite":
                    await tx.count(ADD, of="start")
            answered += 1

    async def ask() -> None:
        while answered < 60:
            least = answered
            (n,) = await store.versions(("identity/1",))
            if n - base < least:
                wrong.append((least, n - base))
            await asyncio.sleep(0)

    await asyncio.gather(write(), *[ask() for _ in range(20)])

    assert [] == wrong


async def test_a_read_of_versions_never_waits_behind_units(postgres_store: PostgresStore) -> None:
    async def hold(inside: asyncio.Event, leave: asyncio.Event) -> None:
        async with postgres_store.write() as tx:
            await tx.all(SETTINGS)
            inside.set()
            await leave.wait()

    leave = asyncio.Event()
    signs = [asyncio.Event() for _ in range(4)]
    tasks = [asyncio.create_task(hold(sign, leave)) for sign in signs]
    await asyncio.gather(*[sign.wait() for sign in signs])

    answer = await asyncio.wait_for(postgres_store.versions(("identity/1",)), 2)
    leave.set()
    await asyncio.gather(*tasks)

    assert (0,) == answer


async def test_what_another_process_changed_is_seen_by_the_next_read_of_versions(store: Store) -> None:
    other = another(store)
    await other.open()
    try:
        before = await store.versions(("identity/1", "org/1"))

        await put(other, "a", "v", "identity/1")

        after = await store.versions(("identity/1", "org/1"))
        assert before[0] != after[0]
        assert [("a", "v")] == await settings(store)
    finally:
        await other.close()


async def test_what_is_loaded_while_another_process_writes_is_not_stamped_as_newer(store: Store) -> None:
    """A load may be held up between reading and stamping; what somebody else commits meanwhile must not hide
    behind the stamp.
    """
    other = another(store)
    await other.open()
    try:
        async with store.read() as tx:
            loaded = await tx.all(SETTINGS)
            await put(other, "a", "v", "identity/1")
            await store.versions(("identity/1",))
            stamp = await tx.versions(("identity/1",))

        assert [] == [*loaded]
        assert stamp != await store.versions(("identity/1",))
    finally:
        await other.close()


# --- the end


Ask = Callable[[Store], Coroutine[Any, Any, Any]]


@pytest.mark.parametrize(
    "ask",
    [
        lambda store: settings(store),
        lambda store: put(store, "a"),
        lambda store: store.versions(("identity/1",)),
        lambda store: store.check(),
    ],
    ids=["view", "unit", "versions", "check"],
)
async def test_a_closed_database_answers_nothing(store: Store, ask: Ask) -> None:
    await store.close()

    with pytest.raises(StoreDown):
        await ask(store)


async def test_what_was_answered_is_there_after_opening_again(store: Store) -> None:
    await put(store, "a", "v", "identity/1")
    again = another(store)
    await store.close()

    await again.open()
    found = await settings(again)
    await again.close()

    assert [("a", "v")] == found


async def test_closing_twice_is_closing(store: Store) -> None:
    await store.close()
    await store.close()
