"""A server process: it drains, it restarts what dies, it speaks TLS, and it loses nothing it acknowledged."""

import asyncio
import datetime as dt
import ipaddress
import json
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.cli.serving import serving, watchword
from watchword.adapters.tls import verifying
from watchword.cli import serve

BOOT = {"email": "admin@example.com", "password": "correct horse battery", "organization": "Acme"}
ROOT_KEY = "ab" * 32


def boot(url: str) -> tuple[str, str]:
    made = httpx.post(f"{url}/api/v1/admin/bootstrap", json=BOOT, timeout=60).json()
    return made["identity"]["credentials"]["token"], made["organization"]["id"]


def test_a_server_with_a_login_says_where_it_is_and_the_password_opens_it(tmp_path: Path) -> None:
    with serving(tmp_path, "--with-login") as server:
        login = {"email": server.said["email"], "password": server.said["password"]}
        reply = httpx.post(f"{server.url}/api/v3/auth/login", json=login, timeout=60)
        code = server.stop()
    with serving(tmp_path, "--with-login") as again:
        said = again.said

    assert (200, 0) == (reply.status_code, code)
    assert "password" not in said
    assert 0o600 == (tmp_path / "root.key").stat().st_mode & 0o777


def test_it_says_where_the_first_password_is_kept(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    file = tmp_path / "data[x]" / "bootstrap.json"

    serve._show("http://127.0.0.1:1", serve.First(password="pass-word", saved=file))
    kept = capsys.readouterr().out
    serve._show("http://127.0.0.1:1", serve.First(password="pass-word"))
    lost = capsys.readouterr().out

    assert all(words in kept for words in (str(file), "mode 0600", "Delete it", "pass-word"))
    assert "this once" not in kept
    assert "this once, and kept nowhere" in lost


async def test_requests_under_way_are_answered_after_sigterm(tmp_path: Path) -> None:
    with serving(tmp_path) as server:
        token, org = boot(server.url)
        host, port = server.url.removeprefix("http://").split(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        body = b'{"name": "late", "organizationId": "' + org.encode() + b'"}'
        head = f"POST /api/v1/identities HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {token}\r\ncontent-type: application/json\r\n"
        writer.write(head.encode() + f"content-length: {len(body)}\r\n\r\n".encode() + body[:10])
        await writer.drain()
        await asyncio.to_thread(httpx.get, f"{server.url}/healthz")

        server.process.send_signal(signal.SIGTERM)
        refused = await asyncio.to_thread(until_refused, server.url)
        writer.write(body[10:])
        await writer.drain()
        answer = await reader.read()
        writer.close()
        code = await asyncio.to_thread(server.process.wait, 60)

    assert refused
    assert answer.startswith(b"HTTP/1.1 200")
    assert 0 == code
    assert "drained" in server.log


def identities(url: str, org: str, headers: dict[str, str]) -> list[str]:
    found = httpx.get(f"{url}/api/v1/identities", params={"orgId": org}, headers=headers, timeout=60).json()[
        "identities"
    ]
    return [one["identity"]["id"] for one in found]


def until_refused(url: str) -> bool:
    for _ in range(200):
        try:
            httpx.get(f"{url}/healthz", timeout=5)
        except httpx.TransportError:
            return True
    return False


async def test_nothing_acknowledged_is_lost_by_a_kill(tmp_path: Path) -> None:
    acknowledged: list[str] = []
    with serving(tmp_path) as server:
        token, org = boot(server.url)
        headers = {"authorization": f"Bearer {token}"}

        async def create(client: httpx.AsyncClient, i: int) -> None:
            try:
                reply = await client.post(
                    "/api/v1/identities", json={"name": f"bot{i}", "organizationId": org}, headers=headers
                )
            except httpx.TransportError:
                return
            acknowledged.append(reply.json()["identity"]["id"])
            if len(acknowledged) == 25:
                server.process.kill()

        async with httpx.AsyncClient(base_url=server.url, timeout=60) as client:
            await asyncio.gather(*[create(client, i) for i in range(60)])
        await asyncio.to_thread(server.process.wait, 60)
    with serving(tmp_path) as server:
        listed = await asyncio.to_thread(identities, server.url, org, headers)

    assert len(acknowledged) >= 25
    assert [] == [id for id in acknowledged if id not in listed]


def children(parent: int) -> list[int]:
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                stat = (entry / "stat").read_text()
                command = (entry / "cmdline").read_text()
            except OSError:
                continue
            if int(stat.rpartition(")")[2].split()[1]) == parent and "spawn_main" in command:
                found.append(int(entry.name))
    return found


def until(condition: Callable[[], bool], seconds: float = 60) -> bool:
    ends = time.monotonic() + seconds
    while time.monotonic() < ends:
        try:
            if condition():
                return True
        except httpx.TransportError:
            pass
    return False


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="looks at /proc")
async def test_workers_share_a_socket_and_a_dead_one_is_replaced(tmp_path: Path, postgres_dsn: str) -> None:
    with serving(
        tmp_path, "--workers", "2", WATCHWORD_DATABASE_URL=postgres_dsn, WATCHWORD_ROOT_KEY=ROOT_KEY
    ) as server:
        token, org = await asyncio.to_thread(boot, server.url)
        before = await asyncio.to_thread(children, server.process.pid)
        os.kill(before[0], signal.SIGKILL)
        replaced = await asyncio.to_thread(until, lambda: len(set(children(server.process.pid)) - set(before)) == 1)
        path, headers = f"{server.url}/api/v1/identities?orgId={org}", {"authorization": f"Bearer {token}"}
        served = await asyncio.to_thread(until, lambda: httpx.get(path, headers=headers, timeout=10).status_code == 200)
        code = await asyncio.to_thread(server.stop)

    assert 2 == len(before)
    assert replaced
    assert served
    assert 0 == code
    assert [] == children(server.process.pid)


def pair(
    name: str, signer: tuple[x509.Certificate, ec.EllipticCurvePrivateKey] | None = None
) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(signer[0].subject if signer else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(1))
        .not_valid_after(now + dt.timedelta(1))
        .add_extension(x509.BasicConstraints(ca=signer is None, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .sign(signer[1] if signer else key, hashes.SHA256())
    )
    return certificate, key


def write(folder: Path, name: str, made: tuple[x509.Certificate, ec.EllipticCurvePrivateKey]) -> tuple[str, str]:
    pem = serialization.Encoding.PEM
    (folder / f"{name}.pem").write_bytes(made[0].public_bytes(pem))
    (folder / f"{name}.key").write_bytes(
        made[1].private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return str(folder / f"{name}.pem"), str(folder / f"{name}.key")


def test_a_client_certificate_that_the_tls_layer_took_logs_in(tmp_path: Path) -> None:
    authority = pair("authority")
    ca, _ = write(tmp_path, "ca", authority)
    cert, key = write(tmp_path, "server", pair("127.0.0.1", authority))
    client_files = write(tmp_path, "client", pair("billing", authority))

    with serving(tmp_path, "--tls-cert-file", cert, "--tls-key-file", key, "--tls-client-ca-file", ca) as server:
        context = verifying(Path(ca).read_text())
        presenting = verifying(Path(ca).read_text())
        presenting.load_cert_chain(*client_files)
        with (
            httpx.Client(base_url=server.url, verify=context, timeout=60) as plain,
            httpx.Client(base_url=server.url, verify=presenting, timeout=60) as client,
        ):
            made = plain.post("/api/v1/admin/bootstrap", json=BOOT).json()
            headers = {"authorization": f"Bearer {made['identity']['credentials']['token']}"}
            identity = plain.post(
                "/api/v1/identities",
                json={"name": "tls", "organizationId": made["organization"]["id"]},
                headers=headers,
            ).json()
            id = identity["identity"]["id"]
            config = {"caCertificate": (tmp_path / "ca.pem").read_text(), "allowedCommonNames": "billing"}
            attached = plain.post(f"/api/v1/auth/tls-cert-auth/identities/{id}", json=config, headers=headers)
            without = plain.post("/api/v1/auth/tls-cert-auth/login", json={"identityId": id})
            with_one = client.post("/api/v1/auth/tls-cert-auth/login", json={"identityId": id})

    assert 200 == attached.status_code, attached.text
    assert (400, 200) == (without.status_code, with_one.status_code), with_one.text


def test_secrets_are_carried_out_and_in(tmp_path: Path) -> None:
    with serving(tmp_path) as server:
        token, _ = boot(server.url)
        headers = {"authorization": f"Bearer {token}"}
        project = httpx.post(
            f"{server.url}/api/v2/workspace", json={"projectName": "Carried"}, headers=headers, timeout=60
        ).json()["project"]["id"]
        place = ("--url", server.url, "--token", token, "--project", project, "--environment", "dev")
        (tmp_path / "in.env").write_text('A=1\nB="two words"\n')
        (tmp_path / "out.json").touch(0o644)

        planned = watchword("secrets", "import", *place, str(tmp_path / "in.env"), "--dry-run", "--output", "json")
        done = watchword("secrets", "import", *place, str(tmp_path / "in.env"))
        out = watchword("secrets", "export", *place, "--format", "json", "--file", str(tmp_path / "out.json"))
        refused = watchword("secrets", "export", *place[:2], "--token", "nonsense", *place[4:])

        (tmp_path / "in.env").write_text("A=another\nC=3\n")
        conflict = watchword("secrets", "import", *place, str(tmp_path / "in.env"), "--dry-run")

    assert 1 == conflict.returncode
    assert ("1 would be created: C" in conflict.stdout, "1 in conflict: A" in conflict.stdout) == (True, True)
    assert ["A", "B"] == json.loads(planned.stdout)["created"]
    assert "2 created: A, B" in done.stdout
    assert 0 == out.returncode
    assert {"A": "1", "B": "two words"} == json.loads((tmp_path / "out.json").read_text())
    assert 0o600 == (tmp_path / "out.json").stat().st_mode & 0o777
    assert (1, True) == (refused.returncode, "The server refused" in refused.stderr)


def test_a_wrapped_credential_is_opened_once_by_command(tmp_path: Path) -> None:
    with serving(tmp_path) as server:
        booted = httpx.post(f"{server.url}/api/v1/admin/bootstrap", json=BOOT, timeout=60).json()
        token = booted["identity"]["credentials"]["token"]
        path = f"{server.url}/api/v1/auth/token-auth/identities/{booted['identity']['id']}/tokens"
        made = httpx.post(path, json={"wrapTTL": 60}, headers={"authorization": f"Bearer {token}"}, timeout=60).json()
        place = {"WATCHWORD_URL": server.url, "WATCHWORD_WRAPPING_TOKEN": made["wrapping"]["token"]}

        known = watchword("unwrap", "--lookup", "--output", "json", **place)
        opened = watchword("unwrap", **place)
        again = watchword("unwrap", **place)
        none = watchword("unwrap", WATCHWORD_URL=server.url)

    assert (0, "sealed") == (known.returncode, json.loads(known.stdout)["state"]), known.stderr
    assert (0, 3) == (opened.returncode, len(opened.stdout.strip().split(".")))
    assert (1, "") == (again.returncode, again.stdout)
    assert "opened before" in again.stderr
    assert 2 == none.returncode


def test_an_instance_without_an_administrator_prints_its_setup_code_until_it_has_one(tmp_path: Path) -> None:
    with serving(tmp_path, WATCHWORD_SETUP_CODE="") as server:
        code = str(server.said["setupCode"])
        stranger = httpx.post(f"{server.url}/api/v1/admin/bootstrap", json=BOOT, timeout=60)
        logged = server.log
    with serving(tmp_path, WATCHWORD_SETUP_CODE="") as again:
        same = again.said["setupCode"]
        made = httpx.post(f"{again.url}/api/v1/admin/bootstrap", json={**BOOT, "setupCode": code}, timeout=60)
    with serving(tmp_path, WATCHWORD_SETUP_CODE="") as bootstrapped:
        said = bootstrapped.said

    assert (403, 200) == (stranger.status_code, made.status_code)
    assert (code, False, False) == (same, code in logged, "setupCode" in said)


def test_a_server_with_a_login_of_its_own_or_a_code_of_the_operator_prints_no_code(tmp_path: Path) -> None:
    for name, arguments, given in (
        ("login", ("--with-login",), ""),
        ("chosen", (), "chosen by the operator"),
        ("off", (), "off"),
    ):
        (tmp_path / name).mkdir()
        with serving(tmp_path / name, *arguments, WATCHWORD_SETUP_CODE=given) as server:
            assert "setupCode" not in server.said, name


def test_bootstrapping_on_the_machine_asks_for_no_code_and_a_running_server_sees_it(tmp_path: Path) -> None:
    with serving(tmp_path, WATCHWORD_SETUP_CODE="") as server:
        made = watchword(
            "bootstrap",
            "--data-dir",
            str(tmp_path),
            "--email",
            "a@example.com",
            "--password",
            "correct horse battery",
            "--organization",
            "Acme",
        )
        late = httpx.post(
            f"{server.url}/api/v1/admin/bootstrap", json={**BOOT, "setupCode": server.said["setupCode"]}, timeout=60
        )

    assert (0, 400) == (made.returncode, late.status_code)


async def test_a_scrape_answers_for_all_workers_and_for_those_that_ended(tmp_path: Path, postgres_dsn: str) -> None:
    route = 'watchword_requests_total{method="GET",route="/api/status",status="200"} '

    async def scraped(url: str) -> dict[str, float]:
        async with httpx.AsyncClient(base_url=url, trust_env=False) as client:
            text = (await client.get("/metrics")).text
        return {
            line.rpartition(" ")[0] + " ": float(line.rpartition(" ")[2])
            for line in text.splitlines()
            if line[0] != "#"
        }

    with serving(
        tmp_path,
        "--workers",
        "2",
        "--metrics",
        "loopback",
        WATCHWORD_DATABASE_URL=postgres_dsn,
        WATCHWORD_ROOT_KEY=ROOT_KEY,
    ) as server:
        for _ in range(30):  # each on a connection of its own, so that the kernel spreads them
            async with httpx.AsyncClient(base_url=server.url, trust_env=False) as client:
                assert (await client.get("/api/status")).status_code == 200
        before = await asyncio.to_thread(children, server.process.pid)
        first = await scraped(server.url)
        for pid in before:  # both, so that whichever answered has ended
            os.kill(pid, signal.SIGKILL)
            assert await asyncio.to_thread(until, lambda gone=pid: gone not in children(server.process.pid))  # type: ignore[misc]
        replaced = await asyncio.to_thread(until, lambda: len(set(children(server.process.pid)) - set(before)) == 2)
        await asyncio.to_thread(until, lambda: httpx.get(f"{server.url}/readyz", timeout=10).status_code == 200)
        last = await scraped(server.url)

    assert replaced
    assert first[route] == last[route] == 30
    assert first["watchword_processes "] == 2
    assert last["watchword_processes "] in {1, 2}  # the second may still start
