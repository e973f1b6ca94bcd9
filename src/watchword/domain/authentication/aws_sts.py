"""Parse the signed request that a workload sends for AWS's STS, and the answer of STS."""

import json
import re
from base64 import b64decode
from datetime import UTC, datetime
from typing import Any

import msgspec

__all__ = [
    "DROPPED",
    "MADE",
    "SENT",
    "SERVER_ID",
    "TRACING",
    "StsCaller",
    "caller_of",
    "decoded",
    "headers_of",
    "milliseconds",
]

SENT = {
    "authorization",
    "content-type",
    "x-amz-date",
    "x-amz-security-token",
    "x-amz-content-sha256",
    "accept",
    "user-agent",
    "x-amz-user-agent",
    "amz-sdk-invocation-id",
    "amz-sdk-request",
}
MADE = {
    "host",
    "content-length",
}  # by the HTTP client, from the URL and the body; checked where the workload lists them
DROPPED = {"connection", "accept-encoding", "expect"}
SERVER_ID = "x-watchword-aws-iam-server-id"
# Added by tracing libraries on the way to the signer. They mean nothing to STS, and travel only where they were signed.
TRACING = re.compile(
    r"x-amzn-trace-id|traceparent|tracestate|baggage|b3|sentry-trace|newrelic|uber-trace-id|x-cloud-trace-context"
    r"|x-request-id|x-correlation-id|grpc-trace-bin|elastic-apm-traceparent"
    r"|(?:x-b3|x-datadog|x-instana|x-ot|ot-tracer|uberctx)-[a-z0-9-]+"
)
_XMLNS = "{https://sts.amazonaws.com/doc/2011-06-15/}"


class StsCaller(msgspec.Struct, frozen=True, rename="pascal"):
    """The answer of STS: who signed."""

    account: str
    arn: str
    user_id: str


def decoded(text: str) -> bytes | None:
    """The bytes behind base64; None for a text that is not base64."""
    try:
        return b64decode(text.strip(), validate=True)
    except ValueError:
        return None


def headers_of(text: str) -> dict[str, str] | None:
    """The headers by lower-case name, or None where they are ambiguous.

    None stands for a header with two values or two spellings, or with characters that no header has.
    """
    try:
        pairs: Any = json.loads(decoded(text) or b"", object_pairs_hook=tuple)
    except (ValueError, RecursionError):
        return None
    headers: dict[str, str] = {}
    for pair in pairs if isinstance(pairs, tuple) else [None]:
        name, value = pair or ("", "\n")
        value = value[0] if isinstance(value, list) and len(value) == 1 else value
        value = str(value) if type(value) is int else value  # a length, as published samples write it
        plain = isinstance(value, str) and value.isascii() and value.isprintable()
        if not plain or not re.fullmatch(r"[A-Za-z0-9-]+", name) or name.lower() in headers:
            return None
        headers[name.lower()] = value
    return headers


def milliseconds(text: str) -> int | None:
    """The moment of an x-amz-date."""
    if not re.fullmatch(r"\d{8}T\d{6}Z", text, re.ASCII):
        return None
    try:
        return int(datetime.strptime(text, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC).timestamp() * 1000)
    except ValueError:
        return None


def caller_of(content_type: str, body: bytes) -> StsCaller | None:
    """The one result in the answer of STS, read in the format that the answer declares.

    JSON is never read as XML, nor XML as JSON.
    """
    kind = content_type.partition(";")[0].strip().lower()
    try:
        if kind == "application/json":
            answer: Any = msgspec.json.decode(body)["GetCallerIdentityResponse"]["GetCallerIdentityResult"]
            return msgspec.convert(answer, StsCaller)
        if kind in ("text/xml", "application/xml"):
            fields = _fields_in_xml(body)
            return msgspec.convert(dict(fields), StsCaller) if len(fields) == len(dict(fields)) else None
    except (msgspec.MsgspecError, LookupError, TypeError, ValueError, RecursionError):
        return None
    return None


def _fields_in_xml(body: bytes) -> list[tuple[str, str]]:
    """The fields of the result in an answer. Raises ValueError, and what `fromstring` raises of that kind."""
    # Slow to import, and nothing else parses XML.
    from xml.etree.ElementTree import ParseError  # noqa: PLC0415

    from defusedxml.ElementTree import fromstring  # noqa: PLC0415

    try:
        root = fromstring(body, forbid_dtd=True)
    except ParseError as error:
        raise ValueError(str(error)) from None
    (result,) = [
        element
        for element in root
        if root.tag == f"{_XMLNS}GetCallerIdentityResponse" and element.tag == f"{_XMLNS}GetCallerIdentityResult"
    ]
    return [(element.tag.removeprefix(_XMLNS), element.text or "") for element in result]
