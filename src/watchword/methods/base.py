"""The interface of an auth method: what it is given, what it verifies, and what it may return.

A method is one file with a `Config` (what an administrator stores), a `Login` (what a machine posts), an async
`verify(config, login, given) -> Verified` that refuses by a check of `given.checks`, and a `METHOD` that ties them
together. It can read and can change nothing: lockout, trusted IPs, use counts, issuing and audit belong to
`services/authentication/login.py`. What `verify` returns is checked there before it is believed.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Annotated, Any, Final, Generic, Literal, NoReturn, Protocol, TypeVar

import msgspec

from watchword.domain.authentication.aws_names import KNOWN, StsHosts
from watchword.domain.authentication.cloud_hosts import AZURE_CLOUDS, AzureCloud
from watchword.domain.authentication.pem import certificates
from watchword.domain.authentication.proposals import Proposal, Proposer
from watchword.domain.bounds import IpRange
from watchword.domain.decode import Trimmed
from watchword.domain.errors import Denied, Invalid, Issue
from watchword.domain.globs import glob_matches, is_plain, typed_glob_fault
from watchword.domain.lists import normal_list, normal_patterns, split_list, split_patterns
from watchword.domain.outbound import LdapEntry, LdapQuery, Outbound, OutboundAnswer, OutboundError
from watchword.domain.plain_json import shown, shown_text
from watchword.domain.secret import Secret
from watchword.methods.words import (
    LOCKOUT,
    MORE,
    NETWORKS,
    PROOF,
    TOKENS,
    TRUST,
    WHO,
    Claims,
    Guide,
    Preset,
    Suggested,
    audience_of,
    said,
    text_of,
)

__all__ = [
    "EVERYWHERE",
    "JWT_EXAMPLE",
    "LIST_HELP",
    "LOCKOUT",
    "MORE",
    "NETWORKS",
    "PATTERN_HELP",
    "PROOF",
    "TOKENS",
    "TRUST",
    "WHO",
    "Asking",
    "AuthMethod",
    "Check",
    "Checks",
    "Claims",
    "Credential",
    "Given",
    "Guide",
    "IdentityId",
    "Kind",
    "LdapEntry",
    "LdapQuery",
    "Operator",
    "Outbound",
    "OutboundAnswer",
    "OutboundError",
    "PatternList",
    "Preset",
    "Refresh",
    "Risk",
    "Schema",
    "Secret",
    "Settings",
    "Spent",
    "Suggested",
    "Text",
    "TextList",
    "TrustedIp",
    "Verified",
    "as_stored",
    "audience_of",
    "comma_list",
    "issue",
    "no_risks",
    "normal_list",
    "normal_patterns",
    "open_unless",
    "proof",
    "refusal",
    "require_certificates",
    "require_pattern_lists",
    "require_patterns",
    "risks_of",
    "said",
    "split_patterns",
    "text_of",
]


class Schema(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A body on the wire: camelCase names, unknown keys ignored, strict types."""


class TrustedIp(Schema, frozen=True, kw_only=True):
    """A network, as an administrator writes it."""

    ip_address: Trimmed


EVERYWHERE = (TrustedIp(ip_address="0.0.0.0/0"), TrustedIp(ip_address="::/0"))  # the documented default


Text = Annotated[str, msgspec.Meta(max_length=65_536)]
LIST_HELP = (
    "A list in one text, joined by commas; a part with a comma of its own stands in double quotes, or has a backslash "
    "before the comma. An array of texts is accepted too."
)
TextList = Annotated[str, msgspec.Meta(max_length=65_536, description=LIST_HELP, extra={"joined": True})]
PATTERN_HELP = (
    "Each is a pattern: `*` is any characters but a slash, `**` as a whole segment any segments, `?` one character, "
    "and `[a-z]` and `{a,b}` are choices."
)
PatternList = Annotated[
    str,
    msgspec.Meta(
        max_length=65_536,
        description=f"{LIST_HELP} {PATTERN_HELP}",
        extra={"joined": True, "patterns": True},
    ),
]


IdentityId = Annotated[
    Text,
    said(
        "Identity", "The id of the identity that logs in.", example="b3c1f6a0-6c2e-4a3c-9d5a-0f8e7d6c5b4a", group=PROOF
    ),
]


def proof(title: str, help: str, *, example: str, lines: bool = False, secret: bool = True) -> msgspec.Meta:
    """Return the words of a field of a login that proves who logs in."""
    return said(title, help, example=example, group=PROOF, secret=secret, lines=lines)


JWT_EXAMPLE = "eyJhbGciOiJSUzI1NiIsImtpZCI6IjEifQ.eyJzdWIiOiJleGFtcGxlIn0.c2lnbmF0dXJl"


class Credential(msgspec.Struct, frozen=True):
    """A live stored credential of the identity that matched the one presented (Universal Auth's client secret)."""

    id: str
    expires_at: int | None  # milliseconds
    uses: int
    uses_limit: int
    is_revoked: bool


class Spent(msgspec.Struct, frozen=True):
    """A proof that may be used once: `key` (e.g.

    issuer and jti) is refused a second time until `expires_at` (milliseconds).
    """

    key: str
    expires_at: int


class Verified(msgspec.Struct, frozen=True, kw_only=True):
    """What was proved.

    `claims` go into the token as `identityAuth`, e.g. `{"oidc": {"claims": {…}}}`, and are usable in permission
    templates: all of them stand under `AuthMethod.claims_under`. `audit` are facts for the login's audit event.
    `credential` is the stored one that was used, as it was given. Claims and facts are plain JSON: texts, numbers,
    booleans, null, lists and objects of these.
    """

    claims: Mapping[str, Any] = {}
    audit: Mapping[str, Any] = {}
    credential: Credential | None = None
    spent: Spent | None = None


class Check(msgspec.Struct, frozen=True, omit_defaults=True):
    """One check of a login, as an operator sees it: never a secret, never a whole token."""

    name: str
    passed: bool
    expected: Any = None
    presented: Any = None
    proposal: Proposal | None = None  # what would admit what a comparison refused


Kind = Literal["prove", "compare", "reach", "form"]
STATUSES = frozenset({400, 401, 403, 404, 429})  # what a refusal of a login may be answered with


class Checks:
    """The checks a proof went through, in order; the first that fails ends the login.

    Each check says of which kind it is, and its kind says what its failure means:

        prove    the proof is genuine: a credential or a signature that could be guessed. Counts towards a lockout.
                 Until one has passed, the caller gets the refusal of an unknown identity, and nobody is logged in
                 without one.
        compare  what is presented is what the configuration, the identity or the time demands. A dry run goes on
                 after it fails.
        reach    whoever must answer for the proof did, as far as the configuration says whom to ask: never a fault of
                 the caller's.
        form     what is presented or answered can be judged at all: it can be read, and names the key that is needed.
    """

    def __init__(self) -> None:
        self._done: list[tuple[Kind, str, bool, Any, Any]] = []
        self._has_genuine = self._has_wrong = False  # whether a proof was found so
        self.is_refused = False  # whether a check failed that ends the login
        self.counted_by: str | None = None  # what the method found out to count failed logins by

    @property
    def done(self) -> list[Check]:
        """The checks so far."""
        return [
            Check(shown_text(name), passed, shown(expected), shown(presented))
            for _, name, passed, expected, presented in self._done
        ]

    @property
    def raw(self) -> Sequence[tuple[Kind, str, bool, Any, Any]]:
        """The checks so far as they were made: kind, name, whether passed, what was expected and presented."""
        return tuple(self._done)

    @property
    def is_proved(self) -> bool:
        """Whether a proof was found genuine, and none was found wrong."""
        return self._has_genuine and not self._has_wrong

    @property
    def failed(self) -> Kind | None:
        """The kind of the last check, if that check failed."""
        return self._done[-1][0] if self._done and not self._done[-1][2] else None

    def refused(self, denial: Denied) -> None:
        """Record a refusal that was made without a check.

        It counts as a wrong proof until one was found genuine, for it may be one.
        """
        if not self.is_refused:
            kind: Kind = "form" if self.is_proved else "prove"
            self._done.append((kind, denial.reason, False, None, None))
            self._refuse(kind)

    def begin_anew(self) -> None:
        """Forget the checks so far: all are made once more."""
        self._done.clear()
        self._has_genuine = self._has_wrong = self.is_refused = False

    def prove(
        self, passed: bool, reason: str, message: str, *, expected: Any = None, presented: Any = None, status: int = 401
    ) -> None:
        """Record whether the proof is genuine as the check `reason`; raise `Denied(reason, message)` unless it is."""
        self._done.append(("prove", reason, bool(passed), expected, presented))
        if not passed:
            self._refuse("prove")
            raise refusal(reason, message, expected, presented, status)
        self._has_genuine = True

    def compare(
        self, passed: bool, reason: str, message: str, *, expected: Any = None, presented: Any = None, status: int = 401
    ) -> None:
        """Record whether what was presented is what is demanded, as the check `reason`.

        Raises `Denied(reason, message)` unless it is, except in a dry run.
        """
        self._done.append(("compare", reason, bool(passed), expected, presented))
        if not passed:
            self._refuse("compare")
            raise refusal(reason, message, expected, presented, status)

    def reach(
        self, passed: bool, reason: str, message: str, *, expected: Any = None, presented: Any = None, status: int = 401
    ) -> None:
        """Record whether the party that must answer for the proof did; raise `Denied(reason, message)` otherwise."""
        self._done.append(("reach", reason, bool(passed), expected, presented))
        if not passed:
            self._refuse("reach")
            raise refusal(reason, message, expected, presented, status)

    def form(
        self, passed: bool, reason: str, message: str, *, expected: Any = None, presented: Any = None, status: int = 401
    ) -> None:
        """Record whether what was presented or answered can be judged; raise `Denied(reason, message)` otherwise."""
        self._done.append(("form", reason, bool(passed), expected, presented))
        if not passed:
            self._refuse("form")
            raise refusal(reason, message, expected, presented, status)

    def fail(
        self, kind: Kind, reason: str, message: str, *, expected: Any = None, presented: Any = None, status: int = 401
    ) -> NoReturn:
        """Record a failed check of a kind, and raise `Denied(reason, message)`, in a dry run too."""
        self._done.append((kind, reason, False, expected, presented))
        self._refuse(kind)
        raise refusal(reason, message, expected, presented, status)

    def _refuse(self, kind: Kind) -> None:
        self.is_refused = True
        if kind == "prove":
            self._has_wrong = True


def refusal(reason: str, message: str, expected: Any, presented: Any, status: int) -> Denied:
    """The refusal of a failed check.

    Nothing that a method of a package says makes it an answer that cannot be sent or stored.
    """
    facts = {
        name: shown(value) for name, value in (("expected", expected), ("presented", presented)) if value is not None
    }
    return Denied(shown_text(reason), shown_text(message), status=status if status in STATUSES else 401, facts=facts)


class Operator(msgspec.Struct, frozen=True, kw_only=True):
    """The settings of the server that methods go by."""

    leeway: int = 30  # seconds that a token may come from the future
    sts_hosts: StsHosts = KNOWN
    token_hosts: frozenset[str] = frozenset()  # of API servers that the server has a token of its own for
    trusts_certificate_urls: bool = False  # whether revocation is asked where the presented certificate says
    azure_clouds: Mapping[str, AzureCloud] = AZURE_CLOUDS
    oci_hosts: frozenset[str] = frozenset()  # identity services of Oracle outside its public realm
    aws_server_id: str = ""  # what a signed AWS request must be made for; empty: it need not say


class Asking(Protocol):
    """Bounds on asking another server about proofs: what it refused a moment ago, and who presented it."""

    def refused(self, key: bytes, now: int) -> Any:
        """What the proof with this digest was refused with a moment ago (`now` in milliseconds); None else."""
        ...

    def note_refused(self, key: bytes, answer: Any, now: int, address: str | None) -> None:
        """Keep the answer by which a proof was refused, without the proof, and charge the address."""
        ...

    def turn(self, address: str | None, now: int) -> AbstractAsyncContextManager[None]:
        """A context in which the address may ask. Raises TooManyRequests where too much from it was refused."""
        ...


class Given(msgspec.Struct, frozen=True, kw_only=True):
    """All that a method may look at besides its configuration and the login body."""

    now: int  # milliseconds since the epoch, UTC
    identity_id: str
    outbound: Outbound
    checks: Checks
    address: str | None = None  # the caller's IP address
    credential: Credential | None = None  # found by the keyed hash of `AuthMethod.secret_of(login)`
    operator: Operator = Operator()
    asking: Asking | None = None  # None: nothing bounds the questions
    certificate: str | None = None  # PEM chain from the TLS layer, or from a header of a trusted proxy only
    # Says by what failed logins are counted from here on; raises `Denied` while that is locked out.
    count_by: Callable[[str], Awaitable[None]] | None = None


class Risk(msgspec.Struct, frozen=True):
    """A stored setting that lets in more than its author may mean: allowed, and shown to whoever stores or reads it."""

    code: str  # "admits_anybody"
    field: str  # the wire name of the first setting that would restrict
    message: str  # what it means
    severity: Literal["high", "medium", "low"] = "high"  # high: a stranger can use it by himself
    mend: str = ""  # how to end it


Settings = Mapping[str, Any]  # a configuration by wire names; secrets may be missing or sealed
Judge = Callable[[Settings], Sequence[Risk]]


def no_risks(_settings: Settings) -> Sequence[Risk]:
    """The judge of a method whose configuration cannot admit a stranger.

    Only a caller with a credential that was made for the identity logs in.
    """
    return ()


def open_unless(*fields: str, whom: str, globs: bool = False) -> Judge:
    """A judge that warns of `whom` where none of the settings `fields` restricts.

    `globs`: a pattern that admits strangers is no restriction.
    """

    def judge(settings: Settings) -> Sequence[Risk]:
        if any(_restricts(settings.get(field), globs=globs) for field in fields):
            return ()
        subject = (
            f"{fields[0]} does not restrict" if len(fields) == 1 else f"Neither of {' and '.join(fields)} restricts"
        )
        mend = f"Say in {' or '.join(fields)} who may"
        return (Risk("admits_anybody", fields[0], f"{subject} who logs in: {whom} may", mend=mend),)

    return judge


def _restricts(value: Any, *, globs: bool) -> bool:
    if isinstance(value, str):
        parts = split_patterns(value)
        return bool(parts) and not (globs and any(map(_is_open, parts)))
    if isinstance(value, Mapping):
        return any(_restricts(item, globs=globs) for item in value.values())
    return bool(value)


# What somebody unknown presents: a pull request or a branch of GitHub, a pipeline of GitLab, a run of Terraform Cloud,
# a service account of Google Cloud.
_STRANGERS = (
    "repo:stranger/any:pull_request",
    "repo:stranger/any:ref:refs/heads/main",
    "project_path:stranger/any:ref_type:branch:ref:main",
    "organization:stranger:project:any:workspace:any:run_phase:apply",
    "stranger@any-project.iam.gserviceaccount.com",
)


def _is_open(pattern: str) -> bool:
    """Whether a pattern admits nearly everything: wildcards only, everything but something, or what strangers have."""
    return (
        not pattern.strip("*?/:")
        or (pattern.startswith("!") and not pattern.startswith("!("))
        or any(glob_matches(pattern, subject) for subject in _STRANGERS)
    )


C = TypeVar("C", bound=Schema)
L = TypeVar("L", bound=Schema)


def _by_identity(login: Any) -> tuple[str, str]:
    return "identity", login.identity_id.strip()


def _unchanged(config: Any) -> Any:
    return config


class Refresh(msgspec.Struct, frozen=True, kw_only=True):
    """What a method keeps of another server's data, and how it is fetched again."""

    what: str  # "bundle": of the route `refresh-bundle` and of the audit event
    title: str  # "trust bundle": in the documentation
    fetch: Callable[[Any, Outbound], Awaitable[None]]  # raises OutboundError, BadRequest
    at: str  # the wire name of the managed setting that says when somebody last asked for it


MOST_LOGIN: Final = 256 * 1024  # bytes: anybody may send them, before anything is known about the sender


class AuthMethod(msgspec.Struct, Generic[C, L], frozen=True, kw_only=True):
    """A method as the core sees it. Everything else (routes, OpenAPI, forms, flags, audit names) follows from these."""

    slug: str  # "oidc-auth": the path segment, the `authMethod` claim, the audit name
    wrapper: str  # "identityOidcAuth": the key that wraps the configuration in replies
    title: str  # "OIDC Auth"
    place: str = ""  # "Kubernetes": where a workload runs that uses it, in a choice of methods; empty: the title
    where: str = ""  # "service account token": one line of what it takes, below `place`
    icon: str = "key-round"  # its picture there: the name of an icon of lucide
    presets: tuple[Preset, ...] = ()  # well-known places that use it
    guide: Guide = Guide()  # what people are told of it
    config: type[C]
    login: type[L] | None  # None: there is no login, and operators make named tokens (Token Auth)
    verify: Callable[[C, L, Given], Awaitable[Verified]] | None
    # normalises; raises Invalid. Runs on attach and on the merged result of an update
    check: Callable[[C], C] = _unchanged
    # the same, where the server's settings count; then it runs instead
    check_here: Callable[[C, Operator], C] | None = None
    locate: Callable[[L], tuple[str, str]] = _by_identity  # ("identity", id) or ("locator", text)
    # the wire name of the managed setting that holds the locator, which is made when the method is attached
    locator: str = ""
    # the presented client secret; then its routes are there, and it is looked up by keyed hash
    secret_of: Callable[[L], str] | None = None
    audience: str = ""  # the wire name of the setting that says for whom proofs are made, where it may be empty
    claims_under: str = ""  # "oidc": the only key of `Verified.claims`, no other method's; empty: there are none
    has_lockout: bool = False  # four lockout fields and the clear-lockouts route
    locks: bool = False  # failed logins are counted and lock out: where the proof is one that can be guessed
    max_login: int = 64 * 1024  # bytes of a login body; a method that needs more says so, up to MOST_LOGIN
    lockout_key: Callable[[L], str] = lambda _login: ""  # within (identity, method): LDAP counts per user name
    has_period: bool = True
    form: Callable[[L, Given], Any] | None = None  # what is refused of a login, with status 400, whomever it is for
    networks: tuple[str, ...] = ()  # wire names of settings that are lists of networks, answered as they are stored
    networks_of: Callable[[Settings], Sequence[IpRange]] | None = None  # the networks from which logins are accepted
    managed: tuple[str, ...] = ()  # wire names of settings that we write and a body cannot
    refresh: Refresh | None = None  # then its route is there
    # The body of the login of an OAuth client: with a client id and secret (RFC 6749 section 2.3.1), or with an
    # identity and the assertion that it signed (RFC 7523 section 2.2). Of several methods that have one, it is the
    # first in the list.
    oauth_secret: Callable[[str, str], Mapping[str, str]] | None = None
    oauth_assertion: Callable[[str, str], Mapping[str, str]] | None = None
    # "its bind password": what nobody can read out of it, so that it is issued or entered again after a move
    by_hand: str = ""
    # judges a name that was proved already: for trying a configuration on it
    admit: Callable[[C, str, Checks], Any] | None = None
    sends_secrets_to: tuple[
        str, ...
    ] = ()  # wire names of settings that say where stored secrets are sent, and whom we believe there
    template: tuple[str, ...] = ()  # wire names of settings that a template always holds for its identities
    # Wire names of settings that a template holds only where it was given them; else they are the identity's own.
    template_may: tuple[str, ...] = ()
    # What would admit what a comparison refused, by the reason of the check; what is not here is in `SHARED` of
    # `domain/authentication/proposals.py`, or has no proposal.
    proposals: tuple[tuple[str, Proposer], ...] = ()
    # Judges stored settings (`open_unless`, `no_risks`). Every method of ours says something here; None is for packages
    # that do not.
    risks: Judge | None = None

    @property
    def has_client_secrets(self) -> bool:
        """Whether operators make client secrets, one of which a login presents."""
        return self.secret_of is not None

    @property
    def has_named_tokens(self) -> bool:
        """Whether operators make access tokens and name them; there is no login then."""
        return self.login is None


def as_stored(method: AuthMethod[Any, Any], config: Any, operator: Operator) -> Any:
    """A configuration as it is stored on a server with these settings. Raises Invalid."""
    return method.check(config) if method.check_here is None else method.check_here(config, operator)


def risks_of(method: AuthMethod[Any, Any], settings: Settings) -> tuple[Risk, ...]:
    """The warnings about a stored configuration of a method."""
    return tuple(method.risks(settings)) if method.risks is not None else ()


def comma_list(text: str) -> tuple[str, ...]:
    """The parts of a list that is written as one text (`domain/lists.py`), trimmed, empty ones dropped."""
    return split_list(text)


MOST_PATTERNS = 8_192  # characters of all patterns of one setting together: what a comparison may cost


def require_patterns(path: str | tuple[str, ...], patterns: Sequence[str]) -> None:
    """Raise Invalid, naming the field, where one of the patterns to be stored cannot be used or all are too many."""
    place = (path,) if isinstance(path, str) else path
    wild = [pattern for pattern in patterns if not is_plain(pattern)]
    for pattern in wild:
        fault = typed_glob_fault(pattern)
        if fault is not None:
            message = f"{pattern[:64]} is not a pattern: {fault}"
            raise Invalid([Issue(code="custom", path=place, message=message)])
    if sum(map(len, wild)) > MOST_PATTERNS:
        message = f"Patterns with wildcards have at most {MOST_PATTERNS} characters together"
        raise Invalid([Issue(code="custom", path=place, message=message)])


def require_pattern_lists(**lists: str | None) -> None:
    """Raise Invalid where a comma list of patterns, given by its wire name, holds one that cannot be used."""
    for field, text in lists.items():
        require_patterns(field, split_patterns(text or ""))


def issue(field: str, message: str) -> Invalid:
    """The refusal of one configuration field."""
    return Invalid([Issue(code="custom", path=(field,), message=message)])


def require_certificates(field: str, text: str | None) -> None:
    """Raise Invalid, naming the field, where a text is not blank and no certificate can be read from it."""
    if text and text.strip():
        try:
            certificates(text)
        except ValueError as error:
            raise issue(field, f"{error}; leave it empty to trust the system's authorities") from error
