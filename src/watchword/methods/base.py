"""The interface of an auth method: what it is given, what it verifies, and what it may return.

A method is one file with a `Config` (what an administrator stores), a `Login` (what a machine posts), an async
`verify(config, login, given) -> Verified` that raises `Denied` to refuse, and a `METHOD` that ties them together.
It can read and can change nothing: lockout, trusted IPs, use counts, issuing and audit belong to `services/login.py`.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Annotated, Any, Generic, NoReturn, TypeVar

import msgspec

from watchword.domain.bounds import split_patterns
from watchword.domain.errors import Denied, Invalid, Issue
from watchword.domain.outside import Answer, LdapEntry, Outside, OutsideError
from watchword.domain.secret import Secret

__all__ = [
    "Answer", "AuthMethod", "Check", "Checks", "Credential", "Given", "LdapEntry", "Outside", "OutsideError", "Risk", "Schema",
    "Secret", "Spent", "Text", "Trial", "Verified", "comma_list", "issue", "no_risks", "normal_list", "open_unless", "risks_of",
]  # fmt: skip


class Schema(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A body on the wire: camelCase names, unknown keys ignored, strict types."""


Text = Annotated[str, msgspec.Meta(max_length=65_536)]


class Credential(msgspec.Struct, frozen=True):
    """A live stored credential of the identity that matched the one presented (Universal Auth's client secret)."""

    id: str
    expires_at: int | None  # milliseconds
    uses: int
    uses_limit: int
    is_revoked: bool


class Spent(msgspec.Struct, frozen=True):
    """A proof that may be used once: `key` (e.g. issuer and jti) is refused a second time until `expires_at` (milliseconds)."""

    key: str
    expires_at: int


class Verified(msgspec.Struct, frozen=True, kw_only=True):
    """What was proved.

    `claims` go into the token as `identityAuth`, e.g. `{"oidc": {"claims": {…}}}`, and are usable in permission templates.
    `audit` are facts for the login's audit event. `credential` is the stored one that was used.
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


class Checks:
    """The checks a proof went through, in order; the first that fails ends the login."""

    def __init__(self) -> None:
        self._done: list[tuple[str, bool, Any, Any]] = []
        self.counted_by: str | None = None  # what the method found out to count failed logins by

    @property
    def done(self) -> list[Check]:
        """The checks so far."""
        return [Check(*one) for one in self._done]

    def begin_anew(self) -> None:
        """Forget the checks so far: all are made once more."""
        self._done.clear()

    def require(
        self,
        passed: bool,
        reason: str,
        message: str,
        *,
        expected: Any = None,
        presented: Any = None,
        status: int = 401,
    ) -> None:
        """Record the check named `reason`; raise `Denied(reason, message)` unless it passed."""
        self._done.append((reason, bool(passed), expected, presented))
        if not passed:
            facts = {k: v for k, v in (("expected", expected), ("presented", presented)) if v is not None}
            raise Denied(reason, message, status=status, facts=facts)  # fmt: skip

    def fail(self, reason: str, message: str, *, expected: Any = None, presented: Any = None, status: int = 401) -> NoReturn:
        """Refuse."""
        Checks.require(self, False, reason, message, expected=expected, presented=presented, status=status)
        raise AssertionError("unreachable")


class Trial(Checks):
    """Checks that go on after one which only compares, so that whoever tries a login sees all that is wrong with it.

    Whether the proof is genuine is never passed over: what follows would judge things that nobody proved.
    """

    COMPARISONS = frozenset({
        "account_id", "address_not_trusted", "allowed_field", "arn", "audience_mismatch", "certificate_expired", "certificate_not_yet_valid",
        "claim_mismatch", "claim_missing", "client_id_unknown", "client_secret_expired", "client_secret_revoked", "common_name",
        "identity_disabled", "identity_expired", "issuer_mismatch", "life_too_long", "locked_out", "name_not_allowed",
        "namespace_not_allowed", "not_a_member", "principal_arn", "project_not_allowed", "service_account_not_allowed",
        "service_principal_not_allowed", "spiffe_id_not_allowed", "subject_alt_name", "subject_mismatch", "tenant_mismatch",
        "token_expired", "token_from_the_future", "token_not_yet_valid", "trust_domain_mismatch", "user_state", "username",
        "zone_not_allowed",
    })  # fmt: skip

    def __init__(self) -> None:
        super().__init__()
        self.first: Denied | None = None  # what the login would have been refused for

    def require(self, passed: bool, reason: str, message: str, *, expected: Any = None, presented: Any = None, status: int = 401) -> None:
        """Record the check; raise only where nothing sensible could follow."""
        try:
            super().require(passed, reason, message, expected=expected, presented=presented, status=status)
        except Denied as denial:
            self.first = self.first or denial
            if reason not in self.COMPARISONS:
                raise


class Given(msgspec.Struct, frozen=True, kw_only=True):
    """All that a method may look at besides its configuration and the login body."""

    now: int  # milliseconds since the epoch, UTC
    identity_id: str
    outside: Outside
    checks: Checks
    address: str | None = None  # the caller's IP address
    credential: Credential | None = None  # found by the keyed hash of `AuthMethod.secret_of(login)`
    certificate: str | None = None  # PEM chain from the TLS layer, or from a header of a trusted proxy only
    # Says by what failed logins are counted from here on; raises `Denied` while that is locked out.
    count_by: Callable[[str], Awaitable[None]] | None = None


class Risk(msgspec.Struct, frozen=True):
    """A stored setting that lets in more than its author may mean: allowed, and told to whoever stores or reads it."""

    code: str  # "admits_anybody"
    field: str  # the wire name of the first setting that would restrict
    message: str


Settings = Mapping[str, Any]  # a configuration by wire names; secrets may be missing or sealed
Judge = Callable[[Settings], Sequence[Risk]]


def no_risks(_settings: Settings) -> Sequence[Risk]:
    """For a method whose configuration cannot admit a stranger: only who holds a credential made for the identity logs in."""
    return ()


def open_unless(*fields: str, whom: str, globs: bool = False) -> Judge:
    """A judge that warns of `whom` where none of the settings `fields` restricts; `globs`: a pattern of wildcards only is no restriction."""

    def judge(settings: Settings) -> Sequence[Risk]:
        if any(_restricts(settings.get(field), globs=globs) for field in fields):
            return ()
        subject = f"{fields[0]} does not restrict" if len(fields) == 1 else f"Neither of {' and '.join(fields)} restricts"
        return (Risk("admits_anybody", fields[0], f"{subject} who logs in: {whom} may"),)

    return judge


def _restricts(value: Any, *, globs: bool) -> bool:
    if isinstance(value, str):
        parts = split_patterns(value)
        return bool(parts) and not (globs and any(not part.strip("*?/:") for part in parts))
    if isinstance(value, Mapping):
        return any(_restricts(one, globs=globs) for one in value.values())
    return bool(value)


C = TypeVar("C", bound=Schema)
L = TypeVar("L", bound=Schema)


def _by_identity(login: Any) -> tuple[str, str]:
    return "identity", login.identity_id.strip()


def _unchanged(config: Any) -> Any:
    return config


class AuthMethod(msgspec.Struct, Generic[C, L], frozen=True, kw_only=True):
    """A method as the core sees it. Everything else (routes, OpenAPI, forms, flags, audit names) follows from these."""

    slug: str  # "oidc-auth": the path segment, the `authMethod` claim, the audit name
    wrapper: str  # "identityOidcAuth": the key that wraps the configuration in replies
    title: str  # "OIDC Auth"
    config: type[C]
    login: type[L] | None  # None: tokens are made by an operator (Token Auth)
    verify: Callable[[C, L, Given], Awaitable[Verified]] | None
    check: Callable[[C], C] = _unchanged  # normalises; raises Invalid. Runs on attach and on the merged result of an update
    locate: Callable[[L], tuple[str, str]] = _by_identity  # ("identity", id) or ("locator", text)
    secret_of: Callable[[L], str] | None = None  # the presented credential that is looked up by keyed hash
    has_lockout: bool = False  # four lockout fields and the clear-lockouts route
    locks: bool = False  # failed logins are counted and lock out: where the proof is one that can be guessed
    max_login: int = 64 * 1024  # bytes of a login body; a method that needs more says so, up to 256 KiB
    lockout_key: Callable[[L], str] = lambda _login: ""  # within (identity, method): LDAP counts per user name
    has_period: bool = True
    # The checks any of which, passed, shows that the proof is genuine. A refusal before that is told like an unknown identity.
    proof: tuple[str, ...] = ("signature_invalid",)
    form: Callable[[L, Given], Any] | None = None  # what is refused of a login, with status 400, whomever it is for
    networks: tuple[str, ...] = ()  # wire names of settings that are lists of networks, answered as they are stored
    managed: tuple[str, ...] = ()  # wire names of settings that we write and a body cannot
    refresh: Callable[[C, Outside], Awaitable[None]] | None = None  # fetches anew what is kept of the outside; then its route is there
    admit: Callable[[C, str, Checks], Any] | None = None  # judges a name that was proved already: for trying a configuration on it
    sends_secrets_to: tuple[str, ...] = ()  # wire names of settings that say where stored secrets are sent, and whom we believe there
    template: tuple[str, ...] = ()  # wire names of settings that a template may hold for many identities
    # Judges stored settings (`open_unless`, `no_risks`). Every method of ours says something here; None is for packages that do not.
    risks: Judge | None = None


def risks_of(method: AuthMethod[Any, Any], settings: Settings) -> tuple[Risk, ...]:
    """What a stored configuration of a method should be warned of."""
    return tuple(method.risks(settings)) if method.risks is not None else ()


def comma_list(text: str) -> tuple[str, ...]:
    """The parts of a comma-separated setting, trimmed, empty ones dropped."""
    return tuple(part for part in (p.strip() for p in text.split(",")) if part)


def normal_list(text: str) -> str:
    """A comma list as it is stored and answered: `a, b`."""
    return ", ".join(p.strip() for p in text.split(","))


def issue(field: str, message: str) -> Invalid:
    """The refusal of one configuration field."""
    return Invalid([Issue(code="custom", path=(field,), message=message)])
