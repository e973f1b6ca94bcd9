"""What a subscriber is told between two pictures, and what a subscription is about."""

from collections.abc import Mapping
from typing import Any

import pytest

from tests.api import Api
from tests.vault import Vault
from watchword.domain.access.abilities import Rule, compile_rules
from watchword.domain.projects.records import Project
from watchword.services.access.scopes import ProjectScope
from watchword.services.secrets import change_feed
from watchword.services.secrets.change_feed import ACTIONS, SUBJECT, Picture, Wish, events
from watchword.store.secrets.marks import FolderMarks

AT = ("dev", "/")
ALL = [Wish(event) for event in ACTIONS]  # type: ignore[arg-type]
RULES = [Rule(actions=tuple(ACTIONS.values()), subject=SUBJECT), Rule(actions=("describeSecret",), subject="secrets")]


def scope(*rules: Rule) -> ProjectScope:
    project = Project(id="p", org_id="o", name="p", slug="p", created_at=0, updated_at=0)
    return ProjectScope(org_id="o", project_id="p", ability=compile_rules(rules or RULES, None), project=project)


def picture(**marks: tuple[str, int, int]) -> Picture:
    return Picture({AT: FolderMarks.of(marks)}, {})


def told(before: Picture, after: Picture, *rules: Rule) -> list[tuple[str, str | None]]:
    return [(one.event, one.key) for one in events(scope(*rules), before, after, ALL)]


@pytest.mark.parametrize(
    ("wish", "place", "covers"),
    [
        (Wish("secret:update"), ("prod", "/a"), True),
        (Wish("secret:update", "dev"), ("prod", "/a"), False),
        (Wish("secret:update", "dev", "/a"), ("dev", "/a"), True),
        (Wish("secret:update", "dev", "/a"), ("dev", "/a/b"), False),
        (Wish("secret:update", None, "/a", is_below=True), ("dev", "/a"), True),
        (Wish("secret:update", None, "/a", is_below=True), ("dev", "/a/b"), True),
        (Wish("secret:update", None, "/a", is_below=True), ("dev", "/ab"), False),
        (Wish("secret:update", None, "/", is_below=True), ("dev", "/ab"), True),
    ],
)
def test_a_wish_covers_its_folder_and_if_it_says_so_all_below(wish: Wish, place: tuple[str, str], covers: bool) -> None:
    assert covers == wish.covers(*place)


@pytest.mark.parametrize(
    ("after", "expected"),
    [
        ({"1": ("A", 1, 5)}, []),
        ({"1": ("A", 2, 6)}, [("secret:update", "A")]),
        ({"1": ("A", 1, 6)}, [("secret:update", "A")]),
        ({"1": ("B", 2, 6)}, [("secret:delete", "A"), ("secret:create", "B")]),
        ({"2": ("A", 1, 5)}, [("secret:delete", "A"), ("secret:create", "A")]),
        ({}, [("secret:delete", "A")]),
    ],
)
def test_the_difference_of_two_pictures_is_told(after: Mapping[str, Any], expected: list[tuple[str, str]]) -> None:
    assert expected == told(picture(**{"1": ("A", 1, 5)}), picture(**after))


def test_a_folder_that_comes_or_goes_brings_its_secrets() -> None:
    nothing, one = Picture({}, {}), picture(**{"1": ("A", 1, 5)})

    assert [("secret:create", "A")] == told(nothing, one)
    assert [("secret:delete", "A")] == told(one, nothing)


def test_what_the_present_rules_do_not_allow_is_not_told() -> None:
    before, after = picture(), picture(**{"1": ("A", 1, 5)})
    elsewhere = Rule(actions=tuple(ACTIONS.values()), subject=SUBJECT, conditions={"environment": "prod"})
    some_names = Rule(actions=("describeSecret",), subject="secrets", conditions={"secretName": "A"})

    assert [] == told(before, after, elsewhere)
    assert [("secret:create", None)] == told(before, after, RULES[0], some_names)


def test_the_digest_is_another_one_when_anything_changed() -> None:
    one = picture(**{"1": ("A", 1, 5)})
    others = [picture(), picture(**{"1": ("A", 2, 5)}), picture(**{"1": ("B", 1, 5)}), Picture({}, {})]

    assert one.digest == picture(**{"1": ("A", 1, 5)}).digest
    assert one.digest not in {other.digest for other in others}


async def test_a_subscription_to_too_many_folders_is_refused(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(change_feed, "MAX_FOLDERS", 2)
    vault = await Vault.new(api)
    path = "/api/v1/events/subscribe/project-events"
    query = {"projectId": vault.project_id, "seconds": "0"}

    assert 400 == (await api.get(path, query=query)).status_code
    assert 200 == (await api.get(path, query={**query, "environmentSlug": "dev"})).status_code
