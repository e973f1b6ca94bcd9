"""Moving in: from one organization to another of the same server, which speaks the API of both sides."""

from typing import Any

from tests.api import Api
from tests.vault import Vault
from watchword.services.projects.move_in import ApiRefused, Plan, carry_out, survey


class Side:
    """One organization of the server as `migration.Server`. `breaks_after` calls it stops answering."""

    def __init__(self, api: Api, token: str, breaks_after: int = 1 << 30) -> None:
        self.api, self.token, self.left = api, token, breaks_after

    async def call(self, method: str, path: str, *, query: Any = None, body: Any = None) -> Any:
        self.left -= 1
        if self.left < 0:
            raise ConnectionError("gone")
        reply = await self.api.request(method, path, body, token=self.token, query=query)
        if reply.status_code != 200:
            raise ApiRefused(reply.status_code, reply.json()["message"])
        return reply.json()


async def _source(api: Api) -> Vault:
    vault = await Vault.new(api, "Shop")
    await vault.tag("db")
    await vault.folder("/app")
    await vault.folder("/app/deep")
    await vault.put("HOST", "h", secretComment="c", secretMetadata=[{"key": "k", "value": "v"}])
    await vault.put("URL", "http://${HOST}\n", path="/app/deep", skipMultilineEncoding=True)
    await vault.put("MINE", "shared")
    await vault.put("MINE", "personal", type="personal")
    await vault.link("/app", path="/")
    identity = await api.identity("member", name="deployer", metadata=[{"key": "team", "value": "x"}])
    await api.universal(
        identity["id"], accessTokenTTL=600, accessTokenMaxTTL=1200, accessTokenTrustedIps=[{"ipAddress": "10.0.0.0/8"}]
    )
    return vault


async def test_everything_arrives_and_a_survey_changes_nothing(api: Api) -> None:
    vault = await _source(api)
    org_id, token = await api.organization("There")
    peer, here = Side(api, api.token), Side(api, token)

    plan = await survey(peer, api.org_id)
    assert [] == (await here.call("GET", "/api/v1/workspace"))["workspaces"]
    steps: list[str] = []
    report = await carry_out(plan, peer, here, org_id, done=set(), progress=lambda step, about: steps.append(step))

    assert (3, plan.steps) == (plan.projects[0].secrets, len(steps))
    there = Vault(api, (await here.call("GET", "/api/v1/workspace"))["workspaces"][0]["id"])
    assert (await vault.values(token=api.token))["HOST"] == (await there.values(token=token))["HOST"]
    assert "shared" == await there.value("MINE", token=token)
    assert "http://${HOST}\n" == await there.value("URL", path="/app/deep", token=token)
    host = await there.read("HOST", token=token)
    assert ("c", [{"key": "k", "value": "v", "isEncrypted": False}]) == (host["secretComment"], host["secretMetadata"])
    links = await here.call(
        "GET", "/api/v1/secret-imports", query={"workspaceId": there.project_id, "environment": "dev"}
    )
    assert ["/app"] == [one["importPath"] for one in links["secretImports"]]
    found = {
        one["identity"]["name"]: one["identity"]["id"]
        for one in (await here.call("GET", "/api/v1/identities", query={"orgId": org_id}))["identities"]
    }
    method = (await here.call("GET", f"/api/v1/auth/universal-auth/identities/{found['deployer']}"))[
        "identityUniversalAuth"
    ]
    assert (600, [{"type": "ipv4", "prefix": 8, "ipAddress": "10.0.0.0"}]) == (
        method["accessTokenTTL"],
        method["accessTokenTrustedIps"],
    )
    assert any("deployer" in line and "client secrets" in line for line in report.by_hand)


async def test_a_run_that_broke_off_anywhere_resumes(api: Api) -> None:
    await _source(api)
    org_id, token = await api.organization("There")
    peer = Side(api, api.token)
    plan: Plan = await survey(peer, api.org_id)
    done: set[str] = set()
    by_hand: list[str] = []
    runs = 0
    while True:
        runs += 1
        try:
            await carry_out(
                plan,
                peer,
                Side(api, token, breaks_after=4),
                org_id,
                done=done,
                progress=lambda step, about: None,
                by_hand=by_hand,
            )
            break
        except ConnectionError:
            assert runs < 60

    there = Vault(api, (await Side(api, token).call("GET", "/api/v1/workspace"))["workspaces"][0]["id"])
    assert {"HOST", "MINE", "URL"} == set(await there.values(token=token, recursive=True))
    assert 1 < runs
    before = (await there.read("HOST", token=token))["version"]
    resumed = await carry_out(
        plan, peer, Side(api, token), org_id, done=done, progress=lambda step, about: None, by_hand=by_hand
    )
    assert 1 == len([line for line in resumed.by_hand if "deployer" in line and "client secrets" in line])
    assert before == (await there.read("HOST", token=token))["version"]


async def test_large_secrets_go_in_parts_that_a_server_takes(api: Api) -> None:
    vault = await Vault.new(api, "Shop")
    for name in "ABCDE":
        await vault.put(name, name * 1_000_000)
    org_id, token = await api.organization("There")
    peer, here = Side(api, api.token), Side(api, token)
    report = await carry_out(await survey(peer, api.org_id), peer, here, org_id, done=set(), progress=lambda *_: None)

    there = Vault(api, (await here.call("GET", "/api/v1/workspace"))["workspaces"][0]["id"])
    assert (5, "E" * 1_000_000) == (report.secrets, await there.value("E", token=token))
