"""The failed-login counter: no run of failures lets more than the threshold through."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from watchword.domain.authentication.lockout import (
    BESIEGED,
    CROWDED,
    DRAINED,
    FULL,
    after_failure,
    after_wrong,
    after_wrong_of_strangers,
    is_locked,
    waits_until,
)
from watchword.domain.authentication.records import Lockout, MethodConfig
from watchword.domain.people.records import PersonFailures

KEY = "identity/universal-auth/client"


def config(threshold: int = 3, duration: int = 300, reset: int = 30) -> MethodConfig:
    return MethodConfig(
        id="c",
        identity_id="i",
        method="universal-auth",
        config={},
        ttl=0,
        max_ttl=0,
        period=0,
        uses_limit=0,
        trusted_ips=(),
        lockout_threshold=threshold,
        lockout_duration=duration,
        lockout_reset=reset,
        created_at=0,
        updated_at=0,
    )


def failures(rules: MethodConfig, *times: int) -> Lockout | None:
    state = None
    for time in times:
        state = after_failure(state, rules, KEY, time)
    return state


def test_nobody_who_never_failed_is_locked() -> None:
    assert not is_locked(None, 0)


def test_the_threshold_locks_for_the_duration_to_the_millisecond() -> None:
    state = failures(config(), 0, 1, 2)

    assert (False, True, False) == (
        is_locked(failures(config(), 0, 1), 3),
        is_locked(state, 300_001),
        is_locked(state, 300_002),
    )


def test_a_threshold_of_one_locks_at_the_first_failure() -> None:
    assert is_locked(failures(config(threshold=1), 0), 1)


def test_failures_while_locked_do_not_lengthen_the_lock() -> None:
    locked = failures(config(), 0, 1, 2)

    assert locked == after_failure(locked, config(), KEY, 200_000)


def test_the_count_begins_anew_when_the_reset_time_has_passed_since_the_last_failure() -> None:
    assert 1 == failures(config(), 0, 1, 30_001).failures
    assert 3 == failures(config(), 0, 1, 30_000).failures


def test_the_count_begins_anew_after_a_lock() -> None:
    after = failures(config(), 0, 1, 2, 300_002)

    assert (1, False) == (after.failures, is_locked(after, 300_003))


RULES = st.builds(config, threshold=st.integers(1, 6), duration=st.integers(1, 60), reset=st.integers(1, 60))


@given(RULES, st.lists(st.integers(0, 20_000), max_size=80))
def test_never_more_than_the_threshold_in_a_window(rules: MethodConfig, gaps: list[int]) -> None:
    """Of any failures let through, one more than the threshold, two are a whole reset time apart or have a lock
    between them.
    """
    now, state, let_through = 0, None, []
    for gap in gaps:
        now += gap
        if not is_locked(state, now):
            let_through.append(now)
            state = after_failure(state, rules, KEY, now)

    most = rules.lockout_threshold
    for run in zip(*[let_through[i:] for i in range(most + 1)], strict=False):
        pauses = [after - before for before, after in pairwise(run)]
        assert max(pauses) >= min(rules.lockout_reset, rules.lockout_duration) * 1000


@given(RULES, st.lists(st.integers(0, 2_000), min_size=1, max_size=40))
def test_a_lock_ends(rules: MethodConfig, gaps: list[int]) -> None:
    now, state = 0, None
    for gap in gaps:
        now += gap
        state = after_failure(state, rules, KEY, now)

    assert not is_locked(state, now + rules.lockout_duration * 1000)


def wrong_at(*times: int) -> PersonFailures | None:
    state = None
    for time in times:
        state = after_wrong_of_strangers(state, KEY, time)
    return state


def test_wrong_passwords_of_strangers_drain_and_bound_the_guesses_of_an_hour() -> None:
    guesses, now, state = 0, 0, None
    while now < 3_600_000:
        if waits_until(None, state, now) <= now:
            state, guesses = after_wrong_of_strangers(state, KEY, now), guesses + 1
        now += 500

    assert FULL + 480 <= guesses <= FULL + 3_600_000 // DRAINED


def test_the_more_strangers_are_wrong_the_longer_waits_who_was_wrong_and_nobody_else() -> None:
    own = after_wrong(None, KEY, 0)
    levels = [wrong_at(*[0] * count) for count in (CROWDED - 1, CROWDED + 1, BESIEGED - 1, BESIEGED + 1, FULL - 1)]

    assert [0, 300_000, 300_000, 3_600_000, 3_600_000] == [waits_until(own, level, 1) for level in levels]
    assert [0] * 5 == [waits_until(None, level, 1) for level in levels]


def test_at_the_last_level_a_stranger_waits_until_one_has_drained() -> None:
    state = wrong_at(*[0] * FULL)
    until = waits_until(None, state, 0)

    assert DRAINED == until
    assert waits_until(None, state, until) <= until
