"""Prometheus metrics at /metrics, where the settings allow it; a layer around the edge that is not there otherwise.

A label is a route's template, a method or a status, never a path or anything a caller sent. Where one command runs
several processes, they count into files of one directory (`shared_directory`), so that a scrape answers for all of
them, whichever it meets.
"""

import asyncio
import ipaddress
import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from watchword import __version__
from watchword.http.bodies import Receive
from watchword.http.edge import App, AsgiScope, Send
from watchword.services.runtime import Runtime

PATH = "/metrics"
BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)  # seconds
_DIRECTORY = "PROMETHEUS_MULTIPROC_DIR"  # prometheus_client reads it when it is imported
_UNROUTED = "(none)"
_REFRESH = 1.0  # seconds from a request to the gauges that show what it left waiting


@contextmanager
def shared_directory() -> Iterator[None]:
    """A directory for what the processes of one command count, in their environment; removed at the end."""
    with tempfile.TemporaryDirectory(prefix="watchword-metrics-") as folder:
        os.environ[_DIRECTORY] = folder
        try:
            yield
        finally:
            del os.environ[_DIRECTORY]


def forget_process(pid: int) -> None:
    """Take the gauges of a process that ended out of what the others tell; its counters stay."""
    if _DIRECTORY in os.environ:
        from prometheus_client import multiprocess  # noqa: PLC0415 - only where metrics are on

        multiprocess.mark_process_dead(pid)  # type: ignore[no-untyped-call]


class Measured:
    """An application that counts and times its requests, and shows the counts at `/metrics`."""

    def __init__(self, runtime: Runtime, inner: App) -> None:
        # Imported here: where metrics are off, nobody waits for it, and it looks at the environment once.
        from prometheus_client import (  # noqa: PLC0415
            CollectorRegistry,
            Counter,
            Gauge,
            Histogram,
            disable_created_metrics,
        )

        # They would be one series more for each, and several processes do not have them.
        disable_created_metrics()  # type: ignore[no-untyped-call]

        self._runtime = runtime
        self._inner = inner
        self._local_only = runtime.settings.metrics == "loopback"
        self._registry = CollectorRegistry()
        self._requests = Counter(
            "watchword_requests", "Requests answered.", ("route", "method", "status"), registry=self._registry
        )
        self._seconds = Histogram(
            "watchword_request_seconds", "Time to answer.", ("route",), buckets=BUCKETS, registry=self._registry
        )
        self._backlog = Gauge(
            "watchword_journal_backlog",
            "Entries that wait for the journal.",
            registry=self._registry,
            multiprocess_mode="livesum",
        )
        self._writing = Gauge(
            "watchword_journal_writing",
            "Whether the last batch of the journal could be written, in every process.",
            registry=self._registry,
            multiprocess_mode="livemin",
        )
        self._entries = Gauge(
            "watchword_cache_entries", "Entries in the caches.", registry=self._registry, multiprocess_mode="livesum"
        )
        self._processes = Gauge(
            "watchword_processes", "Processes that serve.", registry=self._registry, multiprocess_mode="livesum"
        )
        info = Gauge(
            "watchword_info",
            "The version that runs.",
            ("version", "engine"),
            registry=self._registry,
            multiprocess_mode="livemax",
        )
        info.labels(__version__, runtime.store.name).set(1)
        self._processes.set(1)
        self._is_due = False
        self._refresh()

    async def __call__(self, scope: AsgiScope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._inner(scope, receive, send)
        elif scope["path"] == PATH:
            await self._serve_metrics(scope, send)
        else:
            await self._measure(scope, receive, send)

    async def _measure(self, scope: AsgiScope, receive: Receive, send: Send) -> None:
        began, status = time.perf_counter(), 0

        async def seen(message: dict[str, Any]) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._inner(scope, receive, seen)
        finally:
            route = (scope.get("state") or {}).get("route") or _UNROUTED
            method = scope["method"] if route != _UNROUTED else ""
            self._requests.labels(route, method, str(status)).inc()
            self._seconds.labels(route).observe(time.perf_counter() - began)
            if not self._is_due:
                self._is_due = True
                asyncio.get_running_loop().call_later(_REFRESH, self._refresh)

    def _refresh(self) -> None:
        """Set the gauges. Others read them from the files of this process, so they are not computed when asked for."""
        journal, writes = self._runtime.journal, self._runtime.writes
        waiting = journal.backlog + writes.backlog
        self._backlog.set(waiting)
        self._writing.set(int(journal.is_writing and writes.is_writing))
        self._entries.set(len(self._runtime.cache))
        self._is_due = False
        if waiting:  # look again, or an idle process would tell of them forever
            self._is_due = True
            asyncio.get_running_loop().call_later(_REFRESH, self._refresh)

    async def _serve_metrics(self, scope: AsgiScope, send: Send) -> None:
        from prometheus_client.exposition import CONTENT_TYPE_LATEST  # noqa: PLC0415 - as above

        allowed = not self._local_only or _is_local(scope)
        status, body = (200, self.text()) if allowed else (403, b"metrics are for this machine only\n")
        headers = [(b"content-type", CONTENT_TYPE_LATEST.encode()), (b"content-length", str(len(body)).encode())]
        await send(
            {"type": "http.response.start", "status": status, "headers": [*headers, (b"cache-control", b"no-store")]}
        )
        await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else body})

    def text(self) -> bytes:
        """Everything counted by the processes of this command, in Prometheus' text format."""
        from prometheus_client import CollectorRegistry, generate_latest  # noqa: PLC0415 - as above
        from prometheus_client.multiprocess import MultiProcessCollector  # noqa: PLC0415

        if _DIRECTORY not in os.environ:
            self._refresh()
            return generate_latest(self._registry)
        everybody = CollectorRegistry()
        MultiProcessCollector(everybody)  # type: ignore[no-untyped-call]
        return generate_latest(everybody)


def _is_local(scope: AsgiScope) -> bool:
    """Whether the caller is on this machine: not one for whom a proxy on it speaks."""
    if any(name in (b"x-forwarded-for", b"forwarded", b"x-real-ip") for name, _ in scope["headers"]):
        return False
    try:
        address = ipaddress.ip_address((scope.get("client") or ("",))[0])
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    return bool((mapped or address).is_loopback)
