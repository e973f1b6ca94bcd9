import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from watchword.domain.access import abilities
from watchword.domain.access.abilities import (
    BUILT_IN,
    SUBJECTS,
    Grant,
    Rule,
    built_in,
    compile_rules,
    denial,
    expand,
    why,
)
from watchword.domain.globs import glob_matches

CRUD = {"read", "create", "edit", "delete"}
DEV = {"environment": "dev", "secretPath": "/app"}
PROD = {"environment": "prod", "secretPath": "/app"}


def allow(*actions, subject="secrets", **conditions):
    return Rule(subject, actions, conditions or None)


def deny(*actions, subject="secrets", **conditions):
    return Rule(subject, actions, conditions or None, inverted=True)


def held(scope, slug):
    return {(rule.subject, action) for rule in built_in(scope, slug).rules for action in rule.actions}


@pytest.mark.parametrize(
    ("scope", "subjects", "admin", "member", "viewer"),
    [
        ("organization", "workspace", {"read", "create"}, {"read", "create"}, set()),
        ("organization", "project", {"create"}, {"create"}, set()),
        ("organization", "role member settings incident-contact", CRUD, {"read"}, set()),
        ("organization", "groups", CRUD | {"grant-privileges", "add-identities", "remove-members"}, {"read"}, set()),
        (
            "organization",
            "sso scim ldap kms project-templates github-org-sync github-org-sync-manual",
            CRUD,
            set(),
            set(),
        ),
        ("organization", "billing", CRUD | {"manage-billing"}, {"read"}, set()),
        ("organization", "audit-logs", CRUD, {"read"}, set()),
        ("organization", "secret-scanning", CRUD, CRUD, set()),
        (
            "organization",
            "identity",
            CRUD | {"grant-privileges", "revoke-auth", "create-token", "get-token", "delete-token"},
            CRUD,
            set(),
        ),
        ("organization", "organization-admin-console", {"access-all-projects"}, set(), set()),
        ("organization", "app-connections", CRUD | {"connect"}, {"connect"}, set()),
        ("organization", "relay", {"delete-relays"}, {"list-relays", "create-relays", "edit-relays"}, set()),
        (
            "project",
            "secrets",
            CRUD | {"describeSecret", "readValue"},
            CRUD | {"describeSecret", "readValue"},
            {"read", "describeSecret", "readValue"},
        ),
        ("project", "secret-folders secret-imports", CRUD, CRUD, {"read"}),
        ("project", "secret-approval role ip-allowlist audit-logs certificate-authorities", CRUD, {"read"}, {"read"}),
        ("project", "groups", CRUD | {"grant-privileges", "assign-role"}, {"read"}, {"read"}),
        ("project", "secret-rotation", CRUD | {"rotate-secrets"}, {"read"}, {"read"}),
        ("project", "secret-rollback", {"read", "create"}, {"read", "create"}, {"read"}),
        ("project", "member", CRUD | {"assume-privileges"}, {"read", "create"}, {"read"}),
        ("project", "identity", CRUD | {"grant-privileges", "assign-role", "create-token"}, CRUD, {"read"}),
        (
            "project",
            "integrations webhooks service-tokens settings environments tags certificates",
            CRUD,
            CRUD,
            {"read"},
        ),
        ("project", "workspace", {"edit", "delete"}, set(), set()),
        ("project", "kms", {"edit"}, set(), set()),
        ("project", "certificate-templates pki-alerts pki-collections", CRUD, {"read"}, set()),
        ("project", "project-grant", {"create-grant", "revoke-grant"}, set(), set()),
        ("project", "honey-tokens", {"read", "reset"}, {"read"}, {"read"}),
    ],
)
def test_built_in_roles_are_the_tables_of_the_contract(scope, subjects, admin, member, viewer):
    for subject in subjects.split():
        assert admin <= {a for s, a in held(scope, "admin") if s == subject}
        assert member == {a for s, a in held(scope, "member") if s == subject}
        if scope == "project":
            assert viewer == {a for s, a in held(scope, "viewer") if s == subject}


@pytest.mark.parametrize(("action", "expected"), [("encrypt", True), ("rotate", True), ("export-private-key", False)])
def test_a_developer_uses_keys_but_does_not_take_them_away(action, expected):
    assert compile_rules(built_in("project", "member").rules).allows(action, "cmek") is expected


def test_a_lesser_built_in_role_lies_within_admin_and_no_access_is_nothing():
    for scope, roles in BUILT_IN.items():
        for role in roles:
            assert held(scope, role.slug) <= held(scope, "admin")
        assert held(scope, "no-access") == set()


def test_the_last_rule_that_fits_decides():
    assert not compile_rules([allow("edit"), deny("edit")]).allows("edit", "secrets", DEV)
    assert compile_rules([deny("edit"), allow("edit")]).allows("edit", "secrets", DEV)
    ability = compile_rules([allow("edit"), deny("edit", environment="prod")])
    assert ability.allows("edit", "secrets", DEV)
    assert not ability.allows("edit", "secrets", PROD)


def test_by_type_conditions_of_grants_count_and_those_of_denials_do_not():
    assert compile_rules([allow("edit", environment="dev")]).allows("edit", "secrets")
    assert compile_rules([allow("edit"), deny("edit", environment="dev")]).allows("edit", "secrets")
    assert not compile_rules([allow("edit"), deny("edit")]).allows("edit", "secrets")


def test_a_condition_on_a_missing_field_does_not_match():
    ability = compile_rules([allow("edit", environment={"$ne": "prod"})])

    assert not ability.allows("edit", "secrets", {"secretPath": "/"})
    assert not ability.allows("edit", "secrets", {"environment": None})
    assert ability.allows("edit", "secrets", DEV)


@pytest.mark.parametrize(
    ("conditions", "facts", "expected"),
    [
        ({"environment": "dev"}, {"environment": "dev"}, True),
        ({"environment": {"$ne": "dev"}}, {"environment": "dev"}, False),
        ({"environment": {"$in": ["dev", "qa"]}}, {"environment": "qa"}, True),
        ({"environment": {"$in": ["dev"]}}, {"environment": "d"}, False),
        ({"secretPath": "/app/"}, {"secretPath": "/app"}, True),
        ({"secretPath": {"$in": ["/"]}}, {"secretPath": "/"}, True),
        ({"secretPath": {"$glob": "/app/**", "$ne": "/app/x"}}, {"secretPath": "/app/x"}, False),
        ({"secretPath": {"$glob": "/app/**", "$ne": "/app/x"}}, {"secretPath": "/app/y"}, True),
        ({"secretTags": {"$in": ["a"]}}, {"secretTags": ["b", "a"]}, True),
        ({"secretTags": {"$in": ["a"]}}, {"secretTags": []}, False),
        ({"secretTags": {"$all": ["a", "b"]}}, {"secretTags": ["a"]}, False),
        ({"secretTags": {"$all": ["a", "b"]}}, {"secretTags": ["b", "a", "c"]}, True),
        (
            {"metadata": {"$elemMatch": {"key": "t", "value": {"$glob": "x*"}}}},
            {"metadata": [{"key": "t", "value": "xy"}]},
            True,
        ),
        (
            {"metadata": {"$elemMatch": {"key": "t", "value": "x"}}},
            {"metadata": [{"key": "t", "value": "y"}, {"key": "u", "value": "x"}]},
            False,
        ),
        ({"environment": {"$regex": ".*"}}, {"environment": "dev"}, False),
        ({"environment": "dev", "secretPath": "/a"}, {"environment": "dev", "secretPath": "/b"}, False),
    ],
)
def test_conditions_are_met(conditions, facts, expected):
    assert compile_rules([allow("edit", **conditions)]).allows("edit", "secrets", facts) is expected


def test_the_old_read_stands_for_both_new_ones():
    ability = compile_rules([allow("read")])

    assert [ability.allows(a, "secrets", DEV) for a in ("read", "describeSecret", "readValue", "edit")] == [
        True,
        True,
        True,
        False,
    ]
    assert expand(allow("read", subject="tags")) == ("read",)


def test_folders_are_asked_of_secrets_only_where_nothing_names_them():
    old = compile_rules([allow("describeSecret", "create", environment="dev", secretPath={"$glob": "/app/**"})])
    assert old.allows("create", "secret-folders", DEV)
    assert old.allows("read", "secret-imports", DEV)
    assert old.allows("read", "secret-imports")
    assert not old.allows("create", "secret-folders", PROD)
    assert not old.allows("edit", "secret-folders", DEV)
    assert not old.allows("manage-access", "secret-folders", DEV)

    named = compile_rules([allow("create"), deny("delete", subject="secret-folders", environment="dev")])
    assert named.names("secret-folders")
    assert not named.names("secret-imports")
    assert not named.allows("create", "secret-folders", DEV)


def test_the_fallback_brings_only_the_place():
    ability = compile_rules([allow("create", secretName="A")])

    assert not ability.allows("create", "secret-folders", {**DEV, "secretName": "A"})


CONTEXT = {
    "identity": {
        "id": "i-1",
        "username": "ci",
        "metadata": {"env": "dev", "path": "a/b", "evil": "**", "none": ""},
        "auth": {"oidc": {"claims": {"team": "core", "all": ["x", "y"], "n": 3, "o": {}}}},
    }
}


@pytest.mark.parametrize(
    ("operand", "value", "expected"),
    [
        ("{{identity.metadata.env}}", "dev", True),
        ("{{ identity.id }}", "i-1", True),
        ("x-{{identity.username}}", "x-ci", True),
        ("{{identity.auth.oidc.claims.team}}", "core", True),
        ("{{identity.metadata.auth.oidc.claims.team}}", "core", True),
        ("{{identity.auth.oidc.claims.all}}", "x,y", True),
        ("{{identity.auth.oidc.claims.n}}", "3", True),
        ({"$glob": "/{{identity.metadata.path}}/*"}, "/a/b/c", True),
        ({"$glob": "{{identity.metadata.evil}}"}, "/anything", False),
        ({"$glob": "/{{identity.metadata.evil}}"}, "/**", True),
        ({"$in": ["{{identity.metadata.env}}", "qa"]}, "dev", True),
        ({"$ne": "{{identity.metadata.missing}}"}, "dev", False),
        ("{{identity.metadata.missing}}", "{{identity.metadata.missing}}", False),
        ({"$ne": "{{identity.metadata.none}}"}, "dev", False),
        ({"$ne": "{{identity.auth.oidc.claims.o}}"}, "dev", False),
    ],
)
def test_expressions_are_filled_in_after_parsing(operand, value, expected):
    assert (
        compile_rules([allow("edit", secretName=operand)], CONTEXT).allows("edit", "secrets", {"secretName": value})
        is expected
    )


def test_a_grant_with_an_unknown_expression_gives_nothing_even_by_type_and_a_denial_keeps_denying():
    open_grant = compile_rules([allow("edit", environment={"$ne": "{{identity.metadata.missing}}"})], CONTEXT)
    assert not open_grant.allows("edit", "secrets")
    assert "nothing is known that fills" in why(open_grant, "edit", "secrets", DEV).text

    assert not compile_rules(
        [allow("edit"), deny("edit", environment={"$ne": "{{identity.metadata.missing}}"})], CONTEXT
    ).allows("edit", "secrets", DEV)


@given(
    st.text(alphabet="ab*?/[]{}()!@+,.|\\-^", min_size=1, max_size=8),
    st.text(alphabet="ab*/.[", min_size=1, max_size=8),
)
def test_a_substituted_value_never_widens(value, name):
    context = {"identity": {"metadata": {"v": value}}}
    ability = compile_rules([allow("edit", secretName={"$glob": "x-{{identity.metadata.v}}"})], context)

    assert ability.allows("edit", "secrets", {"secretName": f"x-{name}"}) == (name == value)


def test_why_names_the_deciding_rule_and_its_source():
    ability = compile_rules(
        [Grant("role developer", (allow("edit"),)), Grant("privilege freeze", (deny("edit", environment="prod"),))]
    )

    decision = why(ability, "edit", "secrets", PROD)
    assert (decision.allowed, decision.index, decision.source) == (False, 1, "privilege freeze")
    assert decision.rule == {
        "subject": "secrets",
        "action": ["edit"],
        "conditions": {"environment": "prod"},
        "inverted": True,
    }
    assert decision.text == "Rule 2 (privilege freeze) denies edit on secrets."
    assert why(ability, "edit", "secrets", DEV).text == "Rule 1 (role developer) allows edit on secrets."


def test_why_names_the_nearest_rule_and_where_the_question_left_it():
    ability = compile_rules(
        [
            allow("edit", environment="qa", secretPath="/x"),
            allow("edit", environment="dev", secretPath={"$glob": "/web/**"}),
        ]
    )

    decision = why(ability, "edit", "secrets", DEV)
    assert (decision.field, decision.expected, decision.presented, decision.index) == (
        "secretPath",
        {"$glob": "/web/**"},
        "/app",
        1,
    )
    assert (
        decision.text
        == 'Rule 2 allows edit on secrets only where secretPath is {"$glob":"/web/**"}; presented was \'/app\'.'
    )
    assert why(ability, "edit", "secrets", {"environment": "dev"}).text.endswith("none was presented.")
    assert why(ability, "delete", "secrets", DEV).text == "No rule allows delete on secrets."


def test_why_says_when_secrets_answered_for_folders():
    ability = compile_rules([allow("readValue")])

    assert (
        why(ability, "read", "secret-folders", DEV).text
        == "No rule names secret-folders, so the rules on secrets decide. Rule 1 allows readValue on secrets."
    )
    assert why(ability, "manage-access", "secret-folders").text == "No rule is about manage-access on secret-folders."


def test_a_denial_says_what_is_missing():
    ability = compile_rules([allow("edit", environment="qa"), deny("delete")])

    refusal = denial(ability, "edit", "secrets", DEV)
    assert refusal.message == "You are not allowed to edit on secrets"
    assert refusal.details == [{"subject": "secrets", "action": "edit", "conditions": {"environment": "qa"}}]
    assert denial(ability, "delete", "secrets").details == [
        {"subject": "secrets", "action": "delete", "inverted": True}
    ]
    assert denial(ability, "read", "tags").details == [{"subject": "tags", "action": "read"}]


environments = st.sampled_from(["dev", "prod"])
paths = st.sampled_from(["/", "/app", "/app/x", "/web"])
globs = st.sampled_from(["/**", "/app/**", "/app/*", "/*", "/app"])
conditions = st.fixed_dictionaries(
    {},
    optional={
        "environment": environments
        | st.fixed_dictionaries({"$ne": environments})
        | st.fixed_dictionaries({"$in": st.lists(environments, min_size=1)}),
        "secretPath": paths | st.fixed_dictionaries({"$glob": globs}),
    },
)
one_rule = st.builds(
    Rule,
    st.sampled_from(["secrets", "tags"]),
    st.lists(st.sampled_from(["read", "edit", "create"]), min_size=1, max_size=2).map(tuple),
    conditions.map(lambda c: c or None),
    st.booleans(),
)
rule_lists = st.lists(one_rule, max_size=6)
questions = st.tuples(
    st.sampled_from(["read", "edit", "readValue"]),
    st.sampled_from(["secrets", "tags"]),
    st.none() | st.fixed_dictionaries({}, optional={"environment": environments, "secretPath": paths}),
)


def meets(operand, value):
    if isinstance(operand, str):
        return value == operand
    checks = {"$ne": lambda o: value != o, "$in": lambda o: value in o, "$glob": lambda o: glob_matches(o, value)}
    return all(checks[operator](o) for operator, o in operand.items())


def naive(rules, action, subject, facts):
    answer = False
    for rule in rules:
        if rule.subject != subject or action not in expand(rule):
            continue
        if facts is None:
            fits = not (rule.inverted and rule.conditions)
        else:
            fits = all(f in facts and meets(o, facts[f]) for f, o in (rule.conditions or {}).items())
        if fits:
            answer = not rule.inverted
    return answer


@pytest.fixture(params=[abilities.INDEXED, 1], ids=["one by one", "indexed"])
def indexed(request, monkeypatch):
    """Few rules are asked one by one, and many through an index: here both do the same."""
    monkeypatch.setattr(abilities, "INDEXED", request.param)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rule_lists, questions)
def test_compiled_rules_answer_as_a_plain_reading_does(indexed, rules, question):
    ability = compile_rules(rules)

    assert ability.allows(*question) == naive(rules, *question)
    assert why(ability, *question).allowed == ability.allows(*question)


@given(rule_lists, one_rule, st.integers(0, 6), questions)
def test_a_denial_more_never_widens(rules, extra, at, question):
    narrower = [*rules[:at], Rule(extra.subject, extra.actions, extra.conditions, inverted=True), *rules[at:]]

    assert compile_rules(narrower).allows(*question) <= compile_rules(rules).allows(*question)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rule_lists, questions)
def test_the_order_in_which_facts_become_known_changes_no_answer(indexed, rules, question):
    ability = compile_rules(rules)
    action, subject, facts = question
    for known in ([], ["environment"], ["secretPath"], ["environment", "secretPath"]):
        early = {field: value for field, value in (facts or {}).items() if field in known}
        late = {field: value for field, value in (facts or {}).items() if field not in known}
        left = ability.narrowed(action, subject, early)

        assert left.allows(late) == ability.allows(action, subject, {**early, **late})
        assert left.answer in (None, left.allows(late))


names = st.sampled_from(["A", "AB", "B"])
tags = st.sampled_from(["x", "y"])
texts = names | st.fixed_dictionaries(
    {},
    optional={
        "$eq": names,
        "$ne": names,
        "$in": st.lists(names, min_size=1),
        "$glob": st.sampled_from(["A*", "*", "!A", "?", "!(A)"]),
    },
)
wide = st.fixed_dictionaries(
    {},
    optional={
        "environment": texts,
        "secretPath": paths | st.fixed_dictionaries({"$glob": globs}),
        "secretName": texts,
        "secretTags": st.fixed_dictionaries(
            {}, optional={"$in": st.lists(tags, min_size=1), "$all": st.lists(tags, min_size=1)}
        ),
        "metadata": st.fixed_dictionaries(
            {"$elemMatch": st.fixed_dictionaries({}, optional={"key": names, "value": texts})}
        ),
    },
)
wide_rules = st.lists(
    st.builds(Rule, st.just("secrets"), st.just(("edit",)), wide.map(lambda c: c or None), st.booleans()), max_size=8
)
everything = st.fixed_dictionaries(
    {"environment": names, "secretPath": paths, "secretName": names},
    optional={
        "secretTags": st.lists(tags),
        "metadata": st.lists(st.fixed_dictionaries({"key": names, "value": names})) | st.none(),
    },
)


@given(
    wide_rules,
    everything,
    st.sets(st.sampled_from(["environment", "secretPath", "secretName", "secretTags", "metadata"])),
)
def test_an_index_answers_as_rules_asked_one_by_one_do(rules, facts, known):
    one_by_one = compile_rules(rules)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(abilities, "INDEXED", 1)
        indexed = compile_rules(rules)
    early = {field: value for field, value in facts.items() if field in known}
    late = {field: value for field, value in facts.items() if field not in known}

    for _ in range(2):  # made, and kept
        assert one_by_one.allows("edit", "secrets", facts) == indexed.allows("edit", "secrets", facts)
        assert one_by_one.allows("edit", "secrets", early) == indexed.allows("edit", "secrets", early)
        assert one_by_one.could("edit", "secrets", early) == indexed.could("edit", "secrets", early)
        one, other = one_by_one.narrowed("edit", "secrets", early), indexed.narrowed("edit", "secrets", early)
        assert (one.answer, one.allows(late)) == (other.answer, other.allows(late))


def test_what_known_facts_decide_is_decided(indexed):
    ability = compile_rules(
        [
            Rule("secrets", ("read",), {"environment": {"$eq": "dev"}}),
            Rule(
                "secrets",
                ("read",),
                {"environment": {"$eq": "dev"}, "secretPath": {"$glob": "/hidden/**"}},
                inverted=True,
            ),
            Rule("secrets", ("edit",), {"environment": {"$eq": "prod"}, "secretName": {"$eq": "A"}}),
        ]
    )

    def answer(action, **known):
        return ability.narrowed(action, "secrets", known).answer

    assert (True, False, None) == (
        answer("readValue", environment="dev", secretPath="/app"),
        answer("readValue", environment="dev", secretPath="/hidden/x"),
        answer("readValue", environment="dev"),
    )
    assert (False, None, False) == (
        answer("edit", environment="dev"),
        answer("edit", environment="prod"),
        answer("create"),
    )


def test_an_answer_without_conditions_is_a_look_up():
    admin = compile_rules(built_in("project", "admin").rules)

    assert admin.always("edit", "secrets")
    assert not admin.looks_at("edit", "secrets")


FAULTY = ["/a/[x", "/a/{b", "/**/" + "a" * 600, "/a/" + "*/" * 40]
INDEXED_RULES = [allow("edit", secretPath={"$glob": f"/kept/{number}/**"}) for number in range(40)]


@pytest.mark.parametrize("pattern", FAULTY)
@pytest.mark.parametrize("others", [[], INDEXED_RULES], ids=["few", "indexed"])
def test_a_stored_grant_with_a_faulty_pattern_allows_nothing_and_a_denial_denies_everything(pattern, others):
    place = {"environment": "dev", "secretPath": pattern}
    granting = compile_rules([*others, allow("edit", secretPath={"$glob": pattern})])
    denying = compile_rules([*others, allow("edit"), deny("edit", environment="x", secretPath={"$glob": pattern})])

    for ability in (granting, denying):
        assert not ability.allows("edit", "secrets", place)
        assert not ability.could("edit", "secrets", place)
        assert not ability.narrowed("edit", "secrets", {"environment": "dev"}).allows({"secretPath": pattern})
        assert not why(ability, "edit", "secrets", place).allowed
        assert ability.faulty == ("",)
    assert not denying.allows("edit", "secrets")
    assert not compile_rules([allow("edit", secretPath={"$glob": pattern})]).allows("edit", "secrets")


def test_the_answer_to_why_names_the_faulty_pattern_of_a_grant():
    ability = compile_rules([Grant("role old", (allow("edit", secretPath={"$glob": "/a/[x"}),))])

    decision = why(ability, "edit", "secrets", {"environment": "dev", "secretPath": "/a/[x"})

    assert (False, "secretPath") == (decision.allowed, decision.field)
    assert "faulty" in decision.text


def test_a_pattern_that_its_expressions_make_too_long_is_faulty():
    context = {"identity": {"id": "i", "username": "n", "metadata": {"team": "-" * 400}, "auth": {}}}
    by_team = {"$glob": "/{{identity.metadata.team}}/**"}

    assert not compile_rules([allow("edit"), deny("edit", secretPath=by_team)], context).allows("edit", "secrets", DEV)
    assert compile_rules([allow("edit"), deny("edit", secretPath=by_team)], {}).faulty == ()


@pytest.mark.parametrize("scope", ["organization", "project"])
def test_only_rights_without_gap_condition_or_denial_are_unlimited(scope):
    admin = built_in(scope, "admin").rules
    everything = [Rule(name, subject.actions) for name, subject in SUBJECTS[scope].items()]

    assert compile_rules(everything).is_unlimited(scope)
    assert not compile_rules(everything[1:]).is_unlimited(scope)
    assert not compile_rules([*everything, Rule("role", ("read",), None, inverted=True), *everything]).is_unlimited(
        scope
    )
    limited = [Rule(name, subject.actions, {"environment": "dev"}) for name, subject in SUBJECTS[scope].items()]
    assert not compile_rules(limited).is_unlimited(scope)
    assert compile_rules(admin).is_unlimited(scope)
    assert not compile_rules(built_in(scope, "member").rules).is_unlimited(scope)
