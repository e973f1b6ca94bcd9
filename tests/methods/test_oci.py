import asyncio
import base64
import json
from email.utils import formatdate

import msgspec
import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.hashes import SHA256
from hypothesis import given as given_some
from hypothesis import strategies as st

from tests.methods.clouds import Trust, given, milliseconds, serving, way_out
from tests.minting import private
from watchword.domain.authentication.cloud_hosts import oci_hosts
from watchword.domain.errors import Denied, Invalid
from watchword.methods.base import Operator
from watchword.methods.oci import Config, Login, check, verify

TENANCY, OTHER = "ocid1.tenancy.oc1..aaaa1", "ocid1.tenancy.oc1..bbbb2"
USER, MATE = "ocid1.user.oc1..uuuu1", "ocid1.user.oc1..mmmm2"
HOST = "identity.eu-frankfurt-1.oraclecloud.com"
KEY = private("rsa")


class Identity:
    """Oracle's identity service as it is documented: it checks the signature and answers with the user that was
    asked for.
    """

    def __init__(self):
        self.users = {USER: self.user(USER, "builder"), MATE: self.user(MATE, "admin")}
        self.seen, self.status = [], "200 OK"

    @staticmethod
    def user(ocid, name, tenancy=TENANCY):
        return {
            "id": ocid,
            "compartmentId": tenancy,
            "name": name,
            "lifecycleState": "ACTIVE",
            "isMfaActivated": False,
            "timeCreated": "2026-01-01T00:00:00Z",
        }

    def __call__(self, environ, start):
        headers = {k[5:].replace("_", "-").lower(): v for k, v in environ.items() if k.startswith("HTTP_")}
        self.seen.append((environ["REQUEST_METHOD"], environ["PATH_INFO"], headers))
        user = self.users.get(environ["PATH_INFO"].removeprefix("/20160918/users/"))
        status = self.status if self.is_signed(environ, headers) else "401 Unauthorized"
        text = user if isinstance(user, bytes) else json.dumps(user or {"code": "NotAuthenticated"}).encode()
        start(
            status if user else "404 Not Found",
            [
                ("Content-Type", "application/json"),
                ("Content-Length", str(len(text))),
                ("Location", "https://evil.tld/"),
            ],
        )
        return [text]

    @staticmethod
    def is_signed(environ, headers):
        parts = dict(p.split("=", 1) for p in headers["authorization"].removeprefix("Signature ").split(","))
        values = headers | {"(request-target)": f"{environ['REQUEST_METHOD'].lower()} {environ['PATH_INFO']}"}
        text = "\n".join(f"{n}: {values[n]}" for n in parts["headers"].strip('"').split())
        try:
            KEY.public_key().verify(
                base64.b64decode(parts["signature"].strip('"')), text.encode(), padding.PKCS1v15(), SHA256()
            )
        except (ValueError, InvalidSignature):
            return False
        return True


@pytest.fixture(scope="module")
def running(tmp_path_factory):
    service = Identity()
    trust = Trust(tmp_path_factory.mktemp("trust"))
    with serving(service, trust.context(HOST)) as port:
        yield service, port, trust.pem


@pytest.fixture
def oracle(running):
    service, service.port, service.roots = running
    vars(service).update({"users": Identity().users, "status": "200 OK"})
    service.seen.clear()
    return service


def signed(user=USER, *, signer=None, tenancy=TENANCY, host=HOST, when=None, date="x-date", names=None, target=None):
    """A request as Oracle's SDKs sign it."""
    values = {
        "(request-target)": target or f"get /20160918/users/{user}",
        "host": host,
        date: when or formatdate(usegmt=True),
    }
    names = names or f"{date} (request-target) host"
    text = "\n".join(f"{n}: {values[n]}" for n in names.split())
    signature = base64.b64encode(KEY.sign(text.encode(), padding.PKCS1v15(), SHA256())).decode()
    key = f"{tenancy}/{signer or user}/aa:bb:cc"
    header = f'Signature algorithm="rsa-sha256",headers="{names}",keyId="{key}",signature="{signature}",version="1"'
    return {"authorization": header, "host": host, date: values[date]}


def login(headers=None, user=USER):
    return msgspec.convert({"identityId": "i", "userOcid": user, "headers": headers or signed(user)}, Login)


async def proved(oracle, request, config=None, **options):
    async with way_out(oracle.port, oracle.roots, ["*.oraclecloud.com"]) as outbound:
        return await verify(check(config or Config(tenancy_ocid=TENANCY)), request, given(outbound, **options))


async def refused(oracle, request, config=None, **options):
    with pytest.raises(Denied) as denied:
        await proved(oracle, request, config, **options)
    return denied.value.reason


@pytest.mark.parametrize("date", ["x-date", "date"])
async def test_a_users_signed_request_is_accepted(oracle, date):
    verified = await proved(
        oracle, login(signed(date=date)), Config(tenancy_ocid=TENANCY, allowed_usernames="other,builder")
    )

    assert verified.claims == {"oci": {"tenancyOcid": TENANCY, "userOcid": USER, "username": "builder"}}
    assert [("GET", f"/20160918/users/{USER}", HOST)] == [(m, p, h["host"]) for m, p, h in oracle.seen]


async def test_header_names_have_no_case_and_no_second_spelling(oracle):
    headers = signed()

    assert await proved(oracle, login({name.title(): value for name, value in headers.items()}))
    assert await refused(oracle, login(headers | {"Host": HOST})) == "request_headers"


@pytest.mark.parametrize(
    "host",
    [
        "evil.tld",
        f"{HOST}.evil.tld",
        f"evil.tld/{HOST}",
        f"{HOST}@evil.tld",
        f"{HOST}:8443",
        f"evil.tld#{HOST}",
        "identity.oraclecloud.com",
        "",
        "127.0.0.1",
        "identity.eu-frankfurt-1.oraclecloud.com.",
        "iaas.eu-frankfurt-1.oraclecloud.com",
        "identity.evil.eu-frankfurt-1.oraclecloud.com",
        "identity.x.oraclecloud.com",
    ],
)
async def test_a_host_that_is_not_oracles_identity_service_is_never_asked(oracle, host):
    assert await refused(oracle, login(signed(host=host or HOST) | {"host": host})) == "host"
    assert oracle.seen == []


@pytest.mark.parametrize(
    "user",
    [
        "../tenancies/x",
        f"{USER}/apiKeys",
        f"{USER}?x=1",
        "ocid1.group.oc1..x",
        "",
        f"{USER}%2f..",
        f"{USER}#",
        "ocid1.user.oc1..é",
    ],
)
async def test_a_user_ocid_of_another_form_is_never_put_into_a_path(oracle, user):
    assert await refused(oracle, login(signed(), user=user)) == "user_ocid"
    assert oracle.seen == []


async def test_a_user_who_may_read_others_cannot_log_in_as_them(oracle):
    assert await refused(oracle, login(signed(MATE, signer=USER), user=MATE)) == "signer"
    assert await refused(oracle, login(signed(USER, tenancy=OTHER))) == "signer"
    assert oracle.seen == []


async def test_a_user_of_another_tenancy_is_refused(oracle):
    assert await refused(oracle, login(signed(tenancy=OTHER)), Config(tenancy_ocid=TENANCY)) == "signer"
    oracle.users[USER] = Identity.user(USER, "builder", OTHER)
    assert await refused(oracle, login()) == "tenancy"


async def test_an_answer_about_somebody_else_or_without_form_is_refused(oracle):
    for answer, reason in (
        (Identity.user(MATE, "builder"), "user"),
        (Identity.user(USER, "builder") | {"lifecycleState": "DELETED"}, "user_state"),
        ({"id": USER}, "oci_answer"),
        (b"<xml/>", "oci_answer"),
    ):
        oracle.users[USER] = answer
        assert await refused(oracle, login()) == reason


async def test_a_user_name_outside_the_list_is_refused(oracle):
    assert (
        await refused(oracle, login(), Config(tenancy_ocid=TENANCY, allowed_usernames="build, builder2")) == "username"
    )


@pytest.mark.parametrize("status", ["302 Found", "401 Unauthorized", "500 Oops", "204 No Content"])
async def test_a_redirect_or_any_answer_but_200_is_refused(oracle, status):
    oracle.status = status

    assert await refused(oracle, login()) in ("oci_refused", "oci_unavailable")


async def test_a_forged_signature_is_refused_by_oracle(oracle):
    headers = signed()

    assert (
        await refused(oracle, login(headers | {"x-date": formatdate(milliseconds() / 1000 - 60, usegmt=True)}))
        == "oci_refused"
    )


async def test_a_captured_request_is_refused_beyond_its_time(oracle):
    now, request = milliseconds(), login()

    assert await refused(oracle, request, now=now + 6 * 60_000) == "request_time"
    assert await refused(oracle, request, now=now - 6 * 60_000) == "request_time"
    for when in ("yesterday", "Thu, 99 Jan 2026 00:00:00 GMT"):
        assert await refused(oracle, login(signed(when=when))) == "request_time"


@pytest.mark.parametrize(
    "names", ["x-date host", "(request-target) host", "x-date (request-target)", "x-date (request-target) host host"]
)
async def test_a_signature_that_leaves_something_out_is_refused(oracle, names):
    assert await refused(oracle, login(signed(names=names))) == "authorization"


@pytest.mark.parametrize(
    "change",
    [
        ("Signature algorithm", "Bearer algorithm"),
        ('version="1"', f'version="1",keyId="{TENANCY}/{MATE}/x"'),
        ("keyId", "keyid"),
        (",headers", ";headers"),
        ("Signature ", "Signature  x "),
    ],
)
async def test_an_authorization_of_another_form_is_refused(oracle, change):
    headers = signed()

    assert await refused(oracle, login(headers | {"authorization": headers["authorization"].replace(*change)})) in (
        "authorization",
        "signer",
    )
    assert oracle.seen == []


async def test_a_header_with_a_line_break_is_refused(oracle):
    assert (
        await refused(oracle, login(signed() | {"x-date": f"{formatdate(usegmt=True)}\r\nX-Evil: 1"}))
        == "request_headers"
    )


@pytest.mark.parametrize("tenancy", ["tenancy", USER, "ocid1.tenancy.oc1..", "ocid1.tenancy.oc1..a b", f"{TENANCY}/x"])
def test_a_tenancy_of_another_form_is_refused(tenancy):
    with pytest.raises(Invalid):
        check(Config(tenancy_ocid=tenancy))


def test_the_configuration_is_stored_normalised():
    stored = msgspec.to_builtins(check(Config(tenancy_ocid=f" {TENANCY} ", allowed_usernames="a,b")))

    assert stored == {"type": "iam", "tenancyOcid": TENANCY, "allowedUsernames": "a, b"}


TEXT = st.text(max_size=60) | st.sampled_from(
    ["Thu, 01 Jan 2026 00:00:00 -0000", "Signature", HOST, "0", "Mon, 01 Jan 99999 00:00:00 GMT"]
)


@given_some(
    st.dictionaries(st.sampled_from(["authorization", "host", "date", "x-date"]) | st.text(max_size=5), TEXT),
    st.sampled_from([USER, "x"]),
)
def test_no_headers_do_more_than_be_refused(headers, user):
    whole = signed() | headers
    for each in (headers, whole):
        with pytest.raises((Denied, AttributeError)) as error:
            asyncio.run(
                verify(Config(tenancy_ocid=TENANCY), Login(identity_id="i", user_ocid=user, headers=each), given())
            )
        assert isinstance(error.value, Denied) or "fetch" in str(error.value)  # there is no way out: it came that far


async def test_a_host_of_another_realm_is_asked_where_the_operator_names_it(oracle):
    elsewhere = "identity.us-langley-1.oraclegovcloud.com"
    request, config = login(signed(host=elsewhere)), Config(tenancy_ocid=TENANCY)
    operator = Operator(oci_hosts=oci_hosts([elsewhere.upper()]))

    assert await refused(oracle, request) == "host"
    async with way_out(oracle.port, oracle.roots, ["*.oraclegovcloud.com"]) as outbound:
        assert await refused(oracle, login(signed(host="identity.uk-gov-1.oraclegovcloud.com"))) == "host"
        with pytest.raises(Denied) as denied:
            await verify(config, request, given(outbound, operator=operator))
    assert denied.value.reason != "host"  # it was asked, and has no certificate for that name
