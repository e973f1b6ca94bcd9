"""Clouds on loopback, in their real wire form: TLS under their own names, moto behind a check of the signature."""

import contextlib
import datetime as dt
import functools
import hmac
import io
import ipaddress
import ssl
import threading
import time

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID
from werkzeug.serving import make_server

from watchword.adapters.outbound import GuardedOutbound
from watchword.methods.base import Checks, Given, Operator

UTC = dt.UTC


def milliseconds():
    return int(time.time() * 1000)


def given(outbound=None, *, now=None, certificate=None, operator=None):
    return Given(
        now=now or milliseconds(),
        identity_id="an-identity",
        outbound=outbound,
        checks=Checks(),
        certificate=certificate,
        operator=operator or Operator(),
    )


def pem(certificate):
    if isinstance(certificate, x509.Certificate):
        return certificate.public_bytes(Encoding.PEM).decode()
    return certificate.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


def name(common):
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)] if common else [])


def certificate(subject, key, *, issuer=None, signer=None, start=None, end=None, extensions=()):
    """A certificate with exactly these extensions; self-signed without an issuer."""
    now = dt.datetime.now(UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject if isinstance(subject, x509.Name) else name(subject))
        .issuer_name(issuer.subject if issuer else (subject if isinstance(subject, x509.Name) else name(subject)))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(start or now - dt.timedelta(hours=1))
        .not_valid_after(end or now + dt.timedelta(hours=1))
    )
    for extension, critical in extensions:
        builder = builder.add_extension(extension, critical)
    return builder.sign(signer or key, SHA256())


def authority(common, **options):
    key = ec.generate_private_key(ec.SECP256R1())
    return certificate(
        common, key, extensions=[(x509.BasicConstraints(ca=True, path_length=None), True)], **options
    ), key


class Trust:
    """A CA for loopback servers, with a TLS context for any names."""

    def __init__(self, folder):
        self.folder, (self.certificate, self.key) = folder, authority("loopback CA")
        self.pem = pem(self.certificate)

    def files(self, *names):
        key = ec.generate_private_key(ec.SECP256R1())
        sans = [x509.IPAddress(ipaddress.ip_address(n)) if n[0].isdigit() else x509.DNSName(n) for n in names]
        leaf = certificate(
            names[0][:60],
            key,
            issuer=self.certificate,
            signer=self.key,
            extensions=[(x509.SubjectAlternativeName(sans), False)],
        )
        (self.folder / "server.pem").write_text(pem(leaf))
        (self.folder / "server.key").write_text(pem(key))
        (self.folder / "ca.pem").write_text(self.pem)
        return self.folder / "server.pem", self.folder / "server.key"

    def context(self, *names):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*self.files(*names))
        return context


@contextlib.contextmanager
def serving(app, context=None):
    """A WSGI application on a free port of loopback."""
    server = make_server("127.0.0.1", 0, app, threaded=True, ssl_context=context)
    server.log = lambda *_: None  # type: ignore[method-assign]
    server.RequestHandlerClass.log = lambda *_: None  # type: ignore[attr-defined]
    thread = threading.Thread(target=functools.partial(server.serve_forever, 0.02), daemon=True)
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@contextlib.asynccontextmanager
async def way_out(port, roots, names, **options):
    """The real outbound client with every host on loopback at `port`; `names` may be reached there."""

    async def resolve(_host, _port):
        return [("127.0.0.1", port)]

    outbound = GuardedOutbound(clock=milliseconds, roots=roots, allowed_private_hosts=names, resolve=resolve, **options)
    try:
        yield outbound
    finally:
        await outbound.close()


class Sts:
    """An STS that checks signatures as AWS does, and leaves the answer to moto; it remembers what arrived."""

    def __init__(self, moto):
        self.moto, self.seen, self.secrets, self.answer = moto, [], {}, None

    def __call__(self, environ, start):
        body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        headers = {k[5:].replace("_", "-").lower(): v for k, v in environ.items() if k.startswith("HTTP_")}
        headers |= {
            k.replace("_", "-").lower(): environ[k] for k in ("CONTENT_TYPE", "CONTENT_LENGTH") if environ.get(k)
        }
        self.seen.append((environ["REQUEST_METHOD"], environ["PATH_INFO"], headers, body))
        if self.answer:
            status, kind, text = self.answer
            start(status, [("Content-Type", kind), ("Content-Length", str(len(text)))])
            return [text]
        if not self.is_signed(environ["REQUEST_METHOD"], environ["PATH_INFO"], headers, body):
            text = b"<ErrorResponse><Error><Code>SignatureDoesNotMatch</Code></Error></ErrorResponse>"
            start("403 Forbidden", [("Content-Type", "text/xml"), ("Content-Length", str(len(text)))])
            return [text]
        environ["wsgi.input"] = io.BytesIO(body)
        return self.moto(environ, start)

    def is_signed(self, method, path, headers, body):
        scheme, _, rest = headers["authorization"].partition(" ")
        parts = dict(part.strip().split("=", 1) for part in rest.split(","))
        key, _, region, service, _ = parts["Credential"].split("/")
        signed = parts["SignedHeaders"].split(";")
        if scheme != "AWS4-HMAC-SHA256" or key not in self.secrets or not set(signed) <= headers.keys():
            return False
        request = AWSRequest(
            method, f"https://{headers['host']}{path}", data=body, headers={n: headers[n] for n in signed}
        )
        request.context["timestamp"] = headers["x-amz-date"]
        signer = SigV4Auth(Credentials(key, self.secrets[key]), service, region)
        return hmac.compare_digest(
            signer.signature(signer.string_to_sign(request, signer.canonical_request(request)), request),
            parts["Signature"],
        )
