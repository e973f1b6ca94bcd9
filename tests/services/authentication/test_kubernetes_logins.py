"""Logins with Kubernetes Auth through the whole flow: what garbage costs the cluster, and what the audit log says."""

import asyncio
from collections.abc import AsyncIterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from tests.api import Api, running, sqlite_settings
from tests.databases import placed
from tests.methods.doubles.web import Reply, Request, Site, json_reply
from tests.minting import mint
from watchword.methods.kubernetes import REVIEWS
from watchword.services.limits import REFUSED_PROOFS

GOOD = mint({"sub": "system:serviceaccount:prod:api", "n": "good"})
USER = {
    "username": "system:serviceaccount:prod:api",
    "uid": "63d17fb4",
    "extra": {
        "authentication.kubernetes.io/pod-name": ["api-0"],
        "authentication.kubernetes.io/credential-id": ["JTI=7"],
    },
}


def review(request: Request) -> Reply:
    is_good = request.json["spec"]["token"] == GOOD
    status: dict[str, Any] = {"authenticated": True, "user": USER} if is_good else {"error": "invalid bearer token"}
    return json_reply({"kind": "TokenReview", "status": status}, 201)


class Cluster:
    """A server with an identity of Kubernetes Auth, and the API server that it asks."""

    def __init__(self, api: Api, site: Site, identity: str) -> None:
        self.api, self.site, self.identity = api, site, identity

    async def log_in(self, token: str) -> tuple[int, dict[str, Any]]:
        body = {"identityId": self.identity, "jwt": token}
        reply = await self.api.post("/api/v1/auth/kubernetes-auth/login", body, token=None)
        return reply.status_code, reply.json()

    @property
    def asked(self) -> int:
        return len(self.site.asked(REVIEWS))


@pytest.fixture
async def cluster(tmp_path: Path, migrated_file: Path) -> AsyncIterator[Cluster]:
    settings = sqlite_settings(placed(migrated_file, tmp_path), allowed_private_hosts=("127.0.0.1",))
    async with Site() as site, running(settings) as api:
        site.routes[REVIEWS] = review
        identity = (await api.identity())["id"]
        config = {
            "kubernetesHost": site.url,
            "caCert": site.ca,
            "tokenReviewerJwt": "reviewer",
            "allowedNamespaces": "prod",
            "allowedNames": "",
            "allowedAudience": "",
        }
        await api.ok("POST", f"/api/v1/auth/kubernetes-auth/identities/{identity}", config)
        yield Cluster(api, site, identity)


@cache
def garbage(number: int) -> str:
    return mint({"sub": "system:serviceaccount:prod:api", "n": number}, "p256")


async def test_one_bad_token_is_shown_to_the_cluster_once_however_often_it_comes(cluster: Cluster) -> None:
    for _ in range(20):
        assert (await cluster.log_in(garbage(1)))[0] == 401

    assert cluster.asked == 1


async def test_many_bad_tokens_of_one_address_do_not_each_reach_the_cluster(cluster: Cluster) -> None:
    assert (await cluster.log_in(garbage(0)))[0] == 401
    statuses = await asyncio.gather(*(cluster.log_in(garbage(number)) for number in range(1, 100)))

    assert REFUSED_PROOFS - 5 <= cluster.asked <= REFUSED_PROOFS + 10
    assert {status for status, _ in statuses} == {401, 429}
    denials = await cluster.api.ok("GET", "/api/v1/organization/login-denials?reason=not_authenticated")
    assert denials["loginDenials"]


async def test_what_is_no_token_never_reaches_the_cluster(cluster: Cluster) -> None:
    for token in ("garbage", "x.y.z", "a.b", "ey" * 4_000):
        assert (await cluster.log_in(token))[0] == 401

    assert cluster.asked == 0


async def test_a_good_token_is_shown_to_the_cluster_at_each_login(cluster: Cluster) -> None:
    for _ in range(3):
        assert (await cluster.log_in(GOOD))[0] == 200
    cluster.site.routes[REVIEWS] = json_reply(
        {"status": {"error": '[invalid bearer token, pods "api-0" not found]'}}, 201
    )
    status, answer = await cluster.log_in(GOOD)

    assert (status, cluster.asked) == (401, 4)
    why = await cluster.api.ok("GET", f"/api/v1/organization/login-denials/{answer['reqId']}")
    assert why["loginDenial"]["reason"] == "account_gone"


async def test_many_good_tokens_of_one_address_are_all_let_in_at_once(cluster: Cluster) -> None:
    statuses = await asyncio.gather(*(cluster.log_in(GOOD) for _ in range(30)))

    assert {status for status, _ in statuses} == {200}


async def test_a_good_token_under_way_is_let_in_though_its_address_fails_meanwhile(cluster: Cluster) -> None:
    is_here, may_go = asyncio.Event(), asyncio.Event()

    async def slow(request: Request) -> Reply:
        if request.json["spec"]["token"] == GOOD:
            is_here.set()
            await may_go.wait()
        return review(request)

    cluster.site.routes[REVIEWS] = slow
    good = asyncio.create_task(cluster.log_in(GOOD))
    await is_here.wait()
    number = 0
    while (await cluster.log_in(garbage(number)))[0] != 429:
        number += 1
    may_go.set()

    assert (await good)[0] == 200
    assert number <= REFUSED_PROOFS + 10


async def test_uid_pod_and_credential_are_in_the_audit_log(cluster: Cluster) -> None:
    await cluster.log_in(GOOD)
    query = {"eventType": "login-identity-kubernetes-auth"}
    logs = await cluster.api.ok("GET", "/api/v1/organization/audit-logs", query=query)
    said = logs["auditLogs"][0]["event"]["metadata"]

    assert {"uid": "63d17fb4", "podName": "api-0", "credentialId": "JTI=7"} == {
        name: said[name] for name in ("uid", "podName", "credentialId")
    }


async def test_the_servers_own_token_is_refused_where_the_operator_names_no_file(cluster: Cluster) -> None:
    path = f"/api/v1/auth/kubernetes-auth/identities/{cluster.identity}"
    body = {"tokenReviewerSource": "server", "tokenReviewerJwt": None, "caCert": ""}
    reply = await cluster.api.patch(path, body)

    assert (reply.status_code, "WATCHWORD_KUBERNETES_TOKEN_FILES" in reply.text) == (422, True), reply.text


async def test_a_selector_and_several_audiences_are_stored_and_answered(cluster: Cluster) -> None:
    path = f"/api/v1/auth/kubernetes-auth/identities/{cluster.identity}"
    selector = {"matchLabels": {"env": "prod"}, "matchExpressions": []}
    body = {"allowedNamespaceSelector": selector, "allowedAudience": ["watchword", "vault"]}
    changed = await cluster.api.ok("PATCH", path, body)
    read = await cluster.api.ok("GET", path)

    for answer in (changed, read):
        found = answer["identityKubernetesAuth"]
        assert (found["allowedNamespaceSelector"], found["allowedAudience"]) == (selector, "watchword, vault")
    misspelt = await cluster.api.patch(path, {"allowedNamespaceSelector": {"matchLabel": {"env": "prod"}}})
    assert misspelt.status_code == 422
