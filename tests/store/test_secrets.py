"""What a batch of writes leaves of the versions of a secret."""

import msgspec

from tests.store import samples
from watchword.domain.model.secrets import SecretVersion
from watchword.store.secrets import Written, _kept


def of(keep: int, *versions: tuple[str, int]) -> Written:
    sample = samples.record(SecretVersion)
    history = [msgspec.structs.replace(sample, secret_id=id, version=n) for id, n in versions]
    return Written(folder_id="1", at=1, keep=keep, history=history)


def test_versions_within_the_limit_are_all_kept() -> None:
    kept, old = _kept([of(10, ("a", 1), ("b", 10)), of(10, ("a", 2))])

    assert ([("a", 1), ("b", 10), ("a", 2)], []) == ([(one.secret_id, one.version) for one in kept], old)


def test_of_each_secret_only_the_last_versions_are_kept_those_of_the_batch_among_them() -> None:
    kept, old = _kept([of(2, ("a", 5), ("b", 1)), of(2, ("a", 6)), of(2, ("a", 7))])

    assert [("b", 1), ("a", 6), ("a", 7)] == [(one.secret_id, one.version) for one in kept]
    assert [{"of": "a", "up_to": 5}] == old
