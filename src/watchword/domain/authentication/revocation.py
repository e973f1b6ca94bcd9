"""Revoked certificates: read lists of them (CRL, RFC 5280 section 5) and answers about one (OCSP, RFC 6960).

What is read is believed only where the authority signed it. Reading takes time that grows with a list, so it is done
beside the event loop, and of a large list in another process.
"""

from collections.abc import Callable, Iterable, Iterator
from datetime import datetime, timedelta

import msgspec
from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, padding, rsa
from cryptography.hazmat.primitives.hashes import SHA1
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import ocsp
from cryptography.x509.oid import AuthorityInformationAccessOID, ExtendedKeyUsageOID

from watchword.domain.outbound import OutboundError

__all__ = [
    "ListReader",
    "RevocationList",
    "Serials",
    "Status",
    "crl_reader",
    "crl_urls",
    "ocsp_reader",
    "ocsp_request",
    "ocsp_urls",
]

MOST_URLS = 4  # of one certificate
AGE_WITHOUT_END = timedelta(days=1)  # how long an answer counts that does not say until when
_WIDTH = 21  # octets
_SCOPED = "the list is not of all certificates of its authority"


class Serials(msgspec.Struct, frozen=True):
    """Serial numbers, in 21 bytes each: a list may hold millions (RFC 5280 section 4.1.2.2: at most 20 octets)."""

    packed: bytes  # sorted

    @classmethod
    def of(cls, numbers: Iterable[int]) -> "Serials":
        """Raises ValueError for one that no certificate may have."""
        try:
            return cls(b"".join(sorted([number.to_bytes(_WIDTH, "big") for number in numbers])))
        except OverflowError:
            raise ValueError("a serial number is longer than 20 octets, or negative") from None

    def __contains__(self, number: int) -> bool:
        if not 0 <= number < 1 << 8 * _WIDTH:
            return False
        wanted, low, high = number.to_bytes(_WIDTH, "big"), 0, len(self.packed) // _WIDTH
        while low < high:
            middle = (low + high) // 2
            found = self.packed[middle * _WIDTH : (middle + 1) * _WIDTH]
            if found == wanted:
                return True
            low, high = (middle + 1, high) if found < wanted else (low, middle)
        return False


class RevocationList(msgspec.Struct, frozen=True):
    """A list that its authority signed."""

    issuer: bytes  # the name, in DER
    serials: Serials
    start: datetime
    end: datetime


class Status(msgspec.Struct, frozen=True):
    """A signed answer about one certificate."""

    is_revoked: bool
    start: datetime
    end: datetime


class ListReader(msgspec.Struct, frozen=True):
    """Reads lists of one authority, also in another process: reading a large one stops everything else in its own."""

    issuer: bytes  # the authority's certificate, in DER

    def __call__(self, raw: bytes) -> RevocationList:
        """The list in DER or PEM. Raises OutboundError."""
        issuer = x509.load_der_x509_certificate(self.issuer)
        try:
            load = x509.load_pem_x509_crl if raw.lstrip().startswith(b"-----") else x509.load_der_x509_crl
            crl = load(raw)
            name, end = crl.issuer.public_bytes(), crl.next_update_utc
            is_signed = name == issuer.subject.public_bytes() and crl.is_signature_valid(_signing_key(issuer))
            _require(is_signed, "the list is not signed by the authority of the certificate")
            _require_usage(issuer)
            serials = Serials.of(_whole(crl))
        except (ValueError, TypeError, UnsupportedAlgorithm, x509.InvalidVersion) as error:
            raise OutboundError(f"the list of revoked certificates cannot be used: {error}") from error
        start = crl.last_update_utc
        return RevocationList(name, serials, start, end or start + AGE_WITHOUT_END)


def crl_reader(issuer: x509.Certificate) -> ListReader:
    """What reads the lists of this authority."""
    return ListReader(issuer.public_bytes(Encoding.DER))


def _require(passed: bool, otherwise: str) -> None:
    if not passed:
        raise ValueError(otherwise)


def _require_usage(issuer: x509.Certificate) -> None:
    try:
        usage = issuer.extensions.get_extension_for_class(x509.KeyUsage).value
    except x509.ExtensionNotFound:
        return
    _require(usage.crl_sign, "the authority's key is not for lists of revoked certificates")


def _whole(crl: x509.CertificateRevocationList) -> Iterator[int]:
    """The serial numbers of a list. Lists of a part are refused: what is not on them may be on another one."""
    for extension in crl.extensions:
        value = extension.value
        if isinstance(value, x509.IssuingDistributionPoint):
            is_part = value.only_contains_ca_certs or value.only_contains_attribute_certs or value.only_some_reasons
            _require(not is_part and not value.indirect_crl and not value.only_contains_user_certs, _SCOPED)
        else:
            _require(not isinstance(value, x509.DeltaCRLIndicator), _SCOPED)
            known = isinstance(value, x509.CRLNumber | x509.AuthorityKeyIdentifier)
            _require(known or not extension.critical, "the list demands an extension that is not supported")
    for entry in crl:
        for extension in entry.extensions:
            _require(not extension.critical, "the list demands an extension that is not supported")
        yield entry.serial_number


def _signing_key(
    certificate: x509.Certificate,
) -> rsa.RSAPublicKey | ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey:
    key = certificate.public_key()
    if not isinstance(key, rsa.RSAPublicKey | ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey):
        raise TypeError("the authority's key is of a kind that is not supported")
    return key


def ocsp_request(certificate: x509.Certificate, issuer: x509.Certificate) -> bytes:
    """A question about one certificate, in DER. SHA-1 only names the authority: every responder knows it."""
    return ocsp.OCSPRequestBuilder().add_certificate(certificate, issuer, SHA1()).build().public_bytes(Encoding.DER)  # noqa: S303


def ocsp_reader(certificate: x509.Certificate, issuer: x509.Certificate, now: datetime) -> Callable[[bytes], Status]:
    """The function that reads the answer about this certificate. It raises OutboundError."""

    def read(raw: bytes) -> Status:
        try:
            response = ocsp.load_der_ocsp_response(raw)
            status = response.response_status
            _require(status is ocsp.OCSPResponseStatus.SUCCESSFUL, f"the responder answered {status.name.lower()}")
            answers = [one for one in response.responses if one.serial_number == certificate.serial_number]
            answer = answers[0] if len(answers) == 1 else None
            _require(
                answer is not None and _is_about(answer, certificate, issuer), "the answer is about another certificate"
            )
            assert answer is not None
            _require(_is_signed(response, issuer, now), "the answer is not signed by the authority or for it")
            kind = answer.certificate_status
            _require(kind is not ocsp.OCSPCertStatus.UNKNOWN, "the responder does not know the certificate")
            start, end = answer.this_update_utc, answer.next_update_utc
        except (ValueError, TypeError, UnsupportedAlgorithm, x509.InvalidVersion) as error:
            raise OutboundError(f"the answer of the OCSP responder cannot be used: {error}") from error
        return Status(kind is ocsp.OCSPCertStatus.REVOKED, start, end or start + AGE_WITHOUT_END)

    return read


def _is_about(answer: ocsp.OCSPSingleResponse, certificate: x509.Certificate, issuer: x509.Certificate) -> bool:
    """Whether the answer names the certificate and its authority as a question with its hash would."""
    asked = ocsp.OCSPRequestBuilder().add_certificate(certificate, issuer, answer.hash_algorithm).build()
    names = (answer.issuer_name_hash, answer.issuer_key_hash, answer.serial_number)
    return names == (asked.issuer_name_hash, asked.issuer_key_hash, asked.serial_number)


def _is_signed(response: ocsp.OCSPResponse, issuer: x509.Certificate, now: datetime) -> bool:
    """Whether the authority signed the answer, or a responder that it made a certificate for (RFC 6960, 4.2.2.2)."""
    signers = [issuer]
    for delegate in response.certificates[:MOST_URLS]:
        try:
            purposes = delegate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
            delegate.verify_directly_issued_by(issuer)
        except (x509.ExtensionNotFound, ValueError, TypeError, InvalidSignature):
            continue
        is_valid = delegate.not_valid_before_utc <= now <= delegate.not_valid_after_utc
        if is_valid and ExtendedKeyUsageOID.OCSP_SIGNING in purposes:
            signers.append(delegate)
    return any(_has_signed(response, signer) for signer in signers)


def _has_signed(response: ocsp.OCSPResponse, signer: x509.Certificate) -> bool:
    key, signature, content = signer.public_key(), response.signature, response.tbs_response_bytes
    algorithm = response.signature_hash_algorithm
    try:
        if isinstance(key, rsa.RSAPublicKey) and algorithm is not None and algorithm.name != "sha1":
            key.verify(signature, content, padding.PKCS1v15(), algorithm)
        elif isinstance(key, ec.EllipticCurvePublicKey) and algorithm is not None and algorithm.name != "sha1":
            key.verify(signature, content, ec.ECDSA(algorithm))
        elif isinstance(key, ed25519.Ed25519PublicKey | ed448.Ed448PublicKey):
            key.verify(signature, content)
        else:
            return False
    except InvalidSignature:
        return False
    return True


def crl_urls(certificate: x509.Certificate) -> tuple[str, ...]:
    """Where the certificate says that the list of revoked ones is (RFC 5280, 4.2.1.13)."""
    try:
        points = certificate.extensions.get_extension_for_class(x509.CRLDistributionPoints).value
    except (x509.ExtensionNotFound, x509.DuplicateExtension, ValueError):
        return ()
    # A point of some reasons, or with a list of another authority, says less than is asked.
    names = [name for point in points if not point.reasons and not point.crl_issuer for name in point.full_name or ()]
    return tuple(name.value for name in names if isinstance(name, x509.UniformResourceIdentifier))[:MOST_URLS]


def ocsp_urls(certificate: x509.Certificate) -> tuple[str, ...]:
    """Where the certificate says that its OCSP responder is (RFC 5280, 4.2.2.1)."""
    try:
        access = certificate.extensions.get_extension_for_class(x509.AuthorityInformationAccess).value
    except (x509.ExtensionNotFound, x509.DuplicateExtension, ValueError):
        return ()
    places = [one.access_location for one in access if one.access_method == AuthorityInformationAccessOID.OCSP]
    return tuple(name.value for name in places if isinstance(name, x509.UniformResourceIdentifier))[:MOST_URLS]
