"""Where a server listens, and how it ends and reads its settings again: seen from outside, over real sockets."""

import os
import shutil
import signal
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest

from tests.cli.serving import Running, serving, watchword
from tests.cli.test_serve import BOOT, ROOT_KEY, boot, pair, write

STATUS = b"GET /api/status HTTP/1.1\r\nHost: a\r\n\r\n"


_dialled: list[socket.socket] = []


@pytest.fixture(autouse=True)
def hung_up() -> Iterator[None]:
    yield
    hang_up()


def hang_up() -> None:
    while _dialled:
        _dialled.pop().close()


def until_served(server: Running) -> int:
    while (found := httpx.get(f"{server.url}/api/status").status_code) == 503:
        pass
    return found


def dialled(server: Running, *said: bytes) -> socket.socket:
    where = urlsplit(server.url)
    made = socket.create_connection((str(where.hostname), int(where.port or 0)), timeout=30)
    _dialled.append(made)
    for piece in said:
        made.sendall(piece)
    return made


def heard(connection: socket.socket, until: bytes = b"") -> bytes:
    """All that comes, until the connection ends or `until` has come."""
    found = b""
    while piece := connection.recv(65_536):
        found += piece
        if until and until in found:
            break
    return found


def post(path: str, token: str, length: int, *lines: str) -> bytes:
    head = [f"POST {path} HTTP/1.1", "Host: a", "Content-Type: application/json", f"Content-Length: {length}", *lines]
    return "\r\n".join([*head, *([f"Authorization: Bearer {token}"] if token else []), "", ""]).encode()


def seconds_until_refused(server: Running) -> float:
    began = time.monotonic()
    while time.monotonic() - began < 20:
        try:
            dialled(server).close()
        except OSError:
            return time.monotonic() - began
    raise AssertionError("it went on listening")


def test_the_end_refuses_new_connections_at_once_and_is_not_held_by_halves(tmp_path: Path) -> None:
    with serving(tmp_path) as server:
        halves = [
            dialled(server, post("/api/v1/identities", "x", 10), b"ab"),
            dialled(server, b"GET /api/st"),
            dialled(server, STATUS, b"GET /"),
        ]
        silent = dialled(server)
        assert heard(halves[2], b"}").startswith(b"HTTP/1.1 200")
        began = time.monotonic()
        server.process.send_signal(signal.SIGTERM)
        refused = seconds_until_refused(server)
        answers = [heard(half) for half in halves]
        code = server.process.wait(30)
        took = time.monotonic() - began

    assert ([b"408"] * 3, b"", 0) == ([answer[9:12] for answer in answers], heard(silent), code)
    assert (refused < 1, took < 8) == (True, True)


def test_the_end_answers_who_waits_for_a_change(tmp_path: Path) -> None:
    with serving(tmp_path) as server, httpx.Client(base_url=server.url, timeout=30) as client:
        body = {"email": "a@example.com", "password": "correct horse battery", "organization": "Acme"}
        token = client.post("/api/v1/admin/bootstrap", json=body).json()["identity"]["credentials"]["token"]
        client.headers["authorization"] = f"Bearer {token}"
        project = client.post("/api/v2/workspace", json={"projectName": "vault"}).json()["project"]
        asked = {"workspaceId": project["id"], "environment": "dev"}
        seen = client.get("/api/v3/secrets/raw", params=asked).headers["etag"]
        with ThreadPoolExecutor(1) as pool:
            poll = pool.submit(client.get, "/api/v3/secrets/raw", params={**asked, "waitVersion": seen})
            time.sleep(0.3)
            assert not poll.done()
            began = time.monotonic()
            code = server.stop()
            took = time.monotonic() - began
            reply = poll.result()

    assert (304, seen, 0, True) == (reply.status_code, reply.headers["etag"], code, took < 8)


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="looks at /proc")
@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_hangup_before_it_can_be_taken_ends_no_process_and_is_not_lost(
    workers: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    several = {"WATCHWORD_DATABASE_URL": request.getfixturevalue("postgres_dsn"), "WATCHWORD_ROOT_KEY": ROOT_KEY}
    hanging_up = threading.Event()

    def hang_up_all_the_time(pid: int) -> None:
        until = time.monotonic() + 60  # without end, workers that it ends would be replaced without end
        while not hanging_up.wait(0.02) and time.monotonic() < until:
            for one in [pid, *children_of(pid)]:
                if takes_or_holds_hangups(one):
                    os.kill(one, signal.SIGHUP)

    def begin(pid: int) -> None:
        threading.Thread(target=hang_up_all_the_time, args=(pid,), daemon=True).start()

    with serving(tmp_path, "--workers", workers, began=begin, **(several if workers == "2" else {})) as server:
        try:
            until = time.monotonic() + 60
            while server.log.count("were read again") < 5:
                assert server.process.poll() is None
                assert time.monotonic() < until, server.log
                time.sleep(0.05)
        finally:
            hanging_up.set()
        code = server.stop()

    assert 0 == code
    assert "a worker ended" not in server.log


def children_of(pid: int) -> list[int]:
    """Its workers, from the moment that they run Python."""
    try:
        found = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        return [int(one) for one in found if b"spawn_main" in Path(f"/proc/{one}/cmdline").read_bytes()]
    except OSError:
        return []


def takes_or_holds_hangups(pid: int) -> bool:
    """Whether it is so far: an interpreter that only starts can do nothing about signals.

    A worker is from its first moment.
    """
    try:
        if b"spawn_main" in Path(f"/proc/{pid}/cmdline").read_bytes():
            return True
        status = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return False
    masks = [int(line.split()[1], 16) for line in status if line.startswith(("SigBlk", "SigCgt"))]
    return any(mask >> (signal.SIGHUP - 1) & 1 for mask in masks)


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="looks at /proc")
@pytest.mark.parametrize("workers", [1, 2])
def test_connections_that_the_kernel_accepted_before_the_end_are_answered(
    tmp_path: Path, postgres_dsn: str, workers: int
) -> None:
    with serving(
        tmp_path, "--workers", str(workers), WATCHWORD_DATABASE_URL=postgres_dsn, WATCHWORD_ROOT_KEY=ROOT_KEY
    ) as server:
        pid = server.process.pid
        serving_pids = children_of(pid) if workers > 1 else [pid]
        early = dialled(server)
        for one in serving_pids:  # so that nobody accepts what comes now
            os.kill(one, signal.SIGSTOP)
        asked = [dialled(server, STATUS) for _ in range(40)]
        server.process.send_signal(signal.SIGTERM)
        if workers > 1:
            time.sleep(0.3)  # the parent closes its own socket
        for one in serving_pids:
            os.kill(one, signal.SIGCONT)
        early.sendall(STATUS)  # by one who connected before
        answers = [heard(one) for one in (early, *asked)]
        code = server.process.wait(30)

    assert ([b"200"] * 41, 0) == ([answer[9:12] for answer in answers], code)


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="looks at /proc")
def test_several_workers_end_and_read_anew_as_one_does(tmp_path: Path, postgres_dsn: str) -> None:
    with serving(
        tmp_path, "--workers", "2", WATCHWORD_DATABASE_URL=postgres_dsn, WATCHWORD_ROOT_KEY=ROOT_KEY
    ) as server:
        server.process.send_signal(signal.SIGHUP)
        while server.log.count("were read again") < 1:
            assert server.process.poll() is None
        half = dialled(server, post("/api/v1/identities", "x", 10), b"ab")
        time.sleep(0.3)  # until a worker took the connection: it is the worker's end that is looked at
        server.process.send_signal(signal.SIGTERM)
        refused = seconds_until_refused(server)
        answer = heard(half)
        code = server.process.wait(30)

    assert (b"408", 0) == (answer[9:12], code)
    assert refused < 2


def test_deadlines_and_the_number_of_connections_are_settings(tmp_path: Path) -> None:
    with serving(tmp_path, "--head-timeout", "1", "--body-timeout", "1", "--max-connections", "16") as server:
        began = time.monotonic()
        head, body, silent = (
            dialled(server, b"GET /"),
            dialled(server, post("/api/v1/identities", "", 9), b"{"),
            dialled(server),
        )
        answers = [heard(one)[9:12] for one in (head, body, silent)]
        took = time.monotonic() - began
        many = [dialled(server, STATUS) for _ in range(20)]
        found = [heard(one, b"}")[9:12] for one in many]
        hang_up()
        served = until_served(server)

    assert [b"408", b"408", b""] == answers
    assert took < 10
    assert (16, 4) == (found.count(b"200"), found.count(b"503"))
    assert served == 200


def test_a_socket_in_the_file_system(tmp_path: Path) -> None:
    path = tmp_path / "watchword.sock"
    ask = "http://watchword/api/status"
    with serving(tmp_path, "--socket", str(path), "--socket-mode", "600") as server:
        mode = path.stat().st_mode & 0o777
        with httpx.Client(transport=httpx.HTTPTransport(uds=str(path))) as client:
            first = client.get(ask).status_code
        other = watchword("serve", "--socket", str(path), "--data-dir", str(tmp_path))
        server.process.kill()
        server.process.wait(30)
    left = path.exists()
    with serving(tmp_path, "--socket", str(path)) as server:
        with httpx.Client(transport=httpx.HTTPTransport(uds=str(path))) as client:
            second = client.get(ask).status_code
        server.stop()

    assert (0o600, f"unix:{path}", 200, 200) == (mode, server.said["address"], first, second)
    assert (2, True) == (other.returncode, "another server does" in other.stderr)
    assert (True, False) == (left, path.exists())


def test_a_file_in_the_place_of_the_socket_stays(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("mine")
    refused = watchword("serve", "--socket", str(path), "--data-dir", str(tmp_path))

    assert (2, True, "mine") == (refused.returncode, "no socket" in refused.stderr, path.read_text())


@pytest.mark.skipif(not socket.has_dualstack_ipv6(), reason="needs IPv6")
def test_the_address_that_stands_for_all_takes_both_families(tmp_path: Path) -> None:
    with serving(tmp_path, "--host", "::") as server:
        port = urlsplit(server.url).port
        found = [httpx.get(f"http://{host}:{port}/api/status").status_code for host in ("127.0.0.1", "[::1]")]

    assert [200, 200] == found


def test_a_certificate_is_read_anew_and_a_bad_one_is_not_taken(tmp_path: Path) -> None:
    authority = pair("authority")
    ca, _ = write(tmp_path, "ca", authority)
    cert, key = write(tmp_path, "server", pair("one", authority))
    later = write(tmp_path, "later", pair("two", authority))
    with serving(tmp_path, "--tls-cert-file", cert, "--tls-key-file", key) as server:

        def shown() -> bytes:
            where = urlsplit(server.url)
            context = ssl.create_default_context(cafile=ca)
            with (
                socket.create_connection((str(where.hostname), int(where.port or 0))) as raw,
                context.wrap_socket(raw, server_hostname="127.0.0.1") as tls,
            ):
                return tls.getpeercert(binary_form=True) or b""

        def reload(said: str) -> None:
            before = server.log.count(said)
            server.process.send_signal(signal.SIGHUP)
            while server.log.count(said) == before:
                assert server.process.poll() is None

        first = shown()
        shutil.copy(later[0], cert)
        reload("could not be read again")
        kept = shown()
        shutil.copy(later[1], key)
        reload("were read again")
        second = shown()

    assert kept == first != second


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Running, str, str]]:
    """A server, its administrator's token and organization, for tests that leave nothing behind."""
    with serving(tmp_path_factory.mktemp("served"), WATCHWORD_SETUP_CODE="off") as server:
        yield server, *boot(server.url)


@pytest.mark.parametrize("way", ["plain", "close", "expects", "escape", "chunked", "old", "large"])
def test_a_token_revoked_while_a_body_is_under_way_does_nothing_any_more(
    served: tuple[Running, str, str], way: str
) -> None:
    server, token, org = served
    headers = {"authorization": f"Bearer {token}"}
    identity = httpx.post(
        f"{server.url}/api/v1/identities", json={"name": "bot", "organizationId": org, "role": "admin"}, headers=headers
    ).json()
    id = identity["identity"]["id"]
    base = f"{server.url}/api/v1/auth/token-auth/identities/{id}"
    httpx.post(base, json={}, headers=headers)
    other = httpx.post(f"{base}/tokens", json={}, headers=headers).json()["accessToken"]
    body = b'{"name": "late", "organizationId": "%s"%s}' % (org.encode(), b" " * (200_000 if way == "large" else 0))
    path = "/api/v1/identitie%73" if way == "escape" else "/api/v1/identities"
    lines = {"close": ["Connection: close"], "expects": ["Expect: 100-continue"]}.get(way, [])
    head = post(path, other, len(body), *lines)
    if way == "chunked":
        head = head.replace(b"Content-Length: %d" % len(body), b"Transfer-Encoding: chunked")
        body = b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body)
    if way == "old":
        head = head.replace(b"HTTP/1.1", b"HTTP/1.0")

    late = dialled(server, head)
    if way == "expects":
        assert b"100 Continue" in heard(late, b"\r\n\r\n")
    half = 150_000 if way == "large" else 20
    late.sendall(body[:half])
    assert (
        200
        == httpx.get(
            f"{server.url}/api/v1/identities?orgId={org}", headers={"authorization": f"Bearer {other}"}
        ).status_code
    )
    revoked = httpx.post(f"{server.url}/api/v1/auth/token/revoke", json={"accessToken": other})
    late.sendall(body[half:])
    answer = heard(late, b"}")
    names = [
        one["identity"]["name"]
        for one in httpx.get(f"{server.url}/api/v1/identities?orgId={org}", headers=headers).json()["identities"]
    ]

    assert 200 == revoked.status_code
    assert b"401" == answer[9:12], answer
    assert "late" not in names


HOSTILE = {
    "lists": b'{"name": [' + b"[]," * 10_000_000 + b"[]]}",
    "deep": b"[" * 30_000_000,
    "one text": b'{"name": "' + b"a" * 30_000_000 + b'"}',
    "escapes": b'{"name": "' + b"\\n" * 15_000_000 + b'"}',
    "blanks": b'{"name": 1' + b" " * 30_000_000 + b"}",
    "keys": b'{"name": {' + b",".join(b'"%d":1' % i for i in range(45_000)) + b"}}",
}
FAULTY = ("keys",)  # within all bounds, but nothing that could be stored
LOGIN, BATCH = "/api/v1/auth/universal-auth/login", "/api/v3/secrets/batch/raw"


def test_a_hostile_body_is_refused_and_costs_little_memory(tmp_path: Path) -> None:
    """What it costs in time is looked at in tests/http/test_bodies.py, where others' load on the machine does
    not count.
    """
    found: dict[str, tuple[bytes, bytes, int]] = {}
    with serving(tmp_path, WATCHWORD_SETUP_CODE="off") as server:
        token = httpx.post(f"{server.url}/api/v1/admin/bootstrap", json=BOOT, timeout=60).json()["identity"][
            "credentials"
        ]["token"]
        for name, body in HOSTILE.items():
            statuses = [answered(server, path, body, credential) for path, credential in ((LOGIN, ""), (BATCH, token))]
            found[name] = (statuses[0], statuses[1], httpx.get(f"{server.url}/healthz").status_code)
        memory = Path(f"/proc/{server.process.pid}/status")
        most = int(memory.read_text().partition("VmHWM:")[2].split()[0]) if memory.exists() else 0

    assert {name: (b"413", b"422" if name in FAULTY else b"413", 200) for name in HOSTILE} == found
    assert most < 400_000  # KiB; decoded whole, the lists alone take 900 MB


def answered(server: Running, path: str, body: bytes, token: str) -> bytes:
    """The status of a body that comes in chunks, so that nothing says how long it will be.

    It may be answered before its end.
    """
    head = post(path, token, 0).replace(b"Content-Length: 0", b"Transfer-Encoding: chunked")
    connection = dialled(server, head)
    said: list[bytes] = []
    hearing = threading.Thread(target=lambda: said.append(heard(connection, b"}")))
    hearing.start()
    try:
        for start in range(0, len(body), 1 << 20):
            piece = body[start : start + (1 << 20)]
            connection.sendall(b"%x\r\n%b\r\n" % (len(piece), piece))
            if said:
                break
        else:
            connection.sendall(b"0\r\n\r\n")
    except OSError:
        pass  # refused before its end
    hearing.join(60)
    connection.close()
    return said[0][9:12] if said else b""
