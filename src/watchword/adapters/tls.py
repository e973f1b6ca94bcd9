"""How Watchword verifies a server that it connects to: the one policy for HTTP, LDAP, mail and its own commands."""

import ssl

from watchword.domain.outbound import OutboundError

__all__ = ["verifying"]


def verifying(ca: str = "") -> ssl.SSLContext:
    """What a connection to a server verifies: chain, validity and name, from TLS 1.2 on, the same with every Python.

    `ca` is a PEM bundle that is trusted in place of the system's roots. What is trusted is an anchor, whether or not it
    is a root. Python 3.13 switched on VERIFY_X509_STRICT by default; it is off here. Private CAs, pasted or in the
    system's store, often lack what RFC 5280 section 4.2.1 asks of a public one, such as an Authority Key Identifier,
    and that says nothing of who holds the key.

    Raises OutsideError for a bundle that cannot be read.
    """
    try:
        context = ssl.create_default_context(cadata=ca or None)
    except (ssl.SSLError, ValueError, TypeError) as error:  # the latter two for a text that is not ASCII
        raise OutboundError("the configured CA certificate cannot be read") from error
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    return context
