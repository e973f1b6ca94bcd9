# ruff: noqa: RUF001 - names that look alike are what these tests are about
import functools

import msgspec
import pytest

from tests.adapters.directories import BASE, SERVICE, SERVICE_PASSWORD, SLAPD, SmallDirectory, listening, slapd
from tests.methods.clouds import Trust, authority, given, milliseconds, pem
from watchword.adapters.addresses import Guard
from watchword.adapters.ldap import opened_entry
from watchword.adapters.outbound import GuardedOutbound
from watchword.domain.authentication.ldap_names import comparable
from watchword.domain.errors import Denied, Invalid
from watchword.domain.secret import Secret, decode_secret
from watchword.methods.ldap import (
    METHOD,
    AllowedField,
    Config,
    Login,
    allowed_values,
    check,
    name_for_lockout,
    name_of_entry,
    verify,
)


@pytest.fixture(scope="module")
def trust(tmp_path_factory):
    return Trust(tmp_path_factory.mktemp("trust"))


@pytest.fixture(params=["slapd", "small"])
async def where(request, tmp_path, trust):
    """The URL of a directory over TLS: OpenLDAP's, and our own."""
    if request.param == "slapd" and not SLAPD:
        pytest.skip("slapd is not installed (Debian: apt-get install slapd)")
    if request.param == "slapd":
        with slapd(tmp_path, trust) as (_, port):
            yield f"ldaps://localhost:{port}"
    else:
        async with listening(SmallDirectory(), tls=trust.context("localhost")) as port:
            yield f"ldaps://localhost:{port}"


def config(url="ldaps://directory.example", **options):
    return check(
        Config(
            **({"url": url, "bind_dn": SERVICE, "bind_pass": Secret(SERVICE_PASSWORD), "search_base": BASE} | options)
        )
    )


def login(username="ada", password="ada's password"):
    return Login(identity_id="an-identity", username=username, password=Secret(password))


async def proved(using, request):
    guard = Guard(["localhost"])
    outbound = GuardedOutbound(
        clock=milliseconds, guard=guard, directory=functools.partial(opened_entry, allowed=guard.addresses)
    )
    try:
        return await verify(using, request, given(outbound))
    finally:
        await outbound.close()


async def refused(using, request):
    with pytest.raises(Denied) as denied:
        await proved(using, request)
    assert request.password.reveal() not in repr(denied.value.facts)
    return denied.value


def fields(**pairs):
    return tuple(AllowedField(key=key, value=value) for key, value in pairs.items())


async def test_a_user_of_the_directory_with_the_right_password_is_accepted(where, trust):
    verified = await proved(
        config(
            where,
            ldap_ca_certificate=trust.pem,
            allowed_fields=fields(MAIL="x@y,ada@example.com", employeeType="builder"),
        ),
        login(),
    )

    assert verified.claims == {"ldap": {"username": "ada", "dn": f"uid=ada,ou=people,{BASE}"}}
    assert verified.audit == {"ldapUsername": "ada", "ldapEmail": "ada@example.com"}


@pytest.mark.parametrize(
    ("username", "password"),
    [("ada", "wrong"), ("nobody", "ada's password"), ("ada)(uid=*", "ada's password"), ("*", "ada's password")],
)
async def test_a_wrong_name_and_a_wrong_password_get_the_same_answer(where, trust, username, password):
    denied = await refused(config(where, ldap_ca_certificate=trust.pem), login(username, password))

    assert (denied.reason, denied.message) == ("username_or_password", "User name or password is wrong")


@pytest.mark.parametrize(
    "wanted",
    [
        {"employeeType": "admin"},
        {"employeeType": "build"},
        {"department": "x"},
        {"mail": "ada@example.com", "cn": "Bob"},
    ],
)
async def test_an_attribute_outside_the_list_or_missing_is_refused(where, trust, wanted):
    using = config(where, ldap_ca_certificate=trust.pem, allowed_fields=fields(**wanted))

    assert (await refused(using, login())).reason == "allowed_field"


@pytest.mark.parametrize(
    "wanted",
    [
        {"employeeType": "BUILDER"},
        {"employeetype": " builder "},
        {"employeeType": '"x, y", Builder'},
    ],
)
async def test_attributes_are_compared_as_directories_compare_them(where, trust, wanted):
    using = config(where, ldap_ca_certificate=trust.pem, allowed_fields=fields(**wanted))

    assert await proved(using, login())


OPS = "CN=Ops,OU=Groups,DC=example"


@pytest.mark.parametrize(
    ("attribute", "value", "allowed"),
    [
        ("memberOf", OPS, OPS),
        ("memberOf", "cn=ops,ou=groups,dc=example", f'"{OPS}"'),
        ("memberOf", "cn=ops, ou=groups, dc=example", f'x, "{OPS}"'),
        ("memberOf", OPS, "CN=Ops\\,OU=Groups\\,DC=example, b"),
        ("memberOf", "CN=Smith\\, John,DC=e", "cn=Smith\\2C John,dc=e"),
        ("department", "R&D, Berlin", '"R&D, Berlin"'),
        ("department", "r&d,  berlin", "Sales, R&D\\, Berlin"),
    ],
)
def test_values_with_commas_are_written_in_quotes_or_with_a_backslash(attribute, value, allowed):
    (stored,) = config(allowed_fields=fields(**{attribute: allowed})).allowed_fields

    assert any(comparable(value) & comparable(one) for one in allowed_values(stored.value))


@pytest.mark.parametrize("value", ["Berlin", "R&D", "R&D, Bern", "CN=Ops,OU=Groups", "OU=Groups,CN=Ops,DC=example"])
def test_values_beside_those_with_commas_are_not_allowed(value):
    (stored,) = config(allowed_fields=fields(any=f'"R&D, Berlin", "{OPS}"')).allowed_fields

    assert not any(comparable(value) & comparable(one) for one in allowed_values(stored.value))


async def test_a_directory_that_does_not_prove_itself_is_not_given_a_password(where, tmp_path_factory):
    other = Trust(tmp_path_factory.mktemp("other")).pem

    assert (await refused(config(where, ldap_ca_certificate=other), login())).reason == "directory_unavailable"


def test_an_empty_password_is_no_login():
    body = b'{"identityId": "i", "username": "ada", "password": ""}'
    with pytest.raises(msgspec.ValidationError, match="password"):
        msgspec.json.decode(body, type=Login, dec_hook=decode_secret)
    with pytest.raises(msgspec.ValidationError):
        msgspec.json.decode(body.replace(b"ada", b""), type=Login, dec_hook=decode_secret)


@pytest.mark.parametrize("name", ["Ada", " ada", "ADA  ", "ada", "ａda", "𝐚da", "𝕒da", "a\u00adda"])
def test_every_spelling_that_a_directory_takes_for_the_same_counts_towards_one_lockout(name):
    assert METHOD.has_lockout
    assert METHOD.lockout_key is name_for_lockout
    assert name_for_lockout(login(name)) == "ada"
    assert name_for_lockout(login(f"{name}  b")) == "ada b"


@pytest.mark.parametrize("typed", ["ADA", " ada", "ａda", "𝐚da", "ad\u00ada"])
async def test_the_name_in_the_token_is_the_entry_s_and_not_what_was_typed(typed, tmp_path, trust):
    if not SLAPD:
        pytest.skip("slapd is not installed (Debian: apt-get install slapd)")
    with slapd(tmp_path, trust) as (_, port):
        try:
            verified = await proved(config(f"ldaps://localhost:{port}", ldap_ca_certificate=trust.pem), login(typed))
        except Denied:
            pytest.skip("this directory takes it for another name")

    assert verified.claims["ldap"]["username"] == "ada"
    assert verified.audit["ldapUsername"] == "ada"


@pytest.mark.parametrize(
    ("search_filter", "attributes", "typed", "name"),
    [
        ("(uid={{username}})", {"uid": ["ada"]}, "ADA", "ada"),
        ("(uid={{username}})", {"uid": ["augusta", "ada"]}, "ＡＤＡ", "ada"),
        (
            "(uid={{username}})",
            {"uid": ["zoe", "bob"]},
            "other",
            "bob",
        ),  # not a spelling of any: one of them, always the same
        (
            "(&(objectClass=person)(|(uid={{username}})(mail={{username}}@x.example)))",
            {"uid": ["ada"], "mail": ["a@x.example"]},
            "A",
            "ada",
        ),
        ("(|(mail={{username}})(uid={{username}}))", {"uid": ["ada"], "mail": ["ada@x.example"]}, "ada", "ada"),
        ("(sAMAccountName;lang-en={{username}})", {"samaccountname": ["ada"]}, "ADA", "ada"),
        ("(uid:caseIgnoreMatch:={{username}})", {"uid": ["ada"]}, "ADA", "ada"),
        (
            "(uid={{username}})",
            {"cn": ["ada"]},
            "ada",
            "uid=ada,dc=x",
        ),  # an attribute that the service account may not read
    ],
)
def test_the_name_is_a_value_of_an_attribute_that_the_filter_compares(search_filter, attributes, typed, name):
    assert name_of_entry(search_filter, "uid=ada,dc=x", attributes, typed) == name


def test_neither_password_shows_itself():
    assert SERVICE_PASSWORD not in repr(config())
    assert "ada's" not in repr(login())


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("url", "http://directory"),
        ("url", "directory"),
        ("url", "ldap://u:p@directory"),
        ("url", "ldap://directory/dc=x"),
        ("url", "ldap://"),
        ("url", "ldap://d?x"),
        ("searchFilter", "uid={{username}}"),
        ("searchFilter", "(uid={{username}}"),
        ("searchFilter", "(uid=ada)"),
        ("searchFilter", "({{username}}=ada)"),
        ("searchFilter", "(uid={{username}})(a=b)"),
        ("searchFilter", "(&(uid={{username}})"),
        ("searchFilter", "(uid={{username}}\\zz)"),
        ("searchFilter", "(&" * 200 + "(uid={{username}})" + ")" * 200),
        ("searchFilter", "(!(uid={{username}})(a=b))"),
        ("searchFilter", "(cn:{{username}}:=x)"),
        ("ldapCaCertificate", "nonsense"),
        ("bindPass", ""),
    ],
)
def test_a_configuration_of_another_form_is_refused(field, value):
    wire = {"url": "ldaps://d", "bindDN": SERVICE, "bindPass": "x", "searchBase": BASE} | {field: value}
    with pytest.raises(Invalid) as invalid:
        check(msgspec.convert(wire, Config, dec_hook=decode_secret))

    assert invalid.value.issues[0].path == (field,)


def test_the_configuration_is_stored_normalised():
    ca = pem(authority("x")[0])
    stored = config(
        " ldap://d ",
        search_filter=" (&(objectClass=person)(uid={{username}})) ",
        allowed_fields=fields(mail="a,b"),
        ldap_ca_certificate=ca,
    )

    assert (stored.url, stored.search_filter) == ("ldap://d", "(&(objectClass=person)(uid={{username}}))")
    assert stored.allowed_fields == fields(mail="a, b")
    assert config().search_filter == "(uid={{username}})"
