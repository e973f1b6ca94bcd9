import base64
import datetime as dt
import hashlib
import hmac
import json
import secrets
from urllib.parse import parse_qsl, quote

import msgspec
import pytest

from tests.methods.clouds import Trust, given, milliseconds, serving, way_out
from watchword.domain.errors import Denied, Invalid
from watchword.methods.alicloud import Config, Login, check, verify

ACCOUNT = "1968132000120001"
ARN = f"acs:ram::{ACCOUNT}:user/builder"
KEY, SECRET = "LTAIexample", "secret"


def signature(query):
    """Signature version 1.0 of the RPC style, as it is documented."""
    text = "&".join(f"{quote(k, safe='~')}={quote(v, safe='~')}" for k, v in sorted(query.items()))
    whole = f"GET&{quote('/', safe='')}&{quote(text, safe='~')}"
    return base64.b64encode(hmac.new(f"{SECRET}&".encode(), whole.encode(), hashlib.sha1).digest()).decode()


class AlibabaSts:
    """Alibaba's STS as it is documented: checks the signature and the nonce, answers who signed."""

    def __init__(self):
        self.seen, self.nonces, self.status, self.kept = [], set(), "200 OK", None
        self.reset()

    def reset(self):
        self.seen.clear()
        self.status = "200 OK"
        self.answer = {
            "IdentityType": "RAMUser",
            "AccountId": ACCOUNT,
            "RequestId": "3C87BF47",
            "PrincipalId": "2887",
            "UserId": "2169",
            "Arn": ARN,
        }

    def __call__(self, environ, start):
        query = dict(parse_qsl(environ["QUERY_STRING"], strict_parsing=True))
        self.seen.append((environ["REQUEST_METHOD"], environ["PATH_INFO"], environ["HTTP_HOST"], dict(query)))
        given_signature = query.pop("Signature")
        good = (
            query["AccessKeyId"] == KEY
            and hmac.compare_digest(signature(query), given_signature)
            and query["SignatureNonce"] not in self.nonces
        )
        self.nonces.add(query["SignatureNonce"])
        text = self.answer if isinstance(self.answer, bytes) else json.dumps(self.answer).encode()
        start(
            self.status if good else "400 Bad Request",
            [("Content-Type", "application/json"), ("Content-Length", str(len(text)))],
        )
        return [text]


@pytest.fixture(scope="module")
def running(tmp_path_factory):
    service = AlibabaSts()
    trust = Trust(tmp_path_factory.mktemp("trust"))
    with serving(service, trust.context("sts.aliyuncs.com")) as port:
        service.port, service.roots = port, trust.pem  # type: ignore[attr-defined]
        yield service


@pytest.fixture
def alibaba(running):
    running.reset()
    return running


def signed(**changes):
    query = {
        "Action": "GetCallerIdentity",
        "Format": "JSON",
        "Version": "2015-04-01",
        "AccessKeyId": KEY,
        "SignatureMethod": "HMAC-SHA1",
        "SignatureVersion": "1.0",
        "SignatureNonce": secrets.token_hex(16),
        "Timestamp": dt.datetime.now(dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
    } | changes
    return query | {"Signature": signature(query)}


def login(query):
    return msgspec.convert({"identityId": "i"} | query, Login)


async def proved(alibaba, query, config=None, **options):
    async with way_out(alibaba.port, alibaba.roots, ["sts.aliyuncs.com"]) as outbound:
        return await verify(check(config or Config()), login(query), given(outbound, **options))


async def refused(alibaba, query, config=None, **options):
    with pytest.raises(Denied) as denied:
        await proved(alibaba, query, config, **options)
    return denied.value.reason


async def test_a_signed_request_is_accepted(alibaba):
    query = signed()
    verified = await proved(alibaba, query, Config(allowed_arns=f"acs:ram::{ACCOUNT}:role/x,{ARN}"))

    assert verified.claims == {"alicloud": {"accountId": ACCOUNT, "arn": ARN, "principalId": "2887"}}
    assert alibaba.seen == [("GET", "/", "sts.aliyuncs.com", query)]


async def test_the_nonce_is_spent_until_the_request_is_too_old(alibaba):
    query = signed()
    spent = (await proved(alibaba, query)).spent

    assert query["SignatureNonce"] in spent.key
    assert abs(spent.expires_at - milliseconds() - 15 * 60_000) < 60_000


async def test_an_identity_outside_the_list_is_refused(alibaba):
    for arns in (f"acs:ram::{ACCOUNT}:user/build", f"{ARN}2", f"acs:ram::{ACCOUNT}1:user/builder"):
        assert await refused(alibaba, signed(), Config(allowed_arns=arns)) == "arn"


@pytest.mark.parametrize(
    "arn", [f"acs:ram::{ACCOUNT}:root", "acs:ram::*:user/x", "", "arn:aws:iam::123456789012:user/x", f"{ARN}\n"]
)
async def test_the_root_of_an_account_is_refused(alibaba, arn):
    alibaba.answer |= {"Arn": arn}

    assert await refused(alibaba, signed()) == "principal"


@pytest.mark.parametrize("answer", [b"", b"[]", b"<xml/>", b'{"Arn": 1}', {"Arn": ARN, "AccountId": "1"}])
async def test_an_answer_of_another_form_is_refused(alibaba, answer):
    alibaba.answer = answer

    assert await refused(alibaba, signed()) == "alicloud_answer"


async def test_a_forged_signature_is_refused_by_alibaba(alibaba):
    assert await refused(alibaba, signed() | {"Signature": "AAAA"}) == "alicloud_refused"


@pytest.mark.parametrize("status", ["302 Found", "404 Not Found", "500 Oops"])
async def test_a_redirect_or_any_answer_but_200_is_refused(alibaba, status):
    alibaba.status = status

    assert await refused(alibaba, signed()) in ("alicloud_refused", "alicloud_unavailable")


async def test_a_captured_request_is_refused_beyond_its_time(alibaba):
    now = milliseconds()
    for minutes in (16, -16):
        assert await refused(alibaba, signed(), now=now + minutes * 60_000) == "request_time"
    for text in ("9999-99-99T99:99:99Z", "2026-01-01T00:00:00.0Z"):
        assert await refused(alibaba, signed(Timestamp=text)) == "request_time"


@pytest.mark.parametrize(
    "change",
    [
        {"Action": "AssumeRole"},
        {"Format": "XML"},
        {"Version": "2015-04-01&Action=AssumeRole"},
        {"AccessKeyId": "a&b"},
        {"AccessKeyId": "STS.x"},
        {"SignatureMethod": "none"},
        {"SignatureVersion": "2.0"},
        {"SignatureNonce": "a&Action=AssumeRole"},
        {"SignatureNonce": "x\n"},
        {"Timestamp": "2026-01-01"},
        {"Timestamp": "2026-01-01T00:00:00+01:00"},
        {"Signature": "a&b"},
        {"Signature": ""},
    ],
)
def test_a_field_of_another_form_is_no_login(change):
    with pytest.raises(msgspec.ValidationError):
        login(signed() | change)


@pytest.mark.parametrize(
    "arns", ["*", f"{ARN},", f"acs:ram::{ACCOUNT}:root", "acs:ram::x:user/y", "builder", f"acs:ram::{ACCOUNT}:user/a*"]
)
def test_a_list_of_another_form_is_refused(arns):
    with pytest.raises(Invalid):
        check(Config(allowed_arns=arns))


def test_the_configuration_is_stored_normalised():
    assert check(Config(allowed_arns=f"{ARN},{ARN}")).allowed_arns == f"{ARN}, {ARN}"
