"""What the pages of the console cost the server, and how that grows with the organization.

Each page is asked for of an application in this process, as a browser asks that is signed in, and its answer read to
the end: so a figure is the server's own time, in real milliseconds, beside the CPU time of all its threads. A page is
over its budget where one in twenty takes longer than `BUDGET`; it grows where it takes twice as long in the largest
organization as in the smallest.
"""

import gc
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import httpx
import msgspec

from bench import seed
from bench.faults import BenchError
from bench.servers import filled, opened_house, sqlite_environment
from watchword.app import Server
from watchword.web import assets

BUDGET: Final = 50  # milliseconds
FIRST_LOAD: Final = 60_000  # bytes over the wire
_SECRETS: Final = 10_000
_KEYS, _ENVIRONMENTS = 100, 5  # of the grid
_WARM, _TIMES = 5, 60
_LOGIN: Final = {"email": "bench@example.com", "password": "correct horse battery"}
_HEADERS: Final = {"accept": "text/html", "accept-encoding": "gzip", "sec-fetch-site": "same-origin"}


class Figure(msgspec.Struct, frozen=True, kw_only=True):
    """One page at one size: milliseconds, and bytes as they are sent."""

    page: str
    identities: int
    median: float
    p95: float
    cpu: float
    size: int

    @property
    def is_over(self) -> bool:
        """Whether the page is slower than it may be."""
        return self.p95 > BUDGET


async def run(folder: Path, sizes: Sequence[int], only: str, say: Callable[[str], None]) -> list[Figure]:
    """Measure every page at each size of the organization. Raises BenchError where a page cannot be had."""
    found: list[Figure] = []
    for identities in sizes:
        environment = sqlite_environment(folder / str(identities))
        world = await filled(environment, seed.Size(identities=identities, secrets=_SECRETS, tokens=identities))
        async with opened_house(environment) as parts:
            await seed.join_person(parts, world)
            app: Any = Server(parts)
            transport = httpx.ASGITransport(app, client=("127.0.0.1", 40_000), raise_app_exceptions=True)
            async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
                base = await _sign_in(client)
                await _fill_grid(client, world)
                say(f"{identities:,} identities{'':24} median     p95     CPU   bytes")
                for name, path in _pages(base, identities).items():
                    if only in name:
                        found.append(await _measured(client, name, path, identities))
                        say(_line(found[-1]))
                load = await _first_load(client)
                say(f"  what the first page needs: {load:,} bytes of at most {FIRST_LOAD:,}")
    for name, factor in _growth(found, sizes).items():
        say(f"  {name}: {factor:.1f} times as long with {max(sizes):,} identities as with {min(sizes):,}")
    return found


def _pages(base: str, identities: int) -> Mapping[str, str]:
    identity = seed.identity_id(identities // 2)
    return {
        "home": base,
        "identities": f"{base}/identities",
        "identities, by name": f"{base}/identities?search=7",
        "identity": f"{base}/identities/{identity}",
        "authentication": f"{base}/identities/{identity}/authentication",
        "tokens": f"{base}/identities/{identity}/tokens",
        "access of an identity": f"{base}/identities/{identity}/access",
        "activity": f"{base}/identities/{identity}/activity",
        "denials": f"{base}/denials",
        "who can do what": f"{base}/access",
        "who can read in a project": f"{base}/access?project=bench",
        "audit log": f"{base}/audit",
        "unused": f"{base}/reports/unused",
        "risky": f"{base}/reports/risky",
        "projects": f"{base}/projects",
        "secret grid": f"{base}/p/gridiron",
        "10,000 secrets": f"{base}/p/bench?path={seed.path_of(0)}",
        "members": f"{base}/p/bench/access/identities",
        "people": f"{base}/people",
        "roles": f"{base}/roles",
        "jump": f"{base}/jump?q=0000",
    }


async def _measured(client: httpx.AsyncClient, name: str, path: str, identities: int) -> Figure:
    walls, processor = [], []
    reply = httpx.Response(0)
    for number in range(_WARM + _TIMES):
        gc.collect()
        wall, cpu = time.perf_counter(), time.process_time()
        reply = await client.get(path, headers=_HEADERS)
        if number >= _WARM:
            walls.append((time.perf_counter() - wall) * 1000)
            processor.append((time.process_time() - cpu) * 1000)
        if reply.status_code != 200:
            raise BenchError(f"{name} ({path}): {reply.status_code}")
    return Figure(
        page=name,
        identities=identities,
        median=statistics.median(walls),
        p95=sorted(walls)[int(len(walls) * 0.95) - 1],
        cpu=statistics.median(processor),
        size=reply.num_bytes_downloaded,
    )


def _line(one: Figure) -> str:
    over = f"   over {BUDGET} ms" if one.is_over else ""
    return f"  {one.page:38} {one.median:6.1f}  {one.p95:6.1f}  {one.cpu:6.1f}  {one.size:6,}{over}"


def _growth(found: Sequence[Figure], sizes: Sequence[int]) -> Mapping[str, float]:
    """The pages that take twice as long at the largest size as at the smallest, and how much longer."""
    times = {(one.page, one.identities): one.median for one in found}
    names = {one.page: times[one.page, max(sizes)] / times[one.page, min(sizes)] for one in found}
    return {name: factor for name, factor in names.items() if factor >= 2}


async def _sign_in(client: httpx.AsyncClient) -> str:
    """The path of the organization's home."""
    reply = await client.post("/login", data=_LOGIN, headers=_HEADERS)
    if reply.status_code != 303:
        raise BenchError(f"signing in was answered with {reply.status_code}")
    return (await client.get("/", headers=_HEADERS)).headers["location"]


async def _ok(client: httpx.AsyncClient, path: str, body: Mapping[str, Any], token: str = "") -> Any:
    headers = {"authorization": f"Bearer {token}"} if token else {}
    reply = await client.post(path, json=body, headers=headers)
    if reply.status_code != 200:
        raise BenchError(f"{path}: {reply.status_code} {reply.text[:300]}")
    return reply.json()


async def _fill_grid(client: httpx.AsyncClient, world: seed.World) -> None:
    """A project with the same keys in every environment, half of them with other values."""
    person = (await _ok(client, "/api/v3/auth/login", _LOGIN))["accessToken"]
    chosen = await _ok(client, "/api/v3/auth/select-organization", {"organizationId": world.org_id}, person)
    token = chosen["token"]
    project = (await _ok(client, "/api/v1/projects", {"projectName": "Grid", "slug": "gridiron"}, token))["project"]
    slugs = [environment["slug"] for environment in project["environments"]]
    for number in range(_ENVIRONMENTS - len(slugs)):
        slug = f"extra-{number}"
        await _ok(client, f"/api/v1/projects/{project['id']}/environments", {"name": slug, "slug": slug}, token)
        slugs.append(slug)
    for slug in slugs:
        keys = [
            {"secretKey": f"KEY_{number:03}", "secretValue": slug if number % 2 else "same"} for number in range(_KEYS)
        ]
        place = {"projectId": project["id"], "environment": slug, "secretPath": "/"}
        await _ok(client, "/api/v4/secrets/batch", {**place, "secrets": keys}, token)


async def _first_load(client: httpx.AsyncClient) -> int:
    """The bytes of the page that a browser sees first, and of the files that it names."""
    paths = ["/login", *(assets.path_of(name) for name in ("console.css", "console.js", "theme.js", "htmx.js"))]
    anonymous = httpx.AsyncClient(transport=client._transport, base_url=client.base_url)  # noqa: SLF001
    return sum([(await anonymous.get(path, headers=_HEADERS)).num_bytes_downloaded for path in paths])
