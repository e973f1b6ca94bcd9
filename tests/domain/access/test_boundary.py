import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from watchword.domain.access import boundary
from watchword.domain.access.abilities import BUILT_IN, Rule, compile_rules
from watchword.domain.access.boundary import is_active, missing, require_within
from watchword.domain.errors import BoundaryExceeded
from watchword.domain.globs import MAX_WORK, Effort


def allow(*actions, subject="secret-rotation", **conditions):
    return Rule(subject, actions, conditions or None)


def deny(*actions, subject="secret-rotation", **conditions):
    return Rule(subject, actions, conditions or None, inverted=True)


E = "environment"
P = "secretPath"


@pytest.mark.parametrize(
    ("parent", "child", "within"),
    [
        ([], [allow("edit")], False),
        ([allow("edit")], [], True),
        ([allow("edit")], [allow("edit")], True),
        ([allow("read")], [allow("edit")], False),
        ([allow("edit")], [allow("edit", "read")], False),
        ([allow("edit", environment="dev")], [allow("edit")], False),
        ([allow("edit")], [allow("edit", environment="dev")], True),
        ([allow("edit"), deny("edit", environment="prod")], [allow("edit")], False),
        ([allow("edit"), deny("edit", environment="prod")], [allow("edit", environment="dev")], True),
        ([allow("edit"), deny("edit", environment="prod")], [allow("edit", secretPath="/a")], False),
        ([allow("edit"), deny("edit")], [allow("edit", environment="dev")], False),
        ([allow("edit", environment="dev")], [allow("edit", secretPath="/a")], False),
        ([allow("edit", environment="dev")], [allow("edit", environment="dev", secretPath="/a")], True),
        ([allow("edit", environment="dev"), allow("edit", environment="qa")], [allow("edit", environment="qa")], True),
        ([allow("edit", environment="dev")], [deny("edit", environment="prod")], True),
        ([allow("edit", environment="dev")], [allow("edit"), deny("edit", environment={"$ne": "dev"})], False),
    ],
)
def test_a_rule_lies_within_the_parent(parent, child, within):
    assert (missing(parent, child) == ()) is within
    assert (missing(compile_rules(parent), compile_rules(child)) == ()) is within


@pytest.mark.parametrize(
    ("field", "parent", "child", "within"),
    [
        (E, {"$eq": "a"}, "a", True),
        (E, "a", {"$in": ["a"]}, True),
        (E, "a", {"$in": ["a", "b"]}, False),
        (E, "a", {"$ne": "b"}, False),
        (E, {"$ne": "a"}, {"$ne": "a"}, True),
        (E, {"$ne": "a"}, "b", True),
        (E, {"$ne": "a"}, "a", False),
        (E, {"$ne": "a"}, {"$in": ["b", "c"]}, True),
        (E, {"$ne": "a"}, {"$in": ["a", "c"]}, False),
        (P, {"$ne": "/a"}, {"$glob": "/b/*"}, True),
        (P, {"$ne": "/a"}, {"$glob": "/*"}, False),
        (E, {"$in": ["a", "b"]}, "a", True),
        (E, {"$in": ["a", "b"]}, {"$in": ["b", "a"]}, True),
        (E, {"$in": ["a", "b"]}, {"$in": ["a", "c"]}, False),
        (E, {"$in": ["a"]}, {"$glob": "a"}, False),
        (P, {"$glob": "/app/**"}, "/app/x", True),
        (P, {"$glob": "/app/**"}, "/b", False),
        (P, {"$glob": "/app/**"}, {"$in": ["/app", "/app/y"]}, True),
        (P, {"$glob": "/app/**"}, {"$in": ["/app", "/b"]}, False),
        (P, {"$glob": "/app/**"}, {"$glob": "/app/x/*"}, True),
        (P, {"$glob": "/app/*"}, {"$glob": "/app/**"}, False),
        (P, {"$glob": "/app/**"}, {"$ne": "/b"}, False),
        (P, {"$glob": "/app/*"}, {"$glob": "/app/@(a|b)"}, False),
        (P, {"$glob": "/**", "$ne": "/x"}, {"$glob": "/a/**"}, True),
        (P, {"$glob": "/**", "$ne": "/x"}, {"$glob": "/*"}, False),
        (P, "/app/", "/app", True),
        ("secretTags", {"$in": ["a", "b"]}, {"$in": ["a"]}, True),
        ("secretTags", {"$in": ["a"]}, {"$all": ["a", "b"]}, True),
        ("secretTags", {"$all": ["a"]}, {"$all": ["a", "b"]}, True),
        ("secretTags", {"$all": ["a", "b"]}, {"$all": ["a"]}, False),
        ("secretTags", {"$all": ["a"]}, {"$in": ["a"]}, True),
        ("secretTags", {"$all": ["a"]}, {"$in": ["a", "b"]}, False),
        ("secretTags", {"$ne": "a"}, {"$in": ["b"]}, False),
        ("metadata", {"$elemMatch": {"key": "t"}}, {"$elemMatch": {"key": "t", "value": "x"}}, True),
        ("metadata", {"$elemMatch": {"key": "t", "value": "x"}}, {"$elemMatch": {"key": "t"}}, False),
        (E, "a", "{{identity.metadata.env}}", False),
        (E, "{{identity.metadata.env}}", "{{identity.metadata.env}}", False),
        (E, {"$ne": "a"}, "{{identity.metadata.env}}", False),
    ],
)
def test_a_condition_follows_from_another(field, parent, child, within):
    assert (missing([allow("edit", **{field: parent})], [allow("edit", **{field: child})]) == ()) is within


@pytest.mark.parametrize(
    ("field", "denied", "child", "apart"),
    [
        (E, "prod", "dev", True),
        (E, {"$in": ["prod", "qa"]}, {"$in": ["dev"]}, True),
        (E, {"$in": ["prod", "dev"]}, {"$in": ["dev"]}, False),
        (P, {"$glob": "/a/**"}, {"$glob": "/b/**"}, True),
        (P, {"$glob": "/a/**"}, {"$glob": "/*/x"}, False),
        (P, {"$glob": "/a/**"}, "/b", True),
        (E, "prod", {"$ne": "prod"}, True),
        (E, {"$ne": "dev"}, "dev", True),
        (E, {"$ne": "dev"}, {"$ne": "prod"}, False),
        ("secretTags", {"$in": ["a"]}, {"$in": ["b"]}, False),
        (E, "{{identity.metadata.env}}", "dev", False),
    ],
)
def test_a_denial_of_the_parent_must_be_apart(field, denied, child, apart):
    parent = [allow("edit"), deny("edit", **{field: denied})]

    assert (missing(parent, [allow("edit", **{field: child})]) == ()) is apart


def test_the_old_read_is_what_it_stands_for():
    both, old = allow("describeSecret", "readValue", subject="secrets"), allow("read", subject="secrets")

    assert missing([both], [old]) == missing([old], [both]) == ()
    assert [m.action for m in missing([allow("describeSecret", subject="secrets")], [old])][:1] == ["readValue"]


def test_rights_on_folders_that_follow_from_secrets_are_compared_too():
    target = [allow("create", subject="secrets")]
    narrow = [allow("create", subject="secrets"), allow("read", subject="secret-folders")]

    assert missing([allow("create", subject="secrets")], target) == ()
    assert [(m.action, m.subject) for m in missing(narrow, target)] == [("create", "secret-folders")]
    assert missing([allow("create", subject="secrets")], [allow("create", subject="secret-folders")]) == ()
    assert (
        missing([allow("create", subject="secrets", secretName="A")], [allow("create", subject="secret-folders")]) != ()
    )
    assert missing(narrow, [*target, deny("create", subject="secret-folders")]) != ()


@pytest.mark.parametrize("scope", ["organization", "project"])
def test_built_in_roles_lie_within_admin_and_not_the_reverse(scope):
    admin = BUILT_IN[scope][0].rules
    for role in BUILT_IN[scope]:
        assert missing(admin, role.rules) == ()
        assert (missing(role.rules, admin) == ()) is (role.slug == "admin")


def test_what_is_missing_is_named():
    with pytest.raises(
        BoundaryExceeded, match=r"do not have yourself: edit on secret-rotation, read on tags$"
    ) as caught:
        require_within(
            [], [[allow("edit", environment="dev")], [Rule("tags", ("read",)), allow("edit", environment="dev")]]
        )

    assert caught.value.details == {
        "missingPermissions": [
            {"action": "edit", "subject": "secret-rotation", "conditions": {"environment": "dev"}},
            {"action": "read", "subject": "tags"},
        ]
    }
    with pytest.raises(BoundaryExceeded, match="and 1 more"):
        require_within([], [[Rule(f"s{i}", ("read",)) for i in range(6)]])
    require_within([allow("edit")], [[allow("edit")], []])


@pytest.mark.parametrize(
    ("temporary", "start", "end", "now", "expected"),
    [
        (False, None, None, 5, True),
        (True, 5, 9, 4, False),
        (True, 5, 9, 5, True),
        (True, 5, 9, 8, True),
        (True, 5, 9, 9, False),
        (True, None, 9, 5, False),
        (True, 5, None, 5, False),
    ],
)
def test_a_temporary_role_counts_from_its_start_until_just_before_its_end(temporary, start, end, now, expected):
    assert is_active(temporary, start, end, now) is expected


environments = st.sampled_from(["dev", "qa", "prod"])
paths = st.sampled_from(["/", "/app", "/app/x", "/app/x/y", "/web"])
globs = st.sampled_from(["/**", "/app/**", "/app/*", "/*", "/app*", "/{app,web}/**", "/app/**/y", "/@(app|web)"])
operands = {
    "environment": environments
    | st.fixed_dictionaries({"$ne": environments})
    | st.fixed_dictionaries({"$in": st.lists(environments, min_size=1, max_size=2)}),
    "secretPath": paths
    | st.fixed_dictionaries({"$glob": globs}, optional={"$ne": paths})
    | st.fixed_dictionaries({"$ne": paths}),
}
subjects = st.sampled_from(["secrets", "secret-folders", "secret-rotation"])
actions = st.lists(st.sampled_from(["read", "edit"]), min_size=1, max_size=2).map(tuple)
rules = st.builds(
    Rule,
    subjects,
    actions,
    st.fixed_dictionaries({}, optional=operands).map(lambda c: c or None),
    st.integers(0, 3).map(lambda n: n == 0),
)
rule_lists = st.lists(rules, max_size=4)
facts = st.fixed_dictionaries({"environment": environments, "secretPath": paths})


@given(rule_lists)
def test_grants_lie_within_themselves(given_rules):
    grants = [rule for rule in given_rules if not rule.inverted]

    assert missing(grants, grants) == ()


@given(rule_lists, rule_lists, subjects, st.sampled_from(["read", "edit", "readValue", "describeSecret"]), facts)
def test_what_lies_within_is_never_allowed_more(parent, target, subject, action, asked):
    if missing(parent, target) == () and compile_rules(target).allows(action, subject, asked):
        # `read` on secrets is compared as the two actions it stands for.
        wanted = ["describeSecret", "readValue"] if (action, subject) == ("read", "secrets") else [action]
        assert all(compile_rules(parent).allows(one, subject, asked) for one in wanted)


@given(rule_lists, rule_lists, rule_lists)
def test_lying_within_passes_on(outer, middle, inner):
    middle = [rule for rule in middle if not rule.inverted]
    if missing(outer, middle) == () and missing(middle, inner) == ():
        assert missing(outer, inner) == ()


@given(rule_lists, rule_lists, rules)
def test_a_denial_in_the_target_makes_nothing_pass(parent, target, extra):
    denial = Rule(extra.subject, extra.actions, extra.conditions, inverted=True)

    assert missing(parent, [*target, denial]) == missing(parent, target)
    assert set(map(repr, missing(parent, target))) <= set(map(repr, missing([*parent, denial], target)))


# --- what it costs


def patterns(count, make):
    return [
        allow("edit", "read", subject="secrets", environment="dev", secretName={"$glob": make(i)}) for i in range(count)
    ]


HOSTILE = [
    (lambda i: f"*a*b*c*{i}*d*e*f*[a-z{i % 10}]*", lambda i: f"*a*b*{i}*d*[a-z{i % 10}]*e*"),
    (lambda i: "*a" + "?" * (100 + i), lambda i: "*a" + "?" * (250 + i)),
    (lambda i: "*[ab]" * 30 + str(i), lambda i: "*[abc]" * 30 + str(i)),
    (lambda i: f"*{i}" + "*?" * 9, lambda i: f"*{i}" + "*?" * 11 + "*[a-c]*"),
]


@pytest.mark.measures
@pytest.mark.parametrize(("parents", "children"), HOSTILE)
def test_no_piece_of_a_comparison_takes_more_steps_than_a_piece_and_one_pair_of_patterns(parents, children):
    comparison = boundary.Comparison(patterns(150, parents), patterns(150, children))
    pieces, steps = 0, [Effort.steps]
    while not comparison.go_on(boundary.AT_ONCE):
        pieces += 1
        steps.append(Effort.steps)

    longest = max(after - before for before, after in itertools.pairwise(steps))
    assert longest <= boundary.AT_ONCE + 4 * MAX_WORK
    assert pieces <= 2 * boundary.MOST_STEPS // boundary.AT_ONCE
    assert comparison.gaps


@pytest.mark.measures
def test_large_plain_roles_are_compared_whole():
    parent, child = patterns(200, lambda i: f"/a{i}/**"), patterns(200, lambda i: f"/a{i}/x/**")

    assert missing(parent, child) == ()
    assert len(missing(parent[1:], child)) == 3  # edit, and the two that read stands for


@pytest.mark.measures
def test_what_takes_long_is_to_be_finished_elsewhere_and_is_known_then():
    parent, child = patterns(150, HOSTILE[0][0]), patterns(150, HOSTILE[0][1])
    with pytest.raises(boundary.Unfinished) as long:
        require_within(parent, [child])

    while not long.value.comparison.go_on(boundary.AT_ONCE):
        pass
    boundary.finished(long.value)

    with pytest.raises(BoundaryExceeded):
        require_within(parent, [child])


def test_what_is_not_compared_in_the_most_steps_counts_as_missing(monkeypatch):
    monkeypatch.setattr(boundary, "MOST_STEPS", 100)
    parent = child = patterns(50, lambda i: f"/a{i}/**")

    assert missing(parent, child)


def test_long_lists_of_values_count_as_the_work_that_they_are():
    def rules(start):
        return [
            Rule("secrets", ("read",), {"secretName": {"$in": [f"N{start + i}_{k}" for k in range(200)]}})
            for i in range(50)
        ]

    comparison = boundary.Comparison(rules(0), rules(25))
    pieces = 1
    while not comparison.go_on(boundary.AT_ONCE):
        pieces += 1

    assert 50 == len(comparison.gaps)  # 25 for each of the two actions that the old one stands for
    assert pieces >= 2 * 50 * 200 // boundary.AT_ONCE


def test_a_faulty_pattern_proves_nothing_for_who_hands_out_rules():
    faulty = {"$glob": "/a/[x"}
    denying = [allow("edit"), deny("edit", environment="prod", secretPath=faulty)]

    assert missing([allow("edit", secretPath=faulty)], [allow("edit", secretPath=faulty)])
    assert missing([allow("edit", secretPath=faulty)], [allow("edit", secretPath="/a/[x")])
    assert missing(denying, [allow("edit", environment="dev", secretPath="/other")])
    assert missing(compile_rules(denying), [allow("edit", environment="dev", secretPath="/other")])
