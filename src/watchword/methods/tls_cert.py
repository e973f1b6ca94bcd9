"""TLS-certificate Auth: the client certificate of the connection was issued by the configured CA, for this use and now.

Possession of the key was proved to whoever ended the TLS connection: our own listener, or a proxy that the edge trusts.
Revocation lists are not asked: give certificates a short life.
"""

import re
from datetime import UTC, datetime
from ipaddress import ip_address
from typing import Any
from urllib.parse import unquote

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from cryptography.x509.verification import Criticality, ExtensionPolicy, Policy, PolicyBuilder, Store, VerificationError

from watchword.methods.base import AuthMethod, Given, Schema, Text, Verified, comma_list, issue, normal_list

MOST_CERTIFICATES = 8
_KINDS: dict[str, Any] = {"DNS": x509.DNSName, "URI": x509.UniformResourceIdentifier, "EMAIL": x509.RFC822Name, "IP": x509.IPAddress}


class Config(Schema, frozen=True, kw_only=True):
    """The CA, and the names of which the certificate must bear one; no list: any name."""

    ca_certificate: Text
    allowed_common_names: Text | None = None
    allowed_subject_alt_names: tuple[Text, ...] | None = None
    verify_client_certificate_chain: bool = False


class Login(Schema, frozen=True, kw_only=True):
    """Nothing but the identity: the certificate comes with the connection."""

    identity_id: Text


def check(config: Config) -> Config:
    """The configuration as it is stored: CAs in PEM, names with a known prefix."""
    try:
        authorities = x509.load_pem_x509_certificates(config.ca_certificate.encode())
    except ValueError as error:
        raise issue("caCertificate", "must be one or more certificates in PEM") from error
    if not all(_is_authority(one) for one in authorities):
        raise issue("caCertificate", "must be the certificate of an authority (basic constraints CA:TRUE), not of a client")
    common = config.allowed_common_names
    alternative = config.allowed_subject_alt_names
    try:
        alternative = alternative and tuple(_normal_name(name) for name in alternative)
    except ValueError as error:
        raise issue("allowedSubjectAltNames", "must hold DNS names, or URI:, IP: and EMAIL: followed by a value") from error
    return msgspec.structs.replace(
        config,
        ca_certificate=config.ca_certificate.strip(),
        allowed_common_names=None if common is None else normal_list(common),
        allowed_subject_alt_names=alternative,
    )


async def verify(config: Config, _login: Login, given: Given) -> Verified:
    """Builds the chain to the configured CA, then compares the names."""
    require = given.checks.require
    require(bool(given.certificate), "certificate_missing", "A client certificate is needed", status=400)
    chain = _chain(given.certificate or "")
    require(bool(chain), "certificate_malformed", "The client certificate cannot be read", status=400)
    leaf, *others = chain
    now = datetime.fromtimestamp(given.now / 1000, UTC)
    start, end = leaf.not_valid_before_utc, leaf.not_valid_after_utc
    require(
        now >= start,
        "certificate_not_yet_valid",
        "The client certificate is not valid yet",
        expected=start.isoformat(),
        presented=now.isoformat(),
    )
    require(now <= end, "certificate_expired", "The client certificate has expired", expected=end.isoformat(), presented=now.isoformat())
    fault = _fault(leaf, others if config.verify_client_certificate_chain else [], config.ca_certificate, now)
    require(
        fault is None,
        "certificate_chain",
        "The client certificate was not issued for this by the configured authority",
        expected="issued by the configured CA for client authentication",
        presented=fault,
    )

    names = [_text(one.value) for one in leaf.subject.get_attributes_for_oid(NameOID.COMMON_NAME)]
    common = comma_list(config.allowed_common_names or "")
    # A subject with two common names is read differently by different software, so neither of them is believed.
    require(
        not common or (len(names) == 1 and names[0] in common),
        "common_name",
        "The common name is not allowed",
        expected=common,
        presented=names,
    )
    alternative = config.allowed_subject_alt_names or ()
    presented = _alternative_names(leaf)
    require(
        not alternative or not set(alternative).isdisjoint(presented),
        "subject_alt_name",
        "The subject alternative name is not allowed",
        expected=alternative,
        presented=presented,
    )
    fingerprint = leaf.fingerprint(SHA256()).hex()
    facts = {"commonName": names[0] if len(names) == 1 else "", "subjectAltNames": presented, "fingerprint": fingerprint}
    return Verified(claims={"tlsCert": facts}, audit={"fingerprint": fingerprint, "serialNumber": f"{leaf.serial_number:x}"})


def _chain(text: str) -> list[x509.Certificate]:
    """The presented certificates, the client's first; a proxy sends them URL-encoded."""
    try:
        chain = x509.load_pem_x509_certificates((unquote(text) if "%" in text else text).encode())
    except ValueError:
        return []
    return chain if len(chain) <= MOST_CERTIFICATES else []


def _fault(leaf: x509.Certificate, others: list[x509.Certificate], authorities: str, now: datetime) -> str | None:
    """Why the certificate does not lead to one of the authorities; None when it does.

    The library checks signatures, algorithms, validity, path length and name constraints; what certificates of private CAs
    must say about their use is written out here, because its rules for the public web would refuse most of them.
    """
    client = (
        ExtensionPolicy.permit_all()
        .may_be_present(x509.BasicConstraints, Criticality.AGNOSTIC, _client_constraints)
        .may_be_present(x509.KeyUsage, Criticality.AGNOSTIC, _client_usage)
        .may_be_present(x509.ExtendedKeyUsage, Criticality.AGNOSTIC, _client_purpose)
    )
    authority = (
        ExtensionPolicy.permit_all()
        .require_present(x509.BasicConstraints, Criticality.AGNOSTIC, _authority_constraints)
        .may_be_present(x509.KeyUsage, Criticality.AGNOSTIC, _authority_usage)
        .may_be_present(x509.ExtendedKeyUsage, Criticality.AGNOSTIC, _client_purpose)
    )
    store = Store(x509.load_pem_x509_certificates(authorities.encode()))
    verifier = PolicyBuilder().store(store).time(now).extension_policies(ca_policy=authority, ee_policy=client).build_client_verifier()
    try:
        verifier.verify(leaf, others)
    except (VerificationError, ValueError) as error:
        return str(error)
    return None


def _client_constraints(_policy: Policy, _one: x509.Certificate, found: x509.BasicConstraints | None) -> None:
    if found and found.ca:
        raise ValueError("the certificate is one of an authority")


def _client_usage(_policy: Policy, _one: x509.Certificate, found: x509.KeyUsage | None) -> None:
    if found and not found.digital_signature:
        raise ValueError("the key is not for signatures")


def _client_purpose(_policy: Policy, _one: x509.Certificate, found: x509.ExtendedKeyUsage | None) -> None:
    if found is not None and not {ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE} & set(found):
        raise ValueError("the certificate is not for client authentication")


def _authority_constraints(_policy: Policy, _one: x509.Certificate, found: x509.BasicConstraints) -> None:
    if not found.ca:
        raise ValueError("the issuer is not an authority")


def _authority_usage(_policy: Policy, _one: x509.Certificate, found: x509.KeyUsage | None) -> None:
    if found and not found.key_cert_sign:
        raise ValueError("the issuer's key is not for certificates")


def _is_authority(one: x509.Certificate) -> bool:
    try:
        return one.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except (x509.ExtensionNotFound, ValueError):
        return False


def _normal_name(text: str) -> str:
    prefix, colon, value = text.strip().partition(":")
    kind, value = (prefix.upper(), value.strip()) if colon else ("DNS", prefix)
    if kind not in _KINDS or not value or re.search(r"\s", value):
        raise ValueError(text)
    if kind == "DNS":
        return value.lower()
    return f"{kind}:{ip_address(value) if kind == 'IP' else value}"


def _alternative_names(leaf: x509.Certificate) -> list[str]:
    try:
        names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (x509.ExtensionNotFound, ValueError):
        return []
    found: list[str] = []
    for prefix, kind in _KINDS.items():
        values = names.get_values_for_type(kind)
        found += [str(value).lower() if prefix == "DNS" else f"{prefix}:{value}" for value in values]
    return found


def _text(value: str | bytes) -> str:
    return value if isinstance(value, str) else value.hex()


METHOD = AuthMethod(
    slug="tls-cert-auth", wrapper="identityTlsCertAuth", title="TLS Certificate Auth",
    config=Config, login=Login, verify=verify, check=check,
)  # fmt: skip
