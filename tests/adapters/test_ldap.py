# ruff: noqa: RUF001 - names that look alike are what these tests are about
import asyncio
import contextlib
import socket
import time

import pytest
import sansldap

from tests.adapters.directories import BASE, SERVICE, SERVICE_PASSWORD, SLAPD, SmallDirectory, listening, slapd
from tests.methods.clouds import Trust
from watchword.adapters.addresses import Guard
from watchword.adapters.ldap import DirectoryLimits, filled, opened_entry
from watchword.domain.outbound import LdapQuery
from watchword.domain.secret import Secret
from watchword.methods.base import OutboundError

ADA, BOB = f"uid=ada,ou=people,{BASE}", f"uid=bob,ou=people,{BASE}"
QUICK = DirectoryLimits(connect=0.5, total=1.0)


async def at_home(_host, port):
    return [("127.0.0.1", port)]


async def opened(url, username="ada", password="ada's password", **options):
    asked = {name: options.pop(name) for name in LdapQuery.__struct_fields__ if name in options}
    query = LdapQuery(
        **{
            "url": url,
            "ca": "",
            "bind_dn": SERVICE,
            "bind_password": Secret(SERVICE_PASSWORD),
            "base": BASE,
            "filter_template": "(uid={{username}})",
            "username": username,
            "password": Secret(password),
        }
        | asked
    )
    options = {"allowed": at_home, "plain_hosts": ("localhost", "127.0.0.1", "directory.example")} | options
    return await opened_entry(query, **options)  # type: ignore[arg-type]


async def failed(url, **options):
    with pytest.raises(OutboundError) as error:
        await opened(url, **options)
    return str(error.value)


@pytest.fixture(scope="module")
def trust(tmp_path_factory):
    return Trust(tmp_path_factory.mktemp("trust"))


@pytest.fixture(scope="module")
def tls(trust):
    return trust.context("localhost", "127.0.0.1")


# OpenLDAP, for real


@pytest.fixture(scope="module")
def openldap(tmp_path_factory, trust):
    if not SLAPD:
        pytest.skip("slapd is not installed (Debian: apt-get install slapd)")
    with slapd(tmp_path_factory.mktemp("slapd"), trust) as ports:
        yield ports


@pytest.fixture(params=["ldap", "ldap with StartTLS", "ldaps"])
def way(request, openldap, trust):
    """The URL and the CA of each way to talk to slapd."""
    plain, secure = openldap
    if request.param == "ldaps":
        return f"ldaps://localhost:{secure}", trust.pem
    return f"ldap://localhost:{plain}", trust.pem if "TLS" in request.param else ""


async def test_slapd_opens_the_entry_of_a_user_with_the_right_password(way):
    url, ca = way
    entry = await opened(url, ca=ca)

    assert entry.dn == ADA
    assert entry.attributes["mail"] == ("ada@example.com",)
    assert set(entry.attributes["employeeType"]) == {"builder", "tester"}
    assert "userPassword" not in entry.attributes


@pytest.mark.parametrize(
    ("username", "password"),
    [
        ("ada", "wrong"),
        ("ada", "bob's password"),
        ("nobody", "ada's password"),
        ("ada", ""),
        ("", "ada's password"),
        ("twin", "twin's password"),
        ("*", "ada's password"),
        ("a*", "ada's password"),
        ("ada)(uid=*", "ada's password"),
        ("*)(|(uid=*", "ada's password"),
        ("nobody)(|(uid=ada", "ada's password"),
        ("ada\x00", "ada's password"),
        (r"\61da", "ada's password"),
        (f"{ADA}", "ada's password"),
        ("ada\\", "ada's password"),
        ("ada))\x00", "ada's password"),
    ],
)
async def test_slapd_opens_nothing_for_a_wrong_password_a_wrong_name_or_an_injected_filter(way, username, password):
    url, ca = way

    assert await opened(url, username, password, ca=ca) is None


async def test_slapd_finds_a_name_with_the_characters_of_a_filter(way):
    url, ca = way

    assert (await opened(url, "star*", "star's password", ca=ca)).dn == f"uid=star*,ou=people,{BASE}"
    assert (
        await opened(
            url, "Star (*)", "star's password", ca=ca, filter_template="(&(objectClass=person)(cn={{username}}))"
        )
    ).attributes["uid"] == ("star*",)


async def test_slapd_refusing_the_service_account_is_a_failure_of_the_directory(way):
    url, ca = way

    assert "invalid_credentials" in await failed(url, ca=ca, bind_password=Secret("wrong"))
    assert "no service account" in await failed(url, ca=ca, bind_password=Secret(""))
    assert "search" in await failed(url, ca=ca, base="dc=elsewhere")


async def test_slapd_with_a_certificate_of_another_authority_is_not_believed(openldap, tmp_path):
    other = Trust(tmp_path).pem

    for url in (f"ldaps://localhost:{openldap[1]}", f"ldap://localhost:{openldap[0]}"):
        assert "TLS" in await failed(url, ca=other)
    assert "TLS" in await failed(f"ldaps://localhost:{openldap[1]}")  # the system's roots do not know it either


async def test_slapd_with_a_certificate_for_another_name_is_not_believed(openldap, trust):
    assert "TLS" in await failed(f"ldaps://directory.example:{openldap[1]}", ca=trust.pem)
    assert (await opened(f"ldaps://127.0.0.1:{openldap[1]}", ca=trust.pem)).dn == ADA


# What an honest server does not do


async def test_an_empty_password_is_refused_before_any_bind():
    directory = SmallDirectory()
    async with listening(directory) as port:
        assert await opened(f"ldap://localhost:{port}", "ada", "") is None
        assert directory.binds == []
        assert (await opened(f"ldap://localhost:{port}")).dn == ADA
    assert directory.binds == [(SERVICE, SERVICE_PASSWORD), (ADA, "ada's password")]


async def test_values_that_are_no_text_are_left_out():
    async with listening(SmallDirectory()) as port:
        entry = await opened(f"ldap://localhost:{port}")

    assert "jpegPhoto" not in entry.attributes
    assert entry.attributes["cn"] == ("Ada",)


@pytest.mark.parametrize("found", [[], [""], [ADA, BOB], [ADA, ADA]])
async def test_anything_but_exactly_one_entry_with_a_name_is_no_entry(found):
    directory = SmallDirectory()
    directory.found = found
    async with listening(directory) as port:
        assert await opened(f"ldap://localhost:{port}") is None
    assert len(directory.binds) == 1


async def test_more_entries_than_asked_for_are_no_entry():
    directory = SmallDirectory()
    directory.found, directory.done = [ADA, BOB], sansldap.LDAPResultCode.SIZE_LIMIT_EXCEEDED
    async with listening(directory) as port:
        assert await opened(f"ldap://localhost:{port}") is None


async def test_codes_that_say_nothing_about_the_password_are_failures_of_the_directory():
    directory = SmallDirectory()
    async with listening(directory) as port:
        for code in (sansldap.LDAPResultCode.BUSY, sansldap.LDAPResultCode.UNAVAILABLE):
            directory.verdicts = {ADA: code}
            assert "could not check" in await failed(f"ldap://localhost:{port}")
        directory.verdicts = {ADA: sansldap.LDAPResultCode.UNWILLING_TO_PERFORM}  # a locked account
        assert await opened(f"ldap://localhost:{port}") is None


async def test_a_small_directory_speaks_start_tls(trust, tls):
    async with listening(SmallDirectory(tls)) as port:
        assert (await opened(f"ldap://localhost:{port}", ca=trust.pem)).dn == ADA


async def test_a_directory_that_refuses_start_tls_hears_no_password(trust):
    directory = SmallDirectory()
    directory.start_tls = sansldap.LDAPResultCode.PROTOCOL_ERROR
    async with listening(directory) as port:
        assert "StartTLS" in await failed(f"ldap://localhost:{port}", ca=trust.pem)
    assert directory.binds == []


async def test_bytes_sent_ahead_of_the_tls_handshake_are_not_taken_for_the_directorys(trust):
    forger = sansldap.LDAPServer()
    client = sansldap.LDAPClient()
    client.bind_simple(SERVICE, "x")
    (bind,) = forger.receive(client.data_to_send())
    forger.bind_response(bind.message_id)
    directory = SmallDirectory()
    directory.injected = forger.data_to_send()
    async with listening(directory) as port:
        assert "TLS" in await failed(f"ldap://localhost:{port}", ca=trust.pem)
    assert directory.binds == []


@pytest.mark.parametrize(
    "raw",
    [
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
        b"\x30\x84\x7f\xff\xff\xff",
        b"\x30\x80\x00\x00",
        b"\x30\x88" + b"\xff" * 8,
        b"\x30\x00",
        b"\x30\x03\x02\x01\x01",
        b"\x30\x0c\x02\x01\x63\x61\x07\x0a\x01\x00\x04\x00\x04\x00",
        b"\x30\x0c\x02\x01\x00\x78\x07\x0a\x01\x34\x04\x00\x04\x00",
        b"\x30\x05\x02\x01\x01\x61\x30",
        b"\x30\x0e\x02\x01\x01\x61\x09\x0a\x81\x00\x04\x00\x04\x00\xa3\x00",  # an empty result code
    ],
)
async def test_a_server_that_does_not_speak_ldap_is_refused(raw):
    directory = SmallDirectory()
    directory.raw = raw
    async with listening(directory) as port:
        assert await failed(f"ldap://localhost:{port}", limits=QUICK)


async def test_an_answer_without_end_is_refused():
    directory = SmallDirectory()
    session, client = sansldap.LDAPServer(), sansldap.LDAPClient()
    client.bind_simple(SERVICE, "x")
    session.receive(client.data_to_send())
    directory.found = [ADA] * 100
    async with listening(directory) as port:
        assert "too much" in await failed(f"ldap://localhost:{port}", limits=DirectoryLimits(answers=20))
        assert "too much" in await failed(f"ldap://localhost:{port}", limits=DirectoryLimits(message=100))


async def test_a_directory_that_says_nothing_is_left_in_time():
    directory = SmallDirectory()
    directory.silent = True
    started = time.monotonic()
    async with listening(directory) as port:
        assert "in time" in await failed(f"ldap://localhost:{port}", limits=QUICK)
    assert time.monotonic() - started < DirectoryLimits().total


async def test_a_directory_that_hangs_up_is_a_failure_of_the_directory(trust):
    directory = SmallDirectory()
    directory.hangs_up = True
    async with listening(directory) as port:
        assert "failed" in await failed(f"ldap://localhost:{port}")
        assert "failed" in await failed(f"ldap://localhost:{port}", ca=trust.pem)


async def test_an_answer_to_another_question_is_refused():
    directory = SmallDirectory()
    directory.raw = bytes.fromhex("300c02010165070a010004000400")  # a search is done; a bind was asked for
    async with listening(directory) as port:
        assert "bind" in await failed(f"ldap://localhost:{port}")


@pytest.fixture
def deaf():
    """A port that takes no more connections and refuses none."""
    with contextlib.ExitStack() as open_sockets:
        server = open_sockets.enter_context(socket.socket())
        server.bind(("127.0.0.1", 0))
        server.listen(0)
        for _ in range(4):
            waiting = open_sockets.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(server.getsockname())
        yield server.getsockname()[1]


async def test_the_next_address_is_tried_where_one_does_not_answer(deaf):
    async with listening(SmallDirectory()) as port:

        async def both(_host, _port):
            return [("127.0.0.1", deaf), ("127.0.0.1", port)]

        assert (await opened("ldap://localhost", allowed=both, limits=DirectoryLimits(connect=0.2))).dn == ADA


async def test_a_login_that_is_given_up_leaves_no_socket(deaf):
    task = asyncio.create_task(opened(f"ldap://localhost:{deaf}"))
    await asyncio.sleep(0.1)
    task.cancel()

    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_directory_that_is_not_there_cannot_be_reached():
    assert "reached" in await failed("ldap://localhost:1", limits=QUICK)


@pytest.mark.parametrize("address", ["127.0.0.1", "10.0.0.1", "169.254.169.254", "::1"])
async def test_a_private_address_is_refused_unless_the_operator_names_it(address):
    directory = SmallDirectory()

    async def resolve(_host, port):
        return [(address, port)]

    async with listening(directory) as port:
        guard = Guard((), resolve=resolve)
        assert "private" in await failed(f"ldap://directory.example:{port}", allowed=guard.addresses)
        if address == "127.0.0.1":
            named = Guard(("127.0.0.0/8",), resolve=resolve)
            assert await opened(f"ldap://directory.example:{port}", allowed=named.addresses)


@pytest.mark.parametrize(
    "url",
    [
        "http://localhost",
        "ldap://",
        "ldap://u:p@localhost",
        "ldap://localhost/dc=x",
        "ldap://localhost:x",
        "ldap://localhost?x",
        "ldapi://%2f",
        "ldap://[",
    ],
)
async def test_a_url_of_another_form_is_refused(url):
    assert "LDAP URL" in await failed(url)


async def test_a_ca_that_cannot_be_read_is_refused():
    assert await failed("ldaps://localhost:1", ca="nonsense")


@pytest.mark.parametrize(
    "template",
    [
        "(uid={{username}})",
        "(&(objectClass=person)(|(uid={{username}})(mail={{username}}@x)))",
        "(uid=x{{username}}*y)",
        "(!(uid:dn:2.4.6:={{username}}))",
        "(uid>={{username}})",
    ],
)
@pytest.mark.parametrize("name", ["ada", "*", ")(uid=*", "\\2a", "{{username}}", "\x00", "é", "(|(a=b)"])
def test_no_name_changes_the_shape_of_a_filter(template, name):
    def shape(part):
        if isinstance(part, sansldap.LDAPFilter):
            return type(part), [shape(getattr(part, f)) for f in part.__dataclass_fields__]
        return [shape(one) for one in part] if isinstance(part, list) else isinstance(part, bytes) or part

    assert shape(filled(template, "x")) == shape(filled(template, name))
    assert str(sansldap.LDAPFilter.from_string(str(filled(template, name)))) == str(filled(template, name))


# Without TLS


async def test_a_directory_is_talked_to_without_tls_only_where_a_setting_names_its_host(tls, trust):
    directory = SmallDirectory()
    async with listening(directory) as port:
        url = f"ldap://localhost:{port}"
        assert (await opened(url, plain_hosts=("localhost",))).dn == ADA
        directory.binds.clear()
        directory.start_tls = sansldap.LDAPResultCode.PROTOCOL_ERROR
        assert "http_hosts" in await failed(url, plain_hosts=())
        assert "http_hosts" in await failed(url, plain_hosts=("elsewhere.example",))
        assert directory.binds == []


async def test_a_directory_without_a_ca_of_its_own_is_upgraded_and_judged_by_the_system_s_roots(tls):
    directory = SmallDirectory(tls)
    async with listening(directory) as port:
        assert "TLS" in await failed(f"ldap://localhost:{port}", plain_hosts=())
    assert directory.binds == []


async def test_the_entry_is_told_before_its_password_is_tried(way):
    url, ca = way
    told = []

    class Stopped(Exception):
        pass

    async def admits(dn):
        told.append(dn)
        raise Stopped

    with pytest.raises(Stopped):
        await opened(url, "ＡＤＡ", ca=ca, admits=admits)
    assert await opened(url, "nobody", ca=ca, admits=admits) is None

    assert told == [ADA]


# --- The boundary of the codec: these bytes go to and fro whichever library makes and reads them (RFC 4511).
# Nothing below uses the library, so that one in its place is tried by the same tests.


def ber(tag, *parts):
    body = b"".join(parts)
    size = bytes([len(body)]) if len(body) < 0x80 else b"\x82" + len(body).to_bytes(2, "big")
    return bytes([tag]) + size + body


def read_ber(data):
    """The elements of `data` as (tag, value), a constructed one with its elements in the place of a value."""
    found = []
    while data:
        tag, size, start = data[0], data[1], 2
        if size & 0x80:
            start, size = 2 + (size & 0x7F), int.from_bytes(data[2 : 2 + (size & 0x7F)])
        value, data = data[start : start + size], data[start + size :]
        found.append((tag, read_ber(value) if tag & 0x20 else value))
    return found


def answer(number, operation, *parts):
    return ber(0x30, ber(0x02, bytes([number])), ber(operation, *parts))


def outcome(code):
    return ber(0x0A, bytes([code])), ber(0x04), ber(0x04)


class BareDirectory:
    """Answers each message with the next bytes, whatever was asked, and keeps what was asked."""

    def __init__(self, *answers):
        self.answers, self.asked = list(answers), b""

    async def __call__(self, reader, writer):
        while data := await reader.read(65_536):
            self.asked += data
            if self.answers:
                writer.write(self.answers.pop(0))
        writer.close()


async def test_what_is_sent_and_understood_is_ldapv3_whatever_library_makes_it():
    entry = ber(0x30, ber(0x04, b"mail"), ber(0x31, ber(0x04, b"ada@example.com"), ber(0x04, b"a@example.com")))
    picture = ber(0x30, ber(0x04, b"jpegPhoto"), ber(0x31, ber(0x04, b"\xff\xd8" * 100)))
    directory = BareDirectory(
        answer(1, 0x61, *outcome(0)),
        answer(2, 0x73, ber(0x04, b"ldap://elsewhere.example/"))
        + answer(2, 0x64, ber(0x04, ADA.encode()), ber(0x30, entry, picture))
        + answer(2, 0x65, *outcome(0)),
        answer(3, 0x61, *outcome(0)),
    )
    async with listening(directory) as port:
        found = await opened(
            f"ldap://127.0.0.1:{port}",
            filter_template="(&(|(uid={{username}})(cn=*{{username}}*b*))(!(x>=\\2a))(mail=*)(memberOf:1.2:=g))",
            username="a)(d*a",
        )

    assert (ADA, {"mail": ("ada@example.com", "a@example.com")}) == (found.dn, dict(found.attributes))
    simple, three = 0x80, (0x02, b"\x03")
    name = b"a)(d*a"
    query = (
        0xA0,
        [
            (
                0xA1,
                [
                    (0xA3, [(0x04, b"uid"), (0x04, name)]),
                    (0xA4, [(0x04, b"cn"), (0x30, [(0x81, name), (0x81, b"b")])]),
                ],
            ),
            (0xA2, [(0xA5, [(0x04, b"x"), (0x04, b"*")])]),
            (0x87, b"mail"),
            (0xA9, [(0x81, b"1.2"), (0x82, b"memberOf"), (0x83, b"g")]),
        ],
    )
    limits = [(0x0A, b"\x02"), (0x0A, b"\x00"), (0x02, b"\x02"), (0x02, b"\x0a"), (0x01, b"\x00")]
    asked = [message for _, message in read_ber(directory.asked)]
    assert [
        [(0x02, b"\x01"), (0x60, [three, (0x04, SERVICE.encode()), (simple, SERVICE_PASSWORD.encode())])],
        [(0x02, b"\x02"), (0x63, [(0x04, BASE.encode()), *limits, query, (0x30, [(0x04, b"*")])])],
        [(0x02, b"\x03"), (0x60, [three, (0x04, ADA.encode()), (simple, b"ada's password")])],
        [(0x02, b"\x04"), (0x42, b"")],
    ] == asked


@pytest.mark.parametrize(("code", "said"), [(49, None), (51, "busy"), (52, "unavailable"), (1, "operations_error")])
async def test_codes_of_a_bind_are_a_wrong_password_or_a_failure_of_the_directory(code, said):
    directory = BareDirectory(
        answer(1, 0x61, *outcome(0)),
        answer(2, 0x64, ber(0x04, ADA.encode()), ber(0x30)) + answer(2, 0x65, *outcome(0)),
        answer(3, 0x61, *outcome(code)),
    )
    async with listening(directory) as port:
        url = f"ldap://127.0.0.1:{port}"
        if said is None:
            assert await opened(url) is None
        else:
            assert said in await failed(url)


async def test_starttls_is_an_extended_request_by_its_number():
    directory = BareDirectory(answer(1, 0x78, *outcome(2)))
    async with listening(directory) as port:
        assert "refused StartTLS" in await failed(f"ldap://localhost:{port}", plain_hosts=())

    assert [(0x30, [(0x02, b"\x01"), (0x77, [(0x80, b"1.3.6.1.4.1.1466.20037")])])] == read_ber(directory.asked)[:1]
