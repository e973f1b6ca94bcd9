from pathlib import Path
from typing import Any

import pytest

from tests.api import Api
from tests.demonstration import Demonstration, shown


async def _report(api: Api, kind: str, **query: Any) -> set[str]:
    answer = await api.ok("GET", f"/api/v1/organization/identity-reports/{kind}", query=query)
    return {identity["name"] for identity in answer["identities"]}


async def test_there_is_an_identity_in_every_state_that_an_operator_meets(
    tmp_path: Path, demonstration: Demonstration
) -> None:
    async with shown(demonstration, tmp_path) as api:
        assert {"old-jenkins", "legacy-importer"} == await _report(api, "unused", days=30)
        assert {"old-jenkins"} == await _report(api, "unused", days=90)
        assert "warehouse-loader" in await _report(api, "never-used")
        assert {"load-test", "billing-worker"} <= await _report(api, "expiring", days=7)
        assert {"preview-environments"} == await _report(api, "risky", code="any_audience")
        assert "terraform" in await _report(api, "risky", code="any_network")
        search = {"limit": 100, "search": {}}
        found = (await api.ok("POST", "/api/v1/identities/search", search))["identities"]
        locked = {row["identity"]["name"] for row in found if row["identity"]["activeLockoutAuthMethods"]}
        methods = {method for row in found for method in row["identity"]["authMethods"]}
    assert {"backup-runner"} == locked
    assert len(methods) >= 8


async def test_each_refusal_says_which_check_failed(tmp_path: Path, demonstration: Demonstration) -> None:
    async with shown(demonstration, tmp_path) as api:
        denials = (await api.ok("GET", "/api/v1/organization/login-denials"))["loginDenials"]
        explained = {
            denial["reason"]: await api.ok("GET", f"/api/v1/organization/login-denials/{denial['requestId']}")
            for denial in denials
        }
    assert {"claim_mismatch", "identity_disabled", "address_not_trusted"} <= explained.keys()
    assert all(any(not check["passed"] for check in told["loginDenial"]["checks"]) for told in explained.values())


async def test_no_secret_of_the_story_opens_anything_that_is_told(tmp_path: Path, demonstration: Demonstration) -> None:
    """Values are random: two fillings have none in common."""
    async with shown(demonstration, tmp_path) as api:
        projects = (await api.ok("GET", "/api/v1/projects"))["projects"]
        shop = next(project for project in projects if project["name"] == "Shop")
        query = {"projectId": shop["id"], "environment": "prod", "secretPath": "/", "include_imports": "true"}
        reply = await api.ok("GET", "/api/v4/secrets", query=query)
    values = {secret["secretKey"]: secret["secretValue"] for secret in reply["secrets"]}
    assert {"DATABASE_URL", "PAYMENT_KEY", "CURRENCY"} <= values.keys()
    assert len(values["PAYMENT_KEY"]) >= 20
    assert values["DB_PASSWORD"] in values["DATABASE_URL"]


@pytest.mark.parametrize("project", ["Shop", "Billing", "Data platform"])
async def test_each_project_has_members_and_secrets(tmp_path: Path, demonstration: Demonstration, project: str) -> None:
    async with shown(demonstration, tmp_path) as api:
        projects = (await api.ok("GET", "/api/v1/projects"))["projects"]
        id = next(found["id"] for found in projects if found["name"] == project)
        members = await api.ok("GET", f"/api/v1/projects/{id}/memberships/identities")
        secrets = await api.ok(
            "GET", "/api/v4/secrets", query={"projectId": id, "environment": "prod", "secretPath": "/"}
        )
    assert members["identityMemberships"] and secrets["secrets"]
