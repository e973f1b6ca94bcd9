import pytest

from tests.methods.conftest import IDENTITY
from tests.methods.doubles.web import certificate, json_reply
from tests.minting import NOW, jwk, mint
from watchword.methods.gcp import METHOD

ACCOUNT = "ci-bot@my-project.iam.gserviceaccount.com"
OTHER = "evil@other.iam.gserviceaccount.com"
CERTIFICATES = f"/service_accounts/v1/metadata/x509/{ACCOUNT.replace('@', '%40')}"
MACHINE = {
    "project_id": "my-project",
    "project_number": 123456789012,
    "zone": "europe-west1-b",
    "instance_id": "42",
    "instance_name": "vm-1",
    "instance_creation_timestamp": 1_700_000_000,
}


def without_nothing(said):
    return {name: value for name, value in said.items() if value is not None}


def instance(key="rsa", kid="g1", machine=MACHINE, **more):
    """What the metadata server answers to identity?format=full, claim for claim."""
    said = {
        "aud": IDENTITY,
        "azp": "104983",
        "email": ACCOUNT,
        "email_verified": True,
        "exp": NOW + 3500,
        "iat": NOW - 100,
        "iss": "https://accounts.google.com",
        "sub": "104983",
        "google": {"compute_engine": machine} if machine is not None else None,
    }
    return mint(without_nothing(said | more), key=key, kid=kid)


def account(key="rsa", kid="s1", **more):
    """What projects.serviceAccounts.signJwt answers for the payload of the SDKs."""
    return mint(
        without_nothing({"sub": ACCOUNT, "aud": IDENTITY, "iat": NOW - 1, "exp": NOW + 3600} | more), key=key, kid=kid
    )


@pytest.fixture
def google(remote):
    remote.site.routes["/oauth2/v3/certs"] = json_reply(
        {"keys": [jwk("rsa", "g1", use="sig", alg="RS256"), jwk("p256", "e1")]}
    )
    remote.site.routes[CERTIFICATES] = json_reply(
        {"s1": certificate(ACCOUNT, "rsa"), "bad": "not PEM", "worse": 5, "ec": certificate(ACCOUNT, "p256")}
    )
    return remote


def gce(**more):
    return {"type": "gce"} | more


def iam(**more):
    return {"type": "iam"} | more


async def test_an_instance_logs_in(google):
    bound = gce(
        allowedServiceAccounts=f"x@y, {ACCOUNT}",
        allowedProjects="my-project",
        allowedZones="europe-west1-b,europe-west1-c",
    )
    verified = await google.login(METHOD, bound, instance() + "\n")

    assert verified.audit == {"type": "gce", "serviceAccount": ACCOUNT}


async def test_without_lists_any_instance_logs_in_as_at_the_reference(google):
    assert await google.login(METHOD, gce(), instance(machine=None))


@pytest.mark.parametrize(
    ("forged", "expected"),
    [
        (instance(aud="https://other.test"), "audience_mismatch"),
        (instance(aud=[]), "audience_missing"),
        (instance(aud=None), "audience_missing"),
        (instance(iss="accounts.google.com"), "issuer_mismatch"),
        (instance(iss="https://accounts.google.com/"), "issuer_mismatch"),
        (instance(iss="https://accounts.google.com.evil.test"), "issuer_mismatch"),
        (instance(iss=None), "issuer_mismatch"),
        (instance(email=None), "email_missing"),
        (instance(email=""), "email_missing"),
        (instance(email=[ACCOUNT]), "email_missing"),
        (instance(email_verified=False), "email_unverified"),
        (instance(email_verified="true"), "email_unverified"),
        (instance(exp=NOW - 1), "token_expired"),
        (instance(exp=None), "expiry_missing"),
        (instance(iat=None), "issue_time_missing"),
        (instance(iat=NOW + 301), "token_from_the_future"),
        (instance(exp=NOW + 100_000), "life_too_long"),
        (instance(key="rsa_other"), "signature_invalid"),
        (instance(kid="zz"), "key_unknown"),
        (instance(key="p256", kid="e1"), "algorithm_refused"),
        ("garbage", "token_malformed"),
    ],
)
async def test_a_token_for_another_audience_or_from_another_issuer_is_refused(google, forged, expected):
    assert await google.refusal(METHOD, gce(), forged) == expected


async def test_a_clock_five_minutes_ahead_is_googles_own_tolerance(google):
    assert await google.login(METHOD, gce(), instance(iat=NOW + 299))


@pytest.mark.parametrize(
    ("bound", "said", "expected"),
    [
        ({"allowedServiceAccounts": OTHER}, {}, "service_account_not_allowed"),
        ({"allowedProjects": "other"}, {}, "project_not_allowed"),
        ({"allowedZones": "us-east1-b"}, {}, "zone_not_allowed"),
        ({"allowedProjects": "my-project"}, {"machine": None}, "compute_engine_details_missing"),
        ({"allowedZones": "europe-west1-b"}, {"machine": None}, "compute_engine_details_missing"),
        ({"allowedZones": "europe-west1-b"}, {"machine": []}, "compute_engine_details_missing"),
        ({"allowedZones": "europe-west1-b"}, {"google": "x"}, "compute_engine_details_missing"),
        ({"allowedZones": "europe-west1-b"}, {"machine": {"project_id": "my-project"}}, "zone_not_allowed"),
        ({"allowedProjects": "my-project"}, {"machine": {"project_id": ["my-project"]}}, "project_not_allowed"),
    ],
)
async def test_a_machine_outside_the_lists_is_refused_and_one_that_says_nothing_too(google, bound, said, expected):
    assert await google.refusal(METHOD, gce(**bound), instance(**said)) == expected


@pytest.mark.parametrize(
    "bound",
    [
        {"allowedZones": "europe-west1-*"},
        {"allowedZones": "us-*, europe-west{1,4}-[bc]"},
        {"allowedProjects": "my-*", "allowedServiceAccounts": "*@my-project.iam.gserviceaccount.com"},
    ],
)
async def test_accounts_projects_and_zones_match_patterns(google, bound):
    assert await google.login(METHOD, gce(**bound), instance())


@pytest.mark.parametrize("field", ["allowedServiceAccounts", "allowedProjects", "allowedZones"])
async def test_a_pattern_that_is_none_is_refused_when_it_is_stored(google, field):
    assert google.faults(METHOD, gce(**{field: "ok, europe-[a"})) == [field]
    assert await google.refusal(METHOD, gce(allowedZones="us-*"), instance()) == "zone_not_allowed"


async def test_a_service_account_logs_in_with_a_jwt_it_signed(google):
    verified = await google.login(METHOD, iam(allowedServiceAccounts=ACCOUNT, allowedZones="ignored"), account())

    assert verified.audit == {"type": "iam", "serviceAccount": ACCOUNT}
    assert google.site.requests[-1].path == CERTIFICATES
    assert await google.login(METHOD, iam(), account(iss=ACCOUNT))


@pytest.mark.parametrize(
    ("forged", "expected"),
    [
        (account(aud="other"), "audience_mismatch"),
        (account(aud=None), "audience_missing"),
        (account(iss=OTHER), "issuer_mismatch"),
        (account(exp=None), "expiry_missing"),
        (account(exp=NOW - 1), "token_expired"),
        (account(kid=None), "key_unnamed"),
        (account(kid="zz"), "key_unknown"),
        (account(kid="bad"), "key_unknown"),
        (account(kid="worse"), "key_unknown"),
        (account(kid="ec"), "key_unfit"),
        (account(key="rsa_other"), "signature_invalid"),
        (account(sub=OTHER), "keys_unavailable"),
        ("a.b", "token_malformed"),
    ],
)
async def test_a_jwt_of_another_account_or_for_another_audience_is_refused(google, forged, expected):
    assert await google.refusal(METHOD, iam(), forged) == expected


async def test_another_service_account_is_refused(google):
    assert await google.refusal(METHOD, iam(allowedServiceAccounts=OTHER), account()) == "service_account_not_allowed"


@pytest.mark.parametrize(
    "sub",
    [
        None,
        "",
        5,
        "me@gmail.com",
        "../../x",
        "a@b.iam.gserviceaccount.com/../c",
        "a@gserviceaccount.com.evil.test",
        "a@evil.test?x=.gserviceaccount.com",
        "a@b.iam.gserviceaccount.com\n",
        "a@@b.gserviceaccount.com",
        [ACCOUNT],
    ],
)
async def test_a_subject_that_is_no_service_account_reaches_no_url(google, sub):
    assert await google.refusal(METHOD, iam(), account(sub=sub)) == "not_a_service_account"
    assert google.site.requests == []


@pytest.mark.parametrize("config", [iam(), gce()])
async def test_keys_that_cannot_be_had_refuse(google, config):
    google.site.routes.clear()
    assert (
        await google.refusal(METHOD, config, account() if config["type"] == "iam" else instance()) == "keys_unavailable"
    )


def test_the_configuration(remote):
    config = remote.config(METHOD, gce(allowedServiceAccounts="a,b", allowedProjects=" c ", allowedZones="d ,e"))
    assert (config.allowed_service_accounts, config.allowed_projects, config.allowed_zones) == ("a, b", "c", "d, e")
    assert remote.faults(METHOD, {"type": "gke"}) == ["type"]
    assert remote.faults(METHOD, {}) != []
