import pytest

from tests.methods.clouds import given
from tests.methods.doubles.web import certificate, json_reply
from tests.minting import NOW, jwk, mint
from watchword.domain.authentication.cloud_hosts import AZURE_CLOUDS, azure_clouds
from watchword.domain.errors import Denied
from watchword.methods.azure import METHOD
from watchword.methods.base import Operator

TENANT = "8f6c1d2e-3a44-4b0f-9c55-0d5b7f1e2a66"
OTHER = "11111111-2222-3333-4444-555555555555"
PRINCIPAL = "c0ffee00-1111-4222-8333-444455556666"
RESOURCE = "https://management.azure.com/"
KEYS = f"/{TENANT}/discovery/keys"


def token(key="rsa", kid="a1", **more):
    """What the metadata service of a virtual machine answers, claim for claim."""
    said = {
        "aud": RESOURCE,
        "iss": f"https://sts.windows.net/{TENANT}/",
        "iat": NOW - 60,
        "nbf": NOW - 60,
        "exp": NOW + 86_000,
        "aio": "E2NgYPj+1s5+",
        "appid": "7d0a1c9e-aaaa-bbbb-cccc-0123456789ab",
        "appidacr": "2",
        "idp": f"https://sts.windows.net/{TENANT}/",
        "idtyp": "app",
        "oid": PRINCIPAL,
        "rh": "0.AbcAHh1",
        "sub": PRINCIPAL,
        "tid": TENANT,
        "uti": "u2Yk0",
        "ver": "1.0",
        "xms_az_nwperimid": [],
        "xms_idrel": "7 16",
        "xms_tcdt": 1_600_000_000,
        "xms_mirid": "/subscriptions/0/resourcegroups/rg/providers/Microsoft.Compute/virtualMachines/vm",
    } | more
    return mint({n: v for n, v in said.items() if v is not None}, key=key, kid=kid, header={"x5t": kid})


def config(**more):
    return {"tenantId": TENANT, "resource": RESOURCE} | more


@pytest.fixture
def azure(remote):
    remote.site.routes[KEYS] = json_reply(
        {"keys": [jwk("rsa", "a1", use="sig", x5t="a1", x5c=["MIIC"], issuer="x"), jwk("p256", "e1")]}
    )
    return remote


async def test_a_managed_identity_logs_in(azure):
    verified = await azure.login(METHOD, config(allowedServicePrincipalIds=f"{OTHER} ,{PRINCIPAL}"), token() + "\n")

    assert verified.audit == {"tenantId": TENANT, "servicePrincipalId": PRINCIPAL}
    assert azure.site.names == ["login.microsoftonline.com"]


async def test_tokens_of_both_versions_are_accepted(azure):
    second = token(iss=f"https://login.microsoftonline.com/{TENANT}/v2.0", ver="2.0", azp="7d0a", aud="api://vault")
    assert await azure.login(METHOD, config(resource="api://vault"), second)


@pytest.mark.parametrize("aud", [RESOURCE, RESOURCE.rstrip("/")])
async def test_the_final_slash_of_the_resource_may_be_missing_from_the_token(azure, aud):
    assert await azure.login(METHOD, config(), token(aud=aud))


async def test_a_slash_that_was_not_configured_is_refused(azure):
    assert await azure.refusal(METHOD, config(resource=RESOURCE.rstrip("/")), token()) == "audience_mismatch"


@pytest.mark.parametrize(
    ("forged", "expected"),
    [
        (token(iss=f"https://sts.windows.net/{OTHER}/"), "issuer_mismatch"),
        (token(iss=f"https://sts.windows.net/{OTHER}/", tid=OTHER), "issuer_mismatch"),
        (token(iss=f"https://sts.windows.net/{TENANT}"), "issuer_mismatch"),
        (token(iss=f"https://login.microsoftonline.com/{OTHER}/v2.0"), "issuer_mismatch"),
        (token(iss=f"https://login.microsoftonline.com/{TENANT}/v2.0/"), "issuer_mismatch"),
        (token(iss=f"https://sts.windows.net.evil.test/{TENANT}/"), "issuer_mismatch"),
        (token(iss=[f"https://sts.windows.net/{TENANT}/"]), "issuer_mismatch"),
        (token(iss=None), "issuer_mismatch"),
        (token(tid=OTHER), "tenant_mismatch"),
        (token(tid=None), "tenant_mismatch"),
        (token(aud="https://vault.azure.net"), "audience_mismatch"),
        (token(aud=[]), "audience_missing"),
        (token(exp=NOW - 1), "token_expired"),
        (token(nbf=NOW + 600), "token_not_yet_valid"),
        (token(key="rsa_other"), "signature_invalid"),
        (token(kid="zz"), "key_unknown"),
        (token(key="p256", kid="e1"), "algorithm_refused"),
        ("garbage", "token_malformed"),
        ("", "token_malformed"),
    ],
)
async def test_a_token_of_another_tenant_resource_or_key_is_refused(azure, forged, expected):
    assert await azure.refusal(METHOD, config(), forged) == expected


@pytest.mark.parametrize("oid", [OTHER, None, PRINCIPAL[1:], [PRINCIPAL]])
async def test_another_principal_is_refused(azure, oid):
    assert (
        await azure.refusal(METHOD, config(allowedServicePrincipalIds=PRINCIPAL), token(oid=oid))
        == "service_principal_not_allowed"
    )


async def test_an_empty_tenant_is_stored_and_lets_nobody_in(azure):
    assert await azure.refusal(METHOD, config(tenantId=" "), token()) == "tenant_unusable"


@pytest.mark.parametrize(
    "tenant", ["a/b", "..", "x?y", "@evil.test", "%2e%2e", "common", "contoso.onmicrosoft.com", TENANT + "/", "٣" * 36]
)
def test_a_tenant_that_is_no_id_is_refused_when_it_is_stored(remote, tenant):
    assert remote.faults(METHOD, config(tenantId=tenant)) == ["tenantId"]


async def test_ids_have_no_case(azure):
    bound = config(tenantId=TENANT.upper(), allowedServicePrincipalIds=f"x, {PRINCIPAL.upper()}")

    assert await azure.login(METHOD, bound, token())
    assert await azure.login(METHOD, bound, token(tid=TENANT.upper(), oid=PRINCIPAL.upper()))
    other = config(allowedServicePrincipalIds=OTHER)
    assert await azure.refusal(METHOD, other, token()) == "service_principal_not_allowed"


@pytest.mark.parametrize(
    ("cloud", "issuer"),
    [
        ("us-government", f"https://login.microsoftonline.us/{TENANT}/v2.0"),
        ("us-government", f"https://sts.windows.net/{TENANT}/"),
        ("china", f"https://login.partner.microsoftonline.cn/{TENANT}/v2.0"),
        ("china", f"https://sts.chinacloudapi.cn/{TENANT}/"),
    ],
)
async def test_a_sovereign_cloud_has_an_authority_of_its_own(azure, cloud, issuer):
    assert await azure.login(METHOD, config(cloud=cloud), token(iss=issuer))
    assert azure.site.requests[-1].headers["host"].partition(":")[0] in AZURE_CLOUDS[cloud].authorities
    if "windows" not in issuer:
        assert await azure.refusal(METHOD, config(), token(iss=issuer)) == "issuer_mismatch"


async def test_an_empty_resource_accepts_nobody(azure):
    assert await azure.refusal(METHOD, config(resource=""), token(aud="")) == "resource_unset"


async def test_keys_that_cannot_be_had_refuse(azure):
    azure.site.routes.clear()
    assert await azure.refusal(METHOD, config(), token()) == "keys_unavailable"


async def test_a_key_may_be_given_by_its_certificate_alone(azure):
    pem = certificate("azure", "rsa")
    der = "".join(pem.splitlines()[1:-1])
    azure.site.routes[KEYS] = json_reply({"keys": [{"kty": "RSA", "use": "sig", "kid": "a1", "x5c": [der]}]})
    assert await azure.login(METHOD, config(), token())


def test_lists_are_normalised(remote):
    assert (
        remote.config(METHOD, config(allowedServicePrincipalIds="a,b , c")).allowed_service_principal_ids == "a, b, c"
    )
    assert remote.config(METHOD, {"tenantId": "", "resource": ""}).tenant_id == ""
    assert remote.faults(METHOD, {"tenantId": "x"}) != []


@pytest.mark.parametrize("issuer", [f"https://login.lab.test/{TENANT}/v2.0", f"https://sts.lab.test/{TENANT}/"])
async def test_a_cloud_that_the_operator_names_is_asked_at_its_own_host(azure, issuer):
    azure.operator = Operator(azure_clouds=azure_clouds(["lab=login.lab.test:sts.lab.test"]))
    in_lab = config(cloud="lab")

    assert await azure.login(METHOD, in_lab, token(iss=issuer))
    assert "login.lab.test" == azure.site.requests[-1].headers["host"].partition(":")[0]
    assert await azure.refusal(METHOD, in_lab, token()) == "issuer_mismatch"
    assert await azure.refusal(METHOD, config(), token(iss=issuer)) == "issuer_mismatch"
    stored = azure.config(METHOD, in_lab)
    azure.operator = Operator()
    assert azure.faults(METHOD, in_lab) == ["cloud"]
    with pytest.raises(Denied, match="does not know") as refused:
        await METHOD.verify(stored, METHOD.login(identity_id="i", jwt=token(iss=issuer)), given(azure.outbound))
    assert refused.value.reason == "cloud_unknown"
