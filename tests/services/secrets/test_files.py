"""Secrets in and out as files."""

import pytest

from tests.api import Api
from tests.vault import Vault, rule


async def test_a_file_that_went_out_comes_in_elsewhere(any_api: Api) -> None:
    vault = await Vault.new(any_api)
    await vault.put("A", "one\ntwo 'x' \"y\" $z", secretComment="why")
    await vault.put("B", "${A}")
    base = f"/api/v1/projects/{vault.project_id}/secrets"
    for format in ("dotenv", "json", "yaml", "csv"):
        out = await any_api.get(
            f"{base}/export", query={"environment": "dev", "format": format, "expandSecretReferences": "false"}
        )
        done = await any_api.ok(
            "POST",
            f"{base}/import",
            {"environment": "prod", "format": format, "content": out.text, "onConflict": "overwrite"},
        )

        assert ["A", "B"] == sorted([*done["created"], *done["unchanged"]])
        assert await vault.values() == await vault.values(env="prod")
    assert "no-store" == out.headers["cache-control"]
    filled = await any_api.get(f"{base}/export", query={"environment": "dev", "format": "json"})
    assert filled.json()["A"] == filled.json()["B"]


async def test_a_dry_run_says_what_would_happen_and_does_nothing(any_api: Api) -> None:
    vault = await Vault.new(any_api)
    await vault.put("SAME", "1")
    await vault.put("OTHER", "1")
    body = {"environment": "dev", "format": "dotenv", "content": "SAME=1\nOTHER=2\nNEW=3\n"}
    url = f"/api/v1/projects/{vault.project_id}/secrets/import"

    plan = await any_api.ok("POST", url, {**body, "onConflict": "overwrite", "dryRun": True})
    refused = await any_api.post(url, body)
    skipped = await any_api.ok("POST", url, {**body, "onConflict": "skip"})

    assert (["NEW"], ["OTHER"], ["SAME"]) == (plan["created"], plan["updated"], plan["unchanged"])
    assert 400 == refused.status_code
    assert (["NEW"], [], ["SAME", "OTHER"]) == (skipped["created"], skipped["updated"], skipped["skipped"])
    assert {"SAME": "1", "OTHER": "1", "NEW": "3"} == await vault.values()
    await any_api.ok("POST", url, {**body, "onConflict": "overwrite"})
    assert "2" == await vault.value("OTHER")


@pytest.mark.parametrize("content", ["A B=1", "A='canary", "A%2f=1", "A/B=1"])
async def test_a_file_with_faults_is_refused_without_showing_values(api: Api, content: str) -> None:
    vault = await Vault.new(api)

    reply = await api.post(
        f"/api/v1/projects/{vault.project_id}/secrets/import",
        {"environment": "dev", "format": "dotenv", "content": content},
    )

    assert 422 == reply.status_code
    assert "canary" not in reply.text


async def test_who_may_not_read_neither_exports_nor_learns_by_importing(api: Api) -> None:
    vault = await Vault.new(api)
    await vault.put("A", "canary")
    token = await vault.bot(rule("describeSecret", "create", "edit", environment="dev"))
    base = f"/api/v1/projects/{vault.project_id}/secrets"

    out = await api.get(f"{base}/export", token=token, query={"environment": "dev"})
    body = {"environment": "dev", "format": "dotenv", "onConflict": "overwrite", "dryRun": True}
    guesses = [
        await api.ok("POST", f"{base}/import", {**body, "content": f"A={guess}"}, token=token)
        for guess in ("canary", "wrong")
    ]

    assert 400 == out.status_code
    assert "canary" not in out.text
    assert guesses[0] == guesses[1]


async def test_an_export_that_a_shell_would_run_is_refused_and_says_which_names(api: Api) -> None:
    vault = await Vault.new(api)
    await vault.put("GOOD", "canary")
    names = ["a$(touch${IFS}x)", "b;c"]
    for name in names:
        await api.ok(
            "POST",
            "/api/v4/secrets/batch",
            {
                "projectId": vault.project_id,
                "environment": "dev",
                "secrets": [{"secretKey": name, "secretValue": "canary"}],
            },
        )
    url = f"/api/v1/projects/{vault.project_id}/secrets/export"

    refused = await api.get(url, query={"environment": "dev"})
    whole = await api.get(url, query={"environment": "dev", "format": "json"})

    assert (400, [True, True], False) == (
        refused.status_code,
        [repr(name) in refused.json()["message"] for name in names],
        "canary" in refused.text,
    )
    assert sorted([*names, "GOOD"]) == sorted(whole.json())


async def test_an_export_without_values_is_refused_as_there_would_be_nothing_in_it(api: Api) -> None:
    vault = await Vault.new(api)
    url = f"/api/v1/projects/{vault.project_id}/secrets/export"

    refused = await api.get(url, query={"environment": "dev", "viewSecretValue": "false"})

    assert (422, ["viewSecretValue"]) == (refused.status_code, refused.json()["message"][0]["path"])
    assert 200 == (await api.get(url, query={"environment": "dev", "viewSecretValue": "true"})).status_code
