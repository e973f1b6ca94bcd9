"""References and imports when secrets are read: who may follow them, and which secret wins."""

from typing import Any

from tests.api import Api
from tests.vault import Vault, rule


async def test_a_reference_is_followed_only_by_who_may_read_its_end(any_api: Api) -> None:
    vault = await Vault.new(any_api)
    await vault.put("PHOST", "prodhost", env="prod")
    await vault.put("CROSS", "${prod.PHOST}/x")
    await vault.put("PLAIN", "p")
    token = await vault.bot(rule("read", environment="dev"))

    assert "prodhost/x" == await vault.value("CROSS", expandSecretReferences=True)
    assert "${prod.PHOST}/x" == await vault.value("CROSS", token=token)
    refused = await vault.call("GET", "CROSS", token=token, expandSecretReferences=True)
    listed = await vault.call("GET", token=token, expandSecretReferences=True)

    assert (403, 403) == (refused.status_code, listed.status_code)
    assert "prodhost" not in refused.text + listed.text
    assert refused.json()["details"]
    assert "p" == await vault.value("PLAIN", token=token, expandSecretReferences=True)


async def test_permission_is_asked_at_each_hop(api: Api) -> None:
    vault = await Vault.new(api)
    await vault.put("END", "canary", env="prod")
    await vault.put("MIDDLE", "${prod.END}", env="staging")
    await vault.put("START", "${staging.MIDDLE}")
    token = await vault.bot(rule("read", environment={"$in": ["dev", "staging"]}))

    assert 403 == (await vault.call("GET", "START", token=token, expandSecretReferences=True)).status_code


async def test_a_description_is_not_enough_to_follow_a_reference(api: Api) -> None:
    vault = await Vault.new(api)
    await vault.put("END", "canary", env="prod")
    await vault.put("START", "${prod.END}")
    token = await vault.bot(rule("read", environment="dev"), rule("describeSecret", environment="prod"))

    assert 403 == (await vault.call("GET", "START", token=token, expandSecretReferences=True)).status_code


async def test_nobody_writes_a_reference_to_what_it_cannot_read(any_api: Api) -> None:
    """Otherwise somebody with more rights would fetch it in the writer's name."""
    vault = await Vault.new(any_api)
    await vault.put("END", "canary", env="prod")
    await vault.put("DB_PASS", "canary")
    token = await vault.bot(
        rule("read", "create", "edit", environment="dev"),
        rule("readValue", "describeSecret", inverted=True, environment="dev", secretName="DB_PASS"),
    )

    codes = [
        (await vault.call("POST", f"T{i}", token=token, secretValue=value)).status_code
        for i, value in enumerate(
            ["${prod.END}", "${prod.NOT_YET}", "${DB_PASS}", "${dev.DB_PASS}", "${NOT_YET} ${HOME}"]
        )
    ]

    assert [403, 403, 403, 403, 200] == codes
    assert 403 == (await vault.call("PATCH", "T4", token=token, secretValue="${prod.END}")).status_code


async def test_what_leads_nowhere_stays_as_it_is(api: Api) -> None:
    vault = await Vault.new(api)
    await vault.put("A", "${NOPE} ${nope.X} ${dev.nowhere.X} ${A}")

    assert "${NOPE} ${nope.X} ${dev.nowhere.X} ${A}" == await vault.value("A", expandSecretReferences=True)
    assert "${NOPE} ${nope.X} ${dev.nowhere.X} ${A}" == (await vault.values(expandSecretReferences=True))["A"]


async def test_the_multiline_flag_puts_a_filled_in_value_on_one_line(api: Api) -> None:
    vault = await Vault.new(api)
    await vault.put("CERT", "l1\nl2")
    await vault.put("FLAGGED", "${CERT}", skipMultilineEncoding=True)
    await vault.put("PLAIN", "${CERT}")
    await vault.put("ALONE", "l1\nl2", skipMultilineEncoding=True)

    values = await vault.values(expandSecretReferences=True)

    assert ('"l1\\nl2"', "l1\nl2", "l1\nl2") == (values["FLAGGED"], values["PLAIN"], values["ALONE"])


async def test_own_secrets_win_then_the_last_import_then_nested_ones(any_api: Api) -> None:
    vault = await Vault.new(any_api)
    for path in ("/one", "/two", "/nested"):
        await vault.folder(path)
    for name, places in {
        "A": ["/", "/one", "/two"],
        "B": ["/one", "/two"],
        "C": ["/nested"],
        "D": ["/two", "/nested"],
    }.items():
        for path in places:
            await vault.put(name, f"{name} of {path}", path=path)
    for source, path in [("/one", "/"), ("/two", "/"), ("/nested", "/two")]:
        assert 200 == (await vault.link(source, path=path)).status_code

    seen = {name: await vault.value(name, include_imports=True) for name in "ABCD"}
    listed = await vault.every(includeImports=True)

    assert {"A": "A of /", "B": "B of /two", "C": "C of /nested", "D": "D of /two"} == seen
    assert {"A"} == {one["secretKey"] for one in listed["secrets"]}
    groups = [
        (group["secretPath"], {one["secretKey"]: one["secretValue"] for one in group["secrets"]})
        for group in listed["imports"]
    ]
    assert [
        ("/one", {"A": "A of /one", "B": "B of /one"}),
        ("/two", {"A": "A of /two", "B": "B of /two", "C": "C of /nested", "D": "D of /two"}),
    ] == groups
    assert 404 == (await vault.call("GET", "B")).status_code
    assert "B of /two" == await vault.value("B", api="/api/v4/secrets")


async def test_references_find_imported_secrets(api: Api) -> None:
    vault = await Vault.new(api)
    await vault.folder("/shared")
    await vault.put("TOKEN", "t", path="/shared")
    await vault.put("URL", "x-${TOKEN}")
    await vault.link("/shared")

    assert "x-t" == await vault.value("URL", expandSecretReferences=True)


async def test_imports_that_the_reader_may_not_read_are_left_out(any_api: Api) -> None:
    vault = await Vault.new(any_api)
    await vault.folder("/secret")
    await vault.folder("/open")
    await vault.put("S", "canary", path="/secret")
    await vault.put("O", "o", path="/open")
    await vault.link("/secret")
    await vault.link("/open")
    token = await vault.bot(
        rule("read", environment="dev", secretPath={"$in": ["/", "/open"]}),
        rule("describeSecret", secretPath="/secret"),
    )

    listed = await vault.call("GET", token=token, include_imports=True)
    raw = await vault.api.get(
        "/api/v1/secret-imports/secrets/raw", token=token, query={"workspaceId": vault.project_id, "environment": "dev"}
    )

    assert ["/open"] == [group["secretPath"] for group in listed.json()["imports"]]
    assert ["/open"] == [group["secretPath"] for group in raw.json()["secrets"]]
    assert "canary" not in listed.text + raw.text
    assert 404 == (await vault.call("GET", "S", token=token, include_imports=True)).status_code
    assert "o" == await vault.value("O", token=token, include_imports=True)


async def test_circles_duplicates_and_self_imports_are_refused(any_api: Api) -> None:
    vault = await Vault.new(any_api)
    for path in ("/a", "/b", "/c"):
        await vault.folder(path)

    codes = [
        (await vault.link(source, path=path)).status_code
        for source, path in [
            ("/b", "/a"),
            ("/c", "/b"),
            ("/a", "/c"),
            ("/b", "/a"),
            ("/a", "/a"),
            ("/later", "/a"),
            ("/a/", "/c"),
        ]
    ]

    assert [200, 200, 400, 400, 400, 200, 400] == codes


async def test_an_import_of_a_folder_that_comes_later_is_filled_then(api: Api) -> None:
    vault = await Vault.new(api)
    await vault.link("/later")
    assert [] == (await vault.every(include_imports=True))["imports"]

    await vault.folder("/later")
    await vault.put("L", "l", path="/later")

    assert "l" == await vault.value("L", include_imports=True)


async def test_an_import_needs_sight_of_what_it_shows(api: Api) -> None:
    vault = await Vault.new(api)
    token = await vault.bot(rule("read", "create", environment="dev"))
    body = {"workspaceId": vault.project_id, "environment": "dev", "import": {"environment": "prod", "path": "/"}}

    assert 403 == (await api.post("/api/v1/secret-imports", body, token=token)).status_code


async def test_imports_keep_their_order_when_one_moves_or_goes(any_api: Api) -> None:
    vault = await Vault.new(any_api)
    ids = []
    for path in ("/a", "/b", "/c"):
        await vault.folder(path)
        ids.append((await vault.link(path)).json()["secretImport"]["id"])
    where = {"workspaceId": vault.project_id, "environment": "dev"}

    async def order() -> list[tuple[str, int]]:
        found = (await any_api.ok("GET", "/api/v1/secret-imports", query=where))["secretImports"]
        return [(one["importPath"], one["position"]) for one in found]

    await any_api.ok("PATCH", f"/api/v1/secret-imports/{ids[0]}", {**where, "import": {"position": 3}})
    assert [("/b", 1), ("/c", 2), ("/a", 3)] == await order()
    await any_api.ok("DELETE", f"/api/v1/secret-imports/{ids[1]}", where)
    assert [("/c", 1), ("/a", 2)] == await order()
    await any_api.ok(
        "PATCH",
        f"/api/v2/secret-imports/{ids[0]}",
        {"projectId": vault.project_id, "environment": "dev", "import": {"path": "/b"}},
    )
    assert [("/c", 1), ("/b", 2)] == await order()


async def test_lists_take_a_fixed_number_of_queries_whatever_their_size(api: Api) -> None:
    async def queries(size: int) -> int:
        vault = await Vault.new(api, f"size {size}")
        for i in range(size):
            await vault.folder(f"/f{i}")
            await vault.put("X", f"${{dev.f{(i + 1) % size}.Y}}", path=f"/f{i}")
            await vault.put("Y", "y", path=f"/f{i}")
            await vault.link(f"/f{i}")
        api.runtime.cache.__init__(api.runtime.store, 10_000)  # type: ignore[misc]
        seen: list[Any] = []
        reader = api.runtime.store._reader  # type: ignore[attr-defined]
        reader.set_trace_callback(seen.append)
        listed = await vault.every(recursive=True, include_imports=True, expandSecretReferences=True)
        reader.set_trace_callback(None)
        assert (2 * size, size) == (len(listed["secrets"]), len(listed["imports"]))
        return len([one for one in seen if one.startswith("SELECT")])

    assert await queries(3) == await queries(30)


async def test_the_reference_tree_shows_what_a_value_is_made_of(api: Api) -> None:
    vault = await Vault.new(api)
    await vault.put("HOST", "h")
    await vault.put("URL", "http://${HOST}/${NOPE}")
    query = {"projectId": vault.project_id, "environment": "dev", "secretPath": "/"}

    found = await api.ok("GET", "/api/v4/secrets/URL/secret-reference-tree", query=query)
    ties = await api.ok("GET", "/api/v4/secrets/HOST/secret-references", query=query)

    assert "http://h/${NOPE}" == found["value"]
    assert [("HOST", "h"), ("NOPE", None)] == [(child["key"], child["value"]) for child in found["tree"]["children"]]
    assert [{"environment": "dev", "secretPath": "/", "secretKey": "URL"}] == ties["referencedBy"]


async def test_a_refused_reference_tells_nothing_but_what_it_says(any_api: Api) -> None:
    vault = await Vault.new(any_api)
    tag = await vault.tag("crown-jewels")
    await vault.put("THERE", "v", env="prod", tagIds=[tag], secretMetadata=[{"key": "owner", "value": "lovelace"}])
    for name in ("THERE", "ABSENT"):
        await vault.put(f"TO_{name}", f"${{prod.{name}}}")
    token = await vault.bot(
        rule("read", "create", "edit", "delete"), rule("readValue", inverted=True, environment="prod")
    )

    replies = {}
    for name in ("THERE", "ABSENT"):
        replies[name] = [
            await vault.call("GET", f"TO_{name}", token=token, expandSecretReferences=True),
            await vault.call("POST", f"MY_{name}", token=token, secretValue=f"${{prod.{name}}}"),
            await vault.call("PATCH", f"TO_{name}", token=token, secretValue=f"x${{prod.{name}}}"),
        ]

    assert [403] * 6 == [one.status_code for some in replies.values() for one in some]
    for there, absent in zip(*replies.values(), strict=True):
        said, other = there.json(), absent.json()
        assert said["details"][0]["conditions"] == {"environment": "prod", "secretPath": "/", "secretName": "THERE"}
        assert "crown" not in there.text and "lovelace" not in there.text
        alike = [str({key: one[key] for key in ("message", "details", "error")}) for one in (said, other)]
        assert alike[0].replace("THERE", "ABSENT") == alike[1]


async def test_whether_a_tagged_secret_is_there_is_not_told_by_storing_a_reference_to_it(api: Api) -> None:
    vault = await Vault.new(api)
    tag = await vault.tag("closed")
    await vault.put("THERE", "v", env="prod", tagIds=[tag])
    token = await vault.bot(rule("read", "create"), rule("readValue", inverted=True, secretTags={"$in": ["closed"]}))

    codes = [
        (await vault.call("POST", f"MY_{name}", token=token, secretValue=f"${{prod.{name}}}")).status_code
        for name in ("THERE", "NOT")
    ]

    assert [403, 403] == codes


async def test_a_refused_read_tells_neither_tags_nor_the_rule_that_named_them(any_api: Api) -> None:
    vault = await Vault.new(any_api)
    tag = await vault.tag("closed")
    made = await vault.put("KEY", "v", tagIds=[tag])
    token = await vault.bot(rule("read"), rule("read", inverted=True, secretTags={"$in": ["closed"]}))

    by_name = await vault.call("GET", "KEY", token=token)
    by_id = await any_api.get(f"/api/v4/secrets/id/{made['id']}", token=token)

    assert [403, 403] == [by_name.status_code, by_id.status_code]
    assert "closed" not in by_name.text and "closed" not in by_id.text
    assert "KEY" not in by_id.text and "dev" not in by_id.text


async def test_where_a_value_refers_to_is_shown_to_who_may_read_it(api: Api) -> None:
    vault = await Vault.new(api)
    await vault.put("KEY", "${prod.HIDDEN}")
    token = await vault.bot(rule("describeSecret"))
    where = {"projectId": vault.project_id, "environment": "dev", "secretPath": "/"}

    seen = [await api.get("/api/v4/secrets/KEY/secret-references", query=where, token=who) for who in ("", token)]

    assert [True, False] == ["HIDDEN" in one.text for one in seen]
    assert [200, 200] == [one.status_code for one in seen]


async def test_values_that_multiply_at_every_level_are_refused_and_say_where(any_api: Api) -> None:
    vault = await Vault.new(any_api)
    for level in range(9):
        await vault.put(f"B{level}", f"${{B{level + 1}}}" * 8)
    await vault.put("B9", "x" * 100)
    where = {"projectId": vault.project_id, "environment": "dev"}

    listed = await vault.call("GET", expandSecretReferences=True)
    one = await vault.call("GET", "B0", expandSecretReferences=True)
    tree = await any_api.get("/api/v4/secrets/B0/secret-reference-tree", query=where)

    for refused in (listed, one, tree):
        assert (400, "BadRequest") == (refused.status_code, refused.json()["error"])
        assert "B4 in dev:/ has more than 1048576 characters: there is no room for ${B5}" in refused.json()["message"]
    assert 8**4 * 100 == len(await vault.value("B5", expandSecretReferences=True))
    assert "${B1}" * 8 == await vault.value("B0")


async def test_a_value_refers_to_a_thousand_secrets_at_most(any_api: Api) -> None:
    vault = await Vault.new(any_api)

    many = "".join(f"${{N{i}}}" for i in range(1000))
    refused = await vault.call("POST", "MORE", secretValue=many + "${ONE_MORE}")

    assert (422, ["secretValue"]) == (refused.status_code, refused.json()["message"][0]["path"])
    await vault.put("MANY", many + "${N0}" * 2000)
    assert many + "${N0}" * 2000 == await vault.value("MANY", expandSecretReferences=True)


async def test_the_values_of_a_tree_have_a_limit_together(api: Api) -> None:
    vault = await Vault.new(api)
    await vault.put("END", "x" * 1_000_000)
    await vault.put("START", "".join(f"${{dev.F{i}.X}}" for i in range(20)))
    for i in range(20):
        await vault.folder(f"/F{i}")
        await vault.put("X", "${dev.END}", path=f"/F{i}")
    where = {"projectId": vault.project_id, "environment": "dev"}

    refused = await api.get("/api/v4/secrets/START/secret-reference-tree", query=where)

    assert 400 == refused.status_code
    assert "16777216 characters: the limit is reached at END in dev:/" in refused.json()["message"]
