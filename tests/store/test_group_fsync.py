"""Group fsync: each who waits gets an fsync that began after the asking, and a failed one ends
everything.
"""

import asyncio
import errno
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from watchword.store import group_fsync
from watchword.store.engine import StoreDown
from watchword.store.group_fsync import Disk, Done, GroupFsync, KernelDisk, ThreadDisk


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "wal"
    path.write_bytes(b"written")
    return path


def on(disk: type[Disk], file: Path) -> GroupFsync:
    """A group fsync on this kind of disk; one that the kernel refuses is none to be tested."""
    try:
        return GroupFsync(file, disk)
    except (ImportError, OSError, SystemError) as refused:
        pytest.skip(f"the kernel refuses: {refused}")


@pytest.fixture(params=[KernelDisk, ThreadDisk])
async def shared_fsync(request: pytest.FixtureRequest, file: Path) -> AsyncIterator[GroupFsync]:
    found = on(request.param, file)
    yield found
    found.close()


class SlowDisk:
    """Ends an fsync when it is told to, and writes down what began and ended."""

    def __init__(self, file: int, done: Done) -> None:
        del file
        self.done = done
        self.begun = 0

    def begin(self) -> None:
        self.begun += 1

    def close(self) -> None:
        pass


@pytest.fixture
async def slow(file: Path) -> AsyncIterator[tuple[GroupFsync, SlowDisk]]:
    made: list[SlowDisk] = []

    def make(number: int, done: Done) -> Disk:
        made.append(SlowDisk(number, done))
        return made[0]

    found = GroupFsync(file, make)
    yield found, made[0]
    found.close()


async def settled() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_all_who_ask_are_answered(shared_fsync: GroupFsync) -> None:
    async with asyncio.timeout(10):
        for _ in range(20):
            await asyncio.gather(*[shared_fsync() for _ in range(10)])


async def test_who_comes_while_one_is_under_way_waits_for_the_next(slow: tuple[GroupFsync, SlowDisk]) -> None:
    shared_fsync, disk = slow
    first = asyncio.create_task(shared_fsync())
    await settled()
    second, third = asyncio.create_task(shared_fsync()), asyncio.create_task(shared_fsync())
    await settled()
    disk.done(None)
    await settled()
    after_one = (first.done(), second.done(), third.done(), disk.begun)
    disk.done(None)
    await settled()

    assert (True, False, False, 2) == after_one
    assert (True, True, 2) == (second.done(), third.done(), disk.begun)


async def test_a_waiter_that_gives_up_takes_nobody_with_it(slow: tuple[GroupFsync, SlowDisk]) -> None:
    shared_fsync, disk = slow
    first, gone, stays = (asyncio.create_task(shared_fsync()) for _ in range(3))
    await settled()
    gone.cancel()
    first.cancel()
    await settled()
    for _ in range(2):  # the one that was under way, and theirs
        disk.done(None)
    await settled()

    assert stays.done()


async def test_a_failure_is_told_to_those_who_wait_for_the_next_one_too(slow: tuple[GroupFsync, SlowDisk]) -> None:
    shared_fsync, disk = slow
    first, second = asyncio.create_task(shared_fsync()), asyncio.create_task(shared_fsync())
    await settled()
    disk.done(OSError(errno.EIO, "lost"))
    await settled()

    assert (True, True, 1) == (first.done(), second.done(), disk.begun)
    assert (StoreDown, StoreDown) == (type(first.exception()), type(second.exception()))


async def test_a_failure_ends_everything(shared_fsync: GroupFsync) -> None:
    os.close(shared_fsync._file)

    async with asyncio.timeout(10):
        with pytest.raises(StoreDown):
            await shared_fsync()
        with pytest.raises(StoreDown, match="refused to keep"):
            await shared_fsync()
    shared_fsync._file = os.open(os.devnull, os.O_RDONLY)  # closed once more by the fixture


@pytest.mark.parametrize("code", [errno.EIO, errno.ENOSPC, errno.EINVAL])
async def test_what_the_kernel_says_of_a_failed_one_is_told(file: Path, code: int) -> None:
    told: list[Exception | None] = []
    shared_fsync = on(KernelDisk, file)
    disk = shared_fsync._disk
    assert isinstance(disk, KernelDisk)
    disk._done = told.append

    disk._finished(2**64 - code)  # a negative result, as the library hands it on
    disk._finished(0)
    shared_fsync.close()

    assert [code, None] == [error.errno if isinstance(error, OSError) else error for error in told]


@pytest.mark.parametrize("refusal", [ImportError, OSError, SystemError])
async def test_where_the_kernel_refuses_a_thread_does_it(
    file: Path, refusal: type[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(file: int, done: Done) -> Disk:
        raise refusal

    monkeypatch.setattr(group_fsync, "KernelDisk", refused)
    shared_fsync = GroupFsync(file)

    await shared_fsync()
    shared_fsync.close()

    assert isinstance(shared_fsync._disk, ThreadDisk)


async def test_the_event_loop_goes_on_while_a_disk_is_slow(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reading, release = os.pipe()

    def stuck(number: int) -> None:
        del number
        os.read(reading, 1)

    monkeypatch.setattr(group_fsync, "_fsync", stuck)
    shared_fsync = GroupFsync(file, ThreadDisk)
    waiting = asyncio.create_task(shared_fsync())
    await settled()
    is_waiting = not waiting.done()
    os.write(release, b"x")
    await waiting
    shared_fsync.close()
    os.close(reading)
    os.close(release)

    assert is_waiting
