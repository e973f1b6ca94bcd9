"""What a Kubernetes API server says about service account tokens, and selectors of its labels.

The words of a TokenReview's `status.error` are those of kube-apiserver 1.20 and later: it has no codes for them.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Literal, TypeAlias
from urllib.parse import urlsplit

import msgspec

__all__ = [
    "Account",
    "LabelSelector",
    "Requirement",
    "Ruling",
    "account_of_claims",
    "account_of_review",
    "authority",
    "ruling",
    "token_files",
]

Ruling: TypeAlias = Literal["audience", "expired", "gone", "invalidated", "refused", "outage"]

_BAD = "invalid bearer token"
# Texts that the token chose (its audiences) stand in quotes: no word of theirs may be read as the server's.
_QUOTED = re.compile(r'"(?:[^"\\]|\\.)*"')
_WORDS: tuple[tuple[Ruling, re.Pattern[str]], ...] = (
    ("audience", re.compile(r"is invalid for the target audiences")),
    ("expired", re.compile(r"token (?:has|is) expired")),
    ("invalidated", re.compile(r"token has been invalidated")),
    (
        "gone",
        re.compile(r"UID \(.*?\) does not match claim|\b(?:serviceaccounts?|pods?|secrets?|nodes?)\b.* not found"),
    ),
)
_OUTAGE = re.compile(
    r"timed? ?out|deadline exceeded|connection (?:refused|reset)|dial tcp|no such host|etcdserver|context canceled|"
    r"handshake|unavailable|too many requests|internal error|\bEOF\b|broken pipe|no route to host",
    re.IGNORECASE,
)


def ruling(words: str) -> Ruling:
    """What the words of `status.error` say about the token: why it is bad, or that nobody could judge it (outage)."""
    said = _QUOTED.sub('""', words)
    for found, pattern in _WORDS:
        if pattern.search(said):
            return found
    return "refused" if _BAD in said and not _OUTAGE.search(said) else "outage"


class Account(msgspec.Struct, frozen=True):
    """Whose a service account token is, as the cluster says. Texts are empty where it does not say."""

    username: Any
    uid: str = ""
    pod: str = ""
    credential: str = ""  # "JTI=<id of the token>"


_EXTRA = "authentication.kubernetes.io/"


def account_of_review(user: Any) -> Account:
    """The account of `status.user` in a TokenReview."""
    if not isinstance(user, dict):
        return Account(None)
    extra = user.get("extra")
    extra = extra if isinstance(extra, dict) else {}
    pod, credential = (_first(extra.get(_EXTRA + name)) for name in ("pod-name", "credential-id"))
    return Account(user.get("username"), _text(user.get("uid")), pod, credential)


def account_of_claims(claims: Mapping[str, Any]) -> Account:
    """The account of the claims of a verified token."""
    about = _object(claims.get("kubernetes.io"))
    identifier = _text(claims.get("jti"))
    return Account(
        claims.get("sub"),
        _text(_object(about.get("serviceaccount")).get("uid")),
        _text(_object(about.get("pod")).get("name")),
        f"JTI={identifier}" if identifier else "",
    )


def _object(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _first(values: Any) -> str:
    return _text(values[0]) if isinstance(values, list) and values else ""


def _text(value: Any) -> str:
    return value if isinstance(value, str) and len(value) <= 300 and value.isprintable() else ""


Label = Annotated[str, msgspec.Meta(min_length=1, max_length=317)]  # a prefix of 253, a slash, a name of 63
Value = Annotated[str, msgspec.Meta(max_length=63)]


class Requirement(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One expression of a label selector: what the label `key` must be."""

    key: Label
    operator: Literal["In", "NotIn", "Exists", "DoesNotExist"]
    values: Annotated[tuple[Value, ...], msgspec.Meta(max_length=100)] = ()

    @property
    def fault(self) -> str:
        """Why it cannot be used; empty when it can."""
        if self.operator in ("In", "NotIn") and not self.values:
            return f"{self.operator} needs values"
        if self.operator in ("Exists", "DoesNotExist") and self.values:
            return f"{self.operator} takes no values"
        return ""

    def admits(self, labels: Mapping[str, Any]) -> bool:
        """Whether the labels fulfil it. As in Kubernetes, a label that is not there is not in any set of values."""
        match self.operator:
            case "In":
                return labels.get(self.key) in self.values
            case "NotIn":
                return labels.get(self.key) not in self.values
            case "Exists":
                return self.key in labels
            case "DoesNotExist":
                return self.key not in labels


class LabelSelector(msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """A label selector of Kubernetes (`metav1.LabelSelector`): all of its labels and expressions must be fulfilled."""

    match_labels: Annotated[dict[Label, Value], msgspec.Meta(max_length=100)] = {}
    match_expressions: Annotated[tuple[Requirement, ...], msgspec.Meta(max_length=100)] = ()

    @property
    def fault(self) -> str:
        """Why it cannot be used; empty when it can. One that demands nothing would admit every namespace."""
        if not self.match_labels and not self.match_expressions:
            return "matchLabels or matchExpressions is required"
        return next((found.fault for found in self.match_expressions if found.fault), "")

    def admits(self, labels: Mapping[str, Any]) -> bool:
        """Whether an object with these labels is selected."""
        has_labels = all(labels.get(key) == value for key, value in self.match_labels.items())
        return has_labels and all(found.admits(labels) for found in self.match_expressions)


def authority(host: str) -> str:
    """The host and port of an API server's address, in one writing: in lower case, without the port of https.

    Empty where it is none, or not asked over https.
    """
    try:
        parts = urlsplit(host if "://" in host else f"https://{host}")
        name, port = parts.hostname or "", parts.port
    except ValueError:
        return ""
    if parts.scheme != "https" or not name or "@" in parts.netloc or "%" in name:
        return ""
    bracketed = f"[{name}]" if ":" in name else name
    return bracketed if port in (None, 443) else f"{bracketed}:{port}"


def token_files(written: Iterable[str]) -> dict[str, str]:
    """The files of the server's own tokens, by the authority of the API server. Raises ValueError."""
    files = {}
    for text in written:
        host, sign, path = text.partition("=")
        if not sign or "/" in host or authority(host.strip()) == "" or not path.strip().startswith("/"):
            raise ValueError(f"{text!r} is not host=/path/of/the/token")
        files[authority(host.strip())] = path.strip()
    return files
