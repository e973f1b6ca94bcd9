import json

import pytest

from tests.methods.doubles.web import Reply, json_reply, keys_reply
from tests.minting import NOW, claims, jwk, mint
from watchword.methods.base import Secret
from watchword.methods.kubernetes import METHOD, REVIEWS

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

    assert verified.claims == {"kubernetes": {"namespace": "prod", "name": "api"}}
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
        assert (await remote.login(METHOD, config, TOKEN)).audit == {"namespace": "prod", "name": "api"}


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
