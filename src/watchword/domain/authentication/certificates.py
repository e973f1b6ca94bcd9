"""Client certificates: read a presented chain, build it to a configured authority, read its names."""

from base64 import b64decode
from datetime import datetime
from functools import lru_cache
from typing import Any
from urllib.parse import unquote

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from cryptography.x509.verification import Criticality, ExtensionPolicy, Policy, PolicyBuilder, Store, VerificationError

from watchword.domain.authentication.pem import certificates

__all__ = ["KINDS", "alternative_names", "chain_of", "common_names", "fault", "is_authority"]

MOST_CERTIFICATES = 8
SHORTEST_RSA = 2048
KINDS: dict[str, Any] = {
    "DNS": x509.DNSName,
    "URI": x509.UniformResourceIdentifier,
    "EMAIL": x509.RFC822Name,
    "IP": x509.IPAddress,
}


def chain_of(text: str) -> list[x509.Certificate]:
    """The presented certificates, the client's first, as proxies send them.

    That is PEM, URL-encoded or not; base64 of DER, joined by commas; or byte sequences of RFC 9440, in colons.
    """
    whole = unquote(text) if "%" in text else text
    try:
        chain = x509.load_pem_x509_certificates(whole.encode()) if "-----" in whole else _in_base64(whole)
    except (ValueError, x509.InvalidVersion):
        return []
    return chain if len(chain) <= MOST_CERTIFICATES else []


def _in_base64(text: str) -> list[x509.Certificate]:
    """The certificates of a list of DER in base64; blanks inside of one, where a proxy folded lines, mean nothing."""
    parts = text.split(",")
    if len(parts) > MOST_CERTIFICATES:
        return []
    chain = []
    for part in parts:
        plain = "".join(part.split())
        is_sequence = len(plain) > 1 and plain.startswith(":") and plain.endswith(":")  # RFC 8941, section 3.3.5
        chain.append(x509.load_der_x509_certificate(b64decode(plain[1:-1] if is_sequence else plain, validate=True)))
    return chain


def fault(leaf: x509.Certificate, others: list[x509.Certificate], authorities: str, now: datetime) -> str | None:
    """The reason why the certificate does not lead to one of the authorities; None when it does."""
    try:
        chain_to(leaf, others, authorities, now)
    except ValueError as error:
        return str(error)
    return None


def chain_to(
    leaf: x509.Certificate, others: list[x509.Certificate], authorities: str, now: datetime
) -> list[x509.Certificate]:
    """The certificates from this one to one of the authorities. Raises ValueError where it leads to none.

    The library checks signatures, algorithms, validity, path length and name constraints; what certificates of private
    CAs must say about their use is written out here, because its rules for the public web would refuse most of them.
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
    verifier = (
        PolicyBuilder()
        .store(_store(authorities))
        .time(now)
        .extension_policies(ca_policy=authority, ee_policy=client)
        .build_client_verifier()
    )
    try:
        return list(verifier.verify(leaf, others).chain)
    except VerificationError as error:
        raise ValueError(str(error)) from error


@lru_cache(128)
def _store(authorities: str) -> Store:
    """The authorities of a configuration, read once."""
    return Store(certificates(authorities))


def _require(passed: bool, otherwise: str) -> None:
    if not passed:
        raise ValueError(otherwise)


def _require_strength(certificate: x509.Certificate) -> None:
    key = certificate.public_key()
    _require(not isinstance(key, RSAPublicKey) or key.key_size >= SHORTEST_RSA, "the RSA key is too short")


def _client_constraints(
    _policy: Policy, certificate: x509.Certificate, constraints: x509.BasicConstraints | None
) -> None:
    _require_strength(certificate)
    _require(not (constraints and constraints.ca), "the certificate is one of an authority")


def _client_usage(_policy: Policy, _certificate: x509.Certificate, usage: x509.KeyUsage | None) -> None:
    _require(usage is None or usage.digital_signature, "the key is not for signatures")


def _client_purpose(_policy: Policy, _certificate: x509.Certificate, purposes: x509.ExtendedKeyUsage | None) -> None:
    accepted = {ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE}
    _require(purposes is None or not accepted.isdisjoint(purposes), "the certificate is not for client authentication")


def _authority_constraints(_policy: Policy, certificate: x509.Certificate, constraints: x509.BasicConstraints) -> None:
    _require_strength(certificate)
    _require(constraints.ca, "the issuer is not an authority")


def _authority_usage(_policy: Policy, _certificate: x509.Certificate, usage: x509.KeyUsage | None) -> None:
    _require(usage is None or usage.key_cert_sign, "the issuer's key is not for certificates")


def is_authority(certificate: x509.Certificate) -> bool:
    """Whether the certificate says that it is of an authority."""
    try:
        return certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except (x509.ExtensionNotFound, x509.DuplicateExtension, x509.UnsupportedGeneralNameType, ValueError):
        return False


def alternative_names(leaf: x509.Certificate) -> list[str]:
    """The subject alternative names as configurations write them: DNS names plain, the others with their prefix."""
    try:
        extension = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (x509.ExtensionNotFound, x509.DuplicateExtension, x509.UnsupportedGeneralNameType, ValueError):
        return []
    names: list[str] = []
    for prefix, kind in KINDS.items():
        values = extension.get_values_for_type(kind)
        names += [str(value).lower() if prefix == "DNS" else f"{prefix}:{value}" for value in values]
    return names


def common_names(leaf: x509.Certificate) -> list[str]:
    """Every common name of the subject."""
    try:
        return [str(attribute.value) for attribute in leaf.subject.get_attributes_for_oid(NameOID.COMMON_NAME)]
    except ValueError:
        return []
