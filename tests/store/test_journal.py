"""The journal: shared commits, exact answers, and what happens when the database does not answer or an entry
cannot be written.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, ClassVar

import msgspec
import pytest
from sqlalchemy import bindparam, insert, select, update

from tests.store import samples
from watchword.domain.audit.records import AuditEvent, Denial
from watchword.domain.authentication.records import AccessToken, ClientSecret, MethodConfig
from watchword.domain.errors import BadRequest
from watchword.store import journal, schema
from watchword.store.authentication import client_secrets, logins, spent_proofs, token_rows
from watchword.store.engine import AlreadyThere, Collision, Row, Statement, Store, StoreDown, Tx, prepare
from watchword.store.journal import Journal, JournalEntry, JournalFull

SET = prepare(lambda: insert(schema.settings).values(key=bindparam("key"), value=bindparam("value")))
SETTINGS = prepare(lambda: select(schema.settings.c.key).order_by(schema.settings.c.key))


async def together(writing: Journal, entries: Sequence[JournalEntry]) -> Sequence[Any]:
    """Submit entries at the same moment, so that they are one batch."""
    return await asyncio.gather(*[writing.submit(entry) for entry in entries])


class Put(msgspec.Struct, frozen=True):
    """An entry that stores a setting."""

    key: str
    value: str = "v"
    batches: ClassVar[list[int]] = []

    @classmethod
    async def apply(cls, tx: Tx, entries: Sequence["Put"]) -> Sequence[str]:
        cls.batches.append(len(entries))
        for entry in entries:
            await tx.run(SET, key=entry.key, value=entry.value)
        return [entry.key.upper() for entry in entries]


class Late(Put, frozen=True):
    """The same, applied after others of its batch."""

    turn: ClassVar[int] = 9
    order: ClassVar[list[str]] = []

    @classmethod
    async def apply(cls, tx: Tx, entries: Sequence["Late"]) -> Sequence[Any]:  # type: ignore[override]
        cls.order.append("late")
        return await super().apply(tx, entries)


class Early(Late, frozen=True):
    turn: ClassVar[int] = 1

    @classmethod
    async def apply(cls, tx: Tx, entries: Sequence["Early"]) -> Sequence[Any]:  # type: ignore[override]
        cls.order.append("early")
        return [None] * len(entries)


class Bad(msgspec.Struct, frozen=True):
    """An entry that can never be written."""

    error: Exception

    @classmethod
    async def apply(cls, tx: Tx, entries: Sequence["Bad"]) -> Sequence[Any]:
        raise entries[0].error


class Colliding(msgspec.Struct, frozen=True):
    """An entry that gives way a few times."""

    left: list[int]

    @classmethod
    async def apply(cls, tx: Tx, entries: Sequence["Colliding"]) -> Sequence[Any]:
        if entries[0].left:
            entries[0].left.pop()
            raise Collision
        return ["done"] * len(entries)


class Moody:
    """A real store that can be told to stop answering."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.name, self.is_inline = store.name, store.is_inline
        self.is_down = False
        self.stalls: asyncio.Event | None = None
        self.units = 0

    async def _begin(self) -> None:
        self.units += 1
        if self.stalls is not None:
            await self.stalls.wait()
        if self.is_down:
            raise StoreDown

    @asynccontextmanager
    async def write(self) -> AsyncIterator[Tx]:
        await self._begin()
        async with self._store.write() as tx:
            yield tx

    async def once(self, statement: Statement, /, **params: Any) -> Sequence[Row]:
        await self._begin()
        return await self._store.once(statement, **params)


@pytest.fixture
async def moody(store: Store) -> Moody:
    Put.batches.clear()
    return Moody(store)


@pytest.fixture
async def writing(moody: Moody) -> AsyncIterator[Journal]:
    found = Journal(moody)  # type: ignore[arg-type]
    found.start()
    yield found
    moody.is_down = False
    await found.close()


async def stored(store: Store) -> list[str]:
    async with store.read() as tx:
        return [row[0] for row in await tx.all(SETTINGS)]


async def until(condition: Any) -> None:
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.01)


async def test_every_waiter_gets_its_own_answer_and_its_row_is_there(store: Store, writing: Journal) -> None:
    keys = [f"k{i:03}" for i in range(300)]

    answers = await asyncio.gather(*[writing.submit(Put(key)) for key in keys])

    assert ([key.upper() for key in keys], keys) == (answers, await stored(store))


async def test_many_waiters_share_few_commits(moody: Moody, writing: Journal) -> None:
    await asyncio.gather(*[writing.submit(Put(f"k{i}")) for i in range(500)])

    assert (500, True) == (sum(Put.batches), moody.units <= 3)


async def test_a_batch_waits_for_what_the_next_turns_of_the_loop_bring(
    moody: Moody, writing: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal, "_GATHER", 60.0)

    async def arrive(turns: int) -> str:
        for _ in range(turns):
            await asyncio.sleep(0)
        answer: str = await writing.submit(Put(f"k{turns}"))
        return answer

    await asyncio.gather(*[arrive(turns) for turns in range(0, 10, 2)])

    assert ([5], 1) == (Put.batches, moody.units)


async def test_a_batch_does_not_wait_for_more_than_it_may_hold(
    moody: Moody, writing: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal, "_GATHER", 60.0)
    arriving = [asyncio.create_task(writing.submit(Put("k0")))]
    for i in range(1, 200):  # one in each turn, so that it is never quiet
        await asyncio.sleep(0)
        arriving.append(asyncio.create_task(writing.submit(Put(f"k{i}"))))
    await asyncio.gather(*arriving)

    assert (200, True) == (sum(Put.batches), Put.batches[0] in range(journal._SHORT_STOP, journal._SHORT_STOP + 10))


async def test_kinds_are_applied_in_their_turn_whatever_came_first(writing: Journal) -> None:
    Late.order.clear()

    await together(writing, [Late("a"), Early("b"), Late("c")])

    assert "early" == Late.order[0]
    assert sorted(Late.order) == Late.order


async def test_a_note_is_written_soon_although_nobody_waits(store: Store, writing: Journal) -> None:
    writing.note(Put("a"))

    async with asyncio.timeout(2):
        while not await stored(store):
            await asyncio.sleep(0.01)


async def test_closing_writes_what_waits(store: Store, moody: Moody) -> None:
    writing = Journal(moody)  # type: ignore[arg-type]
    writing.start()
    writing.note(Put("a"))
    writing.coalesce("b", Put("b"))
    waiting = asyncio.create_task(writing.submit(Put("c")))
    await asyncio.sleep(0)

    await writing.close()

    assert ("C", ["a", "b", "c"]) == (await waiting, await stored(store))


async def test_the_last_of_coalesced_entries_is_the_one_written(store: Store, writing: Journal) -> None:
    for i in range(10):
        writing.coalesce("same", Put(f"k{i}"))

    async with asyncio.timeout(5):
        while not await stored(store):
            await asyncio.sleep(0.01)

    assert ["k9"] == await stored(store)


async def test_nobody_waits_behind_coalesced_entries(moody: Moody, writing: Journal) -> None:
    moody.stalls = stalled = asyncio.Event()
    writing.coalesce("last", Put("a"))
    await until(lambda: moody.units == 1)
    moody.stalls = None

    try:
        async with asyncio.timeout(5):
            answer = await writing.submit(Put("b"))
    finally:
        stalled.set()
    await writing.close()

    assert ("B", [1, 1]) == (answer, Put.batches)


async def test_coalesced_entries_stop_an_embedded_server_shortly_only(
    store: Store, moody: Moody, writing: Journal
) -> None:
    for i in range(150):
        writing.coalesce(i, Put(f"k{i:03}"))
    await until(lambda: sum(Put.batches) == 150)

    assert ([64, 64, 22] if moody.is_inline else [150]) == Put.batches
    await writing.close()
    assert 150 == len(await stored(store))


# --- uses are counted exactly


async def limited(store: Store, *, secret_limit: int = 5, token_limit: int = 5) -> None:
    async with store.write() as tx:
        await samples.fill(tx)
        secret = samples.record(
            ClientSecret,
            "s",
            config_id="1",
            identity_id="1",
            uses=0,
            uses_limit=secret_limit,
            is_revoked=False,
            hash=b"s",
        )
        token = samples.record(AccessToken, "t", identity_id="1", uses=0, uses_limit=token_limit, is_revoked=False)
        await client_secrets.add(tx, secret)
        await token_rows.add(tx, token)
        tx.changed("identity/1")


@pytest.mark.parametrize("limit", [1, 5, 199, 200, 201])
async def test_exactly_as_many_uses_are_let_through_as_are_left(store: Store, writing: Journal, limit: int) -> None:
    await limited(store, secret_limit=limit, token_limit=limit)

    secrets = await asyncio.gather(
        *[writing.submit(client_secrets.SecretUsed("s", limited=True, at=i)) for i in range(200)]
    )
    tokens = await asyncio.gather(*[writing.submit(token_rows.TokenUsed("t", i)) for i in range(200)])

    async with store.read() as tx:
        row, secret = await token_rows.by_id(tx, "t"), await client_secrets.by_id(tx, "1", "s")
    assert (min(limit, 200),) * 4 == (sum(secrets), sum(tokens), row.uses, secret.uses)


async def test_an_unlimited_secret_counts_every_use(store: Store, writing: Journal) -> None:
    await limited(store, secret_limit=0)

    answers = await asyncio.gather(
        *[writing.submit(client_secrets.SecretUsed("s", limited=False, at=i)) for i in range(200)]
    )

    async with store.read() as tx:
        secret = await client_secrets.by_id(tx, "1", "s")
    assert (200, 200, 199) == (sum(answers), secret.uses, secret.last_used_at)


@pytest.mark.parametrize(
    "entry",
    [
        client_secrets.SecretUsed("s", limited=True, at=1),
        client_secrets.SecretUsed("s", limited=False, at=1),
        token_rows.TokenUsed("t", 1),
    ],
    ids=["limited secret", "secret", "token"],
)
async def test_a_revoked_credential_has_no_uses_left_though_its_limit_is_not_reached(
    store: Store, writing: Journal, entry: Any
) -> None:
    await limited(store, secret_limit=5 if getattr(entry, "limited", True) else 0)
    async with store.write() as tx:
        await client_secrets.revoke(tx, "s", 1)
        await token_rows.change(tx, "t", is_revoked=True)
        tx.changed("identity/1")

    assert await writing.submit(entry) is False


async def test_a_proof_is_accepted_once(writing: Journal) -> None:
    answers = await asyncio.gather(*[writing.submit(spent_proofs.ProofSpent("p", 1)) for _ in range(50)])

    assert 1 == sum(answers)


async def test_two_journals_over_one_database_let_through_no_more_and_never_lock_each_other_out(store: Store) -> None:
    """Batches of two processes that hold the same rows in any order."""
    await limited(store, secret_limit=150, token_limit=150)
    async with store.write() as tx:
        for i in range(8):
            await token_rows.add(
                tx, samples.record(AccessToken, f"t{i}", identity_id="1", uses=0, uses_limit=150, is_revoked=False)
            )
        tx.changed("identity/1")
    journals = [Journal(store), Journal(store)]
    for one in journals:
        one.start()

    entries: list[Any] = [token_rows.TokenUsed(f"t{i % 8}", i) for i in range(2400)]
    entries += [client_secrets.SecretUsed("s", limited=True, at=i) for i in range(300)]
    entries.sort(key=lambda entry: hash((entry.id, entry.at)))
    answers = await asyncio.gather(*[journals[i % 2].submit(entry) for i, entry in enumerate(entries)])
    for one in journals:
        await one.close()

    assert 9 * 150 == sum(answers)


# --- lockout


def guess(i: int) -> logins.LoginFailed:
    config = samples.record(MethodConfig, "1", lockout_threshold=3, lockout_duration=300, lockout_reset=30)
    denial, event = samples.record(Denial, f"g{i}"), samples.record(AuditEvent, f"g{i}")
    return logins.LoginFailed(at=1_000 + i, denial=denial, event=event, config=config, lockout_key="k")


def right(i: int) -> logins.LoginDone:
    return logins.LoginDone(at=1_000, identity_id="1", event=samples.record(AuditEvent, f"r{i}"), lockout_key="k")


async def two_of(store: Store) -> list[Journal]:
    await limited(store)
    found = [Journal(store), Journal(store)]
    for one in found:
        one.start()
    return found


async def test_of_a_burst_of_guesses_on_two_servers_exactly_the_threshold_is_weighed(store: Store) -> None:
    journals = await two_of(store)

    counted = await asyncio.gather(*[journals[i % 2].submit(guess(i)) for i in range(60)])
    after = await journals[0].submit(right(0))
    for one in journals:
        await one.close()

    assert (3, "locked_out") == (sum(counted), after)


async def test_a_right_guess_that_comes_with_a_burst_of_wrong_ones_is_settled_after_them(
    store: Store, writing: Journal
) -> None:
    await limited(store)

    answers = await together(writing, [right(0), *[guess(i) for i in range(9)]])

    assert ["locked_out", True, True, True, *[False] * 6] == list(answers)


async def test_a_success_forgets_the_failures_before_it(store: Store, writing: Journal) -> None:
    await limited(store)
    await together(writing, [guess(0), guess(1)])

    done = await writing.submit(right(0))
    counted = await together(writing, [guess(2), guess(3), guess(4), guess(5)])

    assert (None, [True, True, True, False]) == (done, list(counted))


# --- logins with unlimited secrets, which may be settled by one statement


UNLIMITED = ["s1", "s2", "gone"]
EVENTS = prepare(lambda: select(schema.audit_events.c.id).where(schema.audit_events.c.id.startswith("login")))


async def unlimited(store: Store) -> None:
    await limited(store)
    async with store.write() as tx:
        for id in UNLIMITED:
            await client_secrets.add(
                tx,
                samples.record(
                    ClientSecret,
                    id,
                    config_id="1",
                    identity_id="1",
                    uses=0,
                    uses_limit=0,
                    is_revoked=id == "gone",
                    hash=id.encode(),
                ),
            )
        tx.changed("identity/1")


def login(i: int, secret: str | None, *, is_limited: bool = False, key: str = "nobody") -> logins.LoginDone:
    used = client_secrets.SecretUsed(secret, limited=is_limited, at=i) if secret else None
    return logins.LoginDone(
        at=1_000, identity_id="1", event=samples.record(AuditEvent, f"login{i:03}"), lockout_key=key, secret=used
    )


async def left_behind(store: Store) -> tuple[list[int], list[int]]:
    """How often each unlimited secret was used, and the numbers of the logins that were recorded."""
    async with store.read() as tx:
        found = [await client_secrets.by_id(tx, "1", id) for id in UNLIMITED]
        events = sorted(int(row[0][5:]) for row in await tx.all(EVENTS))
    return [secret.uses for secret in found if secret], events


async def test_every_login_of_a_batch_is_counted_and_recorded(store: Store, moody: Moody, writing: Journal) -> None:
    await unlimited(store)
    before = moody.units

    answers = await together(writing, [login(i, (None, "s1", "s2")[i % 3]) for i in range(30)])

    assert ([None] * 30, 1) == (list(answers), moody.units - before)
    assert ([10, 10, 0], list(range(30))) == await left_behind(store)


async def test_of_a_batch_only_the_logins_with_a_revoked_secret_are_refused(store: Store, writing: Journal) -> None:
    await unlimited(store)

    answers = await together(writing, [login(i, ("s1", "gone", None)[i % 3]) for i in range(9)])
    none = await together(writing, [login(20, "gone"), login(21, "gone")])

    assert ([None, "client_secret_used_up", None] * 3, ["client_secret_used_up"] * 2) == (list(answers), list(none))
    assert ([3, 0, 0], [0, 2, 3, 5, 6, 8]) == await left_behind(store)


async def test_in_a_batch_with_a_locked_key_the_others_stand(store: Store, writing: Journal) -> None:
    await unlimited(store)
    await together(writing, [guess(i) for i in range(3)])

    answers = await together(writing, [login(0, "s1"), login(1, "s1", key="k"), login(2, "s2")])

    assert [None, "locked_out", None] == list(answers)
    assert ([1, 1, 0], [0, 2]) == await left_behind(store)


async def test_in_a_batch_with_a_limited_secret_all_are_counted_exactly(store: Store, writing: Journal) -> None:
    await unlimited(store)

    answers = await together(writing, [login(i, "s", is_limited=True) if i % 2 else login(i, "s1") for i in range(20)])

    assert (10, 5) == (answers[::2].count(None), answers[1::2].count(None))
    uses, events = await left_behind(store)
    assert ([10, 0, 0], 15) == (uses, len(events))


async def test_a_batch_that_could_not_be_settled_left_nothing(store: Store, moody: Moody, writing: Journal) -> None:
    await unlimited(store)
    moody.is_down = True

    answers = await asyncio.gather(*[writing.submit(login(i, "s1")) for i in range(5)], return_exceptions=True)

    assert [StoreDown] * 5 == [type(answer) for answer in answers]
    assert ([0, 0, 0], []) == await left_behind(store)


# --- faults


async def test_a_failure_refuses_all_who_wait_and_nothing_was_written(
    store: Store, moody: Moody, writing: Journal
) -> None:
    moody.is_down = True

    answers = await asyncio.gather(*[writing.submit(Put(f"k{i}")) for i in range(20)], return_exceptions=True)

    assert [StoreDown] * 20 == [type(answer) for answer in answers]
    assert [] == await stored(store)


async def test_after_a_failure_notes_are_refused_until_the_database_is_back_and_then_by_itself_no_more(
    moody: Moody, writing: Journal
) -> None:
    moody.is_down = True
    with pytest.raises(StoreDown):
        await writing.submit(Put("a"))

    with pytest.raises(StoreDown):
        writing.note(Put("b"))
    refused = writing.is_writing
    moody.is_down = False
    await until(lambda: writing.is_writing)
    writing.note(Put("c"))

    assert refused is False


async def test_notes_that_were_taken_are_kept_through_a_failure_and_written_later(
    store: Store, moody: Moody, writing: Journal
) -> None:
    moody.is_down = True
    writing.note(Put("a"))
    writing.note(Put("b"))
    await until(lambda: not writing.is_writing)

    moody.is_down = False
    await until(lambda: writing.is_writing)

    assert ["a", "b"] == await stored(store)


async def test_an_entry_that_cannot_be_written_takes_no_other_with_it(store: Store, writing: Journal) -> None:
    entries = [Put(f"k{i:02}") for i in range(40)]
    submitted = [writing.submit(entry) for entry in entries]
    submitted.insert(13, writing.submit(Bad(ValueError("secret text"))))
    submitted.insert(29, writing.submit(Bad(BadRequest("too odd"))))

    answers = await asyncio.gather(*submitted, return_exceptions=True)

    assert (StoreDown, BadRequest) == (type(answers[13]), type(answers[29]))
    assert sorted(entry.key for entry in entries) == await stored(store)
    assert writing.is_writing


async def test_a_note_that_cannot_be_written_is_dropped_and_told_to_the_log(
    store: Store, writing: Journal, caplog: pytest.LogCaptureFixture
) -> None:
    writing.note(Put("a"))
    writing.note(Put("a"))
    writing.note(Put("b"))

    async with asyncio.timeout(5):
        while len(await stored(store)) < 2:
            await asyncio.sleep(0.01)

    assert ["a", "b"] == await stored(store)
    assert [AlreadyThere] == [record.exc_info[0] for record in caplog.records if record.exc_info]


async def test_a_batch_that_gave_way_is_tried_again(store: Store, writing: Journal) -> None:
    answers = await together(writing, [Colliding([1, 2]), Put("a")])

    assert (["done", "A"], ["a"]) == (list(answers), await stored(store))


async def test_a_batch_that_gives_way_again_and_again_is_refused(writing: Journal) -> None:
    with pytest.raises(StoreDown):
        await writing.submit(Colliding([1] * 50))


async def test_more_than_may_wait_is_refused_at_once(
    moody: Moody, writing: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal, "CAPACITY", 10)
    moody.stalls = asyncio.Event()
    waiting = [asyncio.create_task(writing.submit(Put("first")))]
    await until(lambda: moody.units == 1)
    waiting += [asyncio.create_task(writing.submit(Put(f"k{i}"))) for i in range(10)]
    await asyncio.sleep(0)

    with pytest.raises(JournalFull):
        await writing.submit(Put("x"))
    with pytest.raises(JournalFull):
        writing.note(Put("y"))
    backlog = writing.backlog
    moody.stalls.set()
    await asyncio.gather(*waiting)

    assert (10, 0) == (backlog, writing.backlog)
    assert await writing.submit(Put("z")) == "Z"


async def test_a_journal_that_is_closed_or_was_not_started_takes_nothing(store: Store) -> None:
    never, closed = Journal(store), Journal(store)
    closed.start()
    await closed.close()

    for one in (never, closed):
        with pytest.raises(StoreDown):
            await one.submit(Put("a"))
        with pytest.raises(StoreDown):
            one.note(Put("a"))


async def test_closing_ends_although_the_database_does_not_answer(moody: Moody) -> None:
    writing = Journal(moody)  # type: ignore[arg-type]
    writing.start()
    moody.is_down = True
    writing.note(Put("a"))
    writing.coalesce("b", Put("b"))

    await asyncio.wait_for(writing.close(), 5)


async def test_a_waiter_that_goes_away_changes_nothing_for_the_others(
    store: Store, moody: Moody, writing: Journal
) -> None:
    moody.stalls = asyncio.Event()
    gone, stays = asyncio.create_task(writing.submit(Put("a"))), asyncio.create_task(writing.submit(Put("b")))
    await until(lambda: moody.units == 1)

    gone.cancel()
    moody.stalls.set()

    assert "B" == await stays
    assert ["a", "b"] == await stored(store)


async def test_counting_a_use_raises_no_family_so_that_a_busy_token_empties_no_cache(
    store: Store, writing: Journal
) -> None:
    await limited(store)
    before = await store.versions(("identity/1",))

    await writing.submit(token_rows.TokenUsed("t", 1))
    async with store.write() as tx:
        await tx.count(update(schema.identities).values(last_login_at=1))

    assert before == await store.versions(("identity/1",))


async def test_on_an_engine_that_blocks_the_loop_notes_are_written_before_they_are_many(sqlite_store: Store) -> None:
    Put.batches.clear()
    journal = Journal(sqlite_store)
    journal.start()

    for n in range(1_000):
        journal.note(Put(f"n{n}"))
        await asyncio.sleep(0)
    await journal.close()

    assert 1_000 == sum(Put.batches)
    assert max(Put.batches) < 1_000
