"""Ask whether a client certificate was revoked: an OCSP responder, or a list of its authority."""

from datetime import datetime, timedelta

import msgspec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.x509 import Certificate

from watchword.domain.authentication.revocation import (
    RevocationList,
    Status,
    crl_reader,
    crl_urls,
    ocsp_reader,
    ocsp_request,
    ocsp_urls,
)
from watchword.methods.base import Given, OutboundError

__all__ = ["RevocationSources", "is_revoked"]


class RevocationSources(msgspec.Struct, frozen=True, kw_only=True):
    """Who is asked: the responder and the lists of a configuration, where it has any."""

    by_ocsp: bool
    by_list: bool
    responder: str
    lists: tuple[str, ...]


async def is_revoked(
    sources: RevocationSources, certificate: Certificate, issuer: Certificate, now: datetime, given: Given
) -> bool:
    """Whether the authority says that the certificate was revoked: the first answer that can be believed counts.

    The certificate itself says where to ask only where the operator allows that: whoever holds it chose what it says.
    Raises OutboundError where nobody can say.
    """
    trusts, tag = given.operator.trusts_certificate_urls, issuer.fingerprint(SHA256()).hex()
    leeway = timedelta(seconds=given.operator.leeway)
    responders = (sources.responder,) if sources.responder else ocsp_urls(certificate) if trusts else ()
    lists = sources.lists or (crl_urls(certificate) if trusts else ())
    fault = OutboundError("nobody is known who could say whether the certificate was revoked")

    def is_current(answer: Status | RevocationList) -> bool:
        return answer.start - leeway <= now <= answer.end

    question, read_status = ocsp_request(certificate, issuer), ocsp_reader(certificate, issuer, now)
    for url in responders if sources.by_ocsp else ():
        try:
            status = await given.outbound.loaded(url, read_status, tag=tag, is_current=is_current, body=question)
        except OutboundError as error:
            fault = error
            continue
        if is_current(status):
            return status.is_revoked
        fault = OutboundError(f"the answer of {url[:300]} is from another time")
    for url in lists if sources.by_list else ():
        try:
            listed = await given.outbound.loaded(url, crl_reader(issuer), tag=tag, is_current=is_current)
        except OutboundError as error:
            fault = error
            continue
        if is_current(listed):
            return certificate.serial_number in listed.serials
        fault = OutboundError(f"the list at {url[:300]} is from another time")
    raise fault
