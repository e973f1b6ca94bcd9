"""LDAP Auth: find the entry of a user name in a directory, bind as it with the password, and compare its attributes."""

import re
from collections.abc import Mapping, Sequence
from typing import Annotated, Any
from urllib.parse import urlsplit

import msgspec

from watchword.domain.authentication.ldap_names import comparable, directory_name, distinguished_name
from watchword.domain.authentication.proposals import whole_text, with_part
from watchword.domain.outbound import Admits
from watchword.domain.urls import is_web_url
from watchword.methods.base import (
    LIST_HELP,
    TRUST,
    WHO,
    AuthMethod,
    Given,
    Guide,
    IdentityId,
    LdapQuery,
    OutboundError,
    Risk,
    Schema,
    Secret,
    Settings,
    Text,
    Verified,
    comma_list,
    issue,
    normal_list,
    open_unless,
    proof,
    require_certificates,
    said,
)

PLACEHOLDER = "{{username}}"
MOST_PARTS = 64  # parentheses of a filter: its depth is walked
# The attribute of a part of a filter whose value holds the user name; options and matching rules stand behind it.
_COMPARED = re.compile(r"\(\s*([A-Za-z0-9.-]+)[^()=]*=[^()]*" + re.escape(PLACEHOLDER))
Word = Annotated[str, msgspec.Meta(min_length=1, max_length=4096)]

AllowedValues = Annotated[
    str, msgspec.Meta(min_length=1, max_length=4096, description=LIST_HELP, extra={"joined": True})
]


class AllowedField(Schema, frozen=True, kw_only=True):
    """An attribute that the entry must have, with one of the values of a comma list.

    They are compared as directories do: without regard to case and to spaces that mean nothing, and DNs part by part.
    """

    key: Annotated[
        str,
        msgspec.Meta(min_length=1, max_length=255),
        said("Attribute", "Its name in the directory.", example="memberOf", group=WHO),
    ]
    value: Annotated[
        AllowedValues,
        said(
            "Values",
            "Of which one must be there.",
            example='"cn=ci,ou=groups,dc=example,dc=com"',
            group=WHO,
            also=LIST_HELP,
        ),
    ]


class Config(Schema, frozen=True, kw_only=True):
    """The directory, the service account that searches it, and what the user's entry must say."""

    url: Annotated[
        Word,
        said(
            "Directory",
            "Its address.",
            danger="ldap:// without TLS: whoever stands between reads the passwords.",
            example="ldaps://ldap.example.com:636",
            group=TRUST,
        ),
    ]
    bind_dn: Annotated[
        Word,
        said(
            "Searches as",
            "The DN of the account that looks users up.",
            example="cn=reader,ou=services,dc=example,dc=com",
            group=TRUST,
        ),
    ] = msgspec.field(name="bindDN")
    bind_pass: Annotated[
        Secret,
        said(
            "Password of that account",
            "It is stored encrypted and never shown.",
            example="a-long-password",
            group=TRUST,
            secret=True,
        ),
    ]
    search_base: Annotated[
        Word, said("Search below", "The DN below which users are.", example="ou=people,dc=example,dc=com", group=WHO)
    ]
    search_filter: Annotated[
        Word,
        said(
            "Search filter",
            f"Finds the entry of a user; {PLACEHOLDER} is the user name that was sent.",
            danger="The user name alone, with no attributes: every user of the directory logs in.",
            example=f"(&(uid={PLACEHOLDER})(memberOf=cn=ci,ou=groups,dc=example,dc=com))",
            group=WHO,
        ),
    ] = f"(uid={PLACEHOLDER})"
    allowed_fields: Annotated[
        tuple[AllowedField, ...] | None,
        said(
            "Attributes",
            "What the entry must have, each with the values of which one must be there. Empty: nothing.",
            danger="Empty, with a search filter of the user name alone: every user of the directory logs in.",
            example="memberOf",
            group=WHO,
        ),
    ] = None
    ldap_ca_certificate: Annotated[
        Text | None,
        said(
            "Authority of the directory's certificate",
            "PEM; empty: the system's authorities.",
            example="-----BEGIN CERTIFICATE-----",
            group=TRUST,
            is_folded=True,
            lines=True,
        ),
    ] = None


class Login(Schema, frozen=True, kw_only=True):
    """A user name and its password."""

    identity_id: IdentityId
    username: Annotated[
        str,
        msgspec.Meta(min_length=1, max_length=1024),
        proof("User name", "As the search filter finds it.", example="ci-runner", secret=False),
    ]
    password: Annotated[Secret, proof("Password", "Of that user, in the directory.", example="a-long-password")]

    def __post_init__(self) -> None:
        """Refuse an empty password: it would be an anonymous bind, which succeeds (RFC 4513 5.1.2)."""
        if not self.password:
            raise ValueError("password must not be empty")


def check(config: Config) -> Config:
    """The configuration as it is stored: a directory's URL, a filter that names the user, a readable CA."""
    if not _is_directory(config.url.strip()):
        raise issue("url", "must look like ldaps://host:port or ldap://host:port")
    if not config.bind_pass:
        raise issue("bindPass", "must not be empty: a bind without a password is anonymous")
    template = config.search_filter.strip()
    if PLACEHOLDER not in template or not _is_filter(template):
        raise issue("searchFilter", f"must be an LDAP filter (RFC 4515) that compares an attribute with {PLACEHOLDER}")
    require_certificates("ldapCaCertificate", config.ldap_ca_certificate)
    fields = config.allowed_fields and tuple(
        AllowedField(key=f.key.strip(), value=normal_list(f.value)) for f in config.allowed_fields
    )
    return msgspec.structs.replace(config, url=config.url.strip(), search_filter=template, allowed_fields=fields)


async def verify(config: Config, login: Login, given: Given) -> Verified:
    """Ask the directory, then compare the entry's attributes with the allowed ones.

    Failed logins are counted by the entry as soon as the directory says which one it is, before the password is tried:
    many spellings are one entry, and which ones is the directory's to say.
    """
    checks = given.checks
    checks.form(bool(login.password), "password_empty", "User name or password is wrong")
    query = LdapQuery(
        url=config.url,
        ca=(config.ldap_ca_certificate or "").strip(),
        bind_dn=config.bind_dn,
        bind_password=config.bind_pass,
        base=config.search_base,
        filter_template=config.search_filter,
        username=login.username,
        password=login.password,
    )
    try:
        entry = await given.outbound.ldap(query, admits=_counted_by_entry(given))
    except OutboundError as error:
        given.checks.fail("reach", "directory_unavailable", "The directory could not be asked", presented=str(error))
    checks.prove(
        entry is not None, "username_or_password", "User name or password is wrong", presented=login.username[:255]
    )
    assert entry is not None
    attributes = {name.lower(): values for name, values in entry.attributes.items()}  # attribute names have no case
    for field in config.allowed_fields or ():
        values = attributes.get(field.key.lower(), ())
        allowed = allowed_values(field.value)
        accepted = frozenset[object]().union(*map(comparable, allowed))
        checks.compare(
            any(not accepted.isdisjoint(comparable(value)) for value in values),
            "allowed_field",
            "An attribute of the user is not allowed",
            expected={field.key: allowed},
            presented=values,
        )
    mail = next(iter(attributes.get("mail", ())), None)
    name = name_of_entry(config.search_filter, entry.dn, attributes, login.username)
    return Verified(
        claims={"ldap": {"username": name, "dn": entry.dn}}, audit={"ldapUsername": name, "ldapEmail": mail}
    )


def allowed_values(text: str) -> tuple[str, ...]:
    """The values of a comma list. One DN need not be quoted: its commas are its own, besides separating values."""
    values = comma_list(text)
    return (*values, text) if len(values) > 1 and distinguished_name(text) is not None else values


def name_of_entry(search_filter: str, dn: str, attributes: Mapping[str, Sequence[str]], typed: str) -> str:
    """The user name as the entry has it: the attribute that the filter compares with the typed name.

    Where there is no such attribute, it is the DN.

    Of several values it is the one that the typed name is a spelling of. What was typed decides between values, and is
    never the name itself: roles and rules may go by it. `attributes` has names in lower case.
    """
    compared = [name.lower() for name in _COMPARED.findall(search_filter)]
    values = [value for name in compared for value in sorted(attributes.get(name, ()))]
    same = [value for value in values if directory_name(value) == directory_name(typed)]
    return next(iter(same or values), dn)


def _counted_by_entry(given: Given) -> Admits | None:
    """The function that counts failed logins by the entry's DN, as directories compare names (RFC 4518)."""
    count_by = given.count_by
    if count_by is None:
        return None

    async def admits(dn: str) -> None:
        await count_by(directory_name(dn))

    return admits


def name_for_lockout(login: Login) -> str:
    """The user name as a directory compares it (RFC 4518), for as long as the entry is not known."""
    return directory_name(login.username)


def _is_directory(url: str) -> bool:
    parts = urlsplit(url) if is_web_url(url, ("ldap", "ldaps")) else None
    return parts is not None and parts.path in ("", "/") and not parts.query and not parts.fragment


def _is_filter(text: str) -> bool:
    """Whether a text is a filter with the placeholder in its values only.

    The placeholder may not stand in the name of an attribute or of a matching rule.
    """
    if text.count("(") > MOST_PARTS or not text.startswith("("):
        return False
    import sansldap  # noqa: PLC0415 - slow to import, and only an administrator's writes need it

    try:
        sansldap.LDAPFilter.from_string(text)
    except ValueError:
        return False
    return True


def risks(settings: Settings) -> Sequence[Risk]:
    """Warn of a filter that only compares the user's name.

    A filter that asks for more may be the restriction.
    """
    if str(settings.get("searchFilter", "")).count("(") > 1:
        return ()
    return open_unless("allowedFields", whom="everybody whom the directory knows")(settings)


def _admitted_attribute(settings: Settings, expected: Any, presented: Any) -> Mapping[str, Any] | str:
    """Propose the entry's first value beside those that are allowed of its attribute."""
    key, value = next(iter(expected), ""), whole_text(presented)
    if value is None:
        return f"The user's entry needs the attribute {key} with a value that is allowed"
    fields = settings.get("allowedFields") or ()
    return {
        "allowedFields": [
            {**field, "value": with_part(field["value"], value)} if field["key"] == key else dict(field)
            for field in fields
        ]
    }


METHOD = AuthMethod(
    slug="ldap-auth",
    wrapper="identityLdapAuth",
    title="LDAP Auth",
    place="Directory",
    where="LDAP user",
    icon="book-user",
    guide=Guide(
        summary=(
            "users of {url} below {searchBase} log in",
            "found by {searchFilter}",
            "with {allowedFields}",
        ),
        obtain="""USERNAME=ci-runner
read -rs PASSWORD   # type the password: nothing is echoed""",
        variables=(("INFISICAL_LDAP_AUTH_IDENTITY_ID", "{identity}"),),
        mistakes=(
            "The DN of the searching account is wrong, or its password was changed: then nobody can log in.",
            "The search filter finds two entries: it must find one.",
            "The group is compared whole: enter its DN as the directory shows it.",
        ),
    ),
    config=Config,
    login=Login,
    verify=verify,
    check=check,
    has_lockout=True,
    locks=True,
    lockout_key=name_for_lockout,
    claims_under="ldap",
    by_hand="its bind password",
    template=("url", "bindDN", "bindPass", "searchBase", "ldapCaCertificate"),
    sends_secrets_to=("url", "ldapCaCertificate"),
    risks=risks,
    proposals=(("allowed_field", _admitted_attribute),),
)
