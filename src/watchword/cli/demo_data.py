"""`watchword serve --demo-data`: an organization with a past, for looking at the console and trying the API.

Everything is made by requests to the API of a server in this process, at moments of the last four months: so what is
shown was done by somebody, stands in the audit log, and is as old as it says. What would be asked of others is answered
here, by an issuer that exists only while this runs; no credential that is made here is kept.
"""

import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, cast

import httpx
import jwt
import msgspec
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from watchword.app import Server, build_runtime, inspect_database, opened
from watchword.cli.bootstrap import make, random_password
from watchword.cli.demo_story import DAY, told
from watchword.domain.outbound import LdapEntry, LdapQuery, Outbound, OutboundError
from watchword.http.people.sign_in import bootstrapped
from watchword.services.context import Ctx
from watchword.services.people import setup
from watchword.services.people.organizations import AlreadyBootstrapped
from watchword.services.runtime import Runtime
from watchword.settings import Settings

_ADMIN = "203.0.113.20"  # where people are, by the addresses for documentation (RFC 5737)


class NotMade(AssertionError):
    """A request of the story was answered in another way than it expects: a fault of this program."""


class Issuer:
    """Who issues the tokens of the story: it stands for every other server, and is asked nothing else."""

    def __init__(self) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self.password = random_password()  # of everybody in its directory

    @property
    def public_pem(self) -> str:
        """Its public key."""
        return self._key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()

    @property
    def key_set(self) -> dict[str, Any]:
        """Its public key as a JSON Web Key Set."""
        key = jwt.get_algorithm_by_name("ES256").to_jwk(self._key.public_key(), as_dict=True)
        return {"keys": [{**key, "kid": "1", "use": "sig", "alg": "ES256"}]}

    def token(self, claims: Mapping[str, Any], at: int) -> str:
        """A token with these claims, issued at `at` (ms) and good for five minutes."""
        now = at // 1000
        times = {"iat": now, "nbf": now, "exp": now + 300}
        return jwt.encode({**times, **claims}, self._key, algorithm="ES256", headers={"kid": "1"})

    async def document(self, url: str, **_: Any) -> Mapping[str, Any]:
        """The discovery document of any issuer."""
        issuer = url.removesuffix("/.well-known/openid-configuration")
        return {"issuer": issuer, "jwks_uri": f"{issuer}/keys"}

    async def jwks(self, _url: str, _kid: str | None, **_: Any) -> Sequence[Mapping[str, Any]]:
        """Its key, whoever is asked."""
        keys: Sequence[Mapping[str, Any]] = self.key_set["keys"]
        return keys

    async def ldap(self, query: LdapQuery, **_: Any) -> LdapEntry | None:
        """The entry of a user of its directory, whatever the name, if the password is right."""
        if query.password.reveal() != self.password:
            return None
        return LdapEntry(f"uid={query.username},{query.base}", {"uid": (query.username,)})

    def __getattr__(self, name: str) -> Any:
        """Every other call fails: nothing leaves this machine."""
        if name.startswith("__"):
            raise AttributeError(name)

        async def refuse(*_: Any, **__: Any) -> Any:
            raise OutboundError("nobody is asked while the demonstration is made")

        return refuse


class Past:
    """A server in this process whose clock stands at a moment of the past, and only ever goes on."""

    def __init__(self, ends: int) -> None:
        self.ends = ends  # when the story meets the present, ms
        self.now = ends
        self.issuer = Issuer()
        self.org_id = ""
        self._person: dict[str, str] = {}
        self._token, self._entered_at = "", 0
        self._server: Server | None = None
        self._plan: list[tuple[int, int, Callable[[], Awaitable[Any]]]] = []

    def begin(self, parts: Runtime, org_id: str, email: str, password: str) -> None:
        """Take the requests of the story to this runtime, as this person."""
        self._server, self.org_id = Server(parts), org_id
        self._person = {"email": email, "password": password}

    def ago(self, **span: float) -> int:
        """The moment so many days, hours or minutes before the end, ms."""
        sizes = {"days": DAY, "hours": 3_600_000, "minutes": 60_000}
        return self.ends - int(sum(sizes[unit] * count for unit, count in span.items()))

    def go(self, **span: float) -> None:
        """Let the clock go on to so long before the end."""
        self.now = max(self.now, self.ago(**span))

    def plan(self, moment: int, step: Callable[[], Awaitable[Any]]) -> None:
        """Do something at a moment that is still to come."""
        self._plan.append((moment, len(self._plan), step))

    async def live(self) -> None:
        """Do all that is planned, in the order of its moments."""
        for moment, _, step in sorted(self._plan, key=lambda planned: planned[:2]):
            self.now = max(self.now, moment)
            await step()
        self._plan.clear()

    async def ask(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        token: str | None = "",
        address: str = _ADMIN,
        agent: str = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
        expect: int = 200,
    ) -> Any:
        """One request, as the administrator if no other token is given; its answer. A second passes."""
        bearer = await self._own_token() if token == "" else token
        headers = {"user-agent": agent} | ({"authorization": f"Bearer {bearer}"} if bearer else {})
        assert self._server is not None
        transport = httpx.ASGITransport(self._server, client=(address, 40_000))  # type: ignore[arg-type]
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            reply = await client.request(method, path, json=body, headers=headers)
        self.now += 1_000
        if reply.status_code != expect:
            raise NotMade(f"{method} {path}: {expect} was expected, and it is {reply.status_code} {reply.text[:500]}")
        return reply.json()

    async def _own_token(self) -> str:
        """The administrator's token, who signs in again after some days."""
        if self.now - self._entered_at > 5 * DAY:
            signed = await self.ask("POST", "/api/v3/auth/login", self._person, token=None)
            body = {"organizationId": self.org_id}
            entered = await self.ask("POST", "/api/v3/auth/select-organization", body, token=signed["accessToken"])
            self._token, self._entered_at = entered["token"], self.now
        return self._token


async def fill(
    settings: Settings, email: str, organization: str, *, clock: Callable[[], int] | None = None
) -> dict[str, Any]:
    """Make an instance with its administrator and the demonstration data, in a database that holds none yet.

    Returns what `watchword bootstrap` answers, with the administrator's new password. Raises AlreadyBootstrapped where
    the database holds an instance: then nothing was changed.
    """
    await _require_new(settings)
    past = Past(clock() if clock else time.time_ns() // 1_000_000)
    past.now = past.ago(days=120)
    # Nobody is to get mail of what is made up here, and no setting of the server may stand in its way.
    own = msgspec.structs.replace(settings, smtp_url=None, console="off", metrics="off")
    password = random_password()
    async with opened(build_runtime(own, outbound=cast("Outbound", past.issuer), clock=lambda: past.now)) as parts:
        made = await make(parts, {"email": email, "password": password, "organization": organization})
        answer = bootstrapped(made) | {"password": password}
        past.begin(parts, made.organization.id, email, password)
        await told(past)
        # The first token of the identity that administers the instance has ended since.
        path = f"/api/v1/auth/token-auth/identities/{made.identity.id}/tokens"
        token = await past.ask("POST", path, {"name": "bootstrap"})
        answer["identity"]["credentials"]["token"] = token["accessToken"]
    return answer


async def _require_new(settings: Settings) -> None:
    """Raise AlreadyBootstrapped for a database that holds an instance, before any clock is turned back over it."""
    if not (await inspect_database(settings)).keys:
        return  # no server was ever started on it
    async with opened(build_runtime(settings)) as parts:
        if await setup.is_bootstrapped(Ctx(parts)):
            raise AlreadyBootstrapped
