"""What a batch of writes to secrets leaves."""

from typing import Any

import msgspec
import pytest

from tests.store import samples
from watchword.domain.secrets.records import SecretVersion, StoredSecret
from watchword.store.engine import Store
from watchword.store.secrets import secrets
from watchword.store.secrets.secrets import Written, _versions_of


def of(keep: int, *versions: tuple[str, int]) -> tuple[list[SecretVersion], int]:
    sample = samples.record(SecretVersion)
    return [msgspec.structs.replace(sample, secret_id=id, version=n) for id, n in versions], keep


def stored(*histories: tuple[list[SecretVersion], int]) -> tuple[list[tuple[str, int]], list[Any]]:
    """Which versions are stored, and which are forgotten."""
    kept, old = _versions_of(histories)
    return [(row["secret_id"], row["version"]) for row in kept.rows], list(old.rows)


def test_versions_within_the_limit_are_all_kept() -> None:
    assert ([("a", 1), ("b", 10), ("a", 2)], []) == stored(of(10, ("a", 1), ("b", 10)), of(10, ("a", 2)))


def test_of_each_secret_only_the_last_versions_are_kept_those_of_the_batch_among_them() -> None:
    kept, old = stored(of(2, ("a", 5), ("b", 1)), of(2, ("a", 6)), of(2, ("a", 7)))

    assert [("b", 1), ("a", 6), ("a", 7)] == kept
    assert [{"of": "a", "up_to": 5}] == old


@pytest.mark.parametrize("name", ["NEW", "RENAMED"])
async def test_a_secret_that_is_made_and_changed_in_one_batch_is_what_it_became(store: Store, name: str) -> None:
    async with store.write() as tx:
        await samples.fill(tx)
        tx.changed("everything")
    made = samples.record(StoredSecret, "new", project_id="1", folder_id="1", key="NEW", version=1, user_id=None)
    changed = msgspec.structs.replace(made, version=2, value=b"second")
    again = msgspec.structs.replace(made, version=3, key=name, value=b"third")
    batch = [
        Written(folder_id="1", at=1, keep=10, added=[made]),
        Written(folder_id="1", at=2, keep=10, changed=[(made, changed)]),
        Written(folder_id="1", at=3, keep=10, changed=[(changed, again)]),
    ]

    async with store.write() as tx:
        await secrets.write(tx, batch)

    async with store.read() as tx:
        assert [again] == await secrets.by_ids(tx, ["new"])
