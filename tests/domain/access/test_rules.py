import pytest

from watchword.domain.access.rules import (
    MAX_DENIALS,
    MAX_PATTERNS,
    new_rules,
    pack,
    parse_rules,
    stored_rules,
    to_objects,
)
from watchword.domain.access.subjects import BUILT_IN, SUBJECTS, Rule, built_in
from watchword.domain.errors import Invalid
from watchword.domain.globs import Effort


def parse(*rules, scope="project"):
    return parse_rules(scope, list(rules))


def faults(*rules, scope="project"):
    with pytest.raises(Invalid) as caught:
        parse(*rules, scope=scope)
    return [(i.code, ".".join(map(str, i.path))) for i in caught.value.issues]


def secrets(conditions, **more):
    return {"subject": "secrets", "action": "edit", "conditions": conditions, **more}


def test_an_action_may_be_a_text_or_a_list_and_is_answered_as_a_list():
    rules = parse({"subject": "tags", "action": "read"}, {"subject": "tags", "action": ["read", "edit", "read"]})

    assert to_objects(rules) == [
        {"subject": "tags", "action": ["read"]},
        {"subject": "tags", "action": ["read", "edit"]},
    ]


def test_objects_and_packed_arrays_say_the_same():
    objects = [
        {"subject": "secrets", "action": ["read", "edit"], "conditions": {"environment": "dev"}},
        {"subject": "tags", "action": ["read"]},
        {"subject": "secrets", "action": ["edit"], "inverted": True},
    ]
    packed = [["read,edit", "secrets", {"environment": "dev"}], ["read", "tags"], ["edit", "secrets", 0, 1]]

    assert parse(*packed) == parse(*objects)
    assert pack(parse(*objects)) == packed
    assert to_objects(parse(*objects)) == objects
    assert parse(["read", "tags,webhooks"]) == (Rule("tags", ("read",)), Rule("webhooks", ("read",)))


def test_empty_conditions_are_none():
    assert parse(secrets({})) == parse(secrets(None)) == (Rule("secrets", ("edit",)),)


@pytest.mark.parametrize(
    "conditions",
    [
        {"environment": "dev"},
        {"environment": {"$eq": "dev", "$ne": "x"}},
        {"environment": {"$in": ["a", "b"]}},
        {"secretPath": {"$glob": "**"}},
        {"secretPath": {"$in": ["/a", "/b/"]}},
        {"secretName": {"$glob": "A*"}},
        {"secretTags": {"$in": ["x"]}},
        {"secretTags": {"$all": ["x"]}},
        {"metadata": {"$elemMatch": {"key": "team", "value": {"$in": ["a"]}}}},
        {"secretPath": "{{identity.metadata.path}}"},
        {"secretPath": {"$glob": "/{{identity.id}}/**"}},
    ],
)
def test_conditions_are_kept_as_they_were_sent(conditions):
    assert parse(secrets(conditions))[0].conditions == conditions


@pytest.mark.parametrize(
    ("conditions", "code", "path"),
    [
        ({"secretPath": {"$regex": ".*"}}, "custom", "secretPath.$regex"),
        ({"environment": {"$gt": "a"}}, "custom", "environment.$gt"),
        ({"environment": {}}, "custom", "environment"),
        ({"environment": ""}, "too_small", "environment"),
        ({"env": "x"}, "custom", "env"),
        ({"environment": 1}, "invalid_type", "environment"),
        ({"environment": {"$in": []}}, "custom", "environment.$in"),
        ({"environment": {"$in": "a"}}, "invalid_type", "environment.$in"),
        ({"environment": {"$in": [1]}}, "invalid_type", "environment.$in.0"),
        ({"secretPath": "app"}, "custom", "secretPath"),
        ({"secretPath": {"$in": ["/a", "b"]}}, "custom", "secretPath.$in.1"),
        ({"secretPath": {"$glob": "{a"}}, "custom", "secretPath.$glob"),
        ({"secretTags": "x"}, "invalid_type", "secretTags"),
        ({"secretName": "x" * 513}, "too_big", "secretName"),
        ({"secretName": {"": "x"}}, "custom", "secretName."),
        ({"metadata": {"$elemMatch": {"id": "x"}}}, "custom", "metadata.$elemMatch.id"),
        ({"metadata": {"$elemMatch": {}}}, "custom", "metadata.$elemMatch"),
        ({"metadata": {"$elemMatch": "x"}}, "invalid_type", "metadata.$elemMatch"),
        ({"secretName": "{{process.env}}"}, "custom", "secretName"),
        ([], "invalid_type", ""),
    ],
)
def test_a_condition_that_is_not_understood_is_refused(conditions, code, path):
    assert faults(secrets(conditions)) == [
        (
            code,
            f"permissions.0.conditions.{path}".rstrip(".")
            if path != "secretName."
            else "permissions.0.conditions.secretName.",
        )
    ]


def test_an_unknown_subject_names_all_subjects():
    with pytest.raises(Invalid) as caught:
        parse({"subject": "nonsense", "action": "read"})

    [issue] = caught.value.issues
    assert issue.code == "invalid_union_discriminator"
    assert issue.options == tuple(SUBJECTS["project"])


def test_all_faults_are_listed():
    found = faults(
        {"subject": "tags", "action": "fly"},
        {"subject": "tags", "action": ["read", 3]},
        {"subject": "tags"},
        {"action": "read"},
        {"subject": "tags", "action": []},
        "x",
        {"subject": "tags", "action": "read", "effect": "deny"},
        secrets({}, fields=["a"]),
    )

    assert found == [
        ("invalid_enum_value", "permissions.0.action"),
        ("invalid_enum_value", "permissions.1.action.1"),
        ("invalid_type", "permissions.2.action"),
        ("invalid_union_discriminator", "permissions.3.subject"),
        ("too_small", "permissions.4.action"),
        ("invalid_type", "permissions.5"),
        ("unrecognized_keys", "permissions.6"),
        ("unrecognized_keys", "permissions.7"),
    ]


def test_read_is_not_mixed_with_what_it_stands_for():
    assert faults({"subject": "secrets", "action": ["read", "readValue"]}) == [("custom", "permissions.0.action")]


def test_a_denial_is_refused_where_the_subject_has_no_conditions_and_kept_where_it_has():
    assert faults({"subject": "tags", "action": "read", "inverted": True}) == [("custom", "permissions.0.inverted")]
    assert faults(secrets(None, inverted="yes")) == [("invalid_type", "permissions.0.inverted")]
    assert parse({"subject": "tags", "action": "read", "inverted": False}) == (Rule("tags", ("read",)),)
    assert parse(secrets(None, inverted=True))[0].inverted


@pytest.mark.parametrize(
    "packed",
    [
        [],
        ["read"],
        [1, "tags"],
        ["read", "tags", 0, 2],
        ["read", "tags", 0, 0, "field"],
        ["read", "tags", 0, 0, 0, "why"],
        ["read", "tags", 0, 0, 0, 0, 0],
    ],
)
def test_a_packed_array_of_another_shape_is_refused(packed):
    assert [code for code, _ in faults(packed)] == ["custom"]


def test_a_list_is_asked_for_and_not_too_long_a_one():
    with pytest.raises(Invalid, match="Expected array, received object"):
        parse_rules("project", {})
    with pytest.raises(Invalid, match="at most 1000"):
        parse_rules("project", [["read", "tags"]] * 1001)


@pytest.mark.parametrize(("scope", "role"), [(scope, role) for scope, roles in BUILT_IN.items() for role in roles])
def test_a_built_in_role_is_found_and_made_of_known_actions(scope, role):
    assert built_in(scope, role.slug) is role
    assert built_in(scope, role.id) is role
    for rule in role.rules:
        assert set(rule.actions) <= set(SUBJECTS[scope][rule.subject].actions)


def test_an_unknown_role_is_none():
    assert built_in("project", "owner") is None


def test_a_role_has_at_most_some_patterns_and_characters_in_its_conditions():
    def named(count, text):
        return [
            {"subject": "secrets", "action": "edit", "conditions": {"secretName": {"$glob": text.format(i)}}}
            for i in range(count)
        ]

    assert len(new_rules("project", named(MAX_PATTERNS, "A{}*"))) == MAX_PATTERNS
    with pytest.raises(Invalid, match=r"At most 300 patterns .* not 301"):
        new_rules("project", named(MAX_PATTERNS + 1, "A{}*"))
    lists = [{"subject": "secrets", "action": "edit", "conditions": {"secretName": {"$in": ["x" * 500] * 500}}}] * 2
    with pytest.raises(Invalid, match="characters in all conditions"):
        new_rules("project", lists)
    assert len(parse_rules("project", named(900, "A{}*"))) == 900  # what is stored already is read


def test_patterns_with_a_negated_group_are_few():
    def rules(count):
        return [
            {"subject": "secrets", "action": "read", "conditions": {"secretName": {"$glob": f"!(A{i})*"}}}
            for i in range(count)
        ]

    assert MAX_DENIALS == len(new_rules("project", rules(MAX_DENIALS)))
    with pytest.raises(Invalid) as refused:
        new_rules("project", rules(MAX_DENIALS + 1))
    assert [("permissions",), MAX_DENIALS] == [refused.value.issues[0].path, refused.value.issues[0].maximum]


def test_patterns_that_are_stored_are_not_examined_again() -> None:
    raw = [
        {"subject": "secrets", "action": "edit", "conditions": {"secretName": {"$glob": f"STORED_{number}*"}}}
        for number in range(300)
    ]
    before = Effort.steps
    read = stored_rules("project", raw)

    assert before == Effort.steps
    assert parse_rules("project", raw) == read
    assert before < Effort.steps
    with pytest.raises(Invalid):
        stored_rules("project", [{"subject": "secrets", "action": ["fly"]}])
