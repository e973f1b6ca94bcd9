"""A small HTTP/1.1 server over TLS with a CA of its own, on loopback: what outside servers look like on the wire."""

import asyncio
import contextlib
import datetime as dt
import ipaddress
import json
import ssl
import tempfile
from dataclasses import dataclass, field

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from tests.minting import private


@dataclass
class Request:
    method: str
    path: str
    headers: dict
    body: bytes

    @property
    def json(self):
        return json.loads(self.body)


@dataclass
class Reply:
    body: bytes = b""
    status: int = 200
    headers: dict = field(default_factory=dict)


def json_reply(value, status=200):
    return Reply(json.dumps(value).encode(), status, {"content-type": "application/json"})


def keys_reply(*keys):
    """A key set as RFC 7517 names it: a Kubernetes API server has no other name for one."""
    return Reply(json.dumps({"keys": keys}).encode(), 200, {"content-type": "application/jwk-set+json"})


def accepts(accepted, reply):
    """Whether a client that sent `accepted` can be given the reply (RFC 9110 section 12.5.1)."""
    kind = reply.headers.get("content-type", "").partition(";")[0].strip()
    ranges = [part.partition(";")[0].strip() for part in accepted.split(",")]
    return not kind or not accepted or kind in ranges or "*/*" in ranges or f"{kind.partition('/')[0]}/*" in ranges


def certificate(subject, key, *, issuer=None, issuer_key=None, names=(), days=30, ca=False):
    """PEM of a certificate for `key`, signed by `issuer_key`, good for `names`."""
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, subject)])
    by = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, issuer or subject)])
    now = dt.datetime.now(dt.UTC)
    start, end = sorted((now - dt.timedelta(days=1), now + dt.timedelta(days=days)))
    built = x509.CertificateBuilder(
        by, name, private(key).public_key(), x509.random_serial_number(), start, end
    ).add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
    if names:
        built = built.add_extension(x509.SubjectAlternativeName([_name(n) for n in names]), critical=False)
    return built.sign(private(issuer_key or key), hashes.SHA256()).public_bytes(Encoding.PEM).decode()


def _name(text):
    try:
        return x509.IPAddress(ipaddress.ip_address(text))
    except ValueError:
        return x509.DNSName(text)


CA = certificate("double CA", "p384", ca=True)


def server_context(names, *, days=30):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    pem = certificate("double", "p256", issuer="double CA", issuer_key="p384", names=names, days=days)
    with tempfile.NamedTemporaryFile("wb", suffix=".pem") as file:
        file.write(pem.encode() + private("p256").private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        file.flush()
        context.load_cert_chain(file.name)
    return context


class Site:
    """Answers each path from `routes`: a Reply, or a callable (async or not) of the Request.

    Keeps what it was asked. A reply whose content type the client does not accept becomes 406, as real servers do.
    """

    def __init__(self, *, names=("127.0.0.1", "localhost"), tls=True, days=30):
        self.routes = {}
        self.requests = []
        self.connections = 0
        self.names: list[str | None] = []  # what clients asked for by SNI
        self.ca = CA
        self._context = server_context(names, days=days) if tls else None
        if self._context:
            self._context.sni_callback = lambda _sock, name, _context: self.names.append(name)

    async def __aenter__(self):
        self._tasks = set()
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=self._context)
        self.port = self._server.sockets[0].getsockname()[1]
        self.url = f"{'https' if self._context else 'http'}://127.0.0.1:{self.port}"
        return self

    async def __aexit__(self, *_):
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._server.wait_closed()

    def asked(self, path):
        return [request for request in self.requests if request.path == path]

    async def _serve(self, reader, writer):
        task = asyncio.current_task()
        self._tasks.add(task)
        self.connections += 1
        with contextlib.suppress(asyncio.IncompleteReadError, asyncio.CancelledError, OSError):
            try:
                while True:
                    await self._one(reader, writer)
            finally:
                self._tasks.discard(task)
                writer.transport.abort()  # waits for no farewell of the client

    async def _one(self, reader, writer):
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        method, path, _ = head[0].split(" ")
        headers = dict(line.split(": ", 1) for line in head[1:] if line)
        headers = {name.lower(): value for name, value in headers.items()}
        body = await reader.readexactly(int(headers.get("content-length", 0)))
        request = Request(method, path, headers, body)
        self.requests.append(request)
        reply = self.routes.get(path.partition("?")[0], Reply(b"not found", 404))
        if callable(reply):
            reply = reply(request)
        if asyncio.iscoroutine(reply):
            reply = await reply
        if not accepts(headers.get("accept", ""), reply):
            reply = Reply(b"406: Not Acceptable", 406)
        lines = [
            f"HTTP/1.1 {reply.status} X",
            f"content-length: {len(reply.body)}",
            *(f"{n}: {v}" for n, v in reply.headers.items()),
        ]
        writer.write("\r\n".join(lines).encode() + b"\r\n\r\n" + reply.body)
        await writer.drain()
