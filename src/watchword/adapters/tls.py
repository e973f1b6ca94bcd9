"""The one policy by which Watchword verifies a server it connects to, for HTTP, LDAP, mail and its own commands."""

import ssl

from watchword.domain.authentication.pem import pem_text
from watchword.domain.outbound import OutboundError

__all__ = ["verifying"]


def verifying(ca: str = "") -> ssl.SSLContext:
    """The TLS context that verifies chain, validity and name of a server, from TLS 1.2 on, with every Python alike.

    `ca` is a bundle in PEM, or base64 of that, which is trusted in place of the system's roots. What is trusted is an
    anchor, whether or not it is a root. Python 3.13 switched on VERIFY_X509_STRICT by default; it is off here. Private
    CAs, pasted or in the system's store, often lack what RFC 5280 section 4.2.1 asks of a public one, such as an
    Authority Key Identifier, and that says nothing of who holds the key.

    Raises OutboundError for a bundle that cannot be read.
    """
    try:
        context = ssl.create_default_context(cadata=pem_text(ca) or None)
    except (ssl.SSLError, ValueError, TypeError) as error:  # the latter two for a text that is not ASCII
        raise OutboundError("the configured CA certificate cannot be read") from error
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    return context
