"""Mail by SMTP, where a server is configured."""

import asyncio
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from watchword.adapters.tls import verifying
from watchword.domain.outbound import OutboundError
from watchword.domain.secret import Secret

if TYPE_CHECKING:
    from email.message import EmailMessage


_THIS_MACHINE = frozenset({"localhost", "127.0.0.1", "::1"})


class _NoTls(Exception):
    """The mail server offers no TLS."""


class SmtpMailer:
    """Send mail through `smtp://user:password@host:port` (STARTTLS) or `smtps://`; without a URL nothing is sent.

    A server that offers no TLS gets nothing, unless it is on this machine or `allows_plain` says that it may: mails
    hold links that open accounts, and the password would be readable too.
    """

    def __init__(self, url: Secret | None, sender: str, *, allows_plain: bool = False) -> None:
        self._url = url
        self._sender = sender
        self._allows_plain = allows_plain

    @property
    def is_configured(self) -> bool:
        """Whether there is a mail server."""
        return self._url is not None

    async def send(self, to: str, subject: str, text: str) -> None:
        """Send one mail. Raises OutboundError."""
        if self._url is None:
            raise OutboundError("no mail server is configured")
        import smtplib  # noqa: PLC0415 - slow to import, and few servers send mail
        from email.message import EmailMessage  # noqa: PLC0415

        message = EmailMessage()
        message["From"], message["To"], message["Subject"] = self._sender or "watchword@localhost", to, subject
        message.set_content(text)
        try:
            await asyncio.to_thread(self._deliver, self._url.reveal(), message)
        except _NoTls as error:
            raise OutboundError("the mail server offers no TLS: set WATCHWORD_SMTP_PLAIN to send without it") from error
        except (OSError, smtplib.SMTPException) as error:
            raise OutboundError(f"the mail server refused: {type(error).__name__}") from error

    def _deliver(self, url: str, message: "EmailMessage") -> None:
        import smtplib  # noqa: PLC0415 - as above

        parts = urlsplit(url)
        host, context = parts.hostname or "localhost", verifying()
        if parts.scheme == "smtps":
            server: smtplib.SMTP = smtplib.SMTP_SSL(host, parts.port or 465, timeout=15, context=context)
        else:
            server = smtplib.SMTP(host, parts.port or 587, timeout=15)
        with server:
            if parts.scheme != "smtps":
                server.ehlo()
                if server.has_extn("starttls"):
                    server.starttls(context=context)
                elif not self._allows_plain and host not in _THIS_MACHINE:
                    raise _NoTls
            if parts.username:
                server.login(unquote(parts.username), unquote(parts.password or ""))
            server.send_message(message)
