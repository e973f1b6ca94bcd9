"""Requests made from our own OpenAPI document, good ones and hostile ones, and what every answer to one must keep to.

    world = await World.begun(settings, document, seed)      # one of everything, and callers of every kind
    wanted = Requests(document, seed, world.pool)            # the same ones for the same seed and the same answers
    answer = await world.ask(request := wanted.next(world.callers))
    faults = Judge(document).faults(request, answer)
    wanted.learn(answer, request)

Time and randomness of a world are its seed's, so that two of them, one on each engine, answer the same.
"""

import asyncio
import json
import random
import re
import traceback
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, unquote

import httpx
import msgspec
from jsonschema import Draft202012Validator

from tests.api import EMAIL, PASSWORD, ROOT_KEY, Api
from tests.methods.doubles.web import CA
from tests.minting import jwk, public_pem
from tests.protection.scenario import Scenario
from watchword.app import Server, build_runtime
from watchword.domain.outbound import OutboundError
from watchword.http.openapi import document as openapi
from watchword.http.table import table
from watchword.methods import registry
from watchword.services.keys.keyring import Keyring
from watchword.services.runtime import Runtime
from watchword.services.upkeep import remember
from watchword.settings import Settings

BEGAN = 1_767_225_600_000  # 2026-01-01, in milliseconds
STEP = 40  # milliseconds between two requests
KEPT = 60  # values that are remembered of one name
# Answers that end only when the client goes; they have tests of their own.
ENDLESS = ("/api/v1/events/subscribe/project-events",)
# What takes the world away from all that follow: asked for rarely.
_RUINOUS = re.compile(r"DELETE /api/v\d/(organizations?|admin|sub-organizations|workspace|projects)(/\{\w+\})?$|logout")
# Statuses that any route may answer, by what arrives and not by what it means; the rest stands in the document.
ANYWHERE = frozenset({400, 404, 405, 413, 415, 429})

_PEM = CA
_BIG = "@@1e400@@"  # no float; becomes a number when the body is written
OTHER_PASSWORD = "another good password"
LONG, DEEP = "x" * 70_000, 2_000
HOSTILE_TEXTS: tuple[str, ...] = (
    "", " ", "\t\n", "\0", "a\0b", "\ud800", "\udfff\ud800", "x" * 65, "x" * 256, "x" * 1_001, "x" * 5_000, LONG,
    "e\u0301", "\u00e9", "\u202egnp.exe", "\u200b", "\ufeff", "\u2028", "ﬁ", "İ", "ß", "\U0001d4b3", "\U0010ffff", "\x7f", "\x85",
    "'; DROP TABLE x; --", "%", "%_%", "\\", "%00", "../../etc/passwd", "/", "//", "/a//b", "/.", "/..", ".", "*", "**",
    "[", "(a+)+$", "{{", "${", "${a.b.c}", "${X}", "$${x}", "<b>", "null", "true", "NaN", "-1", "0", "1e5", "0x10",
    "9" * 40, "2026-02-30", "2026-13-01T00:00:00Z", "9999-12-31T23:59:59Z", "0001-01-01T00:00:00Z", "1h", "-5m",
    "99999999999999d", "0.0.0.0/0", "::/0", "10.0.0.1/8", "fe80::1%eth0", "http://[::1", "https://", "javascript:x",
    "00000000-0000-0000-0000-000000000000", "01A203EE-9DBA-7B90-B424-1F20AA43038B", "a@b", "a,b;c", "\r\nx: y", "admin",
)  # fmt: skip
HOSTILE_VALUES: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 1.5, -0.0, 1e308, _BIG, 2**31, -(2**31) - 1, 2**53 + 1, 2**63 - 1, 2**63, 2**64, 10**400,
    [], {}, [None], [[]], [{}], {"": ""}, {"$ne": None}, {"$gt": ""}, {"$in": []}, {"$regex": "("}, ["x"] * 1_200,
    {"a": {"b": {"c": {"d": []}}}}, {"__proto__": 1}, {"id": None}, {f"k{i}": i for i in range(300)},
)  # fmt: skip
# What a text of this name would be where it is good; the rest comes from what the server itself answered.
PLAUSIBLE: Mapping[str, tuple[Any, ...]] = {
    "email": ("new@example.com", "target@example.com", "Admin@Example.com"),
    "emails": (["target@example.com"], ["new@example.com", "free@example.com"]),
    "inviteeemails": (["new@example.com"], ["other@example.com"]),
    "usernames": (["target@example.com"],),
    "inviteemail": ("new@example.com",),
    "password": (PASSWORD, OTHER_PASSWORD),
    "oldpassword": (PASSWORD,),
    "newpassword": (OTHER_PASSWORD, PASSWORD),
    "environment": ("dev", "prod", "staging"),
    "envslug": ("dev", "qa"),
    "sourceenvironment": ("dev",),
    "destinationenvironment": ("prod", "dev"),
    "secretpath": ("/", "/kept", "/kept/in"),
    "sourcesecretpath": ("/", "/kept"),
    "destinationsecretpath": ("/", "/kept"),
    "path": ("/", "/kept"),
    "directory": ("/", "/kept"),
    "secretname": ("KEPT", "OTHER", "A_B"),
    "newsecretname": ("MOVED", "KEPT"),
    "secretkey": ("KEPT", "OTHER", "A_B"),
    "secretvalue": ("v", "${KEPT}", "a\nb", ""),
    "slug": ("kept", "held", "new-one", "dev", "prod"),
    "name": ("kept", "in", "new-one", "New one"),
    "role": ("admin", "member", "viewer", "no-access", "held"),
    "roles": ([{"role": "member"}], [{"role": "viewer", "isTemporary": False}]),
    "roleslugs": (["member"], ["held"]),
    "organizationroleslug": ("member", "no-access"),
    "color": ("#aabbcc",),
    "ipaddress": ("0.0.0.0/0", "10.0.0.0/8", "127.0.0.1"),
    "permissions": (
        [],
        [{"subject": "secrets", "action": ["create"], "conditions": {"environment": {"$in": ["dev"]}}}],
        [{"subject": "settings", "action": ["read"], "inverted": True}],
        ["read"],
        ["read", "write"],
    ),
    "temporaryrange": ("1h", "30d"),
    "temporarymode": ("relative",),
    "temporaryaccessstarttime": ("2026-01-01T00:00:00.000Z", "2026-01-01T00:00:00Z"),
    "startdate": ("2025-12-01T00:00:00Z", "2026-01-01"),
    "enddate": ("2026-02-01T00:00:00Z",),
    "limit": (1, 20, 100),
    "offset": (0, 1),
    "waitseconds": (1,),
    "eventmetadata": ("name=a", "identityId=x,name=b"),
    "metadatafilter": ("key=team,value=a",),
    "expirydate": ("2027-01-01T00:00:00Z",),
    "wrapttl": ("60s", "5m"),
    "url": ("https://hooks.example.com/x", "ldaps://ldap.example.com"),
    "kuberneteshost": ("https://10.0.0.1:6443",),
    "oidcdiscoveryurl": ("https://issuer.example.com",),
    "boundissuer": ("https://issuer.example.com",),
    "jwksurl": ("https://issuer.example.com/keys",),
    "searchfilter": ("(uid={{username}})",),
    "tenantid": ("11111111-1111-4111-8111-111111111111",),
    "resource": ("https://management.azure.com/",),
    "metadata": ([{"key": "team", "value": "a"}],),
    "authmethod": ("ldap-auth", "universal-auth", "token-auth"),
    "templatefields": ({"url": "ldaps://l.example.com", "bindDN": "cn=x", "bindPass": "y", "searchBase": "dc=x"},),
    "import": ({"environment": "prod", "path": "/"}, {"environment": "dev", "path": "/kept"}),
    "scopes": ([{"environment": "dev", "secretPath": "/**"}],),
    "content": ("A=1\nB=2\n", '{"A": "1"}', "A: 1\n"),
    "format": ("dotenv", "json", "yaml", "csv"),
    "tenancyocid": ("ocid1.tenancy.oc1..aaaaaaaa",),
    "allowedusernames": ("ada",),
    "trustdomain": ("example.org",),
    "allowedspiffeids": ("spiffe://example.org/app",),
    "allowedaudiences": ("watchword",),
    "boundaudiences": ("watchword",),
    "allowedarns": ("acs:ram::1234567890123456:role/app",),
    "allowedprincipalarns": ("arn:aws:iam::123456789012:role/app",),
    "cacertificate": (_PEM,),
    "cacert": ("", _PEM),
    "jwkscacert": ("", _PEM),
    "ldapcacertificate": ("", _PEM),
    "certificate": (_PEM,),
    "publickeys": ([public_pem("rsa")],),
    "publickey": (public_pem("p256"),),
    "bundle": (json.dumps({"keys": [jwk("rsa", use="jwt-svid")]}), '{"keys": []}'),
    "crlurls": ([],),
    "ocspurl": ("",),
    "expiresat": ("2027-01-01T00:00:00Z", None),
    "lastsecretmodified": ("2026-01-01T00:00:00Z",),
    "report": ("unused", "never-used", "expiring", "risky"),
    "events": ([{"event": "secret:update", "secretPath": "/**"}],),
    "secrets": (
        [{"secretKey": "KEPT", "secretValue": "v"}],
        [{"secretKey": "A_B", "secretValue": "w", "secretPath": "/kept"}],
    ),
    "privilegepermission": ({"actions": ["read"], "subject": "secrets", "conditions": {"environment": "dev"}},),
}
SAME = {
    "workspaceid": "projectid", "orgid": "organizationid", "organizationid": "organizationid",
    "workspaceslug": "projectslug", "environmentslug": "environment", "envid": "environmentid",
    "folderidorname": "folderid", "secretname": "secretkey", "rolename": "roleslug", "suborgid": "suborganizationid",
    "username": "email", "cursor": "nextcursor", "newslug": "slug", "owneremail": "email",
}  # fmt: skip
PLACES = frozenset({"projectid", "environment"})  # without them most requests name nothing
_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")


def short(name: str) -> str:
    """A name of a field, a parameter or a pool, so that its spellings are one."""
    plain = re.sub(r"[^a-z0-9]", "", name.lower())
    return SAME.get(plain, plain)


def own_document() -> dict[str, Any]:
    return json.loads(msgspec.json.encode(openapi(table(registry().values(), None))))


class Steady:
    """Randomness that a name decides, begun again for each request: the engines may use different amounts of it.

    What goes on beside the requests has some of its own, or it would take from theirs.
    """

    def __init__(self, name: str) -> None:
        self._beside = random.Random(name)
        self._own: ContextVar[random.Random] = ContextVar("own")

    def begin(self, name: str) -> None:
        self._own.set(random.Random(name))

    def __call__(self, size: int) -> bytes:
        return self._own.get(self._beside).randbytes(size)


@asynccontextmanager
async def quiet(parts: Runtime) -> AsyncIterator[None]:
    """The parts opened without what goes on beside requests: its work comes by a clock of its own."""
    await parts.store.open()
    try:
        await parts.keys.open(parts.store)
        await remember(parts)
        parts.journal.start()
        parts.writes.start()
        yield
    finally:
        await parts.changes.close()
        await parts.writes.close()
        await parts.journal.close()
        await parts.store.close()


class Nowhere:
    """No other server can be reached from here."""

    def __getattr__(self, name: str) -> Callable[..., Any]:
        async def refuse(*args: Any, **named: Any) -> Any:
            raise OutboundError("There is no way out of this test")

        return refuse


class _Last:
    """An entry of a journal that writes nothing: when it is written, what came before it is."""

    turn = 99

    @classmethod
    async def apply(cls, tx: Any, entries: Sequence[Any]) -> Sequence[Any]:
        return [None for _ in entries]


@dataclass(frozen=True)
class Wanted:
    """One request, with how it is to be told from others."""

    number: int
    operation: str  # method and path as in the document
    method: str
    path: str  # escaped
    query: str
    body: bytes
    headers: tuple[tuple[bytes, bytes], ...]
    caller: str
    names: frozenset[str]  # of all its fields and parameters
    is_object: bool  # whether the body is a JSON object
    places: tuple[tuple[str, str], ...] = ()  # what its path names, escaped

    def __str__(self) -> str:
        return f"#{self.number} {self.caller}: {self.method} {self.path}?{self.query[:300]} {self.body[:600]!r}"


@dataclass
class Answered:
    """What was answered: `raised` is what the server logged of a failure."""

    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    raised: str = ""

    @property
    def json(self) -> Any:
        try:
            return json.loads(self.body)
        except ValueError:
            return None


class World:
    """A server in this process with one of everything in it."""

    def __init__(self, server: Server, clock: "list[int]", entropy: Steady) -> None:
        self.server, self._now, self._entropy = server, clock, entropy
        self.callers: dict[str, str | None] = {}
        self.ids: dict[str, str] = {}

    @classmethod
    @asynccontextmanager
    async def begun(cls, settings: Settings, seed: str) -> AsyncIterator["World"]:
        now, entropy = [BEGAN], Steady(seed)
        settings = msgspec.structs.replace(settings, unlimited_networks=("127.0.0.0/8",))
        made = build_runtime(settings, outbound=Nowhere())
        keys = Keyring(bytes.fromhex(ROOT_KEY), entropy, lambda: now[0])
        parts = msgspec.structs.replace(made, clock=lambda: now[0], entropy=entropy, keys=keys)
        async with quiet(parts):
            world = cls(Server(parts), now, entropy)
            await world._fill(seed)
            yield world

    async def _fill(self, seed: str) -> None:
        count = 0

        async def app(scope: Any, receive: Any, send: Any) -> None:
            nonlocal count
            count += 1
            self._begin(f"{seed} arranging {count}")
            await self.server(scope, receive, send)

        transport = httpx.ASGITransport(app, client=("127.0.0.1", 40_000))
        async with httpx.AsyncClient(transport=transport, base_url="http://watchword.test") as client:
            api = Api(self.server.runtime, self._now, client)  # type: ignore[arg-type]
            await api.bootstrap()
            scenario = Scenario(api, None)
            await scenario.add_targets()
            self.ids = scenario.ids
            place = f"/api/v1/projects/{self.ids['project_id']}"
            bots = {}
            for name, role, inside in (
                ("admin", "admin", "admin"),
                ("member", "member", "member"),
                ("nobody", "no-access", None),
            ):
                bot, bots[f"identity {name}"] = await api.bot(role)
                if inside:
                    await api.ok("POST", f"{place}/memberships/identities/{bot['id']}", {"role": inside})
            login = {"email": "target@example.com", "password": PASSWORD}
            session = (await api.ok("POST", "/api/v3/auth/login", login, token=None))["accessToken"]
            other, theirs = await api.organization("Other tenant")
            stranger = await api.ok(
                "POST",
                "/api/v1/identities",
                {"name": "stranger", "organizationId": other, "role": "admin"},
                token=theirs,
            )
            method = f"/api/v1/auth/token-auth/identities/{stranger['identity']['id']}"
            await api.ok("POST", method, {}, token=theirs)
            foreign = await api.ok("POST", f"{method}/tokens", {}, token=theirs)
            await api.ok("POST", "/api/v1/projects", {"projectName": "Theirs"}, token=theirs)
            self._persons = {"person admin": EMAIL, "person member": "target@example.com", "person outside": EMAIL}
            self._org_id = api.org_id
            self.callers = {
                "instance": api.instance_token,
                "person admin": api.token,
                "person member": await api.enter(api.org_id, session),
                "person outside": api.person,
                **bots,
                "identity elsewhere": foreign["accessToken"],
                "service token": scenario.personas[-1].token,
                "nobody": None,
            }

    async def revive(self, caller: str, seed: str, number: int) -> None:
        """Sign a person in again whose session was ended by a request, unless the password is another one now."""
        if caller not in self._persons:
            return

        async def post(path: str, body: Any, token: str | None) -> Any:
            headers = [(b"content-type", b"application/json")]
            headers += [(b"authorization", f"Bearer {token}".encode())] if token else []
            wanted = Wanted(
                number, "", "POST", path, "", json.dumps(body).encode(), tuple(headers), "", frozenset(), True
            )
            return (await self.ask(wanted, f"{seed} again {path}")).json or {}

        for password in (PASSWORD, OTHER_PASSWORD):
            session = (
                await post("/api/v3/auth/login", {"email": self._persons[caller], "password": password}, None)
            ).get("accessToken")
            if session and caller != "person outside":
                body = {"organizationId": self._org_id}
                session = (await post("/api/v3/auth/select-organization", body, session)).get("token")
            if session:
                self.callers[caller] = session
                return

    def _begin(self, name: str) -> None:
        self._now[0] += STEP
        self._entropy.begin(name)

    async def ask(self, wanted: Wanted, seed: str) -> Answered:
        """The answer to one request, when all that it set off is written."""
        self._begin(f"{seed} {wanted.number}")
        answer, sent = Answered(), [False]

        async def receive() -> dict[str, Any]:
            if sent[0]:
                await asyncio.Event().wait()
            sent[0] = True
            return {"type": "http.request", "body": wanted.body, "more_body": False}

        async def send(message: Mapping[str, Any]) -> None:
            if message["type"] == "http.response.start":
                answer.status = message["status"]
                answer.headers = {name.decode(): value.decode("latin-1") for name, value in message["headers"]}
            else:
                answer.body += message.get("body", b"")

        scope = {
            "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "scheme": "http", "method": wanted.method,
            "path": unquote(wanted.path), "raw_path": wanted.path.encode(), "query_string": wanted.query.encode(),
            "root_path": "", "headers": [(b"host", b"watchword.test"), *wanted.headers], "client": ("127.0.0.1", 40_000),
            "server": ("watchword.test", 80), "state": {},
        }  # fmt: skip
        try:
            await asyncio.wait_for(self.server(scope, receive, send), 20)
        except Exception:
            answer.raised = traceback.format_exc()
        await self._written()
        return answer

    async def _written(self) -> None:
        parts = self.server.runtime
        for journal in (parts.journal, parts.writes):
            if journal.backlog:
                await journal.submit(_Last())


class Requests:
    """Requests of all operations of a document, the same ones for the same seed and the same answers."""

    def __init__(self, document: Mapping[str, Any], seed: str, ids: Mapping[str, str]) -> None:
        self._random = random.Random(seed)
        self._schemas = document["components"]["schemas"]
        self._operations = [
            (f"{method.upper()} {path}", method.upper(), path, operation)
            for path, methods in document["paths"].items()
            if path not in ENDLESS and not path.startswith("/api/docs")
            for method, operation in methods.items()
        ]
        self._order: list[int] = []
        self._count = 0
        self._pool: dict[str, list[str]] = {}
        self._tokens: list[str] = []
        self._met: dict[str, list[tuple[tuple[str, str], ...]]] = {}  # places of a path that are there together
        for name, value in ids.items():
            self._keep(short(name), value)
        self._hostility = 0.0

    # What the server answered is what later requests ask for.

    def learn(self, answer: Answered, wanted: Wanted) -> None:
        if answer.status == 200 and wanted.places and wanted.method != "DELETE":
            kept = self._met.setdefault(wanted.operation.partition(" ")[2], [])
            kept.append(wanted.places)
            del kept[:-6]
        if answer.status == 200 and answer.headers.get("content-type", "").startswith("application/json"):
            self._walk(answer.json, "", 0)

    def _walk(self, value: Any, parent: str, depth: int) -> None:
        if isinstance(value, dict) and depth < 8:
            for key, one in value.items():
                if isinstance(one, str) and 0 < len(one) < 3_000:
                    if key in ("id", "_id"):
                        self._keep(short(parent + "Id"), one)
                    elif key in ("slug", "name"):
                        self._keep(short(parent + key), one)
                    if key in ("accessToken", "token", "serviceToken"):
                        self._tokens = [*self._tokens, one][-KEPT:]
                    self._keep(short(key), one)
                else:
                    self._walk(one, key, depth + 1)
        elif isinstance(value, list):
            for one in value[:6]:
                self._walk(one, parent.removesuffix("s"), depth + 1)

    def _keep(self, name: str, value: str) -> None:
        for into in (name, "*") if _UUID.fullmatch(value) else (name,):
            kept = self._pool.setdefault(into, [])
            if value not in kept:
                kept.append(value)
                del kept[:-KEPT]

    # One request.

    def next(self, callers: Mapping[str, str | None]) -> Wanted:
        pick = self._random
        operation, method, path, about = self._operation()
        self._hostility = pick.choice((0, 0, 0, 0.02, 0.1, 0.4))
        caller = pick.choice(("instance", *["person admin"] * 4, *["identity admin"] * 2, *callers))
        bearer = callers[caller]
        if pick.random() < 0.05 and self._tokens:
            caller, bearer = "token found", pick.choice(self._tokens)
        elif pick.random() < 0.01:
            caller, bearer = "hostile", pick.choice(("", " ", "x", "st.x.y", "a.b.c", "\xff", LONG))
        headers = [] if bearer is None else [(b"authorization", f"Bearer {bearer}".encode("latin-1"))]
        parameters = about.get("parameters", ())
        places = self._places(path)
        found = re.sub(r"{(\w+)}", lambda place: places[place[1]], path)
        query = self._query([one for one in parameters if one["in"] == "query"])
        names = {one["name"] for one in parameters}
        body, is_object = b"", False
        if "requestBody" in about:
            media, schema = next(iter(about["requestBody"]["content"].items()))
            names |= set(self._resolved(schema["schema"]).get("properties", ()))
            body, media, is_object = self._body(schema["schema"], media)
            headers += [(b"content-type", media.encode())] if media else []
        self._count += 1
        return Wanted(
            self._count,
            operation,
            method,
            found,
            query,
            body,
            tuple(headers),
            caller,
            frozenset(names),
            is_object,
            tuple(places.items()),
        )

    def _operation(self) -> tuple[str, str, str, Mapping[str, Any]]:
        while True:
            if not self._order:  # all of them, in an order that changes
                self._order = list(range(len(self._operations)))
                self._random.shuffle(self._order)
            found = self._operations[self._order.pop()]
            if not _RUINOUS.search(found[0]) or self._random.random() < 0.1:
                return found

    def _places(self, path: str) -> dict[str, str]:
        """What the path names: what belongs together by an earlier answer, or one by one."""
        known = [place for place in self._met if path.startswith(place)]
        together: dict[str, str] = {}
        if known and self._random.random() < 0.5:
            together = dict(self._random.choice(self._met[max(known, key=len)]))
        found, parent = {}, ""
        for part in path.split("/"):
            if part.startswith("{"):
                found[part[1:-1]] = together.get(part[1:-1]) or self._place(part[1:-1], parent)
            elif part != "slug":
                parent = part
        return found

    def _place(self, name: str, parent: str) -> str:
        if name == "slug":
            name = {"environments": "environment", "tags": "tag_slug"}.get(parent, "project_slug")
        pick, key = self._random, short(name)
        if pick.random() < 0.02 + self._hostility / 2:
            return quote(pick.choice(HOSTILE_TEXTS[1:]).encode("utf-8", "surrogatepass")[:9_000], safe="")
        kept = self._pool.get(key)
        plausible = PLAUSIBLE.get(name.replace("_", ""), ())
        if kept and pick.random() < 0.92:
            return quote(pick.choice(kept[-12:]).encode("utf-8", "surrogatepass"), safe="")
        if plausible and pick.random() < 0.7:
            return quote(str(pick.choice(plausible)), safe="")
        return quote(pick.choice(self._pool["*"]), safe="")

    def _query(self, parameters: Sequence[Mapping[str, Any]]) -> str:
        pick, pairs = self._random, []
        for one in parameters:
            if not one["required"] and pick.random() < (0.1 if short(one["name"]) in PLACES else 0.6):
                continue
            if one["required"] and pick.random() < self._hostility / 3:
                continue
            value = self._value(one["schema"], one["name"], 0)
            value = value if isinstance(value, str) else json.dumps(value, allow_nan=True)
            if "wait" in one["name"].lower() and one["name"] != "waitVersion":
                value = "1" if self._hostility < 0.1 else value
            pairs.append(f"{one['name']}={quote(value.encode('utf-8', 'surrogatepass')[:3_000])}")
        if any(pair.startswith("waitVersion=") for pair in pairs):  # else it waits for half a minute
            pairs = [*(pair for pair in pairs if not pair.startswith("waitSeconds=")), "waitSeconds=1"]
        if pairs and pick.random() < self._hostility / 3:
            pairs.append(
                pick.choice((pairs[0], "=", "&&", "%zz=1", "limit=%ff", "a[]=1", f"{pairs[0].partition('=')[0]}[]=1"))
            )
        return "&".join(pairs)

    def _body(self, schema: Mapping[str, Any], media: str) -> tuple[bytes, str, bool]:
        pick = self._random
        if pick.random() < self._hostility / 4:
            return self._strange_body(media)
        value = self._value(schema, "", 0) if pick.random() >= self._hostility / 8 else pick.choice(HOSTILE_VALUES)
        if media != "application/json":
            pairs = value.items() if isinstance(value, dict) else ()
            text = "&".join(f"{quote(str(k))}={quote(str(v).encode('utf-8', 'surrogatepass'))}" for k, v in pairs)
            return text.encode(), media, False
        return self._written(value), media, isinstance(value, dict)

    def _strange_body(self, media: str) -> tuple[bytes, str, bool]:
        bodies = (
            (b"", media), (b"", ""), (b"null", media), (b"[]", media), (b'"x"', media), (b"1e400", media), (b"{", media),
            (b'{"a": NaN}', media), (b"\xff\xfe", media), (b'\xef\xbb\xbf{"name": "x"}', media), (b"{}", "text/plain"),
            (b'{"name": "a", "name": "b"}', media), (b"[" * DEEP + b"]" * DEEP, media), (b'{"name": "\\ud800"}', media),
            (b'{"a":' * DEEP + b"1" + b"}" * DEEP, media), (b"name=x&name=y", "application/x-www-form-urlencoded"),
            (b"{}", "application/json; charset=utf-16"), (b'{"\\u0000": 1}', media), (b"<a/>", "application/xml"),
            (b'{"name": ' + b"9" * 5_000 + b"}", media),
        )  # fmt: skip
        body, kind = self._random.choice(bodies)
        return body, kind, False

    def _written(self, value: Any) -> bytes:
        return json.dumps(value, allow_nan=True).replace(f'"{_BIG}"', "1e400").encode()

    # One value of a schema.

    def _resolved(self, schema: Mapping[str, Any]) -> Mapping[str, Any]:
        while "$ref" in schema:
            schema = self._schemas[schema["$ref"].rpartition("/")[2]]
        return schema

    def _value(self, schema: Mapping[str, Any], name: str, depth: int) -> Any:
        pick, schema = self._random, self._resolved(schema)
        if depth and pick.random() < self._hostility / 3:
            return pick.choice(HOSTILE_VALUES)
        if "anyOf" in schema:
            some = [one for one in schema["anyOf"] if one.get("type") != "null"]
            return self._value(pick.choice(some), name, depth) if pick.random() < 0.95 else None
        if "const" in schema:
            return schema["const"]
        if "enum" in schema:
            return pick.choice([*schema["enum"], *(["unknown"] if pick.random() < self._hostility else [])])
        known = PLAUSIBLE.get(short(name)) or PLAUSIBLE.get(name.lower())
        if known and pick.random() < (0.5 if self._hostility else 0.9):
            return pick.choice(known)
        kind = schema.get("type", "string")
        return getattr(self, f"_{kind if isinstance(kind, str) else kind[0]}")(schema, name, depth)

    def _object(self, schema: Mapping[str, Any], name: str, depth: int) -> dict[str, Any]:
        pick, required = self._random, schema.get("required", ())
        chance = 0.35 if depth < 4 else 0.05
        made = {
            key: self._value(one, key, depth + 1)
            for key, one in schema.get("properties", {}).items()
            if (key in required and pick.random() >= self._hostility / 6)
            or (key not in required and pick.random() < (0.85 if short(key) in PLACES else chance))
        }
        more = schema.get("additionalProperties")
        if isinstance(more, dict):
            made |= {
                key: self._value(more, key, depth + 1)
                for key in pick.sample(("a", "team", "email", "sub", "x.y", ""), pick.randint(0, 2))
            }
        if pick.random() < self._hostility / 4:
            made[pick.choice(("unknown", "", "\0", "id", "__proto__"))] = pick.choice(HOSTILE_VALUES)
        return made

    def _array(self, schema: Mapping[str, Any], name: str, depth: int) -> list[Any]:
        few = max(schema.get("minItems", 0), self._random.choice((0, 1, 1, 2)))
        return [self._value(schema.get("items", {}), name.removesuffix("s"), depth + 1) for _ in range(min(few, 20))]

    def _string(self, schema: Mapping[str, Any], name: str, depth: int) -> str:
        pick = self._random
        if pick.random() < self._hostility:
            return pick.choice(HOSTILE_TEXTS)
        kept = self._pool.get(short(name), ())
        if kept and pick.random() < 0.96:
            return pick.choice(kept[-12:])
        if name.endswith(("Id", "Ids")) and pick.random() < 0.8:
            return pick.choice(self._pool["*"])
        text = f"{name or 'x'}-{pick.randint(1, 5)}"
        return text[: schema.get("maxLength", 99)].ljust(min(schema.get("minLength", 0), 99), "x")

    def _integer(self, schema: Mapping[str, Any], name: str, depth: int) -> Any:
        pick = self._random
        least, most = schema.get("minimum", 0), schema.get("maximum", 10_000)
        if pick.random() < self._hostility:
            return pick.choice((least - 1, most + 1, least, most, -1, 2**31, 2**63, 2**64, 1.0, 1.5, "1"))
        return pick.choice((least, most, min(most, least + 1), min(most, max(least, 3_600))))

    def _number(self, schema: Mapping[str, Any], name: str, depth: int) -> Any:
        return self._integer(schema, name, depth)

    def _boolean(self, schema: Mapping[str, Any], name: str, depth: int) -> bool:
        return self._random.random() < 0.5

    def _null(self, schema: Mapping[str, Any], name: str, depth: int) -> None:
        return None


class Judge:
    """What holds of every answer."""

    def __init__(self, document: Mapping[str, Any]) -> None:
        self._document = document
        self._validators: dict[tuple[str, str], Draft202012Validator] = {}

    def faults(self, wanted: Wanted, answer: Answered) -> list[str]:
        method, path = wanted.operation.split(" ", 1)
        said = self._document["paths"][path][method.lower()]["responses"]
        if answer.raised:
            return [f"raised {answer.raised}"]
        if answer.status >= 500 and wanted.operation != "GET /readyz":
            return [f"{answer.status} {answer.body[:500]!r}"]
        status = str(answer.status)
        if status not in said and answer.status not in ANYWHERE:
            return [f"{status} is not in the document: {answer.body[:300]!r}"]
        kind = answer.headers.get("content-type", "")
        if answer.status == 200 and not kind.startswith("application/json"):
            return []
        if answer.body and not kind.startswith("application/json"):
            return [f"{status} is {kind}"]
        body = answer.json
        errors = [
            f"{list(one.absolute_path)}: {one.message[:300]}"
            for one in self._validator(wanted, status, said).iter_errors(body)
        ]
        if answer.status == 422 and not errors:
            errors += self._naming(wanted, body)
        return [f"{status} does not keep to the document: {text}" for text in errors[:3]]

    def _validator(self, wanted: Wanted, status: str, said: Mapping[str, Any]) -> Draft202012Validator:
        key = (wanted.operation, status)
        if key not in self._validators:
            schema = {"$ref": "#/components/schemas/Error"}
            if status in said:
                schema = said[status]["content"]["application/json"]["schema"]
            self._validators[key] = Draft202012Validator({**schema, "components": self._document["components"]})
        return self._validators[key]

    def _naming(self, wanted: Wanted, body: Mapping[str, Any]) -> list[str]:
        """A fault must be where the request has something, with a sentence."""
        if not isinstance(body["message"], list):
            return []
        if not body["message"]:
            return ["no fault is named"]
        return [f"no field is named: {one}" for one in body["message"] if not self._is_named(wanted, one)]

    def _is_named(self, wanted: Wanted, issue: Mapping[str, Any]) -> bool:
        if not issue["message"]:
            return False
        if not wanted.is_object or _MORE.match(issue["message"]):
            return True
        if issue["path"]:
            first = issue["path"][0]
            is_unknown = issue["code"] == "unrecognized_keys" or first == "\ufffd"
            return is_unknown or short(str(first)) in {short(name) for name in wanted.names}
        return any(name in issue["message"] for name in wanted.names)


@dataclass
class Tally:
    """What was asked and what was found."""

    asked: int = 0
    statuses: dict[int, int] = field(default_factory=dict)
    reached: set[str] = field(default_factory=set)  # operations that were answered with 200
    faults: dict[str, str] = field(default_factory=dict)  # one request for each kind of fault

    def fault(self, wanted: Wanted, text: str) -> None:
        last = text.rstrip().splitlines()[-1]
        kind = _UUID.sub("ID", re.sub(r"\d+", "N", f"{wanted.operation}: {last[:160]}"))
        self.faults.setdefault(kind, f"{wanted}\n    {text[-3000:]}")


async def compared(worlds: Sequence[World], document: Mapping[str, Any], seed: str, count: int, tally: Tally) -> None:
    """Ask all worlds the same `count` requests, and note each answer that is wrong or differs."""
    judge, wanted = Judge(document), Requests(document, seed, worlds[0].ids)
    for _ in range(count):
        request = wanted.next(worlds[0].callers)
        answers = [await world.ask(request, seed) for world in worlds]
        tally.asked += 1
        tally.statuses[answers[0].status] = tally.statuses.get(answers[0].status, 0) + 1
        if answers[0].status == 200:
            tally.reached.add(request.operation)
        for answer in answers:
            for text in judge.faults(request, answer):
                tally.fault(request, text)
        for answer in answers[1:]:
            if answer.status != answers[0].status:
                tally.fault(
                    request,
                    f"differs: {answers[0].status} {answers[0].body[:600]!r} and {answer.status} {answer.body[:600]!r}",
                )
            elif lasting(answer.body) != lasting(answers[0].body) and is_alike(request):
                text = difference(lasting(answers[0].body), lasting(answer.body))
                tally.fault(request, f"{text}\n    differs in its body ({answer.status})")
        wanted.learn(answers[0], request)
        if answers[0].status == 401 and b"session has ended" in answers[0].body:
            for world in worlds:
                await world.revive(request.caller, seed, request.number)


_MORE = re.compile(r"There are (at least )?\d+ more faults")
_LAST = re.compile(rb'"(\w*[lL]ast\w*)":(?:"[^"]*"|null)')


def lasting(body: bytes) -> bytes:
    """An answer without moments of last use, which are written about once a second by a clock of their own."""
    return _LAST.sub(rb'"\1":_', body)


def difference(one: bytes, other: bytes) -> str:
    at = next((i for i, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))
    return f"{one[max(0, at - 300) : at + 300]!r}\n    and {other[max(0, at - 300) : at + 300]!r}"


def is_alike(request: Wanted) -> bool:
    """Whether the engines must answer the same to the last byte: not where the time of a real clock is told."""
    return not request.path.startswith(("/metrics", "/readyz", "/api/status")) and "/webhooks" not in request.path
