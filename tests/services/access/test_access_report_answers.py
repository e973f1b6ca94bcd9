"""The access report asks each role once, and answers as the rules of all roles together do."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from watchword.domain.access.abilities import Ability, Grant, compile_rules
from watchword.domain.access.records import Membership, MembershipRole, Role
from watchword.services.access.access_report import ACTIONS, Answers
from watchword.services.access.scopes import grant_of
from watchword.store.access.grants import HeldRole

FACTS = {"environment": "dev", "secretPath": "/a"}
CONTEXT = {"identity": {"id": "i", "username": "bot", "metadata": {"env": "dev"}, "auth": {}}}
_conditions = st.sampled_from(
    [
        None,
        {"environment": "dev"},
        {"environment": "prod"},
        {"secretPath": {"$glob": "/a*"}},
        {"secretName": {"$glob": "DB_*"}},
        {"environment": "{{identity.metadata.env}}"},
        {"environment": "{{identity.metadata.none}}"},
    ]
)
_rules = st.fixed_dictionaries(
    {
        "subject": st.just("secrets"),
        "action": st.lists(st.sampled_from(["readValue", "create", "edit"]), min_size=1, max_size=2, unique=True),
        "conditions": _conditions,
        "inverted": st.booleans(),
    }
)


def asked(ability: Ability) -> frozenset[str]:
    return frozenset(action for action in ACTIONS if ability.could(action, "secrets", FACTS))


def held(number: int, rules: list[dict[str, Any]]) -> HeldRole:
    stamps: dict[str, Any] = {"created_at": 1, "updated_at": 1}
    return HeldRole(
        Membership(id="m", org_id="o", project_id="p", actor_kind="identity", actor_id="i", **stamps),
        MembershipRole(id="h", membership_id="m", role="custom", custom_role_id=f"r{number}", **stamps),
        Role(
            id=f"r{number}", org_id="o", project_id="p", slug=f"r{number}", name="r", permissions=tuple(rules), **stamps
        ),
    )


@given(st.lists(st.lists(_rules, max_size=3), max_size=4))
def test_what_roles_allow_is_what_all_their_rules_in_order_allow(roles: list[list[dict[str, Any]]]) -> None:
    holding = [held(number, rules) for number, rules in enumerate(roles)]
    ability = compile_rules([grant_of("project", role) for role in holding] or [Grant("", ())], CONTEXT)

    answers = Answers(asked)
    allowed = answers.together([answers.part(role) for role in holding], CONTEXT)

    assert {action for action in ACTIONS if ability.could(action, "secrets", FACTS)} == allowed


def test_a_role_is_compiled_once_for_all_its_holders() -> None:
    rules = [
        {"subject": "secrets", "action": ["readValue"], "conditions": {"secretName": {"$glob": f"A{n}*"}}}
        for n in range(9)
    ]
    denial = {"subject": "secrets", "action": ["edit"], "conditions": {"environment": "prod"}, "inverted": True}
    answers = Answers(asked)

    for _ in range(50):
        for order in ((1, 2), (2, 3), (1, 3)):
            answers.together([answers.part(held(number, rules)) for number in order], CONTEXT)
        answers.together([answers.part(held(1, rules)), answers.part(held(4, [denial]))], CONTEXT)

    assert 3 * 9 + (9 + 1) == answers.compiled
