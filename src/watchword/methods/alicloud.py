"""Alibaba Cloud Auth: the workload signs an STS GetCallerIdentity request, and Alibaba says who signed it.

Watchword sends the signed request.
"""

import re
from datetime import datetime
from typing import Annotated, Literal
from urllib.parse import quote, urlencode

import msgspec

from watchword.domain.authentication.proposals import added
from watchword.methods.base import (
    LIST_HELP,
    TRUST,
    WHO,
    AuthMethod,
    Checks,
    Given,
    Guide,
    IdentityId,
    OutboundError,
    Schema,
    Spent,
    TextList,
    Verified,
    comma_list,
    issue,
    normal_list,
    open_unless,
    proof,
    said,
)

ENDPOINT = "https://sts.aliyuncs.com/"
SKEW = 15 * 60_000  # milliseconds; what Alibaba itself tolerates
_ARN = re.compile(r"acs:ram::(\d{5,20}):(?:user|role|assumed-role)/[\w.@/-]+", re.ASCII)
SIGNED = (
    "action",
    "format",
    "version",
    "access_key_id",
    "signature_method",
    "signature_version",
    "signature_nonce",
    "timestamp",
    "signature",
)


class Config(Schema, frozen=True, kw_only=True):
    """The RAM users and roles that log in, by ARN; an empty list does not restrict."""

    type: Annotated[
        Literal["iam"], said("Kind", "How a caller proves itself: by a signature of RAM.", example="iam", group=TRUST)
    ] = "iam"
    allowed_arns: Annotated[
        TextList,
        said(
            "RAM users and roles",
            "The ARNs that may log in.",
            danger="Empty: every user and role of every Alibaba Cloud account logs in.",
            example="acs:ram::1234567890123456:role/deploy",
            group=WHO,
            also=LIST_HELP,
        ),
    ] = ""


class Login(Schema, frozen=True, kw_only=True):
    """The query of a signed request; every field has its form, so the query says nothing else."""

    identity_id: IdentityId
    action: Annotated[
        Literal["GetCallerIdentity"],
        proof("Action", "Of the signed request.", example="GetCallerIdentity", secret=False),
    ] = msgspec.field(name="Action")
    format: Annotated[Literal["JSON"], proof("Format", "Of the signed request.", example="JSON", secret=False)] = (
        msgspec.field(name="Format")
    )
    version: Annotated[
        str,
        msgspec.Meta(pattern=r"^[0-9]{4}-[0-9]{2}-[0-9]{2}\Z", max_length=10),
        proof("Version", "A date, such as 2015-04-01.", example="2015-04-01", secret=False),
    ] = msgspec.field(name="Version")
    access_key_id: Annotated[
        str,
        msgspec.Meta(pattern=r"^[A-Za-z0-9]+\Z", max_length=128),
        proof("Access key id", "Letters and digits.", example="LTAI5tExample", secret=False),
    ] = msgspec.field(name="AccessKeyId")
    signature_method: Annotated[
        Literal["HMAC-SHA1"], proof("Signature method", "Always HMAC-SHA1.", example="HMAC-SHA1", secret=False)
    ] = msgspec.field(name="SignatureMethod")
    signature_version: Annotated[
        Literal["1.0"], proof("Signature version", "Always 1.0.", example="1.0", secret=False)
    ] = msgspec.field(name="SignatureVersion")
    signature_nonce: Annotated[
        str,
        msgspec.Meta(pattern=r"^[A-Za-z0-9_.-]+\Z", max_length=128),
        proof(
            "Nonce",
            "Letters, digits, dots, dashes and underscores; another for each request.",
            example="3f2a9c",
            secret=False,
        ),
    ] = msgspec.field(name="SignatureNonce")
    timestamp: Annotated[
        str,
        msgspec.Meta(
            pattern=r"^[0-9-]{10}T[0-9:.]{8,15}Z\Z",
            max_length=27,
        ),
        proof("Time", "A time of UTC, such as 2026-01-31T10:00:00Z.", example="2026-01-31T10:00:00Z", secret=False),
    ] = msgspec.field(name="Timestamp")
    signature: Annotated[
        str,
        msgspec.Meta(pattern=r"^[A-Za-z0-9+/]+={0,2}\Z", max_length=128),
        proof("Signature", "Base64. Good for 15 minutes, once.", example="OLeaidS1JvxuMvnyHOwuJ+uX5qY="),
    ] = msgspec.field(name="Signature")


class Caller(msgspec.Struct, frozen=True, rename="pascal"):
    """The answer of Alibaba: who signed."""

    account_id: str
    arn: str
    identity_type: str = ""
    principal_id: str = ""


def check(config: Config) -> Config:
    """The configuration as it is stored."""
    arns = config.allowed_arns
    if arns.strip() and any(not _ARN.fullmatch(part.strip()) for part in arns.split(",")):
        raise issue(
            "allowedArns", "must be a comma-separated list of RAM ARNs: acs:ram::<account>:user/<name> or role/<name>"
        )
    return msgspec.structs.replace(config, allowed_arns=normal_list(arns))


async def verify(config: Config, login: Login, given: Given) -> Verified:
    """Send the signed request to Alibaba's STS, and compare the answer with the configuration."""
    checks = given.checks
    when = _milliseconds(login.timestamp)
    fresh = when is not None and abs(given.now - when) <= SKEW
    checks.form(
        fresh,
        "request_time",
        "The request was signed too long ago, or a clock is wrong",
        expected="within 15 minutes of now",
        presented=login.timestamp,
    )
    query = {
        type(login).__struct_encode_fields__[type(login).__struct_fields__.index(name)]: getattr(login, name)
        for name in SIGNED
    }
    try:
        answer = await given.outbound.fetch("GET", f"{ENDPOINT}?{urlencode(query, quote_via=quote)}")
    except OutboundError as error:
        given.checks.fail("reach", "alicloud_unavailable", "Alibaba's STS could not be asked", presented=str(error))
    checks.prove(
        answer.status == 200, "alicloud_refused", "Alibaba does not accept the signed request", presented=answer.status
    )
    try:
        caller = msgspec.json.decode(answer.body, type=Caller)
    except msgspec.MsgspecError:
        given.checks.fail(
            "form",
            "alicloud_answer",
            "Alibaba did not answer as expected",
            expected="a GetCallerIdentity answer in JSON",
        )
    account_id = _account(caller.arn, given.checks)
    checks.form(
        account_id == caller.account_id,
        "alicloud_answer",
        "Alibaba did not answer as expected",
        expected=caller.account_id,
        presented=account_id,
    )
    admit(config, caller.arn, given.checks)
    # A nonce is made for one request, and Alibaba refuses a second use as well: here it holds on every node at once.
    spent = Spent(key=f"alicloud:{login.access_key_id}:{login.signature_nonce}", expires_at=(when or 0) + SKEW)
    return Verified(
        claims={"alicloud": {"accountId": caller.account_id, "arn": caller.arn, "principalId": caller.principal_id}},
        spent=spent,
    )


def admit(config: Config, arn: str, checks: Checks) -> None:
    """Check that the principal is one of those that the configuration names."""
    _account(arn, checks)
    arns = comma_list(config.allowed_arns)
    checks.compare(not arns or arn in arns, "arn", "The principal is not allowed", expected=arns, presented=arn)


def _account(arn: str, checks: Checks) -> str:
    principal = _ARN.fullmatch(arn)  # the root of an account has no such ARN and never logs in
    checks.form(
        principal is not None,
        "principal",
        "Only RAM users and roles can log in",
        expected="a RAM user or role",
        presented=arn,
    )
    return principal[1] if principal else ""


def _milliseconds(text: str) -> int | None:
    try:
        return int(datetime.fromisoformat(text).timestamp() * 1000)
    except (ValueError, OverflowError):
        return None


METHOD = AuthMethod(
    slug="alicloud-auth",
    wrapper="identityAliCloudAuth",
    title="Alibaba Cloud Auth",
    place="Alibaba Cloud",
    where="RAM user or role",
    icon="cloud",
    guide=Guide(
        summary=(("{allowedArns} log in", "every user and role of Alibaba Cloud logs in"), "by a signed request"),
        obtain="""# A signed GetCallerIdentity of the STS API: its query, field by field.
read -r ACCESS_KEY_ID SIGNATURE_NONCE TIMESTAMP SIGNATURE
ACTION=GetCallerIdentity FORMAT=JSON VERSION=2015-04-01 SIGNATURE_METHOD=HMAC-SHA1 SIGNATURE_VERSION=1.0""",
        mistakes=(
            "A role is named by its session: enter acs:ram::ACCOUNT:role/NAME.",
            "The request is signed as a POST: it is a GET.",
            "The signature is older than 15 minutes, or was used already: sign again for each login.",
        ),
    ),
    config=Config,
    login=Login,
    verify=verify,
    check=check,
    has_period=False,
    claims_under="alicloud",
    admit=admit,
    risks=open_unless("allowedArns", whom="every user and role of every Alibaba Cloud account"),
    proposals=(("arn", added("allowedArns")),),
)
