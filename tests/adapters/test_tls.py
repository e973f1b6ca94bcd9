"""One policy for every server that Watchword connects to, on every Python."""

import ast
import asyncio
import datetime as dt
import email
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from tests.methods.doubles.web import CA, Site, json_reply, server_context
from tests.minting import private
from watchword.adapters.mail import SmtpMailer
from watchword.adapters.tls import verifying
from watchword.app import https
from watchword.domain.outbound import OutboundError
from watchword.domain.secret import Secret

SOURCE = Path(__file__).parent.parent.parent / "src"
NOW = dt.datetime.now(dt.UTC)


def certificate(
    subject: str, key: str, by: str, by_key: str, *extensions: tuple[x509.ExtensionType, bool], days: int = 30
) -> str:
    def named(text: str) -> x509.Name:
        return x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, text)])

    start, end = sorted((NOW - dt.timedelta(days=1), NOW + dt.timedelta(days=days)))
    built = x509.CertificateBuilder(
        named(by), named(subject), private(key).public_key(), x509.random_serial_number(), start, end
    )
    for extension, critical in extensions:
        built = built.add_extension(extension, critical)
    return built.sign(private(by_key), hashes.SHA256()).public_bytes(Encoding.PEM).decode()


NAME = (x509.SubjectAlternativeName([x509.DNSName("server.test")]), False)
IS_CA, IS_CA_UNMARKED, IS_NONE = (
    (x509.BasicConstraints(ca=True, path_length=None), True),
    (x509.BasicConstraints(ca=True, path_length=None), False),
    (x509.BasicConstraints(ca=False, path_length=None), True),
)
LEAF = certificate("server", "p256", "CA", "p384", NAME)
MADE_BY_HAND = {
    "without any key identifier": certificate("CA", "p384", "CA", "p384", IS_CA),
    "whose constraint is not critical": certificate("CA", "p384", "CA", "p384", IS_CA_UNMARKED),
    "that another one signed": certificate("CA", "p384", "root", "rsa", IS_CA),
}
REFUSED = {
    "of another CA": (certificate("CA", "rsa", "CA", "rsa", IS_CA), LEAF, "server.test"),
    "for another name": (MADE_BY_HAND["without any key identifier"], LEAF, "other.test"),
    "with the name only in its subject": (
        MADE_BY_HAND["without any key identifier"],
        certificate("other.test", "p256", "CA", "p384", NAME),
        "other.test",
    ),
    "that has expired": (
        MADE_BY_HAND["without any key identifier"],
        certificate("server", "p256", "CA", "p384", NAME, days=-30),
        "server.test",
    ),
    "of a CA that has expired": (certificate("CA", "p384", "CA", "p384", IS_CA, days=-30), LEAF, "server.test"),
    "signed by what is no CA": (
        MADE_BY_HAND["without any key identifier"],
        certificate("server", "p256", "middle", "p256", NAME) + certificate("middle", "p256", "CA", "p384", IS_NONE),
        "server.test",
    ),
}


def presenting(chain: str, folder: Path) -> ssl.SSLContext:
    file = folder / "server.pem"
    file.write_bytes(chain.encode() + private("p256").private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file)
    return context


def shake_hands(client: ssl.SSLContext, server: ssl.SSLContext, name: str) -> None:
    up, down = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends = [client.wrap_bio(down, up, server_hostname=name), server.wrap_bio(up, down, server_side=True)]
    waiting = list(ends)
    while waiting:
        for end in list(waiting):
            try:
                end.do_handshake()
                waiting.remove(end)
            except ssl.SSLWantReadError:
                continue


def pasted(ca: str, _: Path, __: pytest.MonkeyPatch) -> ssl.SSLContext:
    return verifying(ca)


def in_the_system_s_store(ca: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> ssl.SSLContext:
    (folder / "roots.pem").write_text(ca)
    monkeypatch.setenv("SSL_CERT_FILE", str(folder / "roots.pem"))
    monkeypatch.setenv("SSL_CERT_DIR", str(folder / "none"))
    return verifying()


Trusting = Callable[[str, Path, pytest.MonkeyPatch], ssl.SSLContext]
BOTH_WAYS = pytest.mark.parametrize("trusting", [pasted, in_the_system_s_store])


@BOTH_WAYS
@pytest.mark.parametrize("ca", MADE_BY_HAND.values(), ids=MADE_BY_HAND)
def test_a_private_ca_is_taken_though_it_lacks_what_a_public_one_has(
    ca: str, trusting: Trusting, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shake_hands(trusting(ca, tmp_path, monkeypatch), presenting(LEAF, tmp_path), "server.test")


@BOTH_WAYS
@pytest.mark.parametrize(("ca", "chain", "name"), REFUSED.values(), ids=REFUSED)
def test_a_server_is_refused_whose_certificate_is_one(
    ca: str, chain: str, name: str, trusting: Trusting, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ssl.SSLCertVerificationError):
        shake_hands(trusting(ca, tmp_path, monkeypatch), presenting(chain, tmp_path), name)


def test_a_server_that_knows_only_tls_1_1_is_refused(tmp_path: Path) -> None:
    server = presenting(LEAF, tmp_path)
    with pytest.warns(DeprecationWarning, match="TLSv1"):
        server.minimum_version, server.maximum_version = ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1
    server.set_ciphers("ALL:@SECLEVEL=0")
    client = verifying(MADE_BY_HAND["without any key identifier"])
    client.set_ciphers("ALL:@SECLEVEL=0")

    with pytest.raises(ssl.SSLError):
        shake_hands(client, server, "server.test")


@pytest.mark.parametrize(
    "text", ["no certificate", "naïve", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"]
)
def test_a_bundle_that_cannot_be_read_is_called_so(text: str) -> None:
    with pytest.raises(OutboundError, match="CA certificate cannot be read"):
        verifying(text)


async def test_mail_goes_to_a_server_of_a_private_ca_and_to_none_of_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mails: list[str] = []
    server = await asyncio.start_server(mailbox(mails), "127.0.0.1", 0, ssl=server_context(["127.0.0.1"]))
    port = server.sockets[0].getsockname()[1]
    mailer = SmtpMailer(Secret(f"smtps://127.0.0.1:{port}"), "watchword@example.com")
    async with server:
        in_the_system_s_store(CA, tmp_path, monkeypatch)
        await mailer.send("ada@example.com", "A link", "Here it is.")
        assert [email.message_from_string(mail)["Subject"] for mail in mails] == ["A link"]

        in_the_system_s_store(MADE_BY_HAND["without any key identifier"], tmp_path, monkeypatch)
        with pytest.raises(OutboundError):
            await mailer.send("ada@example.com", "Another", "Not here.")
        assert len(mails) == 1


def mailbox(mails: list[str]) -> Callable[[Any, Any], Any]:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 mailbox\r\n")
        while line := await reader.readline():
            if line.upper() == b"DATA\r\n":
                writer.write(b"354 go on\r\n")
                mails.append((await reader.readuntil(b"\r\n.\r\n")).decode())
            writer.write(b"221 bye\r\n" if line.upper() == b"QUIT\r\n" else b"250 well\r\n")
            await writer.drain()
        writer.close()

    return serve


async def test_a_command_asks_a_server_of_a_private_ca(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    in_the_system_s_store(CA, tmp_path, monkeypatch)
    async with Site() as site:
        site.routes["/"] = json_reply({"answer": 42})
        async with httpx.AsyncClient(verify=https(), trust_env=False) as client:
            assert (await client.get(site.url)).json() == {"answer": 42}


def test_no_other_place_says_how_a_server_is_verified() -> None:
    elsewhere = []
    for path in SOURCE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call):
                called = ast.unparse(node.func).removeprefix("ssl.")
                by_httpx = called in {
                    "httpx.Client",
                    "httpx.AsyncClient",
                    "httpx.request",
                    "httpx.get",
                    "httpx.post",
                    "httpx.stream",
                }
                loose = by_httpx and not {keyword.arg for keyword in node.keywords} & {"verify", "transport"}
                serving = called == "SSLContext" and "PROTOCOL_TLS_SERVER" in ast.unparse(node)
                if (
                    called in {"create_default_context", "SSLContext", "_create_unverified_context"} and not serving
                ) or loose:
                    elsewhere.append(f"{path.relative_to(SOURCE)}:{node.lineno}: {called}")

    # The demo asks its own server on loopback, without TLS.
    assert [
        place for place in elsewhere if not place.startswith(("watchword/adapters/tls.py:", "watchword/cli/demo.py:"))
    ] == []
