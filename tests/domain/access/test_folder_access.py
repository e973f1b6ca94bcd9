"""The tiers of folder access: each holds what the one before it holds, and an unknown one nothing."""

from itertools import pairwise

from watchword.domain.access.folder_access import DECIDED, TIERS, allowed, rules


def test_each_tier_holds_what_the_one_before_it_holds() -> None:
    for lower, higher in pairwise(TIERS):
        held = allowed(higher)
        assert all(set(actions) <= set(held[subject]) for subject, actions in allowed(lower).items())


def test_a_tier_of_another_release_allows_nothing_and_denies_all_that_lies_in_the_folder() -> None:
    found = rules("owner", "dev", "/app")

    assert {} == allowed("owner")
    assert all(rule.inverted for rule in found)
    assert set(DECIDED) == {rule.subject for rule in found}
