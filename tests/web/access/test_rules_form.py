"""Rules as sentences and as fields of a form: what is shown means what is stored."""

from typing import Any

import pytest

from watchword.domain.access.subjects import ENTRIES, SET, TEXT
from watchword.domain.errors import Invalid
from watchword.web.access.rules_form import Typed, condition, condition_text, difference, of_form, shown, words
from watchword.web.forms import Form


@pytest.mark.parametrize(
    ("kinds", "operand", "text"),
    [
        (TEXT, "prod", "prod"),
        (TEXT, {"$eq": "prod"}, "prod"),
        (TEXT, {"$ne": "prod"}, "not prod"),
        (TEXT, {"$in": ["dev", "staging"]}, "dev, staging"),
        (TEXT, {"$in": ["dev"]}, "any of dev"),
        (TEXT, {"$glob": "/db/**"}, "/db/**"),
        (SET, {"$in": ["a"]}, "a"),
        (SET, {"$all": ["a", "b"]}, "all of a, b"),
        (ENTRIES, {"$elemMatch": {"key": {"$eq": "team"}, "value": {"$eq": "pay"}}}, "team=pay"),
    ],
)
def test_a_condition_is_typed_as_text_and_means_the_same(kinds: frozenset[str], operand: Any, text: str) -> None:
    assert condition_text("f", operand, kinds) == text
    meant = condition("f", text, kinds)
    assert (meant if isinstance(operand, dict) else meant["$eq"]) == operand


@pytest.mark.parametrize(
    "operand",
    [
        {"$eq": "a, b"},
        {"$eq": "not prod"},
        {"$eq": "any of these"},
        {"$eq": "/**"},
        {"$glob": "plain"},
        {"$eq": "{"},
        {"$in": ["a*", "b"]},
        {"$in": []},
        {"$in": [" spaced "]},
        {"$in": ["a", "b"], "$ne": "c"},
        {"$eq": ""},
        {"$in": ["a,b"]},
    ],
)
def test_a_condition_that_no_text_says_exactly_is_shown_as_json(operand: dict[str, Any]) -> None:
    text = condition_text("f", operand, TEXT)
    assert condition("f", text, TEXT) == operand


@pytest.mark.parametrize(("kinds", "text"), [(TEXT, "{nonsense"), (ENTRIES, "team"), (SET, ","), (SET, "all of ,")])
def test_a_condition_that_says_nothing_is_refused(kinds: frozenset[str], text: str) -> None:
    with pytest.raises(Invalid):
        condition("f", text, kinds)


def test_rules_come_back_from_the_form_as_they_were_shown() -> None:
    rules: list[dict[str, Any]] = [
        {"subject": "secrets", "action": ["readValue"], "conditions": {"environment": {"$in": ["dev", "qa"]}}},
        {"subject": "secrets", "action": ["edit", "create"], "inverted": True},
    ]
    pairs = []
    for row, rule in enumerate(shown(rules, "project")):
        pairs += [("row", str(row)), (f"{row}.subject", rule.subject)]
        pairs += [(f"{row}.inverted", "true" if rule.inverted else "")]
        pairs += [(f"{row}.action", action) for action, _, is_chosen in rule.actions if is_chosen]
        pairs += [(f"{row}.if.{field.name}", field.value) for field in rule.fields]
    back, fault = of_form(Form(pairs), "project")
    assert fault is None
    assert back[0] == rules[0]
    assert back[1]["inverted"] is True and sorted(back[1]["action"]) == ["create", "edit"]


def test_what_was_typed_wrongly_is_kept() -> None:
    pairs = [("row", "0"), ("0.subject", "secrets"), ("0.action", "read"), ("0.if.secretTags", ",")]
    rules, fault = of_form(Form(pairs), "project")
    assert fault is not None and isinstance(rules[0]["conditions"]["secretTags"], Typed)
    assert any(field.value == "," for field in shown(rules, "project")[0].fields)


def test_rules_are_told_as_sentences() -> None:
    rule = {"subject": "secrets", "action": ["readValue"], "conditions": {"secretPath": {"$glob": "/db/**"}}}
    assert words(rule, "project") == "may read values secrets in the folder /db/**"
    assert words({"subject": "identity", "action": "delete", "inverted": True}, "organization") == (
        "may never delete machine identities"
    )
    assert difference([rule], [], "project") == ([], ["may read values secrets in the folder /db/**"])
