"""A bounded mapping in two generations."""

from hypothesis import given
from hypothesis import strategies as st

from watchword.domain.generations import Generations


def test_what_was_kept_among_the_last_half_is_there() -> None:
    kept: Generations[int, str] = Generations(10)
    for key in range(100):
        kept.keep(key, str(key))

    assert [str(key) for key in range(95, 100)] == [kept.get(key) for key in range(95, 100)]


def test_what_was_neither_kept_nor_used_for_the_whole_capacity_is_forgotten() -> None:
    kept: Generations[int, str] = Generations(10)
    for key in range(100):
        kept.keep(key, str(key))

    assert [None] * 90 == [kept.get(key) for key in range(90)]


def test_what_is_used_stays() -> None:
    kept: Generations[int, str] = Generations(10)
    kept.keep(-1, "in use")
    for key in range(100):
        kept.keep(key, str(key))

        assert "in use" == kept.get(-1)


def test_what_is_looked_at_only_does_not_stay() -> None:
    kept: Generations[int, str] = Generations(10)
    kept.keep(-1, "seen")
    seen = []
    for key in range(20):
        kept.keep(key, str(key))
        seen.append(kept.young.get(-1) or kept.old.get(-1))

    assert "seen" == seen[0]
    assert seen[-1] is None


def test_a_value_heavier_than_the_capacity_is_kept_alone() -> None:
    kept: Generations[str, str] = Generations(10)
    kept.keep("light", "x")
    kept.keep("heavy", "y", weight=1000)

    assert ("x", "y") == (kept.old["light"], kept.young["heavy"])

    kept.keep("next", "z")

    assert ({"heavy": "y"}, {"next": "z"}) == (kept.old, kept.young)


def test_a_value_in_the_place_of_another_is_no_second_one() -> None:
    kept: Generations[str, int] = Generations(10)
    for n in range(4):
        kept.keep("one", n)
    for key in "abcd":
        kept.keep(key, 0)

    assert 5 == len(kept.young)
    assert 3 == kept.get("one")


def test_a_dropped_value_is_forgotten_whether_young_or_old() -> None:
    kept: Generations[str, int] = Generations(2)
    kept.keep("old", 1)
    kept.keep("young", 2)
    for key in ("old", "young", "never there"):
        kept.drop(key)

    assert 0 == len(kept)


@given(st.integers(1, 20), st.lists(st.tuples(st.integers(0, 30), st.integers(1, 4), st.booleans()), max_size=200))
def test_a_value_is_the_last_one_kept_and_no_more_is_held_than_may_be(
    capacity: int, steps: list[tuple[int, int, bool]]
) -> None:
    kept: Generations[int, int] = Generations(capacity)
    last: dict[int, int] = {}
    for at, (key, weight, keeps) in enumerate(steps):
        if keeps:
            kept.keep(key, at, weight)
            last[key] = at

        assert kept.get(key) in (None, last.get(key))
        assert len(kept) <= max(2, capacity)
