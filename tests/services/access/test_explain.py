"""Explanations agree with what happens, name the rule that decided, and give nothing away."""

from typing import Any

from tests.api import Api

ASK = "/api/v1/organization/explain"


def about(actor: str, action: str, subject: str, **facts: Any) -> dict[str, Any]:
    return {"actorType": "identity", "actorId": actor, "action": action, "subject": subject} | (
        {"facts": facts} if facts else {}
    )


async def custom(api: Api, where: str, slug: str, permissions: list[dict[str, Any]]) -> None:
    await api.ok("POST", where, {"slug": slug, "name": slug, "permissions": permissions})


async def in_project(api: Api, role: str) -> tuple[str, str, str]:
    """A project, an identity with a role in it, and its token."""
    project = (await api.ok("POST", "/api/v1/projects", {"projectName": "P"}))["project"]["id"]
    rules = [
        {
            "subject": "secrets",
            "action": ["describeSecret", "readValue"],
            "conditions": {"environment": "dev", "secretPath": {"$glob": "/app/**"}},
        },
        {
            "subject": "secrets",
            "action": ["readValue"],
            "conditions": {"environment": "dev", "secretPath": "/app/hidden"},
            "inverted": True,
        },
    ]
    await custom(api, f"/api/v1/projects/{project}/roles", "narrow", rules)  # type: ignore[arg-type]
    identity, token = await api.bot()
    await api.ok("POST", f"/api/v1/projects/{project}/identity-memberships/{identity['id']}", {"role": role})
    return project, identity["id"], token


async def test_the_rule_that_allows_is_named_with_its_source(api: Api) -> None:
    identity = await api.identity("member")

    answer = await api.ok("POST", ASK, about(identity["id"], "read", "role"))

    assert (True, "role member") == (answer["allowed"], answer["decision"]["source"])
    assert ["role member"] == answer["sources"]


async def test_the_nearest_rule_says_which_condition_was_not_met(any_api: Api) -> None:
    project, identity, _ = await in_project(any_api, "narrow")

    answer = await any_api.ok(
        "POST",
        f"/api/v1/projects/{project}/explain",
        about(identity, "readValue", "secrets", environment="prod", secretPath="/app/x"),
    )

    assert (False, "environment", "dev", "prod") == (
        answer["allowed"],
        answer["decision"]["field"],
        answer["decision"]["expected"],
        answer["decision"]["presented"],
    )


async def test_a_deny_rule_that_decides_is_named(api: Api) -> None:
    project, identity, _ = await in_project(api, "narrow")

    answer = await api.ok(
        "POST",
        f"/api/v1/projects/{project}/explain",
        about(identity, "readValue", "secrets", environment="dev", secretPath="/app/hidden"),
    )

    assert not answer["allowed"]
    assert answer["decision"]["rule"]["inverted"]


async def test_a_role_can_be_asked_about_before_anybody_holds_it(api: Api) -> None:
    await custom(api, "/api/v1/organization/roles", "fresh", [{"subject": "member", "action": ["read"]}])

    answer = await api.ok("POST", ASK, {"role": "fresh", "action": "read", "subject": "member"})
    unknown = await api.post(ASK, {"role": "nobody-made-it", "action": "read", "subject": "member"})

    assert answer["allowed"]
    assert 404 == unknown.status_code


async def test_what_stops_an_actor_before_any_rule_is_said(api: Api) -> None:
    identity = await api.identity("admin")
    await api.ok("POST", f"/api/v1/identities/{identity['id']}/disable", {})

    answer = await api.ok("POST", ASK, about(identity["id"], "read", "role"))

    assert (False, True, "The identity is disabled") == (
        answer["allowed"],
        answer["decision"]["allowed"],
        answer["blockedBy"],
    )


async def test_an_actor_of_another_organization_is_as_unknown_as_one_that_does_not_exist(api: Api) -> None:
    identity = await api.identity("admin")
    _, other = await api.organization()
    missing = "01a203ee-9dba-7b90-b424-1f20aa43038b"

    theirs = await api.post(ASK, about(identity["id"], "read", "role"), token=other)
    nobody = await api.post(ASK, about(missing, "read", "role"), token=other)

    assert (404, 404) == (theirs.status_code, nobody.status_code)
    assert theirs.json()["message"] == nobody.json()["message"]


async def test_a_question_without_sense_lists_all_its_faults(api: Api) -> None:
    project, identity, _ = await in_project(api, "narrow")
    faults = [
        {"action": "read", "subject": "role"},
        {"actorId": identity, "action": "read", "subject": "role"},
        about(identity, "fly", "role"),
        about(identity, "read", "nothing"),
        about(identity, "read", "role", environment="dev"),
        about(identity, "readValue", "secrets", secretPath=["/"]),
        about(identity, "readValue", "secrets", secretTags="x"),
        about(identity, "readValue", "secrets", secretTags=[{"a": 1}]),
        about(identity, "readValue", "secrets", metadata=["x"]),
    ]

    for question in faults:
        assert 422 == (await api.post(f"/api/v1/projects/{project}/explain", question)).status_code


async def test_a_refusal_names_the_permission_and_not_what_it_was_about(api: Api) -> None:
    """Tags, names and values of a secret that the caller may not see must not come back in `details`."""
    project, _, token = await in_project(api, "narrow")
    place = {"projectId": project, "environment": "prod", "secretPath": "/"}
    tag = (await api.ok("POST", f"/api/v1/projects/{project}/tags", {"slug": "top-secret-tag"}))["tag"]["id"]
    made = await api.ok("POST", "/api/v4/secrets/HIDDEN_NAME", {**place, "secretValue": "v", "tagIds": [tag]})

    for path in (
        f"/api/v4/secrets/id/{made['secret']['id']}",
        f"/api/v1/secret/{made['secret']['id']}/secret-versions?offset=0&limit=5",
    ):
        reply = await api.get(path, token=token)

        assert 403 == reply.status_code
        assert "You are not allowed to" in reply.json()["message"]
        assert reply.json()["details"]
        assert all(word not in reply.text for word in ("top-secret-tag", "HIDDEN_NAME", "prod"))


# --- what would help


async def remedy(api: Api, project: str, question: dict[str, Any]) -> dict[str, Any]:
    answer = await api.ok("POST", f"/api/v1/projects/{project}/explain", question)
    assert answer["allowed"] is False
    found: dict[str, Any] = answer["remedy"]
    return found


async def test_roles_that_would_allow_it_are_named_the_narrowest_first(any_api: Api) -> None:
    api = any_api
    project, identity, _ = await in_project(api, "no-access")
    where = f"/api/v1/projects/{project}/roles"
    reads = {"subject": "secrets", "action": ["describeSecret", "readValue"]}
    await custom(api, where, "reader", [reads])
    await custom(api, where, "dev-reader", [reads | {"conditions": {"environment": "dev"}}])
    await custom(api, where, "prod-reader", [reads | {"conditions": {"environment": "prod"}}])

    found = await remedy(
        api, project, about(identity, "readValue", "secrets", environment="prod", secretPath="/app", secretName="X")
    )

    slugs = [role["slug"] for role in found["roles"]]
    assert slugs[:2] == ["prod-reader", "reader"]
    assert slugs[-1] == "admin"
    assert not {"dev-reader", "narrow", "no-access"} & set(slugs)
    assert (2, 0, True) == tuple(found["roles"][0][key] for key in ("actionCount", "unconditionalCount", "isCustom"))
    assert "prod-reader" in found["text"]


async def test_the_role_that_is_proposed_allows_it_once_it_is_given(any_api: Api) -> None:
    api = any_api
    project, identity, _ = await in_project(api, "no-access")
    question = about(identity, "readValue", "secrets", environment="dev", secretPath="/app/x", secretName="X")

    found = await remedy(api, project, question)
    role = {"role": found["roles"][0]["slug"]}
    await api.ok("PATCH", f"/api/v1/projects/{project}/identity-memberships/{identity}", {"roles": [role]})

    answer = await api.ok("POST", f"/api/v1/projects/{project}/explain", question)
    assert (True, None) == (answer["allowed"], answer["remedy"])


async def test_the_smallest_rule_allows_this_and_nothing_beside_it(any_api: Api) -> None:
    api = any_api
    project, identity, _ = await in_project(api, "narrow")
    facts: dict[str, Any] = {"environment": "dev", "secretPath": "/app/hidden", "secretTags": ["pci", "eu"]}
    question = about(identity, "readValue", "secrets", **facts)

    found = await remedy(api, project, question)

    assert found["rule"] == {
        "subject": "secrets",
        "action": ["readValue"],
        "conditions": {
            "environment": {"$eq": "dev"},
            "secretPath": {"$eq": "/app/hidden"},
            "secretTags": {"$all": ["pci", "eu"]},
        },
    }
    body = {"projectId": project, "identityId": identity, "slug": "one", "permissions": [found["rule"]]}
    await api.ok("POST", "/api/v2/identity-project-additional-privilege", body | {"type": {"isTemporary": False}})
    assert (await api.ok("POST", f"/api/v1/projects/{project}/explain", question))["allowed"]
    for other in ({"secretPath": "/app/hidden/x"}, {"environment": "prod"}, {"secretTags": ["pci"]}):
        wider = about(identity, "readValue", "secrets", **(facts | {"secretPath": "/app/hidden"} | other))
        if other != {"secretPath": "/app/hidden/x"}:  # the role allows that one
            assert not (await api.ok("POST", f"/api/v1/projects/{project}/explain", wider))["allowed"], other


async def test_a_rule_that_denies_is_outweighed_by_what_is_proposed(api: Api) -> None:
    project, identity, _ = await in_project(api, "narrow")
    question = about(identity, "readValue", "secrets", environment="dev", secretPath="/app/hidden")

    found = await remedy(api, project, question)

    assert [role["slug"] for role in found["roles"]][-1] == "admin"
    assert found["rule"] is not None


async def test_a_proposal_for_folders_leaves_the_rules_on_secrets_in_force(api: Api) -> None:
    project, identity, _ = await in_project(api, "narrow")

    found = await remedy(
        api, project, about(identity, "create", "secret-folders", environment="dev", secretPath="/app")
    )

    assert found["rule"]["subject"] == "secrets"


async def test_what_blocks_an_actor_is_said_first(api: Api) -> None:
    project, identity, _ = await in_project(api, "no-access")
    await api.ok("POST", f"/api/v1/identities/{identity}/disable", {})

    found = await remedy(api, project, about(identity, "read", "member"))

    assert found["text"].startswith("The identity is disabled")


async def test_what_a_rule_cannot_say_is_left_out_of_the_smallest_one(api: Api) -> None:
    project, identity, _ = await in_project(api, "no-access")
    facts: dict[str, Any] = {
        "environment": "{{x}}",
        "secretPath": "no slash",
        "secretName": "x" * 600,
        "secretTags": [],
    }

    found = await remedy(api, project, about(identity, "readValue", "secrets", **facts))

    assert found["rule"] == {"subject": "secrets", "action": ["readValue"]}


async def test_a_role_of_the_organization_is_proposed_there(api: Api) -> None:
    identity = await api.identity("no-access")
    await custom(api, "/api/v1/organization/roles", "auditor", [{"subject": "audit-logs", "action": ["read"]}])

    answer = await api.ok("POST", ASK, about(identity["id"], "read", "audit-logs"))

    assert ["auditor", "member", "admin"] == [role["slug"] for role in answer["remedy"]["roles"]]
    assert {"subject": "audit-logs", "action": ["read"]} == answer["remedy"]["rule"]
