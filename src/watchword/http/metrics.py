"""Prometheus metrics at /metrics, where the settings allow it; a layer around the edge that is not there otherwise.

A label is a route's template, a method or a status, never a path or anything a caller sent. Several server processes
count each for itself: `process` tells them apart.
"""

import bisect
import ipaddress
import os
import time
from collections.abc import Awaitable, Callable
from typing import Any

from watchword import __version__
from watchword.http.bodies import Receive
from watchword.services.house import House

Scope = dict[str, Any]
Send = Callable[[dict[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

PATH = "/metrics"
EDGES = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)  # seconds
_UNROUTED = "(none)"


class Measured:
    """An application that counts and times its requests, and tells at `/metrics`."""

    def __init__(self, house: House, inner: App) -> None:
        self._house = house
        self._inner = inner
        self._local_only = house.settings.metrics == "loopback"
        self._count: dict[tuple[str, str, int], int] = {}
        self._times: dict[str, list[int]] = {}
        self._sums: dict[str, float] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._inner(scope, receive, send)
        elif scope["path"] == PATH:
            await self._tell(scope, send)
        else:
            await self._measure(scope, receive, send)

    async def _measure(self, scope: Scope, receive: Receive, send: Send) -> None:
        began, status = time.perf_counter(), 0

        async def seen(message: dict[str, Any]) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._inner(scope, receive, seen)
        finally:
            state = scope.get("state") or {}
            self._note(state.get("route") or _UNROUTED, scope["method"], status, time.perf_counter() - began)

    def _note(self, route: str, method: str, status: int, took: float) -> None:
        key = (route, method if route != _UNROUTED else "", status)
        self._count[key] = self._count.get(key, 0) + 1
        times = self._times.get(route)
        if times is None:
            times = self._times[route] = [0] * (len(EDGES) + 1)
        times[bisect.bisect_left(EDGES, took)] += 1
        self._sums[route] = self._sums.get(route, 0.0) + took

    async def _tell(self, scope: Scope, send: Send) -> None:
        allowed = not self._local_only or _is_local(scope)
        status, body = (200, self.text().encode()) if allowed else (403, b"metrics are for this machine only\n")
        kind = b"text/plain; version=0.0.4; charset=utf-8"
        headers = [(b"content-type", kind), (b"content-length", str(len(body)).encode()), (b"cache-control", b"no-store")]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else body})

    def text(self) -> str:
        """Everything counted, in Prometheus' text format."""
        process = f'process="{os.getpid()}"'
        lines = ["# HELP watchword_requests_total Requests answered.", "# TYPE watchword_requests_total counter"]
        for (route, method, status), count in sorted(self._count.items()):
            lines.append(f'watchword_requests_total{{route="{route}",method="{method}",status="{status}",{process}}} {count}')
        lines += ["# HELP watchword_request_seconds Time to answer.", "# TYPE watchword_request_seconds histogram"]
        for route, times in sorted(self._times.items()):
            total = 0
            for edge, count in zip((*EDGES, "+Inf"), times, strict=True):
                total += count
                lines.append(f'watchword_request_seconds_bucket{{route="{route}",le="{edge}",{process}}} {total}')
            lines.append(f'watchword_request_seconds_sum{{route="{route}",{process}}} {self._sums[route]:.6f}')
            lines.append(f'watchword_request_seconds_count{{route="{route}",{process}}} {total}')
        for name, meaning, value in self._gauges():
            lines += [f"# HELP {name} {meaning}", f"# TYPE {name} gauge", f"{name}{{{process}}} {value}"]
        lines += ["# HELP watchword_info The version that runs.", "# TYPE watchword_info gauge"]
        lines.append(f'watchword_info{{version="{__version__}",engine="{self._house.store.name}",{process}}} 1')
        return "\n".join(lines) + "\n"

    def _gauges(self) -> tuple[tuple[str, str, int], ...]:
        journal, writes = self._house.journal, self._house.writes
        is_writing = journal.is_writing and writes.is_writing
        return (
            ("watchword_journal_backlog", "Entries that wait for the journal.", journal.backlog + writes.backlog),
            ("watchword_journal_writing", "Whether the last batch of the journal could be written.", int(is_writing)),
            ("watchword_cache_entries", "Entries in the cache.", len(self._house.cache)),
        )


def _is_local(scope: Scope) -> bool:
    """Whether the caller is on this machine: not one for whom a proxy on it speaks."""
    if any(name in (b"x-forwarded-for", b"forwarded", b"x-real-ip") for name, _ in scope["headers"]):
        return False
    try:
        address = ipaddress.ip_address((scope.get("client") or ("",))[0])
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    return bool((mapped or address).is_loopback)
