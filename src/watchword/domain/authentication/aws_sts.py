"""Parse the signed request that a workload sends for AWS's STS, and the answer of STS."""

import json
import re
from base64 import b64decode
from datetime import UTC, datetime
from typing import Any
from xml.etree.ElementTree import ParseError

import msgspec
from defusedxml import DefusedXmlException
from defusedxml.ElementTree import fromstring

__all__ = ["StsCaller", "caller_of", "decoded", "headers_of", "milliseconds"]

_XMLNS = "{https://sts.amazonaws.com/doc/2011-06-15/}"


class StsCaller(msgspec.Struct, frozen=True, rename="pascal"):
    """What STS says about who signed."""

    account: str
    arn: str
    user_id: str


def decoded(text: str) -> bytes | None:
    """What base64 stands for; None where it is none."""
    try:
        return b64decode(text.strip(), validate=True)
    except ValueError:
        return None


def headers_of(text: str) -> dict[str, str] | None:
    """The headers by lower-case name; None where one has two values, two spellings, or characters that no
    header has.
    """
    try:
        pairs: Any = json.loads(decoded(text) or b"", object_pairs_hook=tuple)
    except (ValueError, RecursionError):
        return None
    headers: dict[str, str] = {}
    for pair in pairs if isinstance(pairs, tuple) else [None]:
        name, value = pair or ("", "\n")
        value = value[0] if isinstance(value, list) and len(value) == 1 else value
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
    """The one result in the answer, read as what the answer says it is: JSON or XML, never the one for the other."""
    kind = content_type.partition(";")[0].strip().lower()
    try:
        if kind == "application/json":
            found: Any = msgspec.json.decode(body)["GetCallerIdentityResponse"]["GetCallerIdentityResult"]
            return msgspec.convert(found, StsCaller)
        if kind in ("text/xml", "application/xml"):
            root = fromstring(body, forbid_dtd=True)
            (result,) = [
                one
                for one in root
                if root.tag == f"{_XMLNS}GetCallerIdentityResponse" and one.tag == f"{_XMLNS}GetCallerIdentityResult"
            ]
            fields = [(one.tag.removeprefix(_XMLNS), one.text or "") for one in result]
            return msgspec.convert(dict(fields), StsCaller) if len(fields) == len(dict(fields)) else None
    except (msgspec.MsgspecError, LookupError, TypeError, ValueError, ParseError, DefusedXmlException, RecursionError):
        return None
    return None
