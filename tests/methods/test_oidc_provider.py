"""OIDC Auth against a certified provider (npm's oidc-provider) on loopback, with tokens it issues itself."""

import asyncio
import json
import pathlib
import shutil
import subprocess
import time

import httpx
import msgspec
import pytest
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from jwt import get_algorithm_by_name

from tests.methods.doubles.web import CA, certificate
from tests.minting import ALG, Recorded, private
from watchword.adapters.outbound import GuardedOutbound
from watchword.adapters.tls import verifying
from watchword.domain.errors import Denied
from watchword.domain.secret import decode_secret
from watchword.methods.base import Given
from watchword.methods.oidc import METHOD

HERE = pathlib.Path(__file__).parent / "node"
KEYS = {"rsa": "RS256", "p256": "ES256", "ed25519": "EdDSA"}


@pytest.fixture(scope="session")
def provider_code(tmp_path_factory):
    """The provider, installed from its lock; skips where that is not possible."""
    if shutil.which("node") is None or shutil.which("npm") is None:
        pytest.skip("node and npm are not on this machine")
    if (HERE / "node_modules/oidc-provider").exists():
        return HERE / "provider.js"
    place = tmp_path_factory.mktemp("provider")
    for name in ("package.json", "package-lock.json", "provider.js"):
        shutil.copy(HERE / name, place)
    done = subprocess.run(
        ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"],
        cwd=place,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    if done.returncode:
        pytest.skip(f"oidc-provider cannot be installed: {done.stderr.strip()[-200:]}")
    return place / "provider.js"


@pytest.fixture
async def provider(provider_code, tmp_path):
    def pem(name):
        return private(name).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()

    jwks = []
    for name, alg in KEYS.items():
        jwks.append(
            get_algorithm_by_name(ALG[name]).to_jwk(private(name), as_dict=True)
            | {"kid": name, "use": "sig", "alg": alg}
        )
        jwks[-1].pop("key_ops", None)
    cert = certificate("double", "p256", issuer="double CA", issuer_key="p384", names=("127.0.0.1",))
    settings = tmp_path / "provider.json"
    settings.write_text(json.dumps({"key": pem("p256"), "cert": cert, "jwks": {"keys": jwks}}))
    process = await asyncio.create_subprocess_exec(
        "node", str(provider_code), str(settings), stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL
    )
    async with asyncio.timeout(30):
        port = int(await process.stdout.readline())
    yield f"https://127.0.0.1:{port}"
    process.kill()
    await process.wait()


async def issued(url, alg):
    """An access token that the provider signs as a JWT."""
    asked = {"grant_type": "client_credentials", "resource": f"https://watchword.test/{alg}", "scope": "login"}
    async with httpx.AsyncClient(verify=verifying(CA), auth=("robot", "beep")) as client:
        answer = await client.post(f"{url}/token", data=asked)
    assert answer.status_code == 200, answer.text
    return answer.json()["access_token"]


async def login(url, token, **more):
    outbound = GuardedOutbound(clock=lambda: int(time.time() * 1000), allowed_private_hosts=("127.0.0.1",))
    body = {
        "oidcDiscoveryUrl": url,
        "boundIssuer": url,
        "caCert": CA,
        "boundAudiences": "watchword",
        "boundClaims": {"repository": "octo/*", "groups": "ops"},
    } | more
    config = METHOD.check(msgspec.convert(body, METHOD.config, dec_hook=decode_secret))
    given = Given(now=int(time.time() * 1000), identity_id="id", outbound=outbound, checks=Recorded())
    try:
        return await METHOD.verify(config, METHOD.login(identity_id="id", jwt=token), given)
    finally:
        await outbound.close()


@pytest.mark.parametrize("alg", KEYS.values())
async def test_tokens_of_a_certified_provider_log_in(provider, alg):
    verified = await login(provider, await issued(provider, alg), claimMetadataMapping={"repo": "repository"})

    assert verified.claims == {"oidc": {"claims": {"repo": "octo/app"}}}


@pytest.mark.parametrize(
    ("bound", "reason"),
    [
        ({"boundAudiences": "other"}, "audience_mismatch"),
        ({"boundSubject": "other"}, "subject_mismatch"),
        ({"boundClaims": {"groups": "admin"}}, "claim_mismatch"),
    ],
)
async def test_tokens_that_a_configuration_does_not_name_are_refused(provider, bound, reason):
    with pytest.raises(Denied) as refused:
        await login(provider, await issued(provider, "RS256"), **bound)

    assert refused.value.reason == reason
