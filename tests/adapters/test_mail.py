"""Mail: nothing is sent in the clear to another machine, unless the operator says so."""

import asyncio
import email

import pytest

from tests.adapters.test_tls import mailbox
from watchword.adapters import mail
from watchword.adapters.mail import SmtpMailer
from watchword.domain.outbound import OutboundError
from watchword.domain.secret import Secret


async def test_a_server_that_offers_no_tls_gets_mail_only_on_this_machine_or_by_a_setting(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    mails: list[str] = []
    server = await asyncio.start_server(mailbox(mails), "127.0.0.1", 0)
    url = Secret(f"smtp://127.0.0.1:{server.sockets[0].getsockname()[1]}")
    async with server:
        await SmtpMailer(url, "watchword@example.com").send("ada@example.com", "One", "Here.")
        monkeypatch.setattr(mail, "_THIS_MACHINE", frozenset())
        with pytest.raises(OutboundError, match="offers no TLS: set WATCHWORD_SMTP_PLAIN"):
            await SmtpMailer(url, "watchword@example.com").send("ada@example.com", "Two", "Not here.")
        plain = SmtpMailer(url, "watchword@example.com", allows_plain=True)
        await plain.send("ada@example.com, bob@example.com", "Three", "Here.")

    found = [email.message_from_string(one) for one in mails]
    assert ["One", "Three"] == [one["Subject"] for one in found]
    assert "ada@example.com, bob@example.com" == found[1]["To"]
