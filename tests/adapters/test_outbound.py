import asyncio
import gzip

import pytest

from tests.methods.doubles.web import CA, Reply, Site, certificate, json_reply
from watchword.adapters.addresses import Guard
from watchword.adapters.outbound import AddressRefused, GuardedOutbound, Unreachable
from watchword.domain.outbound import LdapQuery, OutboundError
from watchword.domain.secret import Secret

LOOPBACK = ("127.0.0.1",)


class Clock:
    def __init__(self):
        self.now = 1_800_000_000_000

    def __call__(self):
        return self.now

    def pass_seconds(self, seconds):
        self.now += int(seconds * 1000)


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
async def outbound(clock):
    opened = []

    def make(**options):
        out = GuardedOutbound(
            **{"clock": clock, "allowed_private_hosts": LOOPBACK, "connect_timeout": 0.5, "total_timeout": 2.0}
            | options
        )
        opened.append(out)
        return out

    yield make
    for out in opened:
        await out.close()


@pytest.fixture
async def site():
    async with Site(names=("127.0.0.1", "issuer.test")) as opened:
        opened.routes["/x"] = Reply(b"hello", headers={"X-Thing": "1"})
        yield opened


def leading_to(*addresses):
    """A name service with one answer for everything."""
    asked = []

    async def resolve(host, port):
        asked.append(host)
        return [a if isinstance(a, tuple) else (a, port) for a in addresses]

    resolve.asked = asked  # type: ignore[attr-defined]
    return resolve


async def test_a_request_is_answered(outbound, site):
    answer = await outbound().fetch(
        "POST", f"{site.url}/x?q=1", headers={"Authorization": "Bearer t"}, body=b"hi", ca=CA
    )

    assert (answer.status, answer.body, answer.headers["x-thing"]) == (200, b"hello", "1")
    [seen] = site.requests
    assert (seen.method, seen.path, seen.body) == ("POST", "/x?q=1", b"hi")
    assert seen.headers["authorization"] == "Bearer t"
    assert seen.headers["accept-encoding"] == "identity"


async def test_connections_are_kept_but_not_shared_between_two_cas(outbound, site):
    out = outbound()
    for ca in (CA, CA, CA + "\n", CA + "\n"):
        await out.fetch("GET", f"{site.url}/x", ca=ca)

    assert site.connections == 2


async def test_the_name_is_what_tls_and_host_see_while_the_address_is_ours(outbound, site):
    resolve = leading_to(("127.0.0.1", site.port))
    await outbound(resolve=resolve).fetch("GET", "https://issuer.test/x", ca=CA)

    assert (site.names, site.requests[0].headers["host"], resolve.asked) == (
        ["issuer.test"],
        "issuer.test",
        ["issuer.test"],
    )


async def test_a_header_cannot_change_the_host(outbound, site):
    await outbound().fetch("GET", f"{site.url}/x", headers={"Host": "evil.test", "Content-Length": "9"}, ca=CA)

    assert site.requests[0].headers["host"] == f"127.0.0.1:{site.port}"


async def test_a_certificate_for_another_name_is_refused(outbound, site):
    out = outbound(resolve=leading_to(("127.0.0.1", site.port)))
    with pytest.raises(OutboundError, match=r"not trusted.*[Hh]ostname"):
        await out.fetch("GET", "https://other.test/x", ca=CA)

    assert site.requests == []


async def test_without_a_ca_the_system_roots_are_asked(outbound, site):
    with pytest.raises(OutboundError, match="not trusted"):
        await outbound().fetch("GET", f"{site.url}/x")


async def test_roots_may_stand_for_those_of_the_system(outbound, site):
    assert (await outbound(roots=CA).fetch("GET", f"{site.url}/x")).status == 200


async def test_a_ca_of_the_same_name_is_not_the_same(outbound, site):
    with pytest.raises(OutboundError, match="not trusted"):
        await outbound().fetch("GET", f"{site.url}/x", ca=certificate("double CA", "p521", ca=True))


async def test_an_expired_certificate_is_refused(outbound):
    async with Site(days=-10) as old:
        with pytest.raises(OutboundError, match="expired"):
            await outbound().fetch("GET", f"{old.url}/x", ca=CA)


@pytest.mark.parametrize("ca", ["PEM-TEXT", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----", "é"])
async def test_a_ca_that_is_none_is_an_error_that_says_so(outbound, site, ca):
    with pytest.raises(OutboundError, match="CA certificate"):
        await outbound().fetch("GET", f"{site.url}/x", ca=ca)


async def test_plain_http_needs_the_setting(outbound):
    async with Site(tls=False) as plain:
        plain.routes["/x"] = Reply(b"ok")
        with pytest.raises(AddressRefused, match="https is required"):
            await outbound().fetch("GET", f"{plain.url}/x")
        assert (await outbound(http_hosts=("127.0.0.1",)).fetch("GET", f"{plain.url}/x")).body == b"ok"


@pytest.mark.parametrize(
    "url",
    [
        "",
        "x",
        "file:///etc/passwd",
        "ftp://a.test/",
        "gopher://a.test/",
        "https://",
        "https:///x",
        "https://user@127.0.0.1/",
        "https://a:b@127.0.0.1/",
        "https://evil.test@127.0.0.1/",
        "https://a.test:99999/",
        "https://a.test:0/",
        "https://a.test:x/",
        "https://[::1",
        "https://a.test/ x",
        "https://a.test/\r\nx: y",
        "https://a.test\\@b.test/",
        "https://127.0.0.1%2f@b/",
        "https://\u0661\u0662\u0667.test/",
        "https://[fe80::1%25eth0]/",
        "https://a%2etest/",
        "https://a.test/" + "x" * 5000,
    ],
)
async def test_a_url_that_readers_differ_about_is_refused(outbound, url):
    with pytest.raises(AddressRefused):
        await outbound(resolve=leading_to(("127.0.0.1", 1))).fetch("GET", url)


INTERNAL = [
    "127.0.0.1",
    "127.8.8.8",
    "10.1.2.3",
    "172.16.0.1",
    "192.168.1.1",
    "169.254.169.254",
    "100.64.0.1",
    "100.100.100.200",
    "0.0.0.0",
    "0.1.2.3",
    "192.0.0.192",
    "192.88.99.1",
    "198.18.0.1",
    "192.0.2.1",
    "224.0.0.1",
    "240.0.0.1",
    "255.255.255.255",
    "168.63.129.16",
    "::1",
    "::",
    "fe80::1",
    "fe80::1%eth0",
    "fc00::1",
    "fd00:ec2::254",
    "fec0::1",
    "ff02::1",
    "2001:db8::1",
    "2001::1",
    "3fff::1",
    "::ffff:127.0.0.1",
    "::ffff:169.254.169.254",
    "::ffff:10.0.0.1",
    "::127.0.0.1",
    "64:ff9b::127.0.0.1",
    "64:ff9b::a9fe:a9fe",
    "64:ff9b:1::1",
    "2002:7f00:1::",
    "2002:a00:1::1",
]


@pytest.mark.parametrize("address", INTERNAL)
async def test_an_address_inside_is_refused(outbound, address):
    with pytest.raises(AddressRefused, match="private, local or reserved"):
        await outbound(resolve=leading_to(address), allowed_private_hosts=()).fetch("GET", "https://issuer.test/x")


@pytest.mark.parametrize("address", ["8.8.8.8", "2606:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808"])
async def test_an_address_outside_is_allowed(address):
    assert await Guard(resolve=leading_to(address)).addresses("issuer.test", 443) == [(address, 443)]


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "127.1",
        "0x7f000001",
        "2130706433",
        "017700000001",
        "localhost",
        "LOCALHOST.",
        "[::1]",
        "[::ffff:127.0.0.1]",
    ],
)
async def test_every_spelling_of_loopback_is_refused(outbound, site, host):
    with pytest.raises((AddressRefused, Unreachable)):
        await outbound(allowed_private_hosts=()).fetch("GET", f"https://{host}:{site.port}/x", ca=CA)

    assert site.connections == 0


async def test_one_address_inside_among_good_ones_refuses_them_all(outbound):
    out = outbound(resolve=leading_to("8.8.8.8", "10.0.0.1"))
    with pytest.raises(AddressRefused, match=r"10\.0\.0\.1"):
        await out.fetch("GET", "https://issuer.test/x")


async def test_a_name_is_resolved_once_for_a_connection_so_that_it_cannot_be_rebound(outbound, site):
    answers = [[("127.0.0.1", site.port)], [("169.254.169.254", 80)]]

    async def resolve(_host, _port):
        return answers.pop(0)

    assert (await outbound(resolve=resolve).fetch("GET", "https://issuer.test/x", ca=CA)).status == 200
    assert len(answers) == 1


@pytest.mark.parametrize(
    "allowed",
    ["issuer.test", "ISSUER.test.", "*.test", "127.0.0.1", "127.0.0.0/8", " 127.0.0.0/8 ", "::ffff:127.0.0.1/128"],
)
async def test_the_setting_names_hosts_domains_addresses_and_ranges(outbound, site, allowed):
    out = outbound(resolve=leading_to(("127.0.0.1", site.port)), allowed_private_hosts=(allowed,))
    if allowed.startswith("::ffff"):
        with pytest.raises(AddressRefused):  # the mapped form names nobody: write the IPv4 address
            await out.fetch("GET", "https://issuer.test/x", ca=CA)
    else:
        assert (await out.fetch("GET", "https://issuer.test/x", ca=CA)).status == 200


@pytest.mark.parametrize("allowed", ["", "test", "*.issuer.test", "other.test", "10.0.0.0/8", "::1"])
async def test_the_setting_allows_no_more_than_it_names(outbound, site, allowed):
    with pytest.raises(AddressRefused):
        await outbound(resolve=leading_to(("127.0.0.1", site.port)), allowed_private_hosts=(allowed,)).fetch(
            "GET", "https://issuer.test/x", ca=CA
        )


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_is_not_followed(outbound, site, status):
    site.routes["/away"] = Reply(status=status, headers={"location": f"{site.url}/x"})
    with pytest.raises(AddressRefused, match="redirect"):
        await outbound().fetch("GET", f"{site.url}/away", ca=CA)

    assert site.asked("/x") == []


async def test_an_answer_over_the_cap_is_refused_while_it_comes(outbound, site):
    site.routes["/big"] = Reply(b"x" * 5000)
    assert len((await outbound(size_cap=5000).fetch("GET", f"{site.url}/big", ca=CA)).body) == 5000
    with pytest.raises(OutboundError, match="larger than 4999"):
        await outbound(size_cap=4999).fetch("GET", f"{site.url}/big", ca=CA)


async def test_a_compressed_answer_is_refused(outbound, site):
    site.routes["/gz"] = Reply(gzip.compress(b"x" * 100_000), headers={"content-encoding": "gzip"})
    with pytest.raises(OutboundError, match="compressed"):
        await outbound().fetch("GET", f"{site.url}/gz", ca=CA)


async def test_an_answer_that_does_not_end_is_given_up(outbound, site):
    async def drip(_request):
        await asyncio.sleep(60)

    site.routes["/slow"] = drip
    with pytest.raises(Unreachable, match="no answer within"):
        await outbound(total_timeout=0.1).fetch("GET", f"{site.url}/slow", ca=CA)


async def test_what_is_not_http_is_an_error(outbound):
    async def babble(_reader, writer):
        writer.write(b"220 mail.test ESMTP\r\n")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(babble, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    with pytest.raises(OutboundError, match="does not speak HTTP"):
        await outbound(http_hosts=("127.0.0.1",)).fetch("GET", f"http://127.0.0.1:{port}/")
    with pytest.raises(OutboundError, match="no secure connection"):
        await outbound().fetch("GET", f"https://127.0.0.1:{port}/")
    server.close()
    await server.wait_closed()


@pytest.mark.parametrize("headers", [{"x": "a\r\nb: c"}, {"x": "é"}, {"a b": "c"}])
async def test_a_header_cannot_carry_another(outbound, site, headers):
    with pytest.raises(OutboundError):
        await outbound().fetch("GET", f"{site.url}/x", headers=headers, ca=CA)

    assert site.requests == []


async def test_a_name_that_does_not_exist_is_an_error(outbound):
    async def nowhere(_host, _port):
        raise OSError("no such name")

    with pytest.raises(Unreachable, match="cannot be resolved"):
        await outbound(resolve=nowhere).fetch("GET", "https://issuer.test/")
    with pytest.raises(Unreachable, match="no address"):
        await outbound(resolve=leading_to()).fetch("GET", "https://issuer.test/")


async def test_the_second_address_is_tried_when_the_first_does_not_answer(outbound, site):
    out = outbound(resolve=leading_to(("127.0.0.1", 1), ("127.0.0.1", site.port)))
    assert (await out.fetch("GET", "https://issuer.test/x", ca=CA)).status == 200


async def test_a_query_is_not_shown_in_an_error(outbound, site):
    with pytest.raises(OutboundError) as error:
        await outbound().fetch("GET", f"{site.url}/path?Signature=abc")

    assert "/path" in str(error.value)
    assert "abc" not in str(error.value)


async def test_a_dead_host_is_given_up_for_a_while_and_tried_again(outbound, clock, site):
    resolve = leading_to(("127.0.0.1", 1))
    out = outbound(resolve=resolve)
    for _ in range(5):
        with pytest.raises(Unreachable):
            await out.fetch("GET", "https://dead.test/x", ca=CA)
    assert len(resolve.asked) == 3

    clock.pass_seconds(11)
    with pytest.raises(Unreachable):
        await out.fetch("GET", "https://dead.test/x", ca=CA)
    assert len(resolve.asked) == 4


async def test_a_wrong_ca_does_not_close_a_host_for_others(outbound, site):
    out = outbound()
    for _ in range(5):
        with pytest.raises(OutboundError, match="not trusted"):
            await out.fetch("GET", f"{site.url}/x", ca=certificate("double CA", "p521", ca=True))

    assert (await out.fetch("GET", f"{site.url}/x", ca=CA)).status == 200


async def test_a_host_that_hangs_does_not_hold_up_others(outbound, site):
    async with Site() as hanging:
        gone = asyncio.Event()

        async def hang(_request):
            await gone.wait()

        hanging.routes["/x"] = hang
        out = outbound(places=2)
        stuck = [asyncio.create_task(out.fetch("GET", f"{hanging.url}/x", ca=CA)) for _ in range(6)]
        while len(hanging.requests) < 2:
            await asyncio.sleep(0)

        assert (await out.fetch("GET", f"{site.url}/x", ca=CA)).status == 200
        assert len(hanging.requests) == 2
        for task in stuck:
            task.cancel()
        await asyncio.gather(*stuck, return_exceptions=True)


async def test_too_many_waiting_for_one_host_are_turned_away(outbound, site):
    async def hang(_request):
        await asyncio.Event().wait()

    site.routes["/hang"] = hang
    out = outbound(places=1)
    stuck = [asyncio.create_task(out.fetch("GET", f"{site.url}/hang", ca=CA)) for _ in range(65)]
    await asyncio.sleep(0)
    with pytest.raises(OutboundError, match="too many"):
        await out.fetch("GET", f"{site.url}/x", ca=CA)
    for task in stuck:
        task.cancel()
    await asyncio.gather(*stuck, return_exceptions=True)


# --- keys and documents


def keys(*kids):
    return json_reply({"keys": [{"kty": "EC", **({"kid": kid} if kid else {})} for kid in kids]})


async def kids(out, site, kid, **options):
    return [key.get("kid") for key in await out.jwks(f"{site.url}/keys", kid, ca=CA, **options)]


@pytest.mark.parametrize("kind", ["application/jwk-set+json", "application/json", "application/jwk-set+json; x=1"])
async def test_keys_are_asked_for_by_every_name_that_a_key_set_has(outbound, site, kind):
    site.routes["/keys"] = Reply(keys("a").body, 200, {"content-type": kind})
    assert await kids(outbound(), site, "a") == ["a"]


async def test_a_document_is_asked_for_as_json(outbound, site):
    site.routes["/d"] = json_reply({"issuer": "x"})
    assert await outbound().document(f"{site.url}/d", ca=CA) == {"issuer": "x"}
    assert site.requests[-1].headers["accept"] == "application/json"


async def test_keys_are_found_by_their_name_else_those_without_one(outbound, site):
    site.routes["/keys"] = keys("a", "b", None)
    out = outbound()

    assert await kids(out, site, "a") == ["a"]
    assert await kids(out, site, None) == ["a", "b", None]
    assert await kids(out, site, "zz") == [None]


async def test_keys_are_kept_and_fetched_once_for_many_at_a_time(outbound, clock, site):
    site.routes["/keys"] = keys("a")
    out = outbound()
    await asyncio.gather(*(kids(out, site, "a") for _ in range(50)))
    assert len(site.requests) == 1

    clock.pass_seconds(299)
    await kids(out, site, "a")
    assert len(site.requests) == 1

    clock.pass_seconds(2)
    await kids(out, site, "a")
    assert len(site.requests) == 2


async def test_a_shorter_age_may_be_asked_for_and_not_a_longer(outbound, clock, site):
    site.routes["/keys"] = keys("a")
    out = outbound()
    await kids(out, site, "a")
    clock.pass_seconds(20)
    await kids(out, site, "a", max_age=10)
    assert len(site.requests) == 2
    clock.pass_seconds(301)
    await kids(out, site, "a", max_age=3600)
    assert len(site.requests) == 3


async def test_a_new_key_is_found_at_once_and_made_up_names_cost_one_fetch_a_minute(outbound, clock, site):
    site.routes["/keys"] = keys("a")
    out = outbound()
    await kids(out, site, "a")

    site.routes["/keys"] = keys("a", "b")
    assert await kids(out, site, "b") == ["b"]
    assert len(site.requests) == 2

    for n in range(20):
        assert await kids(out, site, f"made-up-{n}") == []
    assert len(site.requests) == 2

    clock.pass_seconds(61)
    await asyncio.gather(*(kids(out, site, f"made-up-{n}") for n in range(20)))
    assert len(site.requests) == 3


async def test_what_one_ca_vouched_for_is_not_shown_to_another(outbound, site):
    site.routes["/keys"] = keys("a")
    out = outbound()
    await kids(out, site, "a")
    with pytest.raises(OutboundError, match="not trusted"):
        await out.jwks(f"{site.url}/keys", "a", ca=certificate("double CA", "p521", ca=True))


async def test_a_failure_is_remembered_for_a_moment(outbound, clock, site):
    out = outbound()
    for _ in range(3):
        with pytest.raises(OutboundError, match="answered 404"):
            await out.jwks(f"{site.url}/keys", "a", ca=CA)
    assert len(site.requests) == 1

    clock.pass_seconds(6)
    site.routes["/keys"] = keys("a")
    assert await kids(out, site, "a") == ["a"]


async def test_a_caller_who_leaves_does_not_take_the_fetch_along(outbound, site):
    go = asyncio.Event()

    async def later(_request):
        await go.wait()
        return keys("a")

    site.routes["/keys"] = later
    out = outbound()
    first = asyncio.create_task(kids(out, site, "a"))
    while not site.requests:
        await asyncio.sleep(0)
    second = asyncio.create_task(kids(out, site, "a"))
    await asyncio.sleep(0)
    first.cancel()
    go.set()

    assert await second == ["a"]
    assert len(site.requests) == 1


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"x",
        b"[]",
        b'"x"',
        b"{}",
        b'{"keys":5}',
        b'{"keys":[5]}',
        b"[" * 100_000,
        b"\xff",
        b'{"keys":[' + b",".join([b"{}"] * 501) + b"]}",
    ],
)
async def test_what_is_not_a_key_set_is_refused(outbound, site, body):
    site.routes["/keys"] = Reply(body)
    with pytest.raises(OutboundError):
        await outbound().jwks(f"{site.url}/keys", None, ca=CA)


async def test_a_document_is_kept_for_a_minute(outbound, clock, site):
    site.routes["/d"] = json_reply({"issuer": "x"})
    out = outbound()
    assert await out.document(f"{site.url}/d", ca=CA) == {"issuer": "x"}
    clock.pass_seconds(59)
    await out.document(f"{site.url}/d", ca=CA)
    assert len(site.requests) == 1
    clock.pass_seconds(2)
    await out.document(f"{site.url}/d", ca=CA)
    assert len(site.requests) == 2


async def test_caches_are_bounded(outbound, clock, site, monkeypatch):
    monkeypatch.setattr("watchword.adapters.outbound.HOSTS", 4)
    monkeypatch.setattr("watchword.adapters.outbound.POOLS", 2)
    out = outbound()
    site.routes |= {f"/d{n}": json_reply({}) for n in range(9)}
    for n in range(9):
        await out.document(f"{site.url}/d{n}", ca=CA + "\n" * n)

    assert len(out._documents._kept) == 4
    assert len(out._hosts) == 4
    assert len(out._pools) == 2


async def test_ldap_is_asked_of_the_directory_that_was_handed_in(outbound):
    asked = []

    async def directory(*given, **named):
        asked.append((given, named))

    async def admits(dn):
        raise AssertionError(dn)

    query = LdapQuery(
        url="ldaps://x",
        ca="",
        bind_dn="d",
        bind_password=Secret("s"),
        base="b",
        filter_template="f",
        username="u",
        password=Secret("p"),
    )
    assert await outbound(directory=directory).ldap(query, admits=admits) is None
    assert asked == [((query,), {"admits": admits})]
    with pytest.raises(OutboundError, match="not set up"):
        await outbound().ldap(query)
