"""Revoked client certificates: real lists and a real OCSP responder on loopback, over the guarded client."""

import asyncio
import datetime as dt
import multiprocessing
import threading

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import ocsp
from cryptography.x509.oid import AuthorityInformationAccessOID, ExtendedKeyUsageOID

from tests.methods.clouds import Trust, authority, certificate, given, milliseconds, pem, serving, way_out
from tests.methods.test_tls_cert import CA, CA_KEY, CLIENT, client, intermediate
from watchword.domain.errors import Denied, Invalid
from watchword.methods.base import Operator
from watchword.methods.tls_cert import Config, Login, check, verify

HOUR = dt.timedelta(hours=1)
CRL, OCSP = "https://pki.test/ca.crl", "https://pki.test/ocsp"
TRUSTING = Operator(trusts_certificate_urls=True)


def utc():
    return dt.datetime.now(dt.UTC)


def crl(*revoked, issuer=CA, key=CA_KEY, end=HOUR, start=-HOUR, extensions=()):
    builder = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(issuer.subject)
        .last_update(utc() + start)
        .next_update(utc() + end)
    )
    for one in revoked:
        entry = x509.RevokedCertificateBuilder().serial_number(one.serial_number).revocation_date(utc() - HOUR)
        builder = builder.add_revoked_certificate(entry.build())
    for extension, critical in extensions:
        builder = builder.add_extension(extension, critical)
    return builder.sign(key, SHA256())


class Pki:
    """A web server with lists, and a responder that answers as `status` says."""

    def __init__(self):
        self.files, self.seen, self.revoked, self.status = {}, [], (), "200 OK"
        self.outbound, self.port, self.roots = None, 0, ""  # set by the fixture
        self.gate = None
        self.issuer, self.signer, self.key, self.delegates, self.end = CA, CA, CA_KEY, (), HOUR

    def __call__(self, environ, start):
        path = environ["PATH_INFO"]
        if self.gate is not None:
            self.gate.wait(20)
        self.seen.append((environ["REQUEST_METHOD"], path))
        if path == "/ocsp":
            content = self.answer(environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"])))
        else:
            content = self.files.get(path, b"")
        start(self.status if content else "404 Not Found", [("Content-Length", str(len(content)))])
        return [content]

    def answer(self, question):
        asked = ocsp.load_der_ocsp_request(question)
        builder = ocsp.OCSPResponseBuilder().add_response_by_hash(
            issuer_name_hash=asked.issuer_name_hash,
            issuer_key_hash=asked.issuer_key_hash,
            serial_number=asked.serial_number,
            algorithm=asked.hash_algorithm,
            cert_status=ocsp.OCSPCertStatus.REVOKED
            if asked.serial_number in self.revoked
            else ocsp.OCSPCertStatus.GOOD,
            this_update=utc() - 2 * HOUR,
            next_update=utc() + self.end,
            revocation_time=utc() - HOUR if asked.serial_number in self.revoked else None,
            revocation_reason=None,
        )
        builder = builder.responder_id(ocsp.OCSPResponderEncoding.HASH, self.signer)
        if self.delegates:
            builder = builder.certificates(list(self.delegates))
        return builder.sign(self.key, SHA256()).public_bytes(Encoding.DER)


@pytest.fixture
async def pki(tmp_path):
    pki, trust = Pki(), Trust(tmp_path)
    with serving(pki, trust.context("pki.test")) as port:
        async with way_out(port, trust.pem, ["pki.test"]) as outbound:
            pki.outbound, pki.port, pki.roots = outbound, port, trust.pem
            yield pki


def by_list(**more):
    return Config(**{"ca_certificate": pem(CA), "revocation_check": "crl", "crl_urls": (CRL,)} | more)


def by_ocsp(**more):
    return Config(**{"ca_certificate": pem(CA), "revocation_check": "ocsp", "ocsp_url": OCSP} | more)


async def proved(pki, config, *chain, operator=None, now=None):
    operator = operator or Operator()
    text = "".join(map(pem, chain))
    return await verify(
        check(config, operator),
        Login(identity_id="an-identity"),
        given(pki.outbound, certificate=text, operator=operator, now=now),
    )


async def refused(pki, config, *chain, **more):
    with pytest.raises(Denied) as denied:
        await proved(pki, config, *chain, **more)
    return denied.value.reason


@pytest.mark.parametrize("encoding", [Encoding.DER, Encoding.PEM])
async def test_a_certificate_on_the_list_of_its_authority_is_refused_and_others_are_not(pki, encoding):
    good, bad = client(), client("bad")
    pki.files["/ca.crl"] = crl(bad).public_bytes(encoding)

    assert await proved(pki, by_list(), good)
    assert await refused(pki, by_list(), bad) == "certificate_revoked"
    assert pki.seen == [("GET", "/ca.crl")]  # the second login found the list in the cache


@pytest.mark.parametrize(
    "make",
    [
        lambda: b"nonsense",
        lambda: b"",
        lambda: crl(key=ec.generate_private_key(ec.SECP256R1())).public_bytes(Encoding.DER),
        lambda: crl(issuer=authority("other")[0]).public_bytes(Encoding.DER),
        lambda: crl(end=-HOUR / 2).public_bytes(Encoding.DER),
        lambda: crl(start=HOUR / 2).public_bytes(Encoding.DER),
        lambda: crl(extensions=[(x509.DeltaCRLIndicator(1), True)]).public_bytes(Encoding.DER),
        lambda: crl(
            extensions=[
                (x509.IssuingDistributionPoint(None, None, False, True, None, False, False), True),
            ]
        ).public_bytes(Encoding.DER),
        lambda: b"\x30" * (2 << 20),
    ],
    ids=["nonsense", "missing", "forged", "of others", "ended", "not yet", "delta", "of a part", "of no form"],
)
async def test_a_list_that_cannot_be_believed_refuses_unless_the_configuration_allows_it(pki, make):
    pki.files["/ca.crl"] = make()

    assert await refused(pki, by_list(), client()) == "revocation_unavailable"
    assert await proved(pki, by_list(revocation_unavailable="allow"), client())


async def test_a_list_is_read_by_ocsp_where_it_does_not_answer_and_the_other_way_round(pki):
    bad = client("bad")
    both = by_ocsp(revocation_check="ocsp-or-crl", crl_urls=(CRL,))
    pki.files["/ca.crl"] = crl(bad).public_bytes(Encoding.DER)
    pki.key = ec.generate_private_key(ec.SECP256R1())

    assert await refused(pki, both, bad) == "certificate_revoked"
    assert await proved(pki, both, client())


async def test_a_responder_of_the_authority_says_who_was_revoked(pki):
    good, bad = client(), client("bad")
    pki.revoked = {bad.serial_number}

    assert await proved(pki, by_ocsp(), good)
    assert await proved(pki, by_ocsp(), good)
    assert await refused(pki, by_ocsp(), bad) == "certificate_revoked"
    assert pki.seen == [("POST", "/ocsp")] * 2


def delegate(purpose=ExtendedKeyUsageOID.OCSP_SIGNING, **options):
    key = ec.generate_private_key(ec.SECP256R1())
    made = {"issuer": CA, "signer": CA_KEY} | options
    return certificate("responder", key, extensions=[(x509.ExtendedKeyUsage([purpose]), False)], **made), key


async def test_an_answer_may_be_signed_by_a_responder_that_the_authority_named(pki):
    pki.signer, pki.key = delegate()
    pki.delegates = (pki.signer,)

    assert await proved(pki, by_ocsp(), client())


@pytest.mark.parametrize(
    "make",
    [
        lambda: delegate(ExtendedKeyUsageOID.CLIENT_AUTH),
        lambda: delegate(issuer=None, signer=None),
        lambda: delegate(start=utc() - 3 * HOUR, end=utc() - HOUR),
    ],
)
async def test_an_answer_of_any_other_is_not_believed(pki, make):
    pki.signer, pki.key = make()
    pki.delegates = (pki.signer,)

    assert await refused(pki, by_ocsp(), client()) == "revocation_unavailable"


async def test_an_answer_that_has_ended_or_an_error_is_no_answer(pki):
    pki.end = -HOUR
    assert await refused(pki, by_ocsp(), client()) == "revocation_unavailable"
    pki.end, pki.status = HOUR, "503 Busy"
    assert await refused(pki, by_ocsp(), client("other")) == "revocation_unavailable"


async def test_an_authority_below_the_configured_one_is_asked_about_too(pki):
    branch, key = intermediate()
    leaf = client(issuer=branch, signer=key)
    second = "https://pki.test/branch.crl"
    using = by_list(crl_urls=(CRL, second), verify_client_certificate_chain=True)
    pki.files |= {
        "/ca.crl": crl().public_bytes(Encoding.DER),
        "/branch.crl": crl(issuer=branch, key=key).public_bytes(Encoding.DER),
    }
    assert await proved(pki, using, leaf, branch)

    async with way_out(pki.port, pki.roots, ["pki.test"]) as pki.outbound:
        pki.files["/ca.crl"] = crl(branch).public_bytes(Encoding.DER)
        assert await refused(pki, using, leaf, branch) == "certificate_revoked"


async def test_the_certificate_says_where_only_where_the_operator_allows_it(pki):
    point = x509.DistributionPoint([x509.UniformResourceIdentifier(CRL)], None, None, None)
    access = x509.AccessDescription(AuthorityInformationAccessOID.OCSP, x509.UniformResourceIdentifier(OCSP))
    bad = client(
        extensions=(
            CLIENT,
            (x509.CRLDistributionPoints([point]), False),
            (x509.AuthorityInformationAccess([access]), False),
        )
    )
    pki.files["/ca.crl"], pki.revoked = crl(bad).public_bytes(Encoding.DER), {bad.serial_number}

    for mode in ("crl", "ocsp"):
        using = Config(ca_certificate=pem(CA), revocation_check=mode)
        assert await refused(pki, using, bad, operator=TRUSTING) == "certificate_revoked"
        with pytest.raises(Invalid):
            check(using)
    either = Config(ca_certificate=pem(CA), revocation_check="ocsp-or-crl")
    assert await refused(pki, either, bad) == "revocation_unavailable"


async def test_a_list_inside_the_house_is_not_fetched_unless_the_operator_named_the_host(pki):
    pki.files["/ca.crl"] = crl().public_bytes(Encoding.DER)
    async with way_out(pki.port, pki.roots, []) as pki.outbound:
        assert await refused(pki, by_list(), client()) == "revocation_unavailable"
    async with way_out(pki.port, pki.roots, ["pki.test"]) as pki.outbound:
        assert await refused(pki, by_list(crl_urls=("http://pki.test/ca.crl",)), client()) == "revocation_unavailable"
    assert pki.seen == []


@pytest.mark.parametrize("url", ["ftp://x/y", "file:///etc/passwd", "https://", "ca.crl"])
def test_a_url_of_another_form_is_refused_when_it_is_stored(url):
    for using in (by_list(crl_urls=(url,)), by_ocsp(ocsp_url=url)):
        with pytest.raises(Invalid):
            check(using)


async def test_the_end_of_a_list_is_that_of_the_given_time(pki):
    pki.files["/ca.crl"] = crl(end=HOUR / 2).public_bytes(Encoding.DER)

    assert await refused(pki, by_list(), client(), now=milliseconds() + 45 * 60_000) == "revocation_unavailable"
    assert await proved(pki, by_list(), client())


class Numbered:
    def __init__(self, serial_number):
        self.serial_number = serial_number


async def test_a_large_list_is_read_in_a_process_that_ends_with_it(pki):
    good, bad = client(), client("bad")
    many = [Numbered(1 << 150 | number << 64) for number in range(4000)]
    pki.files["/ca.crl"] = crl(*many, bad).public_bytes(Encoding.DER)
    assert 128 * 1024 < len(pki.files["/ca.crl"])

    assert await refused(pki, by_list(), bad) == "certificate_revoked"
    assert await proved(pki, by_list(), good)

    assert pki.seen == [("GET", "/ca.crl")]
    assert multiprocessing.active_children() == []


async def test_a_large_list_that_cannot_be_read_is_as_good_as_none(pki):
    pki.files["/ca.crl"] = b"\x30" + b"nonsense" * 20_000

    assert await refused(pki, by_list(), client()) == "revocation_unavailable"


async def test_a_list_above_the_bound_of_the_operator_is_as_good_as_none(pki):
    pki.files["/ca.crl"] = crl(client("bad")).public_bytes(Encoding.DER)
    size = len(pki.files["/ca.crl"])

    for bound, reason in ((size - 1, "revocation_unavailable"), (size, None)):
        async with way_out(pki.port, pki.roots, ["pki.test"], list_cap=bound) as pki.outbound:
            if reason:
                assert await refused(pki, by_list(), client()) == reason
            else:
                assert await proved(pki, by_list(), client())


async def test_a_login_does_not_wait_for_a_list_that_comes_slowly(pki):
    pki.files["/ca.crl"] = crl().public_bytes(Encoding.DER)
    pki.gate = threading.Event()

    async with way_out(pki.port, pki.roots, ["pki.test"], total_timeout=0.2) as pki.outbound:
        assert await refused(pki, by_list(), client()) == "revocation_unavailable"
        pki.gate.set()
        async with asyncio.timeout(10):
            while not pki.outbound._lists._kept:  # it is fetched to its end, for who asks again
                await asyncio.sleep(0.01)
        assert await proved(pki, by_list(), client())
