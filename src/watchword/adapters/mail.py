"""Mail by SMTP, where a server is configured."""

import asyncio
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from watchword.adapters.tls import verifying
from watchword.domain.outbound import OutboundError
from watchword.domain.secret import Secret

if TYPE_CHECKING:
    from email.message import EmailMessage


class SmtpMailer:
    """Send mail through `smtp://user:password@host:port` (STARTTLS) or `smtps://`; without a URL nothing is sent."""

    def __init__(self, url: Secret | None, sender: str) -> None:
        self._url = url
        self._sender = sender

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
        except (OSError, smtplib.SMTPException) as error:
            raise OutboundError(f"the mail server refused: {type(error).__name__}") from error

    @staticmethod
    def _deliver(url: str, message: "EmailMessage") -> None:
        import smtplib  # noqa: PLC0415 - as above

        parts = urlsplit(url)
        host, context = parts.hostname or "localhost", verifying()
        if parts.scheme == "smtps":
            server: smtplib.SMTP = smtplib.SMTP_SSL(host, parts.port or 465, timeout=15, context=context)
        else:
            server = smtplib.SMTP(host, parts.port or 587, timeout=15)
        with server:
            if parts.scheme != "smtps" and server.has_extn("starttls"):
                server.starttls(context=context)
            if parts.username:
                server.login(unquote(parts.username), unquote(parts.password or ""))
            server.send_message(message)
