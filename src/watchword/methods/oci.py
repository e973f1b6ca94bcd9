"""OCI Auth: the workload signs a request for its own user record, and Oracle's answer says who signed it.

Watchword sends the signed request.
"""

import re
from collections.abc import Mapping
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Annotated, Any, Literal
from urllib.parse import quote

import msgspec

from watchword.domain.authentication.cloud_hosts import is_oracle
from watchword.domain.authentication.proposals import added, advice, replaced
from watchword.methods.base import (
    LIST_HELP,
    TRUST,
    WHO,
    AuthMethod,
    Given,
    Guide,
    IdentityId,
    OutboundError,
    Schema,
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

SKEW = 5 * 60_000  # milliseconds; what Oracle itself tolerates
_TENANCY = re.compile(r"ocid1\.tenancy\.oc[0-9]{1,3}\.[a-z0-9-]*\.[A-Za-z0-9]{1,100}")
_USER = re.compile(r"ocid1\.user\.oc[0-9]{1,3}\.[a-z0-9-]*\.[A-Za-z0-9]{1,100}")
_PARAMETER = re.compile(r'([A-Za-z]+)="([^"]*)"')
_SIGNATURE = re.compile(r'Signature [A-Za-z]+="[^"]*"(, ?[A-Za-z]+="[^"]*")*')


class Config(Schema, frozen=True, kw_only=True):
    """The tenancy whose users log in, and which of them; no names: all."""

    type: Annotated[
        Literal["iam"],
        said("Kind", "How a caller proves itself: by a signature of Oracle.", example="iam", group=TRUST),
    ] = "iam"
    tenancy_ocid: Annotated[
        str,
        msgspec.Meta(min_length=1, max_length=255),
        said("Tenancy", "The OCID of the tenancy.", example="ocid1.tenancy.oc1..aaaa", group=TRUST),
    ]
    allowed_usernames: Annotated[
        TextList | None,
        said(
            "Users",
            "The names of the users that may log in.",
            danger="Empty: every user of the tenancy logs in.",
            example="deploy-bot",
            also=LIST_HELP,
            group=WHO,
        ),
    ] = None


class Login(Schema, frozen=True, kw_only=True):
    """The headers of a signed `GET /20160918/users/<userOcid>`."""

    identity_id: IdentityId
    user_ocid: Annotated[
        Text, proof("User's OCID", "Of the user who signed.", example="ocid1.user.oc1..aaaa", secret=False)
    ]
    headers: Annotated[
        Mapping[str, Text],
        proof(
            "Signed headers",
            "A JSON object of the headers of a signed `GET /20160918/users/<OCID>`: authorization, date and host.",
            example='{"host": "identity.eu-frankfurt-1.oraclecloud.com", "date": "…", "authorization": "Signature …"}',
            lines=True,
        ),
    ]


class User(msgspec.Struct, frozen=True, rename="camel"):
    """The answer of Oracle about the user."""

    id: str
    compartment_id: str
    name: str
    lifecycle_state: str = "ACTIVE"


def check(config: Config) -> Config:
    """The configuration as it is stored."""
    tenancy = config.tenancy_ocid.strip()
    if not _TENANCY.fullmatch(tenancy):
        raise issue("tenancyOcid", "must be the OCID of a tenancy: ocid1.tenancy.oc1..<id>")
    names = None if config.allowed_usernames is None else normal_list(config.allowed_usernames)
    return msgspec.structs.replace(config, tenancy_ocid=tenancy, allowed_usernames=names)


def form(login: Login, given: Given) -> Mapping[str, str]:
    """The headers by name in lower case, for one of Oracle's own hosts."""
    checks = given.checks
    headers = {name.lower(): value.strip() for name, value in login.headers.items()}
    plain = all(value.isascii() and value.isprintable() for value in headers.values())
    checks.form(
        plain and len(headers) == len(login.headers),
        "request_headers",
        "The headers of the signed request cannot be read",
        expected="each header once",
    )
    host = headers.get("host", "")
    checks.form(
        is_oracle(host, given.operator.oci_hosts),
        "host",
        "The request must be signed for Oracle's identity service",
        expected=", ".join(("identity.<region>.oraclecloud.com", *sorted(given.operator.oci_hosts))),
        presented=host,
        status=400,
    )
    return headers


async def verify(config: Config, login: Login, given: Given) -> Verified:
    """Send the signed request to Oracle, and compare the answer with the configuration."""
    checks, headers, user_ocid = given.checks, form(login, given), login.user_ocid.strip()
    host = headers["host"]
    checks.form(
        bool(_USER.fullmatch(user_ocid)),
        "user_ocid",
        "The user OCID is malformed",
        expected="ocid1.user.oc1..<id>",
        presented=user_ocid,
    )

    proof = _signature(headers.get("authorization", ""))
    signed = proof.get("headers", "").split()
    dates = {"date", "x-date"} & set(signed)
    whole = {"(request-target)", "host"} | dates == set(signed) and len(signed) == len(set(signed)) and bool(dates)
    checks.form(
        whole,
        "authorization",
        "The request is not signed over its target, host and date",
        expected="(request-target) host and date or x-date signed",
        presented=proof.get("headers"),
    )
    # Whoever may read the tenancy's users could sign a request for somebody else's record: the key must be the user's
    # own.
    signer = proof.get("keyId", "").rpartition("/")[0]
    checks.form(
        signer == f"{config.tenancy_ocid}/{user_ocid}",
        "signer",
        "The request is not signed by this user of the tenancy",
        expected=f"{config.tenancy_ocid}/{user_ocid}",
        presented=signer,
    )
    skews = [
        abs(given.now - when) if (when := _milliseconds(headers.get(date, ""))) is not None else SKEW + 1
        for date in dates
    ]
    fresh = all(skew <= SKEW for skew in skews)
    checks.form(
        fresh,
        "request_time",
        "The request was signed too long ago, or a clock is wrong",
        expected="within 5 minutes of now",
        presented=[headers.get(date) for date in sorted(dates)],
    )

    sent = {name: headers[name] for name in ("authorization", *dates)}
    try:
        answer = await given.outbound.fetch(
            "GET", f"https://{host}/20160918/users/{quote(user_ocid, safe='')}", headers=sent
        )
    except OutboundError as error:
        given.checks.fail(
            "reach", "oci_unavailable", "Oracle's identity service could not be asked", presented=str(error)
        )
    checks.prove(
        answer.status == 200, "oci_refused", "Oracle does not accept the signed request", presented=answer.status
    )
    try:
        user = msgspec.json.decode(answer.body, type=User)
    except msgspec.MsgspecError:
        given.checks.fail("form", "oci_answer", "Oracle did not answer as expected", expected="a user record")
    checks.form(user.id == user_ocid, "user", "Oracle answered for another user", expected=user_ocid, presented=user.id)
    checks.compare(
        user.compartment_id == config.tenancy_ocid,
        "tenancy",
        "The user is of another tenancy",
        expected=config.tenancy_ocid,
        presented=user.compartment_id,
    )
    checks.compare(
        user.lifecycle_state == "ACTIVE",
        "user_state",
        "The user is not active",
        expected="ACTIVE",
        presented=user.lifecycle_state,
    )
    names = comma_list(config.allowed_usernames or "")
    checks.compare(
        not names or user.name in names, "username", "The user is not allowed", expected=names, presented=user.name
    )
    return Verified(claims={"oci": {"tenancyOcid": user.compartment_id, "userOcid": user.id, "username": user.name}})


def _signature(header: str) -> Mapping[str, Any]:
    """The parameters of the Authorization header; none of them where one comes twice."""
    pairs = _PARAMETER.findall(header) if _SIGNATURE.fullmatch(header) else []
    return dict(pairs) if len(pairs) == len(dict(pairs)) else {}


def _milliseconds(text: str) -> int | None:
    try:
        when = parsedate_to_datetime(text)
        return int((when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp() * 1000)
    except (ValueError, OverflowError):
        return None


METHOD = AuthMethod(
    slug="oci-auth",
    wrapper="identityOciAuth",
    title="OCI Auth",
    place="Oracle Cloud",
    where="user",
    icon="cloud",
    guide=Guide(
        summary=(
            ("the users {allowedUsernames} log in", "users log in"),
            "of the Oracle tenancy {tenancyOcid}",
        ),
        obtain="""read -r USER_OCID HEADERS < <(python3 - <<'END'
import json, oci, requests
config = oci.config.from_file()
host = f"identity.{config['region']}.oraclecloud.com"
sign = oci.signer.Signer(config["tenancy"], config["user"], config["fingerprint"], config["key_file"])
request = requests.Request("GET", f"https://{host}/20160918/users/{config['user']}", auth=sign).prepare()
names = ("host", "date", "authorization")
print(config["user"], json.dumps({name: request.headers[name] for name in names}, separators=(",", ":")))
END
)""",
        variables=(("INFISICAL_OCI_AUTH_IDENTITY_ID", "{identity}"),),
        mistakes=(
            "The user's name is entered as its OCID: the list holds names.",
            "The headers were signed more than five minutes ago: sign again for each login.",
            "The user is not active at Oracle, or its key was deleted there.",
        ),
    ),
    config=Config,
    login=Login,
    verify=verify,
    check=check,
    form=form,
    claims_under="oci",
    risks=open_unless("allowedUsernames", whom="every user of the tenancy"),
    proposals=(
        ("tenancy", replaced("tenancyOcid")),
        ("username", added("allowedUsernames")),
        ("user_state", advice("The user is not active at Oracle: activate it there")),
    ),
)
