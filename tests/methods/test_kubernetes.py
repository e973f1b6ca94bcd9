import json
from pathlib import Path

import msgspec
import pytest

from tests.methods.doubles.web import CA, Reply, json_reply, keys_reply
from tests.minting import NOW, claims, jwk, mint
from watchword.domain.errors import Denied, Invalid
from watchword.domain.secret import decode_secret
from watchword.methods.base import Checks, Given, Operator, Secret
from watchword.methods.kubernetes import METHOD, REVIEWS, check

TOKEN = mint(claims(sub="system:serviceaccount:body:liar"))
USER = "system:serviceaccount:prod:api"


class Cluster:
    """The TokenReview endpoint of an API server."""

    def __init__(self, remote):
        self.remote = remote
        self.status = {
            "authenticated": True,
            "user": {"username": USER, "uid": "1", "groups": ["system:serviceaccounts"]},
        }
        remote.site.routes[REVIEWS] = self.review

    def review(self, request):
        asked = request.json
        assert (asked["apiVersion"], asked["kind"]) == ("authentication.k8s.io/v1", "TokenReview")
        return json_reply(
            {
                "kind": "TokenReview",
                "apiVersion": "authentication.k8s.io/v1",
                "spec": asked["spec"],
                "status": self.status,
            },
            201,
        )

    @property
    def last(self):
        return self.remote.site.requests[-1]

    def config(self, **more):
        return {
            "kubernetesHost": self.remote.site.url,
            "caCert": self.remote.ca,
            "tokenReviewerJwt": "reviewer",
            "allowedNamespaces": "",
            "allowedNames": "",
            "allowedAudience": "",
        } | more


@pytest.fixture
def cluster(remote):
    return Cluster(remote)


async def test_a_token_that_the_cluster_accepts_logs_in_as_who_the_cluster_says(remote, cluster):
    verified = await remote.login(METHOD, cluster.config(), TOKEN)

    assert verified.claims == {"kubernetes": {"namespace": "prod", "name": "api", "uid": "1"}}
    assert cluster.last.headers["authorization"] == "Bearer reviewer"
    assert cluster.last.json["spec"] == {"token": TOKEN}


async def test_a_token_read_from_a_file_ends_in_a_newline(remote, cluster):
    await remote.login(METHOD, cluster.config(), f"  {TOKEN}\n")

    assert cluster.last.json["spec"]["token"] == TOKEN


async def test_without_a_reviewer_a_token_asks_for_its_own_review(remote, cluster):
    await remote.login(METHOD, cluster.config(tokenReviewerJwt=None), TOKEN)

    assert cluster.last.headers["authorization"] == f"Bearer {TOKEN}"


async def test_authenticated_false_is_refused(remote, cluster):
    for answer in (False, None, "true", 1):
        cluster.status["authenticated"] = answer
        assert await remote.refusal(METHOD, cluster.config(), TOKEN) == "not_authenticated"
    cluster.status = {}
    assert await remote.refusal(METHOD, cluster.config(), TOKEN) == "not_authenticated"


CASES = Path(__file__).parent / "vectors/kubernetes/token-review-errors.json"  # of kube-apiserver 1.34
REASONS = {
    "wrong audience": "audience_mismatch",
    "expired": "token_expired",
    "account deleted and made again": "account_gone",
    "invalidated": "token_invalidated",
    "account deleted": "account_gone",
    "another cluster's token, or garbage": "not_authenticated",
}


@pytest.mark.parametrize("case", json.loads(CASES.read_text()), ids=lambda case: case["what"])
async def test_a_bad_token_is_told_apart_by_the_words_of_the_api_server(remote, cluster, case):
    cluster.status = case["status"]
    assert await remote.refusal(METHOD, cluster.config(), TOKEN) == REASONS[case["what"]]


@pytest.mark.parametrize(
    "words",
    [
        "Post https://webhook.test: dial tcp 10.0.0.9:443: connect: connection refused",
        "[invalid bearer token, context deadline exceeded]",
        "[invalid bearer token, etcdserver: request timed out]",
        "something that no version says today",
    ],
)
async def test_an_outage_of_the_cluster_is_no_fault_of_the_caller(remote, cluster, words):
    cluster.status = {"error": words, "user": {}}
    assert await remote.refusal(METHOD, cluster.config(), TOKEN) == "review_error"


async def test_a_text_that_the_token_chose_is_not_read_as_the_words_of_the_server(remote, cluster):
    said = 'token audiences [\\"has expired, not found, connection refused\\"] is invalid for the target audiences [\\"x\\"]'
    cluster.status = {"error": f"[invalid bearer token, {said}]".replace("\\", "")}
    assert await remote.refusal(METHOD, cluster.config(), TOKEN) == "audience_mismatch"


@pytest.mark.parametrize(
    ("reviewer", "status", "says", "facts"),
    [
        (mint(claims(exp=NOW - 60)), 401, "tokenReviewerJwt): it has expired", ("reviewer", True)),
        (mint(claims(exp=NOW + 60)), 401, "refused the reviewer's token", ("reviewer", False)),
        ("opaque", 401, "refused the reviewer's token", ("reviewer", None)),
        ("opaque", 403, "does not let the reviewer's token", ("reviewer", None)),
        (None, 401, "refused the workload's own token", ("workload", False)),
        (None, 403, "system:auth-delegator", ("workload", False)),
    ],
)
async def test_a_refused_review_says_whose_token_was_refused(remote, cluster, reviewer, status, says, facts):
    remote.site.routes[REVIEWS] = lambda request: json_reply(
        {"message": f"no: {request.headers['authorization']}"}, status
    )
    with pytest.raises(Denied) as refused:
        await remote.login(METHOD, cluster.config(tokenReviewerJwt=reviewer), TOKEN)

    assert refused.value.reason == "review_refused"
    assert says in refused.value.message
    presented = refused.value.facts["presented"]
    assert (presented["token"], presented["hasExpired"]) == facts
    assert presented["message"] == "no: Bearer ***"


@pytest.mark.parametrize("token", ["a\n", " a", "a b", "a\tb", "a\r\nX-Evil: 1", "é"])
def test_a_reviewer_token_with_blanks_or_line_feeds_is_refused_when_it_is_stored(remote, cluster, token):
    assert remote.faults(METHOD, cluster.config(tokenReviewerJwt=token)) == ["tokenReviewerJwt"]


@pytest.mark.parametrize(
    ("token", "more", "expected"),
    [
        ("opaque", {}, "token_malformed"),
        ("x.y.z", {}, "token_malformed"),
        (mint(header={"alg": "none"}), {}, "algorithm_refused"),
        (mint(claims(exp=NOW - 1)), {}, "token_expired"),
        (mint(claims(iss="https://other.test")), {"jwksIssuer": "https://cluster.test"}, "issuer_mismatch"),
        (mint(claims(aud="vault")), {"allowedAudience": "watchword"}, "audience_mismatch"),
        (mint(kid="c2"), {"jwks": json.dumps({"keys": [jwk("rsa", "c1")]})}, "key_unknown"),
        (mint(key="rsa_other", kid="c1"), {"jwks": json.dumps({"keys": [jwk("rsa", "c1")]})}, "signature_invalid"),
    ],
)
async def test_what_can_be_seen_here_is_refused_without_asking_the_cluster(remote, cluster, token, more, expected):
    assert await remote.refusal(METHOD, cluster.config(**more), token) == expected
    assert remote.site.requests == []


async def test_a_token_without_an_end_or_an_audience_is_the_clusters_to_judge(remote, cluster):
    cluster.status["audiences"] = ["watchword"]
    token = mint({"iss": "kubernetes/serviceaccount", "sub": USER})  # of a Secret
    assert await remote.login(METHOD, cluster.config(allowedAudience="watchword"), token)


async def test_an_error_in_the_answer_is_refused_even_when_authenticated(remote, cluster):
    cluster.status["error"] = f"token {TOKEN} is odd"
    assert await remote.refusal(METHOD, cluster.config(), TOKEN) == "review_error"


async def test_the_audience_is_asked_for_and_must_be_in_the_answer(remote, cluster):
    config = cluster.config(allowedAudience="watchword")
    cluster.status["audiences"] = ["watchword", "x"]
    await remote.login(METHOD, config, TOKEN)
    assert cluster.last.json["spec"]["audiences"] == ["watchword"]


@pytest.mark.parametrize(
    "answered", [None, [], ["other"], "watchword", ["https://kubernetes.default.svc"], {"watchword": 1}]
)
async def test_an_audience_missing_from_the_answer_is_refused(remote, cluster, answered):
    cluster.status["audiences"] = answered
    assert await remote.refusal(METHOD, cluster.config(allowedAudience="watchword"), TOKEN) == "audience_mismatch"


async def test_one_of_several_audiences_is_enough(remote, cluster):
    config = cluster.config(allowedAudience="vault, watchword")
    cluster.status["audiences"] = ["watchword"]
    await remote.login(METHOD, config, TOKEN)
    assert cluster.last.json["spec"]["audiences"] == ["vault", "watchword"]
    cluster.status["audiences"] = ["https://kubernetes.default.svc"]
    assert await remote.refusal(METHOD, config, TOKEN) == "audience_mismatch"


async def test_uid_pod_and_credential_become_claims_and_facts_of_the_audit_log(remote, cluster):
    cluster.status["user"] |= {
        "uid": "63d17fb4",
        "extra": {
            "authentication.kubernetes.io/pod-name": ["api-0"],
            "authentication.kubernetes.io/credential-id": ["JTI=7"],
        },
    }
    verified = await remote.login(METHOD, cluster.config(), TOKEN)
    expected = {
        "namespace": "prod",
        "name": "api",
        "uid": "63d17fb4",
        "podName": "api-0",
        "credentialId": "JTI=7",
    }
    assert (verified.claims, verified.audit) == ({"kubernetes": expected}, expected)


@pytest.mark.parametrize("extra", [None, [], {"authentication.kubernetes.io/pod-name": "x"}, {"a": [5]}])
async def test_an_odd_extra_of_the_user_is_left_out(remote, cluster, extra):
    cluster.status["user"]["extra"] = extra
    assert (await remote.login(METHOD, cluster.config(), TOKEN)).audit["name"] == "api"


# --- namespaces by their labels

PROD = {"matchLabels": {"env": "prod"}}


@pytest.fixture
def labelled(cluster):
    """The namespace of the account, and its labels, as the reviewer reads them."""
    cluster.labels = {"env": "prod", "team": "pay"}

    def namespace(request):
        assert request.headers["authorization"] == "Bearer reviewer"
        return json_reply({"kind": "Namespace", "metadata": {"name": "prod", "labels": cluster.labels}})

    cluster.remote.site.routes["/api/v1/namespaces/prod"] = namespace
    return cluster


def expression(key, operator, *values):
    return {"matchExpressions": [{"key": key, "operator": operator} | ({"values": list(values)} if values else {})]}


@pytest.mark.parametrize(
    ("selector", "is_selected"),
    [
        (PROD, True),
        ({"matchLabels": {"env": "prod", "team": "shop"}}, False),
        ({"matchLabels": {"env": "dev"}}, False),
        (expression("env", "In", "dev", "prod"), True),
        (expression("env", "NotIn", "prod"), False),
        (expression("tier", "NotIn", "web"), True),
        (expression("team", "Exists"), True),
        (expression("team", "DoesNotExist"), False),
        (PROD | expression("team", "In", "shop"), False),
    ],
)
async def test_a_namespace_is_selected_by_its_labels(remote, labelled, selector, is_selected):
    config = labelled.config(allowedNamespaceSelector=selector)
    if is_selected:
        assert (await remote.login(METHOD, config, TOKEN)).audit["namespace"] == "prod"
    else:
        assert await remote.refusal(METHOD, config, TOKEN) == "namespace_not_allowed"


async def test_a_listed_namespace_needs_no_labels_and_another_needs_them(remote, labelled):
    labelled.labels = None
    listed = labelled.config(allowedNamespaceSelector=PROD, allowedNamespaces="pro*")
    assert await remote.login(METHOD, listed, TOKEN)
    assert remote.site.asked("/api/v1/namespaces/prod") == []
    other = labelled.config(allowedNamespaceSelector=PROD, allowedNamespaces="dev")
    assert await remote.refusal(METHOD, other, TOKEN) == "namespace_not_allowed"


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        (json_reply({"message": "forbidden"}, 403), "namespace_unreadable"),
        (json_reply({}, 500), "namespace_unreadable"),
        (json_reply({}, 404), "namespace_not_allowed"),
        (Reply(b"no json"), "namespace_not_allowed"),
    ],
)
async def test_a_namespace_that_cannot_be_read_admits_nobody(remote, labelled, reply, expected):
    remote.site.routes["/api/v1/namespaces/prod"] = reply
    absent = labelled.config(allowedNamespaceSelector=expression("x", "DoesNotExist"))
    assert await remote.refusal(METHOD, absent, TOKEN) == expected


@pytest.mark.parametrize(
    "change",
    [
        {"allowedNamespaceSelector": {}},
        {"allowedNamespaceSelector": expression("env", "In")},
        {"allowedNamespaceSelector": expression("env", "Exists", "x")},
        {"allowedNamespaceSelector": PROD, "tokenReviewerJwt": None},
    ],
)
def test_a_selector_that_cannot_be_used_is_refused_when_it_is_stored(remote, cluster, change):
    assert remote.faults(METHOD, cluster.config(**change)) == ["allowedNamespaceSelector"]


# --- the server's own token


@pytest.fixture
def own(remote, cluster, tmp_path):
    """A pod's token in a file that the operator allows for cluster.test, with the CA beside it."""
    (tmp_path / "token").write_text("pod-token-1\n")
    (tmp_path / "ca.crt").write_text(remote.ca)
    remote.outbound._token_files = {"cluster.test": str(tmp_path / "token")}
    remote.outbound._roots = ""
    operator = Operator(token_hosts=frozenset({"cluster.test"}))

    def stored(**more):
        body = cluster.config(kubernetesHost="https://CLUSTER.test", tokenReviewerSource="server", caCert="")
        body |= {"tokenReviewerJwt": None} | more
        return check(msgspec.convert(body, METHOD.config, dec_hook=decode_secret), operator)

    async def login(**more):
        given = Given(now=remote.now, identity_id="i", outbound=remote.outbound, checks=Checks(), operator=operator)
        return await METHOD.verify(stored(**more), METHOD.login(identity_id="i", jwt=TOKEN), given)

    cluster.file, cluster.stored, cluster.log_in = tmp_path / "token", stored, login
    return cluster


async def test_the_servers_own_token_is_read_anew_for_each_login(own):
    await own.log_in()
    assert own.last.headers["authorization"] == "Bearer pod-token-1"
    own.file.write_text("pod-token-2")
    await own.log_in()
    assert own.last.headers["authorization"] == "Bearer pod-token-2"


@pytest.mark.parametrize("text", ["", " \n", "two tokens", "x" * 20_000, None])
async def test_a_token_file_without_a_token_refuses_and_tells_nothing_of_it(own, text):
    own.file.unlink() if text is None else own.file.write_text(text)
    with pytest.raises(Denied) as refused:
        await own.log_in()
    assert refused.value.reason == "reviewer_unavailable"
    assert str(own.file.parent) not in repr(refused.value.facts)


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"kubernetesHost": "https://evil.test"}, "tokenReviewerSource"),
        ({"kubernetesHost": "https://cluster.test:6443"}, "tokenReviewerSource"),
        ({"kubernetesHost": "http://cluster.test"}, "tokenReviewerSource"),
        ({"tokenReviewerJwt": "reviewer"}, "tokenReviewerJwt"),
        ({"caCert": CA}, "caCert"),
    ],
)
def test_the_servers_own_token_goes_only_where_the_operator_says(own, change, field):
    with pytest.raises(Invalid) as refused:
        own.stored(**change)
    assert [issue.path[0] for issue in refused.value.issues] == [field]


async def test_a_configuration_from_before_the_operator_forbade_it_sends_nothing(remote, own):
    remote.outbound._token_files = {}
    with pytest.raises(Denied) as refused:
        await own.log_in()
    assert (refused.value.reason, remote.site.requests) == ("reviewer_unavailable", [])


async def test_the_name_in_the_tokens_body_is_not_read(remote, cluster):
    config = cluster.config(allowedNamespaces="body", allowedNames="liar")
    assert await remote.refusal(METHOD, config, TOKEN) == "namespace_not_allowed"


@pytest.mark.parametrize(
    ("bound", "expected"),
    [
        ({"allowedNamespaces": "dev, prod"}, None),
        ({"allowedNames": "web ,api"}, None),
        ({"allowedNamespaces": "dev"}, "namespace_not_allowed"),
        ({"allowedNames": "ap"}, "name_not_allowed"),
        ({"allowedNames": "*"}, None),
        ({"allowedNames": "web, ap*"}, None),
        ({"allowedNamespaces": "{dev,pro?}"}, None),
        ({"allowedNamespaces": "pro"}, "namespace_not_allowed"),
        ({"allowedNamespaces": "dev-*"}, "namespace_not_allowed"),
        ({"allowedNamespaces": "prod", "allowedNames": "web"}, "name_not_allowed"),
        ({"allowedNamespaces": "PROD"}, "namespace_not_allowed"),
        ({"allowedNames": " , "}, None),
    ],
)
async def test_namespaces_and_names_match_one_of_their_patterns(remote, cluster, bound, expected):
    config = cluster.config(**bound)
    if expected:
        assert await remote.refusal(METHOD, config, TOKEN) == expected
    else:
        assert (await remote.login(METHOD, config, TOKEN)).audit == {"namespace": "prod", "name": "api", "uid": "1"}


@pytest.mark.parametrize(
    "username",
    [
        None,
        5,
        "",
        "admin",
        "system:node:n1",
        "system:serviceaccount:prod",
        "system:serviceaccount:prod:api:x",
        "system:serviceaccount::api",
        "system:serviceaccount:prod:",
        "x:system:serviceaccount:prod:api",
        "system:serviceaccount:prod:api\n",
        "system:serviceaccount:pr od:api",
        ["system:serviceaccount:prod:api"],
    ],
)
async def test_who_is_not_a_service_account_is_refused(remote, cluster, username):
    cluster.status["user"] = {"username": username}
    assert await remote.refusal(METHOD, cluster.config(), TOKEN) == "not_a_service_account"


@pytest.mark.parametrize("user", [None, [], "system:serviceaccount:prod:api"])
async def test_an_answer_without_a_user_is_refused(remote, cluster, user):
    cluster.status["user"] = user
    assert await remote.refusal(METHOD, cluster.config(), TOKEN) == "not_a_service_account"


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        (json_reply({"message": "forbidden: no"}, 403), "review_refused"),
        (json_reply({"message": 5}, 500), "review_refused"),
        (Reply(b"<html>", 502), "review_refused"),
        (Reply(b"not json", 201), "not_authenticated"),
        (Reply(b"[]", 201), "not_authenticated"),
        (Reply(b'{"status":[]}', 201), "not_authenticated"),
        (Reply(b'{"status":{"authenticated":false,"authenticated":true}}', 201), "not_authenticated"),
        (Reply(b"[" * 50_000, 201), "not_authenticated"),
        (Reply(status=302, headers={"location": "https://evil.test/"}), "cluster_unreachable"),
        (Reply(b"x" * 2_000_000, 201), "cluster_unreachable"),
    ],
)
async def test_an_answer_that_is_no_review_is_refused(remote, cluster, reply, expected):
    remote.site.routes[REVIEWS] = reply
    assert await remote.refusal(METHOD, cluster.config(), TOKEN) == expected


async def test_an_api_server_that_repeats_the_token_does_not_bring_it_into_the_facts(remote, cluster):
    remote.site.routes[REVIEWS] = lambda request: json_reply(
        {"message": f"bad token {request.json['spec']['token']}"}, 400
    )
    assert await remote.refusal(METHOD, cluster.config(), TOKEN) == "review_refused"


async def test_a_cluster_with_another_ca_is_not_asked(remote, cluster):
    remote.outbound._roots = ""
    assert await remote.refusal(METHOD, cluster.config(caCert=""), TOKEN) == "cluster_unreachable"
    assert remote.site.requests == []


@pytest.mark.parametrize(
    "host",
    [
        "https://10.0.0.1",
        "https://169.254.169.254",
        "https://[::1]",
        "http://cluster.test",
    ],
)
async def test_a_host_where_nobody_should_go_is_not_asked(remote, cluster, host):
    if "//" in host and host[8].isdigit() | (host[8] == "["):
        literal = host[8:].strip("[]")

        async def resolve(_host, port):
            return [(literal, port)]

        remote.outbound.guard._resolve = resolve
    assert await remote.refusal(METHOD, cluster.config(kubernetesHost=host), TOKEN) == "cluster_unreachable"
    assert remote.site.requests == []


@pytest.mark.parametrize(
    "host", ["cluster.test", "cluster.test/", "https://cluster.test/?x=1#y", " https://cluster.test "]
)
async def test_a_host_without_a_scheme_is_asked_over_https(remote, cluster, host):
    await remote.login(METHOD, cluster.config(kubernetesHost=host), TOKEN)

    assert (remote.site.names, cluster.last.path) == (["cluster.test"], REVIEWS)


async def test_a_cluster_behind_a_path_keeps_it(remote, cluster):
    remote.site.routes[f"/k8s/c-1{REVIEWS}"] = cluster.review
    await remote.login(METHOD, cluster.config(kubernetesHost="https://cluster.test/k8s/c-1/"), TOKEN)


@pytest.mark.parametrize("token", ["", " ", "a b", "a\r\nX-Evil: 1", "\u00e9", "x" * 20_000])
async def test_what_cannot_stand_in_a_header_is_refused_unsent(remote, cluster, token):
    assert await remote.refusal(METHOD, cluster.config(tokenReviewerJwt=None), token) == "token_malformed"
    assert remote.site.requests == []


# --- configuration


def test_the_recorded_normalisations(remote, cluster):
    sent = cluster.config(
        kubernetesHost="  https://127.0.0.1:7443  ",
        caCert=remote.ca + "\n\n",
        allowedNamespaces="ns1,ns2",
        allowedNames="app , web",
    )
    config = remote.config(METHOD, sent)

    assert config.kubernetes_host == "https://127.0.0.1:7443"
    assert config.ca_cert == remote.ca + "\n\n"
    assert (config.allowed_namespaces, config.allowed_names) == (
        "ns1,ns2",
        "app , web",
    )  # these lists stay as they were sent
    assert config.token_reviewer_jwt == Secret("reviewer")
    assert config.token_review_mode == "api"


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"kubernetesHost": ""}, "kubernetesHost"),
        ({"kubernetesHost": " "}, "kubernetesHost"),
        ({"kubernetesHost": None}, "kubernetesHost"),
        ({"kubernetesHost": 5}, "kubernetesHost"),
        ({"kubernetesHost": "x" * 256}, "kubernetesHost"),
        ({"tokenReviewerJwt": ""}, "tokenReviewerJwt"),
        ({"tokenReviewMode": "gateway"}, "tokenReviewMode"),
        ({"allowedNames": None}, "allowedNames"),
        ({"tokenReviewMode": "jwks", "allowedAudience": "a"}, "jwksIssuer"),
        ({"tokenReviewMode": "jwks", "jwksIssuer": "https://c.test"}, "allowedAudience"),
        ({"tokenReviewMode": "jwks", "jwksIssuer": "https://c.test", "allowedAudience": "a", "jwks": "{}"}, "jwks"),
    ],
)
def test_a_configuration_that_cannot_work_is_refused(remote, cluster, change, fault):
    assert remote.faults(METHOD, cluster.config(**change)) == [fault]


def test_required_and_optional_fields_are_those_of_the_contract(remote, cluster):
    assert (
        remote.faults(
            METHOD,
            {"kubernetesHost": "cluster.test", "allowedNamespaces": "", "allowedNames": "", "allowedAudience": ""},
        )
        == []
    )
    assert remote.faults(METHOD, {}) != []
    missing = cluster.config()
    del missing["allowedNames"]
    assert remote.faults(METHOD, missing) != []


# --- verified here

ISSUER = "https://cluster.test"


@pytest.fixture
def here(cluster):
    def config(**more):
        pasted = json.dumps({"keys": [jwk("rsa", "c1")]})
        return (
            cluster.config(
                tokenReviewMode="jwks", kubernetesHost=None, jwksIssuer=ISSUER, jwks=pasted, allowedAudience="watchword"
            )
            | more
        )

    return config


def account_token(key="rsa", kid="c1", **more):
    said = {
        "iss": ISSUER,
        "sub": USER,
        "aud": ["watchword"],
        "kubernetes.io": {"namespace": "prod", "serviceaccount": {"name": "api"}},
    }
    return mint(claims(**said | more), key=key, kid=kid)


async def test_here_a_token_is_verified_with_pasted_keys_and_nobody_is_asked(remote, here):
    verified = await remote.login(METHOD, here(), account_token())

    assert verified.claims == {"kubernetes": {"namespace": "prod", "name": "api"}}
    assert remote.site.requests == []


async def test_here_keys_are_discovered_at_the_issuer(remote, here):
    remote.site.routes["/.well-known/openid-configuration"] = json_reply(
        {"issuer": ISSUER, "jwks_uri": f"{ISSUER}/openid/v1/jwks"}
    )
    remote.site.routes["/openid/v1/jwks"] = keys_reply(jwk("rsa", "c1"))
    assert (await remote.login(METHOD, here(jwks=""), account_token())).audit["name"] == "api"

    remote.now += 61_000
    remote.site.routes["/.well-known/openid-configuration"] = json_reply(
        {"issuer": "https://other.test", "jwks_uri": f"{ISSUER}/openid/v1/jwks"}
    )
    assert await remote.refusal(METHOD, here(jwks=""), account_token()) == "issuer_mismatch"


async def test_here_keys_are_discovered_at_the_api_server_with_the_reviewers_token(remote, here):
    """An API server shows its keys to who has `system:service-account-issuer-discovery`, and names inner addresses."""

    def for_the_reviewer(reply):
        return lambda request: (
            reply if request.headers.get("authorization") == "Bearer reviewer" else json_reply({}, 401)
        )

    inner = {"issuer": ISSUER, "jwks_uri": "https://10.0.0.1:6443/openid/v1/jwks"}
    remote.site.routes["/.well-known/openid-configuration"] = for_the_reviewer(json_reply(inner))
    remote.site.routes["/openid/v1/jwks"] = for_the_reviewer(keys_reply(jwk("rsa", "c1")))
    config = here(jwks="", kubernetesHost="https://127.0.0.1")
    assert (await remote.login(METHOD, config, account_token())).audit["name"] == "api"
    assert set(remote.site.names) == {None}  # nothing was asked of the issuer by its name

    other = config | {"tokenReviewerJwt": "stranger"}
    assert await remote.refusal(METHOD, other, account_token()) == "keys_unavailable"  # nor answered from a cache


async def test_here_the_account_the_pod_and_the_token_are_claims_too(remote, here):
    about = {"namespace": "prod", "serviceaccount": {"name": "api", "uid": "u1"}, "pod": {"name": "api-0", "uid": "p1"}}
    token = account_token(**{"kubernetes.io": about, "jti": "7"})
    verified = await remote.login(METHOD, here(allowedAudience="vault, watchword"), token)
    assert verified.audit == {
        "namespace": "prod",
        "name": "api",
        "uid": "u1",
        "podName": "api-0",
        "credentialId": "JTI=7",
    }


@pytest.mark.parametrize(
    ("token", "expected"),
    [
        (account_token(aud="vault"), "audience_mismatch"),
        (account_token(aud=None), "audience_missing"),
        (account_token(iss="https://other.test"), "issuer_mismatch"),
        (account_token(exp=None), "expiry_missing"),
        (account_token(exp=NOW - 1), "token_expired"),
        (account_token(sub="admin"), "not_a_service_account"),
        (account_token(key="rsa_other"), "signature_invalid"),
        (account_token(kid="c2"), "key_unknown"),
        ("opaque", "token_malformed"),
    ],
)
async def test_here_every_check_of_a_token_is_ours(remote, here, token, expected):
    assert await remote.refusal(METHOD, here(), token) == expected


async def test_here_an_issuer_that_is_not_there_refuses(remote, here):
    assert await remote.refusal(METHOD, here(jwks=""), account_token()) == "keys_unavailable"


@pytest.mark.parametrize("field", ["allowedNamespaces", "allowedNames"])
def test_a_pattern_that_is_none_is_refused_when_it_is_stored(remote, cluster, field):
    assert remote.faults(METHOD, cluster.config(**{field: "ok, team-[a"})) == [field]
    assert remote.faults(METHOD, cluster.config(**{field: "{a"})) == [field]


def test_a_namespace_of_wildcards_is_no_restriction():
    assert METHOD.risks({"allowedNamespaces": "*", "allowedNames": ""})
    assert METHOD.risks({"allowedNamespaces": "!dev", "allowedNames": ""})
    assert not METHOD.risks({"allowedNamespaces": "team-*", "allowedNames": ""})
