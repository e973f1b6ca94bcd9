"""AWS Auth: the workload signs an sts:GetCallerIdentity request, and AWS says who signed it.

Watchword sends the signed request.

Whoever answers vouches for the caller, so the host comes from our own list; nothing the client sends names it.
The request is taken apart and put together again: method and body are constants, and only headers of a list travel.
"""

import re
from typing import Annotated, Literal

import msgspec

from watchword.domain.authentication.aws_names import (
    DEFAULT_ENDPOINT,
    Principal,
    allows,
    is_sts,
    names_any_account,
    sts_url,
)
from watchword.domain.authentication.aws_sts import (
    DROPPED,
    MADE,
    SENT,
    SERVER_ID,
    TRACING,
    caller_of,
    decoded,
    headers_of,
    milliseconds,
)
from watchword.domain.authentication.proposals import added, advice
from watchword.methods.base import (
    LIST_HELP,
    TRUST,
    WHO,
    AuthMethod,
    Checks,
    Given,
    Guide,
    IdentityId,
    Operator,
    OutboundError,
    Schema,
    Spent,
    Text,
    TextList,
    Verified,
    comma_list,
    issue,
    normal_list,
    open_unless,
    proof,
    said,
)

BODY = b"Action=GetCallerIdentity&Version=2011-06-15"
SKEW = 15 * 60_000  # milliseconds; what AWS itself tolerates
_AUTHORIZATION = re.compile(
    r"AWS4-HMAC-SHA256 Credential=\w{4,128}/(\d{8})/([a-z0-9-]{1,20})/sts/aws4_request,"
    r" ?SignedHeaders=([a-z0-9;-]+), ?Signature=([0-9a-f]{64})",
    re.ASCII,
)
_FORM = re.compile(r"application/x-www-form-urlencoded(; ?charset=utf-8)?", re.IGNORECASE)


class Config(Schema, frozen=True, kw_only=True):
    """Which principals log in; an empty list does not restrict."""

    type: Annotated[
        Literal["iam"],
        said("Kind", "How a caller proves itself: by a signature of AWS IAM.", example="iam", group=TRUST),
    ] = "iam"
    sts_endpoint: Annotated[
        str,
        msgspec.Meta(min_length=1, max_length=512),
        said(
            "STS endpoint",
            "Where AWS says who signed the request.",
            example="https://sts.eu-central-1.amazonaws.com",
            group=TRUST,
            is_folded=True,
        ),
    ] = DEFAULT_ENDPOINT
    allowed_principal_arns: Annotated[
        TextList,
        said(
            "Principals",
            "The ARNs of the roles and users that may log in; `*` is any characters. Empty: every one.",
            danger="Empty, with no accounts: every role and user of every AWS account logs in.",
            example="arn:aws:iam::123456789012:role/deploy",
            group=WHO,
            also=LIST_HELP,
        ),
    ] = ""
    allowed_account_ids: Annotated[
        TextList,
        said(
            "Accounts",
            "The ids of the accounts they may be of. Empty: any.",
            danger="With no principals: every role and user of these accounts logs in.",
            example="123456789012",
            also=LIST_HELP,
            group=WHO,
        ),
    ] = ""


class Login(Schema, frozen=True, kw_only=True):
    """A signed request: body and headers in base64, the headers a JSON object."""

    identity_id: IdentityId
    iam_http_request_method: Annotated[
        Text, proof("Method", "Of the signed request: always POST.", example="POST", secret=False)
    ] = "POST"
    iam_request_body: Annotated[
        Text,
        proof(
            "Body",
            "Of the signed request, in base64.",
            example="QWN0aW9uPUdldENhbGxlcklkZW50aXR5JlZlcnNpb249MjAxMS0wNi0xNQ==",
            secret=False,
        ),
    ]
    iam_request_headers: Annotated[
        Text,
        proof(
            "Headers",
            "Of the signed request, a JSON object in base64. They hold the signature, good for 15 minutes.",
            example="eyJBdXRob3JpemF0aW9uIjogIkFXUzQtSE1BQy1TSEEyNTYg4oCmIn0=",
            lines=True,
        ),
    ]


def check(config: Config, operator: Operator = Operator()) -> Config:  # noqa: B008 - it is frozen
    """The configuration as it is stored; every part of every list has its form."""
    endpoint, arns, accounts = config.sts_endpoint.strip(), config.allowed_principal_arns, config.allowed_account_ids
    if not is_sts(endpoint, operator.sts_hosts):
        raise issue(
            "stsEndpoint",
            "must be https://sts.amazonaws.com, the STS endpoint of a known region, or a host of the server's setting "
            "WATCHWORD_AWS_STS_HOSTS",
        )
    if accounts.strip() and any(not re.fullmatch(r"\d{12}", part.strip(), re.ASCII) for part in accounts.split(",")):
        raise issue("allowedAccountIds", "must be a comma-separated list of account ids of 12 digits")
    has_gap = any(not part.strip() for part in arns.split(","))
    for part in (*comma_list(arns), *([""] if has_gap else [])) if arns.strip() else ():
        is_open = names_any_account(part)
        if is_open is None:
            raise issue(
                "allowedPrincipalArns",
                "must be a comma-separated list of IAM user or role ARNs, `*` standing for any characters",
            )
        if is_open and not accounts.strip():  # a role of the same name exists in accounts of strangers
            raise issue(
                "allowedPrincipalArns", "may leave the account open only where allowedAccountIds names the accounts"
            )
    return msgspec.structs.replace(
        config,
        sts_endpoint=endpoint,
        allowed_principal_arns=normal_list(arns),
        allowed_account_ids=normal_list(accounts),
    )


async def verify(config: Config, login: Login, given: Given) -> Verified:
    """Send the signed request to STS, and compare the answer with the configuration."""
    checks, hosts = given.checks, given.operator.sts_hosts
    method, unread = login.iam_http_request_method, "The headers of the signed request cannot be read"
    checks.form(
        method == "POST", "request_method", "The signed request must be a POST", expected="POST", presented=method
    )
    asks = decoded(login.iam_request_body) == BODY
    checks.form(
        asks,
        "request_body",
        "The signed request must ask for GetCallerIdentity and nothing else",
        expected=BODY.decode(),
    )
    signed_headers = headers_of(login.iam_request_headers)
    checks.form(
        signed_headers is not None, "request_headers", unread, expected="base64 of a JSON object, each header once"
    )
    headers = signed_headers or {}
    proof = _AUTHORIZATION.fullmatch(headers.get("authorization", ""))
    date, region, names, signature = proof.groups() if proof else ("", "", "", "")
    signed = set(names.split(";"))
    traced = {name for name in headers.keys() | signed if TRACING.fullmatch(name)}
    strange = sorted(headers.keys() - SENT - MADE - DROPPED - traced - {SERVER_ID})
    checks.form(
        not strange,
        "header_not_allowed",
        "The signed request has a header that is not sent on",
        presented=strange or None,
    )
    is_whole = headers.get("content-length", str(len(BODY))) == str(len(BODY))
    checks.form(is_whole, "content_length", "The signed request has another length than its body")
    is_form = bool(_FORM.fullmatch(headers.setdefault("content-type", "application/x-www-form-urlencoded")))
    checks.form(is_form, "content_type", "The signed request must be form-encoded")

    is_signed = {"host", "x-amz-date"} <= signed <= SENT | MADE | traced | {SERVER_ID}
    checks.form(
        is_signed, "authorization", "The request is not signed with Signature Version 4 for STS", presented=names
    )
    checks.form(
        region in hosts.partition_of,
        "region",
        "The request is signed for a region that is not known: the setting WATCHWORD_AWS_STS_HOSTS adds one",
        presented=region,
    )
    endpoint, host = config.sts_endpoint, headers.get("host")
    url = sts_url(endpoint, region, host, hosts)
    checks.form(
        url is not None,
        "host",
        "The request is signed for another host than the STS endpoint",
        expected=endpoint,
        presented=host or region,
    )
    # A request made for another service could be sent here otherwise.
    server, named = given.operator.aws_server_id, headers.get(SERVER_ID) if SERVER_ID in signed else None
    text = f"The signed request is not made for this server: sign it with the header {SERVER_ID}"
    checks.compare(not server or named == server, "server_id", text, expected=server or None, presented=named)
    amz_date = headers.get("x-amz-date", "")
    when = milliseconds(amz_date)
    is_fresh = when is not None and abs(given.now - when) <= SKEW and amz_date.startswith(date)
    checks.form(
        is_fresh,
        "request_time",
        "The request was signed too long ago, or a clock is wrong",
        expected="within 15 minutes",
        presented=amz_date,
    )

    wanted = (SENT - {"accept"}) | (signed & ({"accept", SERVER_ID} | traced))
    sent = {name: value for name, value in headers.items() if name in wanted}
    try:
        answer = await given.outbound.fetch("POST", url or "", headers={"accept": "application/json"} | sent, body=BODY)
    except OutboundError as error:
        given.checks.fail("reach", "sts_unavailable", "STS could not be asked", presented=str(error))
    checks.prove(answer.status == 200, "sts_refused", "STS does not accept the signed request", presented=answer.status)
    caller = caller_of(answer.headers.get("content-type", ""), answer.body)
    if caller is None:
        given.checks.fail(
            "form", "sts_answer", "STS did not answer as expected", expected="a GetCallerIdentity answer in JSON or XML"
        )
    principal = _principal(caller.arn, given.checks)
    known, told = (hosts.partition_of[region], caller.account), (principal.partition, principal.account)
    checks.form(known == told, "sts_answer", "STS did not answer as expected", expected=known, presented=told)

    admit(config, caller.arn, given.checks)
    facts = {"accountId": caller.account, "arn": caller.arn, "userId": caller.user_id, "partition": principal.partition}
    kind = {"service": principal.service, "resourceType": principal.kind, "resourceName": principal.name}
    # The same request is the same signature: whoever sees it on its way cannot use it again, here or on another server.
    spent = Spent(key=f"aws:{signature}", expires_at=(when or 0) + SKEW)
    return Verified(claims={"aws": facts | kind}, spent=spent)


def admit(config: Config, arn: str, checks: Checks) -> None:
    """Check that the principal is one of those that the configuration names."""
    principal = _principal(arn, checks)
    accounts, patterns = comma_list(config.allowed_account_ids), comma_list(config.allowed_principal_arns)
    is_known = not accounts or principal.account in accounts
    checks.compare(is_known, "account_id", "The account is not allowed", expected=accounts, presented=principal.account)
    is_known = not patterns or any(allows(pattern, principal) for pattern in patterns)
    checks.compare(is_known, "principal_arn", "The principal is not allowed", expected=patterns, presented=arn)


def _principal(arn: str, checks: Checks) -> Principal:
    principal = Principal.of(arn)
    if principal is None:
        checks.fail(
            "form", "principal", "Only IAM users and roles can log in", expected="an IAM user or role", presented=arn
        )
    return principal


METHOD = AuthMethod(
    slug="aws-auth",
    wrapper="identityAwsAuth",
    title="AWS Auth",
    place="AWS",
    where="IAM role or user",
    icon="cloud",
    guide=Guide(
        summary=(
            ("the AWS principals {allowedPrincipalArns} log in", "AWS principals log in"),
            "of the account {allowedAccountIds}",
            "by a request that they sign for {stsEndpoint}",
        ),
        obtain="""read -r IAM_REQUEST_BODY IAM_REQUEST_HEADERS < <(python3 - <<'END'
import base64, json, botocore.session
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
body = "Action=GetCallerIdentity&Version=2011-06-15"
form = {"Content-Type": "application/x-www-form-urlencoded; charset=utf-8"}
request = AWSRequest("POST", "{stsEndpoint}", data=body, headers=form)
SigV4Auth(botocore.session.get_session().get_credentials(), "sts", "us-east-1").add_auth(request)
print(*(base64.b64encode(text.encode()).decode() for text in (body, json.dumps(dict(request.headers)))))
END
)""",
        variables=(("INFISICAL_AWS_IAM_AUTH_IDENTITY_ID", "{identity}"),),
        mistakes=(
            "The role is named by its session: a principal is arn:aws:iam::ACCOUNT:role/NAME, without sts.",
            "The request was signed for another endpoint: sign for the one that stands in the settings.",
            "The signature is older than 15 minutes, or was used already: sign again for each login.",
        ),
    ),
    config=Config,
    login=Login,
    verify=verify,
    check=check,
    check_here=check,
    claims_under="aws",
    admit=admit,
    risks=open_unless("allowedPrincipalArns", "allowedAccountIds", whom="every user and role of every AWS account"),
    proposals=(
        ("account_id", added("allowedAccountIds")),
        ("principal_arn", added("allowedPrincipalArns")),
        ("server_id", advice("The request must be signed together with the header that names this server")),
    ),
)
