import asyncio
import base64
import contextlib
import datetime as dt
import ipaddress
from urllib.parse import quote

import msgspec
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID, ObjectIdentifier
from hypothesis import example
from hypothesis import given as given_some
from hypothesis import strategies as st

from tests.methods.clouds import authority, certificate, given, milliseconds, name, pem
from watchword.domain.errors import Denied, Invalid
from watchword.methods.tls_cert import Config, Login, check, verify

HOUR = dt.timedelta(hours=1)
CA, CA_KEY = authority("house CA")
CLIENT = (x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), False)
SERVER = (x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), False)
SANS = [
    x509.DNSName("Agent.Example.com"),
    x509.UniformResourceIdentifier("spiffe://house/agent"),
    x509.RFC822Name("a@example.com"),
    x509.IPAddress(ipaddress.ip_address("10.0.0.7")),
    x509.IPAddress(ipaddress.ip_address("2001:db8::7")),
]
NAMES = (x509.SubjectAlternativeName(SANS), False)


def usage(**on):
    off = dict.fromkeys(
        [
            "digital_signature",
            "content_commitment",
            "key_encipherment",
            "data_encipherment",
            "key_agreement",
            "key_cert_sign",
            "crl_sign",
            "encipher_only",
            "decipher_only",
        ],
        False,
    )
    return x509.KeyUsage(**(off | on)), True


def client(subject="agent", *, issuer=CA, signer=CA_KEY, key=None, extensions=(CLIENT, NAMES), **options):
    return certificate(
        subject,
        key or ec.generate_private_key(ec.SECP256R1()),
        issuer=issuer,
        signer=signer,
        extensions=extensions,
        **options,
    )


WHOLE = client()


def config(ca=CA, **options):
    return check(Config(ca_certificate=pem(ca) if isinstance(ca, x509.Certificate) else ca, **options))


async def proved(*chain, using=None, now=None):
    text = "".join(one if isinstance(one, str) else pem(one) for one in chain)
    return await verify(using or config(), Login(identity_id="an-identity"), given(certificate=text, now=now))


async def refused(*chain, using=None, now=None):
    with pytest.raises(Denied) as denied:
        await proved(*chain, using=using, now=now)
    return denied.value.reason


async def test_a_certificate_of_the_configured_authority_is_accepted():
    leaf = client()
    facts = (await proved(leaf)).claims["tlsCert"]

    assert facts["commonName"] == "agent"
    assert {
        "agent.example.com",
        "URI:spiffe://house/agent",
        "EMAIL:a@example.com",
        "IP:10.0.0.7",
        "IP:2001:db8::7",
    } == set(facts["subjectAltNames"])
    assert leaf.fingerprint(SHA256()).hex() == facts["fingerprint"]


async def test_a_url_encoded_certificate_as_proxies_send_it_is_read():
    assert await proved(quote(pem(client()), safe=""))


def in_base64(certificate):
    return base64.b64encode(certificate.public_bytes(Encoding.DER)).decode()


@pytest.mark.parametrize(
    "write",
    [
        lambda *chain: ",".join(map(in_base64, chain)),
        lambda *chain: ", ".join(f":{in_base64(one)}:" for one in chain),
        lambda *chain: " ".join(in_base64(one) + "," for one in chain)[:-1],
        lambda *chain: quote(",".join(map(in_base64, chain)), safe=""),
    ],
)
async def test_base64_of_der_and_byte_sequences_are_read(write):
    branch, key = intermediate()
    using = config(verify_client_certificate_chain=True)

    assert await proved(write(client()))
    assert await proved(write(client(issuer=branch, signer=key), branch), using=using)


@pytest.mark.parametrize(
    "text", [":", "::", ",", "AAAA", ":AAAA:", f"{in_base64(WHOLE)},", f"{in_base64(WHOLE)}:", ":x" * 9]
)
async def test_base64_that_is_no_certificate_is_a_bad_request(text):
    with pytest.raises(Denied) as denied:
        await proved(text)
    assert denied.value.status == 400


@pytest.mark.parametrize("extensions", [(), (CLIENT,), (usage(digital_signature=True),)])
async def test_a_plain_certificate_without_any_usage_or_names_is_accepted(extensions):
    assert await proved(client(extensions=extensions))


@pytest.mark.parametrize(
    "make",
    [
        lambda: rsa.generate_private_key(65537, 2048),
        lambda: ec.generate_private_key(ec.SECP384R1()),
        ed25519.Ed25519PrivateKey.generate,
    ],
)
async def test_keys_of_the_usual_kinds_are_accepted(make):
    assert await proved(client(key=make()))


async def test_no_certificate_and_text_that_is_none_are_bad_requests():
    for text in (
        "",
        "nonsense",
        "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
        "%zz",
        pem(client()) * 9,
    ):
        with pytest.raises(Denied) as denied:
            await proved(text)
        assert denied.value.status == 400


async def test_an_expired_certificate_is_refused():
    leaf = client(start=dt.datetime.now(dt.UTC) - 3 * HOUR, end=dt.datetime.now(dt.UTC) - HOUR)

    assert await refused(leaf) == "certificate_expired"


async def test_a_certificate_that_is_not_yet_valid_is_refused():
    leaf = client(start=dt.datetime.now(dt.UTC) + HOUR, end=dt.datetime.now(dt.UTC) + 2 * HOUR)

    assert await refused(leaf) == "certificate_not_yet_valid"


async def test_validity_is_that_of_the_given_time():
    leaf = client()

    assert await refused(leaf, now=milliseconds() + 2 * 3_600_000) == "certificate_expired"
    assert await refused(leaf, now=milliseconds() - 2 * 3_600_000) == "certificate_not_yet_valid"


async def test_an_expired_authority_is_refused():
    now = dt.datetime.now(dt.UTC)
    old, key = authority("old CA", start=now - 3 * HOUR, end=now - HOUR)

    assert await refused(client(issuer=old, signer=key), using=config(old)) == "certificate_chain"


@pytest.mark.parametrize(
    "extensions",
    [
        (SERVER,),
        ((x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CODE_SIGNING]), True),),
        (usage(key_encipherment=True),),
        (usage(crl_sign=True), CLIENT),
        ((x509.BasicConstraints(ca=True, path_length=None), True), CLIENT),
        ((x509.UnrecognizedExtension(ObjectIdentifier("1.2.3.4"), b"\x05\x00"), True), CLIENT),
    ],
)
async def test_a_certificate_for_another_use_is_refused(extensions):
    assert await refused(client(extensions=extensions)) == "certificate_chain"


async def test_a_self_made_authority_of_the_same_name_is_refused():
    fake, key = authority("house CA")

    assert await refused(client(issuer=fake, signer=key)) == "certificate_chain"
    assert (
        await refused(client(issuer=fake, signer=key), fake, using=config(verify_client_certificate_chain=True))
        == "certificate_chain"
    )


async def test_a_self_signed_certificate_and_the_authority_itself_are_refused():
    assert await refused(client("house CA", issuer=None, signer=None)) == "certificate_chain"
    assert await refused(CA) == "certificate_chain"


async def test_a_certificate_signed_by_another_client_is_refused():
    key = ec.generate_private_key(ec.SECP256R1())
    other = client("other", key=key)

    for using in (config(), config(verify_client_certificate_chain=True)):
        assert await refused(client(issuer=other, signer=key), other, using=using) == "certificate_chain"


async def test_a_weak_signature_or_key_is_refused():
    key = rsa.generate_private_key(65537, 1024)
    now = dt.datetime.now(dt.UTC)
    weak = (
        x509.CertificateBuilder()
        .subject_name(name("agent"))
        .issuer_name(CA.subject)
        .public_key(key.public_key())
        .serial_number(7)
        .not_valid_before(now - HOUR)
        .not_valid_after(now + HOUR)
    )

    assert await refused(weak.sign(CA_KEY, SHA256())) == "certificate_chain"
    assert await refused(client(key=key)) == "certificate_chain"


def intermediate(*, ca=True, path_length=None, extensions=()):
    key = ec.generate_private_key(ec.SECP256R1())
    constraints = (x509.BasicConstraints(ca=ca, path_length=path_length), True)
    return certificate("branch", key, issuer=CA, signer=CA_KEY, extensions=[constraints, *extensions]), key


async def test_an_intermediate_is_followed_only_where_the_configuration_says_so():
    branch, key = intermediate()
    leaf = client(issuer=branch, signer=key)

    assert await refused(leaf, branch) == "certificate_chain"
    assert await proved(leaf, branch, using=config(verify_client_certificate_chain=True))
    assert await refused(leaf, using=config(verify_client_certificate_chain=True)) == "certificate_chain"


async def test_an_intermediate_may_be_the_configured_authority():
    branch, key = intermediate()

    assert await proved(client(issuer=branch, signer=key), using=config(branch))


async def test_several_authorities_may_be_configured():
    second, key = authority("second CA")

    assert await proved(client(issuer=second, signer=key), using=config(pem(CA) + pem(second)))
    assert await proved(client(), using=config(pem(CA) + pem(second)))


@pytest.mark.parametrize(
    "branch",
    [
        {"ca": False},
        {"extensions": (usage(digital_signature=True),)},
        {"extensions": (SERVER,)},
        {"extensions": ((x509.NameConstraints([x509.DNSName("other.example")], None), True),)},
    ],
)
async def test_an_intermediate_that_may_not_issue_this_is_refused(branch):
    one, key = intermediate(**branch)

    assert (
        await refused(client(issuer=one, signer=key), one, using=config(verify_client_certificate_chain=True))
        == "certificate_chain"
    )


async def test_a_chain_longer_than_its_authority_allows_is_refused():
    first, key = intermediate(path_length=0)
    second_key = ec.generate_private_key(ec.SECP256R1())
    second = certificate(
        "twig",
        second_key,
        issuer=first,
        signer=key,
        extensions=[(x509.BasicConstraints(ca=True, path_length=None), True)],
    )

    using = config(verify_client_certificate_chain=True)
    assert await refused(client(issuer=second, signer=second_key), second, first, using=using) == "certificate_chain"


async def test_the_common_name_is_one_of_the_list_with_its_blanks_trimmed():
    assert await proved(client("beta"), using=config(allowed_common_names="alpha,beta , gamma"))
    for subject in ("bet", "beta2", "Beta", "alpha, beta", ""):
        assert await refused(client(subject), using=config(allowed_common_names="alpha, beta")) == "common_name"


async def test_common_and_alternative_names_match_patterns():
    assert await proved(client("agent-7"), using=config(allowed_common_names="x, agent-*"))
    assert await refused(client("agent/7"), using=config(allowed_common_names="agent*")) == "common_name"
    assert await proved(client(), using=config(allowed_subject_alt_names=("URI:spiffe://house/*",)))
    assert await proved(client(), using=config(allowed_subject_alt_names=("*.Example.com",)))
    other = config(allowed_subject_alt_names=("URI:spiffe://*/server", "*.example.org"))
    assert await refused(client(), using=other) == "subject_alt_name"


async def test_a_common_name_with_a_comma_is_quoted_or_escaped():
    for written in ('x, "R&D, Berlin"', "R&D\\, Berlin", '"R&D, *"'):
        assert await proved(client("R&D, Berlin"), using=config(allowed_common_names=written))
        assert await refused(client("R&D"), using=config(allowed_common_names=written)) == "common_name"


@pytest.mark.parametrize(
    ("field", "value"), [("allowed_common_names", "agent-[a"), ("allowed_subject_alt_names", ("{a.example",))]
)
def test_a_pattern_that_is_none_is_refused_when_it_is_stored(field, value):
    with pytest.raises(Invalid, match="is not a pattern"):
        config(**{field: value})


async def test_a_subject_with_two_common_names_has_none():
    two = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, one) for one in ("alpha", "evil")])

    assert await refused(client(two), using=config(allowed_common_names="alpha")) == "common_name"


async def test_a_common_name_in_another_field_does_not_count():
    other = x509.Name(
        [x509.NameAttribute(NameOID.ORGANIZATION_NAME, "alpha"), x509.NameAttribute(NameOID.COMMON_NAME, "x")]
    )

    assert await refused(client(other), using=config(allowed_common_names="alpha")) == "common_name"


@pytest.mark.parametrize(
    "allowed",
    [
        "agent.example.com",
        "AGENT.example.com",
        "URI:spiffe://house/agent",
        "email:a@example.com",
        "IP:10.0.0.7",
        "IP:2001:DB8:0::7",
    ],
)
async def test_any_name_of_the_list_in_any_of_its_kinds_is_enough(allowed):
    assert await proved(client(), using=config(allowed_subject_alt_names=("other.example", allowed)))


@pytest.mark.parametrize(
    "allowed",
    [
        "example.com",
        "spiffe",
        "URI:agent.example.com",
        "EMAIL:agent.example.com",
        "IP:10.0.0.70",
        "x.agent.example.com",
        "10.0.0.7",
    ],
)
async def test_a_name_of_another_kind_or_value_is_refused(allowed):
    assert await refused(client(), using=config(allowed_subject_alt_names=(allowed,))) == "subject_alt_name"


async def test_a_dns_name_that_spells_a_prefix_is_not_taken_for_another_kind():
    sneaky = (
        x509.SubjectAlternativeName(
            [x509.UniformResourceIdentifier("agent.example.com"), x509.RFC822Name("agent.example.com")]
        ),
        False,
    )

    assert (
        await refused(
            client(extensions=(CLIENT, sneaky)), using=config(allowed_subject_alt_names=("agent.example.com",))
        )
        == "subject_alt_name"
    )


async def test_both_lists_must_be_met():
    using = config(allowed_common_names="agent", allowed_subject_alt_names=("other.example",))

    assert await refused(client(), using=using) == "subject_alt_name"


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("caCertificate", ""),
        ("caCertificate", "nonsense"),
        ("caCertificate", pem(client())),
        ("allowedSubjectAltNames", ["IP:300.1.1.1"]),
        ("allowedSubjectAltNames", ["OTHER:x"]),
        ("allowedSubjectAltNames", ["URI:"]),
        ("allowedSubjectAltNames", [""]),
    ],
)
def test_a_configuration_of_another_form_is_refused(field, value):
    with pytest.raises(Invalid) as invalid:
        check(msgspec.convert({"caCertificate": pem(CA)} | {field: value}, Config))

    assert invalid.value.issues[0].path == (field,)


def test_the_configuration_is_stored_normalised():
    stored = msgspec.to_builtins(config(allowed_common_names="a,b", allowed_subject_alt_names=("X.example", "uri:a:b")))

    assert stored["allowedCommonNames"] == "a,b"
    assert list(stored["allowedSubjectAltNames"]) == ["x.example", "URI:a:b"]
    assert stored["verifyClientCertificateChain"] is False


def der(tag, *parts):
    body = b"".join(parts)
    size = bytes([len(body)]) if len(body) < 128 else b"\x82" + len(body).to_bytes(2)
    return bytes([tag]) + size + body


async def test_a_subject_that_cannot_be_read_bears_no_name():
    tbs = WHOLE.tbs_certificate_bytes.replace(b"agent", b"\xff\xfe\xff\xfe\xff", 1)
    signature = b"\x00" + CA_KEY.sign(tbs, ec.ECDSA(SHA256()))
    odd = der(0x30, tbs, bytes.fromhex("300a06082a8648ce3d040302"), der(0x03, signature))
    text = "-----BEGIN CERTIFICATE-----\n" + base64.encodebytes(odd).decode() + "-----END CERTIFICATE-----\n"

    assert (await proved(text)).claims["tlsCert"]["commonName"] == ""
    assert await refused(text, using=config(allowed_common_names="agent")) == "common_name"


@example(422, b"\x01")  # a version that there is none of
@example(15, b"\x80")  # a serial number below zero
@pytest.mark.filterwarnings(
    "ignore:Parsed a serial number which wasn:cryptography.utils.CryptographyDeprecationWarning"
)
@given_some(st.integers(0, 700), st.binary(min_size=1, max_size=4))
def test_no_damaged_certificate_does_more_than_be_refused(place, noise):
    der = bytearray(WHOLE.public_bytes(Encoding.DER))
    der[place % len(der) : place % len(der) + len(noise)] = noise
    text = "-----BEGIN CERTIFICATE-----\n" + base64.encodebytes(bytes(der)).decode() + "-----END CERTIFICATE-----\n"
    with contextlib.suppress(Denied):
        asyncio.run(
            proved(text, using=config(allowed_common_names="agent", allowed_subject_alt_names=("agent.example.com",)))
        )
