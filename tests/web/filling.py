"""An organization that is worth looking at, made over the API: hostile names, several methods and states, refusals."""

from typing import Any

from tests.api import Api

HOSTILE = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    '=HYPERLINK("http://evil.test")',
    "\u202egnitteser",
    "\u05e9\u05dc\u05d5\u05dd \u05e2\u05d5\u05dc\u05dd",
    "a-name-that-goes-on-" * 3 + "and-on",
    "{{ 7 * 7 }}",
)

# What pages say in their query where they are nothing without it.
QUERIES = {
    "/{organization}/p/{project}/folder": "path=/db",
    "/{organization}/p/{project}/folder/delete": "path=/db&environment=dev",
    "/{organization}/p/{project}/imports/remove": "path=/&environment=dev&id={import}",
    "/{organization}/p/{project}/key": "path=/&key=KEY_1",
    "/{organization}/p/{project}/key/delete": "path=/&key=KEY_1",
}


async def fill(api: Api) -> dict[str, str]:
    """Fill the first organization; what the names in the paths of pages stand for."""
    organization = (await api.ok("GET", f"/api/v1/organization/{api.org_id}"))["organization"]
    project = await _project(api, "Billing <b>")
    await _project(api, "Empty")
    identity = await api.identity("member", "checkout-deploy")
    for name in HOSTILE:
        await api.identity("no-access", name[:255])
    login = await api.universal(identity["id"])
    for _ in range(2):
        await api.login(login)
    path = f"/api/v1/projects/{project['id']}/memberships/identities/{identity['id']}"
    await api.ok("POST", path, {"role": "viewer"})
    secret = await _secrets(api, project)
    source = {"environment": "prod", "path": "/"}
    body = {"projectId": project["id"], "environment": "dev", "path": "/", "import": source}
    imported = (await api.ok("POST", "/api/v2/secret-imports", body))["secretImport"]
    tag = await api.ok("POST", f"/api/v1/projects/{project['id']}/tags", {"slug": "payments", "color": "#7f4e07"})
    rule = {"subject": "secrets", "action": ["readValue"], "conditions": {"secretPath": {"$glob": "/<db>/**"}}}
    body = {"slug": "reader", "name": "Reader <i>", "permissions": [rule]}
    role = (await api.ok("POST", f"/api/v1/projects/{project['id']}/roles", body))["role"]
    own = {"slug": "auditor", "name": "Auditor <i>", "permissions": [{"subject": "audit-logs", "action": ["read"]}]}
    own_role = (await api.ok("POST", "/api/v1/organization/roles", own))["role"]
    group = await api.ok("POST", "/api/v1/groups", {"name": "Operators <b>", "organizationId": organization["id"]})
    fields = {"kubernetesHost": "https://k8s.test:6443", "tokenReviewMode": "api"}
    template = {"name": "Cluster <b>", "authMethod": "kubernetes-auth", "templateFields": fields}
    template_id = (await api.ok("POST", "/api/v1/identity-templates", template))["id"]
    refused = await api.post("/api/v1/auth/universal-auth/login", {**login, "clientSecret": "wrong"}, token=None)
    events = (await api.ok("GET", "/api/v1/organization/audit-logs"))["auditLogs"]
    return {
        "organization": organization["slug"],
        "project": project["slug"],
        "identity_id": identity["id"],
        "method": "universal-auth",
        "identity": identity["id"],
        "where": "oidc-auth.github",
        "request_id": refused.json()["reqId"],
        "event_id": events[0]["id"],
        "report": "risky",
        "role_id": role["id"],
        "own_role_id": own_role["id"],
        "member_kind": "identities",
        "member_id": identity["id"],
        "group_id": group["id"],
        "organization_id": organization["id"],
        "secret": secret["id"],
        "environment": project["environments"][0]["id"],
        "tag": tag["tag"]["id"],
        "template": template_id,
        "import": imported["id"],
        **await _receivers(api, project),
    }


async def _project(api: Api, name: str) -> dict[str, Any]:
    reply = await api.ok("POST", "/api/v1/projects", {"projectName": name})
    return dict(reply.get("project") or reply["workspace"])


async def _receivers(api: Api, project: dict[str, Any]) -> dict[str, str]:
    """A webhook and an alert channel."""
    url = "https://hooks.example.com/in?token=hidden"
    hook = {"workspaceId": project["id"], "webhookUrl": url, "secretPath": "/<b>"}
    channel = {"name": "on-call <b>", "url": url, "secretKey": "signs"}
    return {
        "webhook": (await api.ok("POST", "/api/v1/webhooks", hook))["webhook"]["id"],
        "channel": (await api.ok("POST", "/api/v1/organization/alert-channels", channel))["channel"]["id"],
    }


async def _secrets(api: Api, project: dict[str, Any]) -> dict[str, Any]:
    """Some secrets; one of them."""
    for slug in ("dev", "prod"):
        place = {"projectId": project["id"], "environment": slug, "secretPath": "/"}
        for number in range(3):
            body = {**place, "secretValue": f"value <{number}>\nof {slug}", "secretComment": "=1+1"}
            await api.ok("POST", f"/api/v4/secrets/KEY_{number}", body)
    body = {**place, "environment": "dev", "secretValue": "${KEY_0}"}
    made = await api.ok("POST", "/api/v4/secrets/ONLY_DEV", body)
    await api.ok("POST", "/api/v2/folders", {**place, "environment": "dev", "name": "db", "path": "/"})
    return dict(made["secret"])
