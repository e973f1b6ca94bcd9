"""Bound Keypair: no shared secret at all. The machine keeps a private key and signs its own short assertion (RFC 7523).

Several public keys may be registered at once: add the new one, move the machines over, remove the old one.
"""

import json
from collections.abc import Mapping
from typing import Annotated, Any

import msgspec

from watchword.domain.authentication.jose import audiences_of, verify_jws
from watchword.domain.authentication.proposals import advice, replaced
from watchword.domain.authentication.public_keys import Key, UnusableKeyError, key_from_jwk, key_from_pem, public_keys
from watchword.methods.base import (
    JWT_EXAMPLE,
    LIST_HELP,
    WHO,
    AuthMethod,
    Claims,
    Given,
    Guide,
    IdentityId,
    Schema,
    Spent,
    Suggested,
    Text,
    TextList,
    Verified,
    audience_of,
    comma_list,
    issue,
    no_risks,
    normal_list,
    proof,
    said,
    text_of,
)

MAX_KEYS = 10
MAX_LIFE = 3_600  # what client libraries write when nobody tells them less
SKEW = 30  # seconds that a machine's clock may run ahead
Pem = Annotated[str, msgspec.Meta(max_length=16_384)]  # or a JWK as JSON text
Keys = Annotated[tuple[Pem | dict[str, Any], ...], msgspec.Meta(min_length=1, max_length=MAX_KEYS)]


class Config(Schema, frozen=True, kw_only=True):
    """The keys of the identity, and the names by which assertions may call this server."""

    public_keys: Annotated[
        Keys,
        said(
            "Public keys",
            "The keys of the workload, each in PEM or as a JSON Web Key. It keeps the private half.",
            example="-----BEGIN PUBLIC KEY-----",
            group=WHO,
        ),
    ]
    bound_audiences: Annotated[
        TextList,
        said(
            "Audiences",
            "The names by which an assertion may call this server: its `aud` must be one of them.",
            example="https://watchword.example.com",
            group=WHO,
            also=LIST_HELP,
        ),
    ]
    max_assertion_seconds: Annotated[
        int,
        msgspec.Meta(ge=10, le=MAX_LIFE),
        said(
            "Longest assertion",
            "How long an assertion may live, in seconds.",
            danger="A long life: an assertion that was caught on its way is good for so long.",
            example="60",
            group=WHO,
            is_folded=True,
            is_seconds=True,
        ),
    ] = MAX_LIFE


class Login(Schema, frozen=True, kw_only=True):
    """The body of a login."""

    identity_id: IdentityId
    jwt: Annotated[
        Text,
        proof(
            "Assertion",
            "A JSON Web Token that the workload signs with its private key: iss and sub are the identity's id.",
            example=JWT_EXAMPLE,
            lines=True,
        ),
    ]


def check(config: Config) -> Config:
    """Refuse keys that cannot be used, two keys of one name, and a configuration without an audience."""
    try:
        keys = [_key(registered) for registered in config.public_keys]
    except UnusableKeyError as error:
        raise issue("publicKeys", f"A public key cannot be used: {error}") from error
    names = [key.kid for key in keys if key.kid is not None]
    if len(set(names)) != len(names):
        raise issue("publicKeys", "Two keys have the same kid")
    if not comma_list(config.bound_audiences):
        raise issue(
            "boundAudiences",
            "At least one audience is required: the URL of this server's token endpoint, or its issuer name",
        )
    return msgspec.structs.replace(config, bound_audiences=normal_list(config.bound_audiences))


async def verify(config: Config, login: Login, given: Given) -> Verified:
    """Check that the holder of a registered key says, now and for this server, that it is the identity.

    Each assertion is accepted once.
    """
    token, checks, identity = login.jwt.strip(), given.checks, given.identity_id
    claims = verify_jws(
        token,
        [_key(registered) for registered in config.public_keys],
        checks=checks,
        now=given.now,
        leeway=given.operator.leeway,
        issuer=identity,
        audiences=comma_list(config.bound_audiences),
        max_life=config.max_assertion_seconds + SKEW,
    )
    # Whoever else it is meant for could send it here in the machine's name: RFC 7523, as its update has it, allows one
    # audience.
    named = audiences_of(claims, checks)
    checks.form(
        len(named) == 1,
        "audience_several",
        "The token names several audiences: name one, this server",
        presented=list(named)[:10],
    )
    subject, jti = claims.get("sub"), claims.get("jti")
    checks.compare(
        subject == identity,
        "subject_mismatch",
        "The token's subject is not the identity",
        expected=identity,
        presented=str(subject)[:300],
    )
    sound = isinstance(jti, str) and 0 < len(jti) <= 255
    checks.form(sound, "jti_missing", "The token has no id (jti) of 1 to 255 characters: each must be usable once")
    return Verified(audit={"jti": str(jti)}, spent=Spent(f"{identity}:{jti}", int(claims["exp"] * 1000) + 1000))


def _key(registered: str | Mapping[str, Any]) -> Key:
    if isinstance(registered, str) and not registered.lstrip().startswith("{"):
        return key_from_pem(registered)
    jwk = registered if isinstance(registered, str) else json.dumps(registered)
    return key_from_jwk(public_keys(f'{{"keys":[{jwk}]}}')[0])


def suggested(claims: Claims) -> Suggested | None:
    """The settings for an assertion: one that names the same as issuer and subject, and no address."""
    issuer = text_of(claims, "iss")
    if not issuer or "://" in issuer or issuer != text_of(claims, "sub"):
        return None
    notes = ("The public key is still to be entered: an assertion does not hold it.",)
    return Suggested(settings={"boundAudiences": audience_of(claims)}, notes=notes)


METHOD = AuthMethod(
    slug="bound-keypair",
    wrapper="identityBoundKeypair",
    title="Bound Keypair",
    place="Its own key pair",
    where="no shared secret",
    icon="key",
    guide=Guide(
        summary=(
            "whoever holds the private half of one of its keys logs in",
            "with an assertion made for {boundAudiences}",
        ),
        obtain="""JWT=$(python3 - <<'END'
import jwt, time, uuid
now, who = int(time.time()), "{identity}"
claims = {"iss": who, "sub": who, "aud": "{boundAudiences}", "iat": now, "exp": now + 60, "jti": str(uuid.uuid4())}
print(jwt.encode(claims, open("private.pem").read(), algorithm="ES256"))
END
)""",
        mistakes=(
            "iss or sub is not the identity's id: both must be.",
            "The assertion lives too long, or has no jti: each is good once.",
            "The public key of another pair was entered: compare their fingerprints.",
        ),
        fills=suggested,
    ),
    config=Config,
    login=Login,
    verify=verify,
    check=check,
    oauth_assertion=lambda identity, assertion: {"identityId": identity, "jwt": assertion},
    risks=no_risks,
    proposals=(
        ("audience_mismatch", replaced("boundAudiences")),
        ("issuer_mismatch", advice("The token must name the identity's id as its issuer")),
        ("subject_mismatch", advice("The token must name the identity's id as its subject")),
    ),
)
