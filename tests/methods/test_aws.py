import asyncio
import base64
import contextlib
import datetime as dt
import functools
import hashlib
import json
from typing import Any

import boto3
import botocore.session
import msgspec
import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.config import Config as BotoConfig
from botocore.credentials import Credentials
from hypothesis import given as given_some
from hypothesis import strategies as st
from moto.server import DomainDispatcherApplication, create_backend_app  # type: ignore[attr-defined]

from tests.methods.clouds import Sts, Trust, given, milliseconds, serving, way_out
from watchword.domain.authentication.aws_names import (
    DEFAULT_ENDPOINT,
    HOSTS,
    PARTITION_OF,
    Principal,
    StsHosts,
    allows,
    names_any_account,
    sts_url,
)
from watchword.domain.authentication.aws_sts import caller_of
from watchword.domain.errors import Denied, Invalid
from watchword.methods.aws import BODY, METHOD, Config, Login, check, verify
from watchword.methods.base import Operator

ACCOUNT, OTHER = "123456789012", "999999999999"
REGION, HOST = "eu-west-1", "sts.eu-west-1.amazonaws.com"
NAMES = ["*.amazonaws.com", "sts.amazonaws.com", "*.amazonaws.com.cn"]


@pytest.fixture(scope="module")
def sts(tmp_path_factory):
    """moto over TLS under the names of STS; `sts.keys` are credentials of a user, of two roles, and of one remote."""
    sts = Sts(DomainDispatcherApplication(create_backend_app))
    trust = Trust(tmp_path_factory.mktemp("trust"))
    context = trust.context(HOST, "*.amazonaws.com", "sts.us-east-1.amazonaws.com", "sts.cn-north-1.amazonaws.com.cn")
    with serving(sts.moto) as plain, serving(sts, context) as port:
        client = functools.partial(
            boto3.client,
            region_name="us-east-1",
            endpoint_url=f"http://127.0.0.1:{plain}",
            aws_access_key_id="AKIAIOSFODNN7EXAMPLE",
            aws_secret_access_key="secret",
            config=BotoConfig(retries={"max_attempts": 1}),
        )
        iam = client("iam")
        iam.create_user(UserName="builder", Path="/ci/")
        made = iam.create_access_key(UserName="builder")["AccessKey"]
        keys = {"user": Credentials(made["AccessKeyId"], made["SecretAccessKey"])}
        for label, account, role in (("role", ACCOUNT, "deploy"), ("stranger", OTHER, "deploy")):
            got = client("sts").assume_role(RoleArn=f"arn:aws:iam::{account}:role/{role}", RoleSessionName="i-0abc")[
                "Credentials"
            ]
            keys[label] = Credentials(got["AccessKeyId"], got["SecretAccessKey"], got["SessionToken"])
        keys["unknown"] = Credentials("AKIAUNKNOWN0000000000", "secret")
        sts.keys, sts.port, sts.roots = keys, port, trust.pem  # type: ignore[attr-defined]
        sts.secrets = {k.access_key: k.secret_key for k in keys.values()}
        yield sts


@pytest.fixture(autouse=True)
def fresh(sts):
    sts.seen.clear()
    sts.answer = None


@contextlib.contextmanager
def at(moment):
    """botocore signs with the time of its own clock."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("botocore.auth.get_current_datetime", lambda *_: moment)
        yield


def signed(credentials, *, host=HOST, region=REGION, headers=(), body="", when=None, method="POST"):
    """What botocore's signer makes of a request to `host`."""
    request = AWSRequest(method, f"https://{host}/", data=body or BODY.decode(), headers=dict(headers))
    with at(when or dt.datetime.now(dt.UTC).replace(tzinfo=None)):
        SigV4Auth(credentials, "sts", region).add_auth(request)
    return dict(request.headers.items())


FORM = {"Content-Type": "application/x-www-form-urlencoded; charset=utf-8"}


def infisicalsdk(credentials, host=HOST, region=REGION):
    headers = signed(
        credentials, host=host, region=region, headers=FORM | {"Host": host, "Content-Length": str(len(BODY))}
    )
    return {name: value for name, value in headers.items() if name.lower() != "content-length"}


def node_sdk(credentials, host=HOST, region=REGION):
    more = {"Host": host, "Content-Length": str(len(BODY)), "x-amz-content-sha256": hashlib.sha256(BODY).hexdigest()}
    headers = signed(credentials, host=host, region=region, headers=FORM | more)
    return {name.lower() if name.startswith("X-Amz") else name: value for name, value in headers.items()}


def rust_sdk(credentials, host=HOST, region=REGION):
    headers = signed(credentials, host=host, region=region)
    return {
        name.lower(): value
        for name, value in headers.items()
        if name.lower() in ("authorization", "x-amz-date", "x-amz-security-token")
    }


def go_sdk(credentials, host=HOST, region=REGION):
    return signed(
        credentials, host=host, region=region, headers=FORM | {"Host": host, "Content-Length": str(len(BODY))}
    )


def lists(credentials, host=HOST, region=REGION):
    return {name: [value] for name, value in go_sdk(credentials, host, region).items()}


CLIENTS = [infisicalsdk, node_sdk, rust_sdk, go_sdk, lists]


def login(headers, *, body=BODY, method="POST"):
    text = headers if isinstance(headers, str) else json.dumps(headers)
    b64 = base64.b64encode
    return Login(
        identity_id="an-identity",
        iam_http_request_method=method,
        iam_request_body=b64(body).decode(),
        iam_request_headers=b64(text.encode()).decode(),
    )


async def proved(sts, request, config=None, **options):
    async with way_out(sts.port, sts.roots, NAMES) as outbound:
        return await verify(check(config or Config()), request, given(outbound, **options))


async def refused(sts, request, config=None, **options):
    with pytest.raises(Denied) as denied:
        await proved(sts, request, config, **options)
    return denied.value.reason


# The way it should go


@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize("who", ["user", "role"])
async def test_the_request_of_each_client_is_accepted(sts, client, who):
    verified = await proved(sts, login(client(sts.keys[who])))

    arn = {
        "user": f"arn:aws:iam::{ACCOUNT}:user/ci/builder",
        "role": f"arn:aws:sts::{ACCOUNT}:assumed-role/deploy/i-0abc",
    }[who]
    assert arn == verified.claims["aws"]["arn"]
    ((method, path, headers, body),) = sts.seen
    assert (method, path, headers["host"], body) == ("POST", "/", HOST, BODY)


async def test_the_claims_say_who_it_is(sts):
    claims = (await proved(sts, login(go_sdk(sts.keys["role"])))).claims["aws"]

    assert claims.pop("userId").endswith(":i-0abc")
    arn = f"arn:aws:sts::{ACCOUNT}:assumed-role/deploy/i-0abc"
    expected = {
        "accountId": ACCOUNT,
        "arn": arn,
        "partition": "aws",
        "service": "sts",
        "resourceType": "assumed-role",
        "resourceName": "deploy",
    }
    assert expected == claims


async def test_the_request_that_botocore_itself_would_send_is_accepted(sts):
    session = botocore.session.get_session()
    session.set_credentials("AKIAUNKNOWN", "x")
    caught: dict[str, Any] = {}

    def catch(request, **_):
        caught.update(
            {k: v.decode() if isinstance(v, bytes) else v for k, v in request.headers.items()}, body=request.body
        )
        raise KeyboardInterrupt

    keys = sts.keys["user"]
    client = session.create_client(
        "sts", region_name=REGION, aws_access_key_id=keys.access_key, aws_secret_access_key=keys.secret_key
    )
    client.meta.events.register("before-send", catch)
    with pytest.raises(KeyboardInterrupt):
        client.get_caller_identity()
    body = caught.pop("body")

    assert body in (BODY, BODY.decode())
    assert (await proved(sts, login(caught))).claims["aws"]["accountId"] == ACCOUNT


@pytest.mark.parametrize(
    ("host", "region"), [("sts.us-east-1.amazonaws.com", "us-east-1"), ("sts.amazonaws.com", "us-east-1")]
)
async def test_the_default_endpoint_stands_for_every_region_and_the_global_host(sts, host, region):
    assert await proved(sts, login(go_sdk(sts.keys["user"], host, region)))
    assert host == sts.seen[0][2]["host"]


async def test_a_configured_regional_endpoint_serves_a_client_that_tells_no_host(sts):
    assert await proved(sts, login(rust_sdk(sts.keys["user"])), Config(sts_endpoint=f"https://{HOST}/"))


async def test_an_answer_in_json_is_read(sts):
    result = {"Account": ACCOUNT, "Arn": f"arn:aws:iam::{ACCOUNT}:user/x", "UserId": "AIDA"}
    text = json.dumps(
        {"GetCallerIdentityResponse": {"GetCallerIdentityResult": result, "ResponseMetadata": {"RequestId": "1"}}}
    )
    sts.answer = ("200 OK", "application/json", text.encode())

    assert (await proved(sts, login(go_sdk(sts.keys["user"])))).claims["aws"]["userId"] == "AIDA"
    assert sts.seen[0][2]["accept"] == "application/json"


async def test_a_signed_accept_header_is_sent_as_it_was_signed(sts):
    headers = signed(sts.keys["user"], headers=FORM | {"Accept": "application/xml"})

    assert await proved(sts, login(headers))
    assert sts.seen[0][2]["accept"] == "application/xml"


async def test_a_length_may_be_a_number_as_published_samples_write_it(sts):
    headers = go_sdk(sts.keys["user"])

    assert await proved(sts, login(headers | {"Content-Length": len(BODY)}))
    assert await proved(sts, login({name: [value] for name, value in (headers | {"Content-Length": 43}).items()}))
    assert await refused(sts, login(headers | {"Content-Length": 44})) == "content_length"
    for value in (True, 43.0, {"a": 43}, [43, 43]):
        assert await refused(sts, login(headers | {"Content-Length": value})) == "request_headers"


TRACED = {
    "X-Amzn-Trace-Id": "Root=1-67891233-abcdef012345678912345678",
    "traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    "X-B3-TraceId": "1",
    "X-Datadog-Trace-Id": "1",
    "X-Request-Id": "1",
    "Expect": "100-continue",
}


async def test_tracing_headers_are_left_out_unless_they_were_signed(sts):
    assert await proved(sts, login(go_sdk(sts.keys["user"]) | TRACED))
    headers = signed(sts.keys["user"], headers=FORM | {"X-B3-TraceId": "1"})
    assert "x-b3-traceid" in headers["Authorization"]
    assert await proved(sts, login(headers))

    assert not sts.seen[0][2].keys() & {name.lower() for name in TRACED}
    assert sts.seen[1][2]["x-b3-traceid"] == "1"


async def test_a_proof_is_spent_by_its_signature_for_as_long_as_it_could_be_used(sts):
    headers = go_sdk(sts.keys["user"])
    first, again = (await proved(sts, login(headers))).spent, (await proved(sts, login(headers | TRACED))).spent
    other = (await proved(sts, login(node_sdk(sts.keys["user"])))).spent

    assert first == again
    assert first.key == f"aws:{headers['Authorization'].rpartition('=')[2]}"
    assert first.key != other.key
    assert first.expires_at > milliseconds() + 14 * 60_000


OPERATOR = Operator(aws_server_id="watchword.example")


async def test_a_request_names_the_server_that_it_is_for_where_the_operator_asks(sts):
    for_us = signed(sts.keys["user"], headers=FORM | {"X-Watchword-AWS-IAM-Server-ID": "watchword.example"})
    for_others = signed(sts.keys["user"], headers=FORM | {"X-Watchword-AWS-IAM-Server-ID": "vault.example"})
    unsigned = go_sdk(sts.keys["user"]) | {"X-Watchword-AWS-IAM-Server-ID": "watchword.example"}

    assert await proved(sts, login(for_us), operator=OPERATOR)
    assert await proved(sts, login(for_us))
    for one in (for_others, unsigned, go_sdk(sts.keys["user"])):
        assert await refused(sts, login(one), operator=OPERATOR) == "server_id"


async def test_a_host_of_the_operators_setting_is_asked_and_no_other(sts):
    vpce = "vpce-0a1b2c3d-x.sts.eu-west-1.vpce.amazonaws.com"
    hosts = StsHosts.of([f"{vpce}=eu-west-1:aws", "sts-new.amazonaws.com=xx-new-1:aws"])
    operator = Operator(sts_hosts=hosts)
    private = check(Config(sts_endpoint=f"https://{vpce}"), operator)
    request = login(go_sdk(sts.keys["user"], "sts-new.amazonaws.com", "xx-new-1"))

    assert sts_url(private.sts_endpoint, "eu-west-1", vpce, hosts) == f"https://{vpce}/"
    assert sts_url(private.sts_endpoint, "eu-west-1", "sts.eu-west-1.amazonaws.com", hosts) is None
    assert sts_url(private.sts_endpoint, "us-east-1", vpce, hosts) is None
    assert sts_url(DEFAULT_ENDPOINT, "xx-new-1", None, hosts) == "https://sts-new.amazonaws.com/"
    assert sts_url(DEFAULT_ENDPOINT, "eu-west-1", None, hosts) == "https://sts.eu-west-1.amazonaws.com/"
    assert await proved(sts, request, operator=operator)
    assert await refused(sts, request) == "region"
    with pytest.raises(Invalid):
        check(Config(sts_endpoint=f"https://{vpce}"))


@pytest.mark.parametrize(
    "written",
    [
        "sts.x.y",
        "sts.x.y=eu-west-1",
        "sts.x.y=eu-west-1:gcp",
        "https://sts.x.y=eu-west-1:aws",
        "sts.x.y/=eu-west-1:aws",
        "127.0.0.1=eu-west-1:aws",
        "sts.x.y=eu-west-1:aws-cn",
        "sts.eu-west-1.amazonaws.com=eu-west-2:aws",
        "x=y:aws",
    ],
)
def test_a_host_of_another_form_or_one_that_says_what_is_not_so_is_refused(written):
    with pytest.raises(ValueError, match=r"is known|is not host=region:partition"):
        StsHosts.of([written])


def test_the_sovereign_cloud_is_known_and_isolated_ones_by_setting():
    assert sts_url(DEFAULT_ENDPOINT, "eusc-de-east-1", None) == "https://sts.eusc-de-east-1.amazonaws.eu/"
    iso = StsHosts.of(["sts.us-iso-east-1.c2s.ic.gov=us-iso-east-1:aws-iso"])
    assert sts_url(DEFAULT_ENDPOINT, "us-iso-east-1", None, iso) == "https://sts.us-iso-east-1.c2s.ic.gov/"
    assert names_any_account(f"arn:aws-iso-b:iam::{ACCOUNT}:role/x") is False
    assert Principal.of(f"arn:aws-eusc:sts::{ACCOUNT}:assumed-role/x/y").partition == "aws-eusc"


SSO = "role/aws-reserved/sso.amazonaws.com"


@pytest.mark.parametrize(
    ("pattern", "fits"),
    [
        (f"arn:aws:iam::{ACCOUNT}:{SSO}/eu-west-1/AWSReservedSSO_Admin_*", True),
        (f"arn:aws:iam::{ACCOUNT}:{SSO}/*/AWSReservedSSO_Admin_*", True),
        (f"arn:aws:iam::{ACCOUNT}:{SSO}/AWSReservedSSO_Admin_*", True),
        (f"arn:aws:iam::{ACCOUNT}:{SSO}/*", True),
        (f"arn:aws:iam::{ACCOUNT}:{SSO}/eu-west-1/AWSReservedSSO_Admin_0123456789abcdef", True),
        (f"arn:aws:iam::{ACCOUNT}:{SSO}/eu-west-1/AWSReservedSSO_Read_*", False),
        (f"arn:aws:iam::{OTHER}:{SSO}/eu-west-1/AWSReservedSSO_Admin_*", False),
        (f"arn:aws:iam::{ACCOUNT}:role/other/*/AWSReservedSSO_Admin_*", False),
    ],
)
def test_a_role_of_identity_center_fits_with_its_path(pattern, fits):
    arn = f"arn:aws:sts::{ACCOUNT}:assumed-role/AWSReservedSSO_Admin_0123456789abcdef/ada@example.com"

    assert allows(pattern, Principal.of(arn)) is fits
    fake = f"arn:aws:sts::{ACCOUNT}:assumed-role/AWSReservedSSO_Admin_mine/ada@example.com"
    assert not allows(pattern, Principal.of(fake))


USER, ROLE = f"arn:aws:iam::{ACCOUNT}:user/", f"arn:aws:iam::{ACCOUNT}:role/"


@pytest.mark.parametrize(
    ("who", "patterns"),
    [
        ("user", f"{USER}builder"),
        ("user", f"{USER}ci/builder"),
        ("user", f"{USER}ci/*"),
        ("user", f"arn:aws:iam::{ACCOUNT}:*"),
        ("user", f"{ROLE}other, {USER}build*"),
        ("role", f"{ROLE}deploy"),
        ("role", f"{ROLE}team/path/deploy"),
        ("role", f"{ROLE}dep*y"),
        ("role", f"arn:aws:sts::{ACCOUNT}:assumed-role/deploy/i-*"),
    ],
)
async def test_a_principal_fits_its_short_its_full_and_its_session_arn(sts, who, patterns):
    assert await proved(
        sts, login(go_sdk(sts.keys[who])), Config(allowed_principal_arns=patterns, allowed_account_ids=ACCOUNT)
    )


@pytest.mark.parametrize(
    ("who", "patterns"),
    [
        ("user", f"{USER}other"),
        ("user", f"{USER}builder/*"),
        ("user", f"{USER}uilder"),
        ("user", f"{ROLE}builder"),
        ("user", f"arn:aws-cn:iam::{ACCOUNT}:user/builder"),
        ("role", f"{ROLE}team/*"),
        ("role", f"{ROLE}deploy/i-0abc"),
        ("role", f"{ROLE}deplo"),
        ("role", f"arn:aws:sts::{ACCOUNT}:assumed-role/deploy/j-*"),
    ],
)
async def test_a_pattern_does_not_fit_its_neighbours(sts, who, patterns):
    assert await refused(sts, login(go_sdk(sts.keys[who])), Config(allowed_principal_arns=patterns)) == "principal_arn"


# Attacks


async def test_the_same_role_name_in_another_account_is_refused(sts):
    request = login(go_sdk(sts.keys["stranger"]))

    assert await refused(sts, request, Config(allowed_principal_arns=f"{ROLE}deploy")) == "principal_arn"
    assert (
        await refused(
            sts, request, Config(allowed_principal_arns="arn:aws:iam::*:role/deploy", allowed_account_ids=ACCOUNT)
        )
        == "account_id"
    )


@pytest.mark.parametrize(
    "host",
    [
        "sts.amazonaws.com.evil.tld",
        "evil.tld",
        "sts.eu-west-1.amazonaws.com.evil.tld",
        "evil.tld/sts.eu-west-1.amazonaws.com",
        "sts.eu-west-1.amazonaws.com@evil.tld",
        "evil.tld#sts.eu-west-1.amazonaws.com",
        "evil.tld?sts.eu-west-1.amazonaws.com",
        "sts.eu-west-1.amazonaws.com:8443",
        "sts.eu-west-1.amazonaws.com:443",
        "127.0.0.1",
        "localhost",
        "[::1]",
        "169.254.169.254",
        "iam.amazonaws.com",
        "s3.eu-west-1.amazonaws.com",
        "sts.eu-west-1.amazonaws.com.cn",
        "sts.us-west-2.amazonaws.com",
        "STS.AMAZONAWS.COM.",
        "",
        "xsts.eu-west-1.amazonaws.com",
        "sts.eu-west-1.amazonaws.com.",
        "sts.eu-west-1.amazonaws.com\\.evil.tld",
    ],
)
async def test_a_host_that_is_not_the_regions_sts_is_never_asked(sts, host):
    headers = go_sdk(sts.keys["user"]) | {"Host": host}

    assert await refused(sts, login(headers)) == "host"
    assert sts.seen == []


@pytest.mark.parametrize(
    "region", ["eu-west-9", "evil", "us-iso-east-1", "eu-west-1.evil", "local", "amazonaws", "x" * 30]
)
async def test_a_region_outside_the_list_is_never_asked(sts, region):
    headers = rust_sdk(sts.keys["user"], region=region)

    assert await refused(sts, login(headers)) in ("region", "authorization")
    assert sts.seen == []


async def test_a_partition_other_than_that_of_the_host_is_refused(sts):
    request = login(go_sdk(sts.keys["user"]))
    sts.answer = ("200 OK", "application/json", answer(Arn=f"arn:aws-cn:iam::{ACCOUNT}:user/x"))

    assert await refused(sts, request) == "sts_answer"


def test_the_list_of_regions_is_that_of_botocore():
    session = botocore.session.get_session()
    known = {
        r: p for p in ("aws", "aws-cn", "aws-us-gov") for r in session.get_available_regions("sts", partition_name=p)
    }

    assert known == PARTITION_OF
    assert all(host.startswith("sts") and host.endswith((".amazonaws.com", ".amazonaws.com.cn")) for host in HOSTS)


@pytest.mark.parametrize(
    "body",
    [
        "Action=AssumeRole&Version=2011-06-15",
        "Action=GetCallerIdentity",
        "Version=2011-06-15&Action=GetCallerIdentity",
        "Action=GetCallerIdentity&Version=2011-06-15&Action=AssumeRole",
        "Action=GetCallerIdentity&Version=2011-06-15\n",
        "",
        "action=GetCallerIdentity&Version=2011-06-15",
    ],
)
async def test_a_body_other_than_exactly_the_question_is_refused(sts, body):
    request = login(signed(sts.keys["user"], headers=FORM, body=body), body=body.encode())

    assert await refused(sts, request) == "request_body"
    assert sts.seen == []


@pytest.mark.parametrize("method", ["GET", "PUT", "post", "", "POST / HTTP/1.1\r\nX: y"])
async def test_a_method_other_than_post_is_refused(sts, method):
    assert await refused(sts, login(signed(sts.keys["user"], headers=FORM), method=method)) == "request_method"


@pytest.mark.parametrize(
    "name",
    [
        "X-Forwarded-Host",
        "X-Amz-Target",
        "Transfer-Encoding",
        "Content-Encoding",
        "Cookie",
        "Proxy-Authorization",
        "Forwarded",
        "X-HTTP-Method-Override",
    ],
)
async def test_an_extra_header_is_refused(sts, name):
    assert await refused(sts, login(go_sdk(sts.keys["user"]) | {name: "x"})) == "header_not_allowed"
    assert sts.seen == []


@pytest.mark.parametrize(
    "make",
    [
        lambda h: json.dumps(h)[:-1] + ', "host": "sts.amazonaws.com"}',  # a second spelling
        lambda h: json.dumps(h)[:-1] + f', "Host": "{HOST}"}}',  # the same twice
        lambda h: json.dumps(h | {"Host": [HOST, "evil.tld"]}),
        lambda h: json.dumps(h | {"Host": [[HOST]]}),
        lambda h: json.dumps(h | {"Host": {"a": "b"}}),
        lambda h: json.dumps(h | {"Host": None}),
        lambda h: json.dumps(h | {"X-Amz-Date": f"{h['X-Amz-Date']}\r\nX-Evil: 1"}),
        lambda h: json.dumps(h | {"User-Agent: x\r\nX-Evil": "1"}),
        lambda h: json.dumps(h | {"User-Agent": "\u2028"}),
        lambda h: json.dumps([h]),
        lambda h: json.dumps(list(h.items())),
        lambda _: "[" * 40_000,
        lambda _: "not json",
        lambda _: '"text"',
        lambda _: "",
    ],
)
async def test_headers_that_are_duplicate_or_malformed_are_refused(sts, make):
    assert await refused(sts, login(make(go_sdk(sts.keys["user"])))) == "request_headers"
    assert sts.seen == []


async def test_text_that_is_not_base64_is_refused(sts):
    request = login(go_sdk(sts.keys["user"]))

    assert await refused(sts, msgspec.structs.replace(request, iam_request_body="€")) == "request_body"
    assert await refused(sts, msgspec.structs.replace(request, iam_request_headers="***")) == "request_headers"


@pytest.mark.parametrize(
    "change",
    [{"Content-Type": "application/json"}, {"Content-Type": "application/x-amz-json-1.1"}, {"Content-Length": "0"}],
)
async def test_a_body_declared_as_something_else_is_refused(sts, change):
    assert await refused(sts, login(go_sdk(sts.keys["user"]) | change)) in ("content_type", "content_length")


@pytest.mark.parametrize(
    "change",
    [
        ("SignedHeaders=", "SignedHeaders=cookie;"),
        ("host;", ""),
        (";x-amz-date", ""),
        ("/sts/", "/s3/"),
        ("AWS4-HMAC-SHA256", "AWS4-ECDSA-P256-SHA256"),
        ("Signature=", "Signature=zz"),
        ("Credential=", "Credential=../../"),
        ("Credential", "Credentials"),
    ],
)
async def test_an_authorization_of_another_form_is_refused(sts, change):
    headers = go_sdk(sts.keys["user"])

    assert (
        await refused(sts, login(headers | {"Authorization": headers["Authorization"].replace(*change)}))
        == "authorization"
    )
    assert sts.seen == []


@pytest.mark.parametrize("minutes", [-16, 16, -60 * 24])
async def test_a_captured_request_is_refused_beyond_its_time(sts, minutes):
    now = milliseconds()
    request = login(go_sdk(sts.keys["user"]))

    assert await proved(sts, request, now=now + 14 * 60_000)
    assert await refused(sts, request, now=now - minutes * 60_000) == "request_time"


async def test_the_date_of_the_header_must_be_that_of_the_signature(sts):
    headers = signed(sts.keys["user"], headers=FORM, when=dt.datetime(2020, 1, 1))  # noqa: DTZ001
    fresh = dt.datetime.now(dt.UTC).strftime("%Y%m%dT%H%M%SZ")

    assert await refused(sts, login(headers)) == "request_time"
    assert await refused(sts, login(headers | {"X-Amz-Date": fresh})) == "request_time"
    assert await refused(sts, login(headers | {"X-Amz-Date": "20269999T999999Z"})) == "request_time"
    assert await refused(sts, login(headers | {"X-Amz-Date": "now"})) == "request_time"


async def test_a_wrong_signature_is_refused_by_sts(sts):
    headers = go_sdk(sts.keys["user"])
    sts.secrets[sts.keys["unknown"].access_key] = "another"

    forged = headers["Authorization"][:-4] + ("0000" if not headers["Authorization"].endswith("0000") else "1111")
    assert await refused(sts, login(headers | {"Authorization": forged})) == "sts_refused"
    assert await refused(sts, login(go_sdk(sts.keys["unknown"]))) == "sts_refused"


def answer(**changes):
    result = {"Account": ACCOUNT, "Arn": f"arn:aws:iam::{ACCOUNT}:user/x", "UserId": "AIDA"} | changes
    return json.dumps({"GetCallerIdentityResponse": {"GetCallerIdentityResult": result}}).encode()


NS = 'xmlns="https://sts.amazonaws.com/doc/2011-06-15/"'
FIELDS = f"<Arn>arn:aws:iam::{ACCOUNT}:user/x</Arn><UserId>AIDA</UserId><Account>{ACCOUNT}</Account>"
XML = f"<GetCallerIdentityResponse {NS}><GetCallerIdentityResult>{FIELDS}</GetCallerIdentityResult></GetCallerIdentityResponse>".encode()


async def test_the_plain_xml_answer_of_the_tests_below_is_accepted(sts):
    sts.answer = ("200 OK", "text/xml; charset=utf-8", XML)

    assert await proved(sts, login(go_sdk(sts.keys["user"])))


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("text/xml", answer()),
        ("application/json", XML),
        ("text/html", XML),
        ("text/plain", answer()),
        ("", answer()),
        ("application/json", b"[]"),
        ("application/json", b"{}"),
        ("application/json", b"null"),
        ("application/json", b"{"),
        ("application/json", answer(Arn=None)),
        ("application/json", answer(Account=123456789012)),
        ("application/json", b"[" * 100_000),
        ("text/xml", XML.replace(NS.encode(), b"")),
        ("text/xml", XML.replace(b"</UserId>", b"</UserId><Arn>arn:aws:iam::1:user/y</Arn>")),
        ("text/xml", XML.replace(b"<Arn>", b"<Wrapped><Arn>").replace(b"</Arn>", b"</Arn></Wrapped>")),
        ("text/xml", b"<x>" + XML + b"</x>"),
        ("text/xml", XML[:-5]),
        ("text/xml", XML.replace(b"<GetCallerIdentityResult>", b"<GetCallerIdentityResult/><GetCallerIdentityResult>")),
        ("text/xml", b'<!DOCTYPE r [<!ENTITY a "x">]>' + XML),
        ("text/xml", b'<!DOCTYPE r SYSTEM "file:///etc/passwd">' + XML),
        ("application/json", answer(Account=OTHER)),
    ],
)
async def test_an_answer_of_another_form_than_it_says_is_refused(sts, kind, text):
    sts.answer = ("200 OK", kind, text)

    assert await refused(sts, login(go_sdk(sts.keys["user"]))) == "sts_answer"


@pytest.mark.parametrize(
    "arn",
    [
        f"arn:aws:iam::{ACCOUNT}:root",
        f"arn:aws:sts::{ACCOUNT}:federated-user/x",
        f"arn:aws:s3::{ACCOUNT}:user/x",
        f"arn:aws:iam:eu:{ACCOUNT}:user/x",
        "arn:aws:iam::12:user/x",
        f"arn:evil:iam::{ACCOUNT}:user/x",
        f"arn:aws:iam::{ACCOUNT}:group/x",
        "",
        f"arn:aws:iam::{ACCOUNT}:user/x\n",
    ],
)
async def test_the_root_of_an_account_and_federated_users_are_refused(sts, arn):
    sts.answer = ("200 OK", "application/json", answer(Arn=arn))

    assert await refused(sts, login(go_sdk(sts.keys["user"]))) == "principal"


@pytest.mark.parametrize(
    "status", ["301 Moved", "302 Found", "307 Temporary", "201 Created", "403 Forbidden", "500 Oops"]
)
async def test_a_redirect_or_any_answer_but_200_is_refused(sts, status):
    sts.answer = (status, "application/json", answer())

    assert await refused(sts, login(go_sdk(sts.keys["user"]))) in ("sts_refused", "sts_unavailable")
    assert len(sts.seen) == 1


async def test_an_sts_with_a_certificate_of_another_authority_is_not_believed(sts, tmp_path):
    async with way_out(sts.port, Trust(tmp_path).pem, NAMES) as outbound:
        with pytest.raises(Denied) as denied:
            await verify(Config(), login(go_sdk(sts.keys["user"])), given(outbound))

    assert denied.value.reason == "sts_unavailable"


async def test_a_stand_in_inside_the_house_is_asked_only_where_the_operator_named_it(sts):
    with serving(sts) as port:
        endpoint = f"http://127.0.0.1:{port}/"
        config, request = check(Config(sts_endpoint=endpoint)), login(go_sdk(sts.keys["user"], f"127.0.0.1:{port}"))
        async with way_out(port, "", ["127.0.0.1"], http_hosts=("127.0.0.1",)) as named:
            assert await verify(config, request, given(named))
        async with way_out(port, "", [], http_hosts=("127.0.0.1",)) as unnamed:
            with pytest.raises(Denied) as denied:
                await verify(config, request, given(unnamed))

    assert denied.value.reason == "sts_unavailable"
    assert len(sts.seen) == 1


async def test_a_configured_endpoint_is_not_left_for_another_region(sts):
    config = Config(sts_endpoint="https://sts.us-west-2.amazonaws.com")

    assert await refused(sts, login(go_sdk(sts.keys["user"])), config) == "host"
    assert await refused(sts, login(rust_sdk(sts.keys["user"])), config) == "host"


async def test_a_refusal_holds_neither_signature_nor_session_token(sts):
    headers = go_sdk(sts.keys["role"])
    one = given()

    with pytest.raises(Denied) as denied:
        await verify(Config(), login(headers | {"Host": "evil.tld"}), one)

    told = repr(denied.value.facts) + repr(one.checks.done)
    assert headers["X-Amz-Security-Token"] not in told
    assert headers["Authorization"].rpartition("=")[2] not in told


# The configuration


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("stsEndpoint", "https://sts.amazonaws.com.evil.tld/"),
        ("stsEndpoint", "http://sts.amazonaws.com/"),
        ("stsEndpoint", "https://x@sts.amazonaws.com"),
        ("stsEndpoint", "https://sts.amazonaws.com:8443/"),
        ("stsEndpoint", "https://sts.amazonaws.com/path"),
        ("stsEndpoint", "https://sts.mars-1.amazonaws.com"),
        ("stsEndpoint", "sts.amazonaws.com"),
        ("stsEndpoint", "https://sts.amazonaws.com/?x"),
        ("stsEndpoint", "https://evil.tld"),
        ("stsEndpoint", "https://["),
        ("stsEndpoint", "https://sts.ama\nzonaws.com/"),
        ("stsEndpoint", "https://8.8.8.8/"),
        ("stsEndpoint", "ftp://127.0.0.1/"),
        ("allowedAccountIds", "12345678901"),
        ("allowedAccountIds", f"{ACCOUNT},"),
        ("allowedAccountIds", "١٢٣٤٥٦٧٨٩٠١٢"),
        ("allowedAccountIds", "*"),
        ("allowedPrincipalArns", "*"),
        ("allowedPrincipalArns", f"arn:aws:iam::{ACCOUNT}:root"),
        ("allowedPrincipalArns", "arn:aws:iam::*:role/deploy"),
        ("allowedPrincipalArns", f"arn:evil:iam::{ACCOUNT}:user/x"),
        ("allowedPrincipalArns", f"{USER}x,,"),
        ("allowedPrincipalArns", f"{USER}[a-z]"),
        ("allowedPrincipalArns", f"{USER}?"),
        ("allowedPrincipalArns", "arn:aws:iam::123:user/x"),
    ],
)
def test_a_configuration_of_another_form_is_refused(field, value):
    with pytest.raises(Invalid) as invalid:
        check(msgspec.convert({field: value}, Config))

    assert (field,) == invalid.value.issues[0].path


def test_lists_are_stored_with_a_space_and_defaults_are_those_of_the_contract():
    config = check(
        Config(
            allowed_account_ids=f"{ACCOUNT},{OTHER}",
            allowed_principal_arns=f" {USER}a ,{USER}b",
            sts_endpoint=" https://sts.amazonaws.com/ ",
        )
    )

    assert (f"{ACCOUNT}, {OTHER}", f"{USER}a, {USER}b") == (config.allowed_account_ids, config.allowed_principal_arns)
    assert config.sts_endpoint == "https://sts.amazonaws.com/"
    wire = {
        "type": "iam",
        "stsEndpoint": "https://sts.amazonaws.com/",
        "allowedPrincipalArns": "",
        "allowedAccountIds": "",
    }
    assert wire == msgspec.to_builtins(check(METHOD.config()))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(max_size=9), inner),
)
NAME = st.sampled_from(["Host", "host", "X-Amz-Date", "Authorization", "Content-Type", "Content-Length"])


@given_some(JSON | st.dictionaries(NAME, JSON | st.text(max_size=20)), st.binary(max_size=20))
def test_no_headers_do_more_than_be_refused(headers, noise):
    whole = go_sdk(Credentials("AKIAUNKNOWN0000000000", "secret")) | (headers if isinstance(headers, dict) else {})
    for each in (json.dumps(headers), json.dumps(whole), noise.decode("latin-1")):
        with pytest.raises((Denied, AttributeError)) as error:
            asyncio.run(verify(Config(), login(each), given()))
        assert isinstance(error.value, Denied) or "fetch" in str(error.value)  # there is no way out: it came that far


@given_some(
    st.binary(max_size=200) | JSON.map(json.dumps).map(str.encode),
    st.sampled_from(["text/xml", "application/json", ""]),
)
def test_no_answer_does_more_than_be_refused(text, kind):
    for each in (text, XML[:150] + text + XML[150:], answer()[:60] + text):
        assert caller_of(kind, each) is None or each != text
