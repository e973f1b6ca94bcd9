"""TLS-certificate Auth: the client certificate of the connection was issued by the configured CA, for this use and now.

Possession of the key was proved to whoever ended the TLS connection: our own listener, or a proxy that the edge trusts.
Whether it was revoked is asked where the configuration says so; otherwise give certificates a short life.
"""

import re
from datetime import UTC, datetime
from ipaddress import ip_address
from itertools import pairwise
from typing import TYPE_CHECKING, Annotated, Literal

import msgspec
from cryptography.hazmat.primitives.hashes import SHA256

from watchword.domain.authentication.pem import certificates
from watchword.domain.authentication.proposals import added_pattern, added_pattern_item
from watchword.domain.bounds import claim_matches
from watchword.domain.urls import MAX_URL, is_web_url
from watchword.methods.base import (
    LIST_HELP,
    PATTERN_HELP,
    TRUST,
    WHO,
    AuthMethod,
    Given,
    Guide,
    IdentityId,
    Operator,
    OutboundError,
    PatternList,
    Schema,
    Text,
    Verified,
    issue,
    normal_patterns,
    open_unless,
    require_patterns,
    said,
    split_patterns,
)

if TYPE_CHECKING:  # the library of certificates is slow to import, and few servers ever need it
    from cryptography.x509 import Certificate


Url = Annotated[str, msgspec.Meta(max_length=MAX_URL)]


class Config(Schema, frozen=True, kw_only=True):
    """The CA, and the names of which the certificate must bear one; no list: any name."""

    ca_certificate: Annotated[
        Text,
        said(
            "Authority",
            "The certificate, in PEM, of the authority that issues the workloads'.",
            danger="A public authority: it issues certificates to everybody, so the names alone decide.",
            example="-----BEGIN CERTIFICATE-----",
            group=TRUST,
            lines=True,
        ),
    ]
    allowed_common_names: Annotated[
        PatternList | None,
        said(
            "Common names",
            "Which common names may log in. Empty: any.",
            danger="Empty, with no alternative names: everybody with a certificate of the authority logs in.",
            example="checkout.example.com",
            group=WHO,
            also=f"{LIST_HELP} {PATTERN_HELP}",
        ),
    ] = None
    allowed_subject_alt_names: Annotated[
        tuple[Text, ...] | None,
        said(
            "Alternative names",
            "The subject alternative names of which the certificate must bear one: DNS names, or URI:, IP: and EMAIL: "
            "followed by a value. Empty: any.",
            danger="Empty, with no common names: everybody with a certificate of the authority logs in.",
            example="URI:spiffe://example.com/checkout",
            group=WHO,
        ),
    ] = None
    verify_client_certificate_chain: Annotated[
        bool,
        said(
            "Take intermediate authorities",
            "Whether the certificate may be issued by an authority below, whose certificate the workload presents too.",
            example="false",
            group=TRUST,
            is_folded=True,
        ),
    ] = False
    revocation_check: Annotated[
        Literal["none", "crl", "ocsp", "ocsp-or-crl"],
        said(
            "Ask for revocations",
            "Whether and how it is asked if the certificate, and each authority below the configured one, was revoked: "
            "by lists (CRL), by OCSP, or by lists where OCSP does not answer.",
            danger="`none`: a revoked certificate logs in until it ends, so give certificates a short life.",
            example="crl",
            group=TRUST,
            is_folded=True,
        ),
    ] = "none"
    crl_urls: Annotated[
        tuple[Url, ...],
        msgspec.Meta(max_length=10),
        said(
            "URLs of lists",
            "Where the lists are. Empty: where the certificate says, if the server's setting "
            "WATCHWORD_TLS_REVOCATION_FROM_CERTIFICATE allows that.",
            example="http://crl.example.com/workloads.crl",
            group=TRUST,
            is_folded=True,
        ),
    ] = ()
    ocsp_url: Annotated[
        Url,
        said(
            "URL of the OCSP responder",
            "Empty: as for the lists.",
            example="http://ocsp.example.com",
            group=TRUST,
            is_folded=True,
        ),
    ] = ""
    revocation_unavailable: Annotated[
        Literal["refuse", "allow"],
        said(
            "When nobody can say",
            "What becomes of a login when nobody can say whether the certificate was revoked.",
            danger="`allow`: whoever keeps this server from asking logs in with a revoked certificate.",
            example="refuse",
            group=TRUST,
            is_folded=True,
        ),
    ] = "refuse"


class Login(Schema, frozen=True, kw_only=True):
    """The body of a login: nothing but the identity, for the certificate comes with the connection."""

    identity_id: IdentityId


def check(config: Config, operator: Operator = Operator()) -> Config:  # noqa: B008 - it is frozen
    """The configuration as it is stored: CAs in PEM, names with a known prefix."""
    from watchword.domain.authentication.certificates import is_authority  # noqa: PLC0415

    try:
        authorities = certificates(config.ca_certificate)
    except ValueError as error:
        raise issue("caCertificate", str(error)) from error
    if not all(is_authority(authority) for authority in authorities):
        raise issue(
            "caCertificate", "must be the certificate of an authority (basic constraints CA:TRUE), not of a client"
        )
    for field, urls in (("crlUrls", config.crl_urls), ("ocspUrl", (config.ocsp_url,) if config.ocsp_url else ())):
        if not all(is_web_url(url) for url in urls):
            raise issue(field, "must be an absolute URL, https:// or http://")
        needed = {"crlUrls": ("crl",), "ocspUrl": ("ocsp",)}[field]
        if config.revocation_check in needed and not urls and not operator.trusts_certificate_urls:
            raise issue(field, "is required: this server does not ask where a certificate says")
    common = config.allowed_common_names
    require_patterns("allowedCommonNames", split_patterns(common or ""))
    alternative = config.allowed_subject_alt_names
    try:
        alternative = alternative and tuple(_normal_name(name) for name in alternative)
    except ValueError as error:
        raise issue(
            "allowedSubjectAltNames", "must hold DNS names, or URI:, IP: and EMAIL: followed by a value"
        ) from error
    require_patterns("allowedSubjectAltNames", alternative or ())
    return msgspec.structs.replace(
        config,
        allowed_common_names=None if common is None else normal_patterns(common, joined_by=","),
        allowed_subject_alt_names=alternative,
    )


def form(_login: Login, given: Given) -> "list[Certificate]":
    """The certificates that came with the connection, the client's own first."""
    from watchword.domain.authentication.certificates import chain_of  # noqa: PLC0415

    given.checks.form(bool(given.certificate), "certificate_missing", "A client certificate is needed", status=400)
    chain = chain_of(given.certificate or "")
    given.checks.form(bool(chain), "certificate_malformed", "The client certificate cannot be read", status=400)
    return chain


async def verify(config: Config, _login: Login, given: Given) -> Verified:
    """Build the chain to the configured CA, then compare the names."""
    from watchword.domain.authentication.certificates import (  # noqa: PLC0415
        alternative_names,
        chain_to,
        common_names,
        fault,
    )

    checks = given.checks
    leaf, *others = form(_login, given)
    now = datetime.fromtimestamp(given.now / 1000, UTC)
    start, end = leaf.not_valid_before_utc, leaf.not_valid_after_utc
    time, text = now.isoformat(), "The client certificate is not valid at this time"
    checks.compare(now >= start, "certificate_not_yet_valid", text, expected=start.isoformat(), presented=time)
    checks.compare(now <= end, "certificate_expired", text, expected=end.isoformat(), presented=time)
    others = others if config.verify_client_certificate_chain else []
    problem = fault(leaf, others, config.ca_certificate, now)
    checks.prove(
        problem is None,
        "certificate_chain",
        "The client certificate was not issued for this by the configured authority",
        presented=problem,
    )
    if config.revocation_check != "none":
        await _require_unrevoked(config, chain_to(leaf, others, config.ca_certificate, now), now, given)

    names = common_names(leaf)
    common = split_patterns(config.allowed_common_names or "")
    # A subject with two common names is read differently by different software, so neither of them is believed.
    is_named = not common or (len(names) == 1 and claim_matches(names[0], common))
    checks.compare(is_named, "common_name", "The common name is not allowed", expected=common, presented=names)
    alternative, presented = config.allowed_subject_alt_names or (), alternative_names(leaf)
    is_named = not alternative or claim_matches(presented, alternative)
    checks.compare(
        is_named,
        "subject_alt_name",
        "The subject alternative name is not allowed",
        expected=alternative,
        presented=presented,
    )
    fingerprint = leaf.fingerprint(SHA256()).hex()
    facts = {
        "commonName": names[0] if len(names) == 1 else "",
        "subjectAltNames": presented,
        "fingerprint": fingerprint,
    }
    return Verified(
        claims={"tlsCert": facts}, audit={"fingerprint": fingerprint, "serialNumber": f"{leaf.serial_number:x}"}
    )


async def _require_unrevoked(config: Config, chain: "list[Certificate]", now: datetime, given: Given) -> None:
    """Check that no certificate of the chain was revoked, below the authority that the configuration trusts."""
    from watchword.methods.revocation import RevocationSources, is_revoked  # noqa: PLC0415

    sources = RevocationSources(
        by_ocsp=config.revocation_check != "crl",
        by_list=config.revocation_check != "ocsp",
        responder=config.ocsp_url,
        lists=config.crl_urls,
    )
    for certificate, issuer in pairwise(chain):
        serial, text = f"{certificate.serial_number:x}", "It cannot be told whether the client certificate was revoked"
        try:
            revoked = await is_revoked(sources, certificate, issuer, now, given)
        except OutboundError as error:
            is_allowed = config.revocation_unavailable == "allow"
            given.checks.reach(is_allowed, "revocation_unavailable", text, presented=str(error))
            continue
        given.checks.compare(not revoked, "certificate_revoked", "The certificate was revoked", presented=serial)


def _normal_name(text: str) -> str:
    from watchword.domain.authentication.certificates import KINDS  # noqa: PLC0415

    prefix, colon, value = text.strip().partition(":")
    kind, value = (prefix.upper(), value.strip()) if colon else ("DNS", prefix)
    if kind not in KINDS or not value or re.search(r"\s", value):
        raise ValueError(text)
    if kind == "DNS":
        return value.lower()
    return f"{kind}:{ip_address(value) if kind == 'IP' else value}"


METHOD = AuthMethod(
    slug="tls-cert-auth",
    wrapper="identityTlsCertAuth",
    title="TLS Certificate Auth",
    place="Certificate",
    where="mutual TLS",
    icon="file-badge",
    guide=Guide(
        summary=(
            "certificates of the authority that is entered here log in",
            "with the common name {allowedCommonNames}",
            "with one of the alternative names {allowedSubjectAltNames}",
        ),
        obtain="# The client certificate comes with the connection: curl --cert workload.pem --key workload.key",
        mistakes=(
            "A proxy ends TLS and does not pass the certificate on: it must, and be named as trusted.",
            "The certificate is not for clients: its extended key usage must have clientAuth.",
            "An authority in between issued it: allow these, and have the workload send the whole chain.",
        ),
    ),
    config=Config,
    login=Login,
    verify=verify,
    check=check,
    check_here=check,
    form=form,
    claims_under="tlsCert",
    risks=open_unless(
        "allowedCommonNames", "allowedSubjectAltNames", globs=True, whom="everybody with a certificate of the authority"
    ),
    proposals=(
        ("common_name", added_pattern("allowedCommonNames")),
        ("subject_alt_name", added_pattern_item("allowedSubjectAltNames")),
    ),
)
