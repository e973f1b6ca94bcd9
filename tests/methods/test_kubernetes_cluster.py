"""Kubernetes Auth against a real kube-apiserver and etcd on loopback.

They are found in WATCHWORD_KUBE_BIN, a folder, or on the PATH; without them there is nothing to test. `make soak` runs
this too. `tools/kube-apiserver.sh` builds kube-apiserver, etcd comes from Debian's etcd-server.
"""

import asyncio
import contextlib
import os
import re
import shutil
import socket
import subprocess
import time
from typing import IO

import httpx
import msgspec
import pytest
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from tests.api import running, sqlite_settings
from tests.databases import placed
from tests.methods.conftest import RemoteSite
from tests.methods.doubles.web import CA, certificate
from tests.minting import mint, private, public_pem
from watchword.adapters.outbound import GuardedOutbound
from watchword.adapters.tls import verifying
from watchword.domain.authentication.jose import decode_unverified
from watchword.domain.errors import Denied
from watchword.domain.secret import decode_secret
from watchword.methods.base import Checks, Given, Operator
from watchword.methods.jwt import METHOD as JWT
from watchword.methods.kubernetes import METHOD, check
from watchword.methods.oidc import METHOD as OIDC
from watchword.services.authentication.asking import AT_A_TIME
from watchword.services.limits import REFUSED_PROOFS

PLACES = os.pathsep.join(filter(None, (os.environ.get("WATCHWORD_KUBE_BIN"), os.environ.get("PATH"), "/usr/sbin")))
BINARIES = [shutil.which(name, path=PLACES) for name in ("etcd", "kube-apiserver")]
if not all(BINARIES):
    pytest.skip(
        "there are no kube-apiserver and etcd here: tools/kube-apiserver.sh builds the one, WATCHWORD_KUBE_BIN says where",
        allow_module_level=True,
    )

pytestmark = pytest.mark.cluster
AUDIENCE, ADMIN = "watchword", "admin-of-this-test"


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return taken.getsockname()[1]


class ApiServer:
    """A cluster of nothing but its API server: the objects that it stores, and tokens of their accounts."""

    def __init__(self, port):
        self.url = f"https://127.0.0.1:{port}"
        self._client = httpx.Client(
            base_url=self.url, verify=verifying(CA), headers={"authorization": f"Bearer {ADMIN}"}, timeout=30
        )

    def close(self):
        self._client.close()

    def ask(self, method, path, body=None):
        answer = self._client.request(method, path, json=body)
        assert answer.status_code in (200, 201, 202), answer.text
        return answer.json()

    def is_ready(self):
        with contextlib.suppress(httpx.HTTPError):
            ready = self._client.get("/readyz").status_code == 200
            return ready and self._client.get("/api/v1/namespaces/default").status_code == 200
        return False

    def account(self, name, *, namespace="default", roles=()):
        made = self.ask(
            "POST",
            f"/api/v1/namespaces/{namespace}/serviceaccounts",
            {"metadata": {"name": name, "namespace": namespace}},
        )
        for role in roles:
            self.ask(
                "POST",
                "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings",
                {
                    "metadata": {"name": f"{name}-{role.replace(':', '-')}"},
                    "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role},
                    "subjects": [{"kind": "ServiceAccount", "name": name, "namespace": namespace}],
                },
            )
        return made["metadata"]["uid"]

    def role(self, name, rules, *, subject):
        """A role of ours, bound to one subject; no controller runs that would fill the roles that come with it."""
        made = {"metadata": {"name": name}}
        self.ask("POST", "/apis/rbac.authorization.k8s.io/v1/clusterroles", made | {"rules": rules})
        self.bind(name, subject)

    def bind(self, role, subject):
        body = {
            "metadata": {"name": f"{role}-{subject['name']}".replace(":", "-")},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role},
            "subjects": [subject],
        }
        self.ask("POST", "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings", body)

    def reviews(self):
        """How many reviews were asked for, as the API server counts them."""
        counted = re.findall(
            r'^apiserver_request_total{[^}]*resource="tokenreviews"[^}]*} (\d+)', self.metrics(), re.MULTILINE
        )
        return sum(map(int, counted))

    def metrics(self):
        return self._client.get("/metrics").text

    def remove(self, name, *, namespace="default"):
        self.ask("DELETE", f"/api/v1/namespaces/{namespace}/serviceaccounts/{name}")

    def pod(self, name, account):
        body = {
            "metadata": {"name": name},
            "spec": {"serviceAccountName": account, "containers": [{"name": "app", "image": "app"}]},
        }
        return self.ask("POST", "/api/v1/namespaces/default/pods", body)["metadata"]["uid"]

    def token(self, name, *audiences, namespace="default", pod=None):
        path = f"/api/v1/namespaces/{namespace}/serviceaccounts/{name}/token"
        spec = {"audiences": list(audiences), "expirationSeconds": 600}
        if pod is not None:
            spec["boundObjectRef"] = {"kind": "Pod", "apiVersion": "v1", "name": pod}
        return self.ask("POST", path, {"spec": spec})["status"]["token"]


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    place = tmp_path_factory.mktemp("cluster")
    etcd, peers, port = free_port(), free_port(), free_port()

    def written(name, text):
        (place / name).write_text(text)
        return str(place / name)

    def pem(name):
        return private(name).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()

    leaf = certificate("api", "p256", issuer="double CA", issuer_key="p384", names=["127.0.0.1"])
    commands = (
        [
            BINARIES[0],
            f"--data-dir={place}/etcd",
            f"--listen-client-urls=http://127.0.0.1:{etcd}",
            f"--advertise-client-urls=http://127.0.0.1:{etcd}",
            f"--listen-peer-urls=http://127.0.0.1:{peers}",
            f"--initial-advertise-peer-urls=http://127.0.0.1:{peers}",
            f"--initial-cluster=default=http://127.0.0.1:{peers}",
        ],
        [
            BINARIES[1],
            f"--etcd-servers=http://127.0.0.1:{etcd}",
            "--bind-address=127.0.0.1",
            "--advertise-address=127.0.0.1",
            "--endpoint-reconciler-type=none",
            f"--secure-port={port}",
            f"--tls-cert-file={written('tls.crt', leaf)}",
            f"--tls-private-key-file={written('tls.key', pem('p256'))}",
            f"--cert-dir={place}",
            f"--service-account-issuer=https://127.0.0.1:{port}",
            f"--service-account-signing-key-file={written('sa.key', pem('rsa'))}",
            f"--service-account-key-file={written('sa.pub', public_pem('rsa'))}",
            f"--token-auth-file={written('tokens.csv', f'{ADMIN},admin,1,system:masters')}",
            "--authorization-mode=RBAC",
            "--service-cluster-ip-range=10.0.0.0/24",
            "--disable-admission-plugins=ServiceAccount",
        ],
    )
    with contextlib.ExitStack() as stack:
        logs: list[IO[str]] = []
        for command in commands:
            logs.append(stack.enter_context((place / f"{len(logs)}.log").open("w")))
            process = subprocess.Popen(command, stdout=logs[-1], stderr=logs[-1], cwd=place)
            stack.callback(process.wait)
            stack.callback(process.kill)
        server, until = ApiServer(port), time.monotonic() + 120
        while not server.is_ready():
            said = (place / "1.log").read_text()[-3000:]
            assert time.monotonic() < until and process.poll() is None, said
            time.sleep(0.2)
        yield server
        server.close()


@pytest.fixture(scope="module")
def reviewer(cluster):
    """A token that may review others, read namespaces and discover keys."""
    cluster.account("reviewer", roles=("system:auth-delegator",))
    rules = [
        {"apiGroups": [""], "resources": ["namespaces"], "verbs": ["get"]},
        {"nonResourceURLs": ["/.well-known/openid-configuration", "/openid/v1/jwks"], "verbs": ["get"]},
    ]
    cluster.role("watchword", rules, subject={"kind": "ServiceAccount", "name": "reviewer", "namespace": "default"})
    return cluster.token("reviewer")


class Here(RemoteSite):
    """What a login sees, with the real API server instead of a double."""

    def __init__(self, cluster, reviewer):
        self.cluster, self.reviewer = cluster, reviewer
        self.now = int(time.time() * 1000)
        self.outbound = GuardedOutbound(
            clock=lambda: self.now, allowed_private_hosts=("127.0.0.1",), roots=CA, total_timeout=30
        )

    def by_review(self, **more):
        return {
            "kubernetesHost": self.cluster.url,
            "caCert": CA,
            "tokenReviewerJwt": self.reviewer,
            "allowedNamespaces": "default",
            "allowedNames": "",
            "allowedAudience": AUDIENCE,
        } | more

    def by_keys(self, **more):
        return self.by_review(tokenReviewMode="jwks", jwksIssuer=self.cluster.url) | more

    async def outcome(self, config, token):
        """The reason of a refusal; None for a login."""
        try:
            await self.login(METHOD, config, token)
        except Denied as refused:
            return refused.reason
        return None

    async def refused_in_time(self, config, token, *reasons):
        """Wait until the token is refused: the API server knows its objects from a cache of its own."""
        until = time.monotonic() + 30
        while (reason := await self.outcome(config, token)) is None:
            assert time.monotonic() < until
            await asyncio.sleep(0.05)
        assert reason in reasons


@pytest.fixture
async def server(here, tmp_path, begun_file):
    """A whole Watchword that asks the cluster."""
    file, known = begun_file
    settings = sqlite_settings(placed(file, tmp_path))
    outbound = GuardedOutbound(
        clock=lambda: int(time.time() * 1000), allowed_private_hosts=("127.0.0.1",), total_timeout=30
    )
    async with running(settings, outbound=outbound, fresh=False) as api:
        yield known.hand_to(api)
    await outbound.close()


@pytest.fixture
async def here(cluster, reviewer):
    here = Here(cluster, reviewer)
    yield here
    await here.outbound.close()


async def test_an_account_logs_in_by_review_and_by_keys_and_says_who_it_is(here, cluster):
    uid = cluster.account("app")
    token = cluster.token("app", AUDIENCE)
    for config in (here.by_review(), here.by_keys()):
        verified = await here.login(METHOD, config, token)
        facts = verified.claims["kubernetes"]

        assert {"namespace": "default", "name": "app", "uid": uid} == {
            name: facts[name] for name in ("namespace", "name", "uid")
        }
        assert facts["credentialId"].startswith("JTI=")


async def test_a_token_without_our_audience_is_refused_by_review_and_by_keys(here, cluster):
    cluster.account("elsewhere")
    token = cluster.token("elsewhere", "vault")
    for config in (here.by_review(), here.by_keys()):
        assert await here.refusal(METHOD, config, token) == "audience_mismatch"
    # and by the words of the API server, to which our own check of `aud` does not come
    assert await here.refusal(METHOD, here.by_review(allowedAudience=""), token) == "audience_mismatch"


async def test_a_token_of_one_of_several_audiences_logs_in(here, cluster):
    cluster.account("several")
    token = cluster.token("several", "vault", AUDIENCE)
    for config in (here.by_review(allowedAudience="x, watchword"), here.by_keys(allowedAudience="x, watchword")):
        assert (await here.login(METHOD, config, token)).audit["name"] == "several"


async def test_an_expired_token_is_refused_by_the_words_of_the_api_server(here, cluster):
    uid, now = cluster.account("late"), int(time.time())
    about = {"namespace": "default", "serviceaccount": {"name": "late", "uid": uid}}
    said = {
        "iss": cluster.url,
        "sub": "system:serviceaccount:default:late",
        "aud": [AUDIENCE],
        "iat": now - 700,
        "nbf": now - 700,
        "exp": now - 100,
        "kubernetes.io": about,
    }
    token = mint(said)
    assert await here.refusal(METHOD, here.by_review(), token) == "token_expired"
    here.now = (now - 300) * 1000  # by our clock it is good
    assert await here.refusal(METHOD, here.by_review(), token) == "token_expired"


async def test_a_deleted_account_is_gone_by_review_and_stays_by_keys_until_its_token_ends(here, cluster):
    cluster.account("brief")
    # The API server keeps for ten seconds what it found of a token, so one is asked about that it has not seen.
    seen, unseen = (cluster.token("brief", AUDIENCE) for _ in range(2))
    await here.login(METHOD, here.by_review(), seen)
    cluster.remove("brief")
    await here.refused_in_time(here.by_review(), unseen, "account_gone")

    assert (await here.login(METHOD, here.by_keys(), unseen)).audit["name"] == "brief"
    cluster.account("brief")
    assert await here.refusal(METHOD, here.by_review(), unseen) == "account_gone"


async def test_tokens_of_another_cluster_and_garbage_are_not_authenticated(here, cluster):
    said = {"iss": cluster.url, "sub": "system:serviceaccount:default:app", "exp": here.now // 1000 + 600}
    elsewhere = {"iss": "https://other.test", "sub": "system:serviceaccount:default:app", "aud": [AUDIENCE]}
    mine = mint(said | {"aud": [AUDIENCE]})
    for token in (
        mint(said | {"aud": [AUDIENCE]}, "rsa_other"),
        mint(elsewhere),
        f"{mine.rpartition('.')[0]}.{mint(said).rpartition('.')[2]}",
    ):
        assert await here.refusal(METHOD, here.by_review(), token) == "not_authenticated"
    assert await here.refusal(METHOD, here.by_review(), "garbage") == "token_malformed"
    assert (
        await here.refusal(METHOD, here.by_keys(), mint(said | {"aud": [AUDIENCE]}, "rsa_other")) == "signature_invalid"
    )


async def test_a_reviewer_who_is_refused_is_named(here, cluster):
    cluster.account("weak")
    cluster.account("own", roles=("system:auth-delegator",))
    weak, own = cluster.token("weak"), cluster.token("own", cluster.url)
    assert (
        await here.refusal(METHOD, here.by_review(tokenReviewerJwt=weak), cluster.token("own", AUDIENCE))
        == "review_refused"
    )
    assert await here.refusal(METHOD, here.by_review(tokenReviewerJwt="x.y.z"), own) == "audience_mismatch"
    assert (
        await here.refusal(METHOD, here.by_review(tokenReviewerJwt="x.y.z", allowedAudience=""), own)
        == "review_refused"
    )
    verified = await here.login(METHOD, here.by_review(tokenReviewerJwt=None, allowedAudience=""), own)
    assert verified.audit["name"] == "own"


async def test_a_reviewer_whose_token_has_expired_is_told_so(here, cluster):
    now = int(time.time())
    uid = cluster.account("old", roles=("system:auth-delegator",))
    ended = mint(
        {
            "iss": cluster.url,
            "sub": "system:serviceaccount:default:old",
            "aud": [cluster.url],
            "iat": now - 700,
            "nbf": now - 700,
            "exp": now - 100,
            "kubernetes.io": {"namespace": "default", "serviceaccount": {"name": "old", "uid": uid}},
        }
    )
    with pytest.raises(Denied) as refused:
        await here.login(METHOD, here.by_review(tokenReviewerJwt=ended), cluster.token("old", AUDIENCE))

    assert refused.value.reason == "review_refused"
    assert "the reviewer's token" in refused.value.message and "it has expired" in refused.value.message


async def test_an_api_server_that_is_not_there_is_an_outage_and_no_bad_token(here, cluster):
    cluster.account("waiting")
    nowhere = f"https://127.0.0.1:{free_port()}"
    token = cluster.token("waiting", AUDIENCE)
    assert await here.refusal(METHOD, here.by_review(kubernetesHost=nowhere), token) == "cluster_unreachable"
    assert await here.refusal(METHOD, here.by_keys(kubernetesHost=nowhere), token) == "keys_unavailable"


async def test_a_token_of_a_pod_names_it_and_ends_with_it(here, cluster):
    cluster.account("podded")
    cluster.pod("web-1", "podded")
    seen, unseen = (cluster.token("podded", AUDIENCE, pod="web-1") for _ in range(2))
    for config in (here.by_review(), here.by_keys()):
        assert (await here.login(METHOD, config, seen)).claims["kubernetes"]["podName"] == "web-1"

    cluster.ask("DELETE", "/api/v1/namespaces/default/pods/web-1", {"gracePeriodSeconds": 0})

    await here.refused_in_time(here.by_review(), unseen, "account_gone", "token_invalidated")


async def test_the_reviewers_token_is_read_again_from_a_file_for_each_login(here, cluster, reviewer, tmp_path):
    cluster.account("filed")
    token, file = cluster.token("filed", AUDIENCE), tmp_path / "token"
    (tmp_path / "ca.crt").write_text(CA)
    authority = cluster.url.removeprefix("https://")
    operator = Operator(token_hosts=frozenset({authority}))
    await here.outbound.close()
    here.outbound = GuardedOutbound(
        clock=lambda: here.now, allowed_private_hosts=("127.0.0.1",), token_files={authority: str(file)}
    )

    async def log_in(**more):
        body = here.by_review(tokenReviewerSource="server", tokenReviewerJwt=None, caCert="") | more
        config = check(msgspec.convert(body, METHOD.config, dec_hook=decode_secret), operator)
        given = Given(now=here.now, identity_id="i", outbound=here.outbound, checks=Checks(), operator=operator)
        return await METHOD.verify(config, METHOD.login(identity_id="i", jwt=token), given)

    file.write_text(f"{reviewer}\n")
    assert (await log_in()).audit["name"] == "filed"
    keys = {"tokenReviewMode": "jwks", "jwksIssuer": cluster.url}
    assert (await log_in(**keys)).audit["name"] == "filed"
    file.write_text("x.y.z")
    with pytest.raises(Denied) as refused:
        await log_in()
    assert refused.value.reason == "review_refused"
    file.write_text(cluster.token("reviewer"))
    assert (await log_in()).audit["name"] == "filed"


async def test_keys_are_discovered_by_the_reviewer_and_by_anybody_only_where_the_cluster_lets_them(here, cluster):
    cluster.account("public")
    token = cluster.token("public", AUDIENCE)
    alone = here.by_keys(kubernetesHost=None, tokenReviewerJwt=None)
    assert await here.refusal(METHOD, alone, token) == "keys_unavailable"

    cluster.bind("system:service-account-issuer-discovery", {"kind": "Group", "name": "system:unauthenticated"})

    until = time.monotonic() + 30
    while (reason := await here.outcome(alone, token)) is not None:
        assert time.monotonic() < until, reason
        here.now += 60_000  # a failure is remembered for some seconds
    oidc = {
        "oidcDiscoveryUrl": cluster.url,
        "boundClaims": {},
        "boundIssuer": cluster.url,
        "boundAudiences": AUDIENCE,
        "boundSubject": "system:serviceaccount:default:public",
        "caCert": CA,
    }
    keys = {
        "configurationType": "jwks",
        "boundClaims": {},
        "jwksUrl": f"{cluster.url}/openid/v1/jwks",
        "jwksCaCert": CA,
        "boundIssuer": cluster.url,
        "boundAudiences": AUDIENCE,
        "boundSubject": "system:serviceaccount:default:public",
    }
    here.now = int(time.time() * 1000)
    await here.login(OIDC, oidc, token)
    await here.login(JWT, keys, token)
    for method, config in ((OIDC, oidc), (JWT, keys)):
        assert await here.refusal(method, config, cluster.token("public", "vault")) == "audience_mismatch"


async def test_a_server_says_who_logged_in_and_does_not_send_all_garbage_of_a_client_to_the_cluster(
    here, cluster, reviewer, server
):
    uid = cluster.account("busy")
    identity = await server.identity()
    method = f"/api/v1/auth/kubernetes-auth/identities/{identity['id']}"
    await server.ok("POST", method, here.by_review(jwks=""))
    now = int(time.time())
    said = {"iss": cluster.url, "sub": "system:serviceaccount:default:busy", "aud": [AUDIENCE], "exp": now + 600}

    async def log_in(token):
        return await server.post(
            "/api/v1/auth/kubernetes-auth/login", {"identityId": identity["id"], "jwt": token}, token=None
        )

    good = await log_in(cluster.token("busy", AUDIENCE))
    assert good.status_code == 200, good.text
    claims = decode_unverified(good.json()["accessToken"], Checks()).claims
    assert uid in str(claims)
    found = await server.ok("GET", "/api/v1/organization/audit-logs?limit=5")
    assert uid in str(found) and "JTI=" in str(found)

    before, began = cluster.reviews(), time.monotonic()
    one = mint(said, "rsa_other")
    assert {401} == {(await log_in(one)).status_code for _ in range(20)}
    assert cluster.reviews() - before == 1
    others = [mint(said | {"jti": str(number)}, "rsa_other") for number in range(200)]
    answers = await asyncio.gather(*(log_in(token) for token in others))
    assert {answer.status_code for answer in answers} <= {401, 429}
    refilled = (time.monotonic() - began) * REFUSED_PROOFS / 60
    assert cluster.reviews() - before <= REFUSED_PROOFS + refilled + AT_A_TIME + 1


async def test_a_namespace_is_selected_by_its_labels(here, cluster):
    cluster.ask("POST", "/api/v1/namespaces", {"metadata": {"name": "shop", "labels": {"env": "prod"}}})
    cluster.account("web", namespace="shop")
    token = cluster.token("web", AUDIENCE, namespace="shop")
    for config in (here.by_review, here.by_keys):
        chosen = config(allowedNamespaceSelector={"matchLabels": {"env": "prod"}})
        assert (await here.login(METHOD, chosen, token)).audit["namespace"] == "shop"
        other = config(
            allowedNamespaceSelector={"matchExpressions": [{"key": "env", "operator": "NotIn", "values": ["prod"]}]}
        )
        assert await here.refusal(METHOD, other, token) == "namespace_not_allowed"
