"""`watchword demo`: an identity, its login, a secret and three refusals on a fresh server.

Everything goes over real HTTP, with the official client.
"""

import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import rich_click as click
from rich.console import Console
from rich.rule import Rule
from rich.syntax import Syntax
from rich.text import Text

from watchword.cli.output import FAILED, fail, is_json, output_option, say

EMAIL, PASSWORD = "admin@example.com", "seven quiet otters paddle"
_LOGIN = "/api/v1/auth/universal-auth/login"
_READY_WITHIN = 30.0  # seconds


# Shown by its last part: the first is the time, which all ids of the walkthrough share.
_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}([0-9a-f]{8})")


class Unexpected(Exception):
    """The server did not answer as the demonstration expects."""


class Walkthrough:
    """The demonstration as it is shown: what is asked and answered, step by step."""

    def __init__(self, client: httpx.Client, console: Console) -> None:
        self._client = client
        self._console = console
        self.token = ""
        self.steps: list[dict[str, Any]] = []

    def chapter(self, title: str, text: str) -> None:
        """A heading and what it is about."""
        self._console.print()
        self._console.print(Rule(Text(title, style="bold"), align="left", style="cyan"))
        self._console.print(text)
        self.steps.append({"title": title, "requests": []})

    def call(
        self, method: str, path: str, body: Any = None, *, show: Any, expect: int = 200, token: str | None = ""
    ) -> Any:
        """One request as `token` (the operator's by default); `show` picks what is worth seeing of the answer."""
        bearer = self.token if token == "" else token
        headers = {"authorization": f"Bearer {bearer}"} if bearer else {}
        began = time.perf_counter()
        reply = self._client.request(method, path, json=body, headers=headers)
        took = (time.perf_counter() - began) * 1000
        answer = reply.json()
        self._print_exchange(
            f"{method} {path.partition('?')[0]}",
            body,
            reply.status_code,
            took,
            show(answer) if reply.status_code == expect else answer,
        )
        if reply.status_code != expect:
            raise Unexpected(f"{method} {path}: expected {expect}, got {reply.status_code}")
        return answer

    def sdk(self, call: str, result: Any, took: float) -> None:
        """One call of the official client."""
        self._print_exchange(call, None, None, took, result)

    def _print_exchange(self, request: str, body: Any, status: int | None, took: float, shown: Any) -> None:
        request_line = Text("  → ", style="dim").append(_UUID.sub(r"…\1", request), style="bold")
        if body is not None:
            request_line.append("  " + _short(masked(body)), style="dim")
        self._console.print(request_line)
        reply_line = Text("  ← ", style="dim")
        if status is not None:
            reply_line.append(f"{status} ", style="green" if status < 400 else "red")
        reply_line.append(f"{took:.0f} ms", style="dim")
        self._console.print(reply_line)
        if shown is not None:
            text = shown if isinstance(shown, str) else json.dumps(shown, indent=2, ensure_ascii=False)
            lexer = "text" if isinstance(shown, str) else "json"
            self._console.print(Syntax(text, lexer, background_color="default", word_wrap=True, padding=(0, 0, 0, 6)))
        self.steps[-1]["requests"].append({"request": request, "status": status, "milliseconds": round(took, 1)})

    def say(self, text: str) -> None:
        """A line between requests."""
        self._console.print(f"  {text}")


def masked(body: Mapping[str, Any]) -> dict[str, Any]:
    """A body without what should not stand on a screen."""
    return {name: "***" if name in ("password", "clientSecret", "setupCode") else value for name, value in body.items()}


def _short(body: Mapping[str, Any]) -> str:
    text = _UUID.sub(r"…\1", json.dumps(body, ensure_ascii=False))
    return text if len(text) <= 150 else text[:147] + "…"


def pick(*names: str) -> Any:
    """A function that takes these fields (`outer.inner`) of an answer."""

    def take(answer: Any) -> dict[str, Any]:
        picked: dict[str, Any] = {}
        for name in names:
            value = answer
            for part in name.split("."):
                value = value[part]
            picked[name.rpartition(".")[2]] = value
        return picked

    return take


@contextmanager
def server(folder: Path) -> Iterator[dict[str, Any]]:
    """A server on a free port with a fresh database in `folder`; yields what it announces at its start."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("WATCHWORD_")}
    command = [sys.executable, "-m", "watchword", "serve", "--port", "0", "--data-dir", str(folder), "--output", "json"]
    with (folder / "server.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, env=environment)  # noqa: S603 - our own program
        try:
            line = process.stdout.readline() if process.stdout else b""
            if not line:
                raise Unexpected("the server did not start:\n" + (folder / "server.log").read_text()[-2000:])
            yield json.loads(line)
        finally:
            process.terminate()
            process.wait(_READY_WITHIN)
            if process.stdout:
                process.stdout.close()


@click.command()
@output_option
def demo() -> None:
    """Show an identity, its login, a secret, and three refusals on a fresh server.

    Starts a server of its own on a free port with a database in a temporary folder; both are gone afterwards.
    """
    try:
        import infisical_sdk  # noqa: F401, PLC0415 - only the demo needs it
    except ImportError:
        fail("The demo needs the official client", ["pip install infisicalsdk, or run: make demo"], FAILED)
    began = time.perf_counter()
    console = Console(quiet=is_json(), highlight=False)
    with tempfile.TemporaryDirectory(prefix="watchword-demo-") as folder:
        try:
            with server(Path(folder)) as announced, httpx.Client(base_url=announced["address"], timeout=30) as client:
                address = announced["address"]
                console.print(f"A fresh Watchword runs at [bold]{address}[/], with its database in {folder}.")
                walkthrough = Walkthrough(client, console)
                counts = _run_steps(walkthrough, address, announced["setupCode"])
        except Unexpected as error:
            fail("The demo went another way", [str(error)], FAILED)
    seconds = time.perf_counter() - began
    console.print()
    console.print(Rule(style="cyan"))
    console.print(
        f"[bold green]That is all:[/] four steps, three refusals, {counts['requests']} requests, {seconds:.1f} "
        "seconds.\n"
        "Run [bold]make serve[/] for a server that stays, and open the address that it prints: the console is there,\n"
        "and the API's pages at /api/docs. [bold]make serve ARGS=--demo-data[/] begins with an organization to look at."
    )
    if is_json():
        say({"seconds": round(seconds, 2), "steps": walkthrough.steps}, lambda _: None)


def _run_steps(walkthrough: Walkthrough, address: str, setup_code: str) -> dict[str, int]:
    place = _operator(walkthrough, setup_code)
    _workload(walkthrough, address, place)
    _refusals(walkthrough, place)
    return {"requests": sum(len(step["requests"]) for step in walkthrough.steps)}


def _operator(walkthrough: Walkthrough, setup_code: str) -> dict[str, Any]:
    about = (
        "An empty server makes its first administrator and organization once, for whoever has the setup code "
        "that it printed."
    )
    walkthrough.chapter("Before the walkthrough: an administrator", about)
    boot = {"email": EMAIL, "password": PASSWORD, "organization": "Acme", "setupCode": setup_code}
    bootstrapped = walkthrough.call(
        "POST",
        "/api/v1/admin/bootstrap",
        boot,
        show=pick("organization.name", "user.email", "identity.name"),
        token=None,
    )
    walkthrough.token, org = bootstrapped["identity"]["credentials"]["token"], bootstrapped["organization"]["id"]

    walkthrough.chapter(
        "1  An operator creates a machine identity",
        "It may do nothing yet. Universal Auth lets it prove itself with a client secret.",
    )
    identity = walkthrough.call(
        "POST",
        "/api/v1/identities",
        {"name": "billing", "organizationId": org, "role": "no-access"},
        show=pick("identity.name", "identity.id"),
    )["identity"]["id"]
    path = f"/api/v1/auth/universal-auth/identities/{identity}"
    client_id = walkthrough.call(
        "POST",
        path,
        {"accessTokenTTL": 600, "accessTokenMaxTTL": 3600},
        show=pick("identityUniversalAuth.clientId", "identityUniversalAuth.accessTokenTTL"),
    )["identityUniversalAuth"]["clientId"]
    secret = walkthrough.call(
        "POST", f"{path}/client-secrets", {"description": "billing, production"}, show=_hidden_secret
    )["clientSecret"]
    once = walkthrough.call(
        "POST", f"{path}/client-secrets", {"description": "one login only", "numUsesLimit": 1}, show=_hidden_secret
    )["clientSecret"]

    walkthrough.chapter(
        "2  The operator adds it to a project that holds a secret",
        "As a viewer: it may read the project's secrets and change nothing.",
    )
    project = walkthrough.call(
        "POST", "/api/v2/workspace", {"projectName": "Billing"}, show=pick("project.name", "project.id")
    )["project"]["id"]
    walkthrough.call(
        "POST",
        f"/api/v2/workspace/{project}/identity-memberships/{identity}",
        {"role": "viewer"},
        show=pick("identityMembership.identityId"),
    )
    folder = {"workspaceId": project, "environment": "dev", "secretPath": "/"}
    body = {**folder, "secretValue": "postgres://billing:s3cret@db/billing"}
    walkthrough.call("POST", "/api/v3/secrets/raw/DATABASE_URL", body, show=pick("secret.secretKey", "secret.version"))
    return {
        "project": project,
        "identity": identity,
        "client_id": client_id,
        "secret": secret,
        "once": once,
        "where": folder,
    }


def _hidden_secret(answer: Any) -> dict[str, Any]:
    data = answer["clientSecretData"]
    return {
        "clientSecret": answer["clientSecret"][:6] + "…  (shown this once)",
        "description": data["description"],
        "usesLimit": data["clientSecretNumUsesLimit"],
    }


def _workload(walkthrough: Walkthrough, address: str, place: dict[str, Any]) -> None:
    from infisical_sdk import InfisicalSDKClient  # noqa: PLC0415 - only the demo needs it

    walkthrough.chapter("3  The workload logs in", "With the official client, unmodified: pip install infisicalsdk")
    client = InfisicalSDKClient(host=address)
    began = time.perf_counter()
    login = client.auth.universal_auth.login(client_id=place["client_id"], client_secret=place["secret"])
    shown = {"accessToken": login.accessToken[:24] + "…", "expiresIn": login.expiresIn, "tokenType": login.tokenType}
    walkthrough.sdk(
        "client.auth.universal_auth.login(client_id=…, client_secret=…)", shown, (time.perf_counter() - began) * 1000
    )

    walkthrough.chapter(
        "4  It reads the secret that its role allows", "First with the client, then with nothing but HTTP."
    )
    began = time.perf_counter()
    secret = client.secrets.get_secret_by_name(
        secret_name="DATABASE_URL",  # noqa: S106 - a name
        project_id=place["project"],
        environment_slug="dev",
        secret_path="/",  # noqa: S106 - a path
    )
    shown = {"secretKey": secret.secretKey, "secretValue": secret.secretValue, "version": secret.version}
    walkthrough.sdk(
        "client.secrets.get_secret_by_name(secret_name='DATABASE_URL', …)", shown, (time.perf_counter() - began) * 1000
    )
    query = f"workspaceId={place['project']}&environment=dev&secretPath=/"
    walkthrough.call(
        "GET",
        f"/api/v3/secrets/raw/DATABASE_URL?{query}",
        show=pick("secret.secretKey", "secret.secretValue"),
        token=login.accessToken,
    )
    place["token"] = login.accessToken


def _refusals(walkthrough: Walkthrough, place: dict[str, Any]) -> None:
    walkthrough.chapter(
        "Refused: a wrong client secret", "The caller learns that it was refused, and no more. The operator learns why."
    )
    wrong = {"clientId": place["client_id"], "clientSecret": "0" * 64}
    refused = walkthrough.call("POST", _LOGIN, wrong, show=pick("message", "reqId"), expect=401, token=None)
    _why_refused(walkthrough, refused["reqId"])

    walkthrough.chapter(
        "Refused: no use left", "This client secret admits one login: exactly one, however many come at once."
    )
    once = {"clientId": place["client_id"], "clientSecret": place["once"]}
    walkthrough.call("POST", _LOGIN, once, show=pick("expiresIn", "tokenType"), token=None)
    refused = walkthrough.call("POST", _LOGIN, once, show=pick("message", "reqId"), expect=401, token=None)
    _why_refused(walkthrough, refused["reqId"])

    walkthrough.chapter(
        "Refused: no permission",
        "A viewer may not change a secret. The answer names what is missing; the operator asks which rule decides.",
    )
    body = {**place["where"], "secretValue": "changed"}
    path = "/api/v3/secrets/raw/DATABASE_URL"
    walkthrough.call("PATCH", path, body, show=pick("message", "details"), expect=403, token=place["token"])
    question = {
        "actorType": "identity",
        "actorId": place["identity"],
        "action": "edit",
        "subject": "secrets",
        "facts": {"environment": "dev", "secretPath": "/", "secretName": "DATABASE_URL"},
    }
    walkthrough.say("What the operator sees:")
    walkthrough.call(
        "POST",
        f"/api/v1/projects/{place['project']}/explain",
        question,
        show=pick("allowed", "decision.text", "sources"),
    )


def _why_refused(walkthrough: Walkthrough, request_id: str) -> None:
    walkthrough.say("What the operator sees:")

    def shown(answer: Any) -> dict[str, Any]:
        denial = answer["loginDenial"]
        checks = [f"{'passed' if check['passed'] else 'FAILED'}  {check['name']}" for check in denial["checks"]]
        return {
            "reason": denial["reason"],
            "message": denial["message"],
            "facts": denial["facts"],
            "checks": checks,
            "ipAddress": denial["ipAddress"],
        }

    walkthrough.call("GET", f"/api/v1/organization/login-denials/{request_id}", show=shown)
