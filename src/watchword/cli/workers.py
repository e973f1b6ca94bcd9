"""Several server processes on one socket: started, watched, restarted, and stopped together.

    parent: binds the socket ──> starts N children, each with its own event loop, pools and caches
            a child dies     ──> another takes its place, after a second if it died young
            SIGTERM, SIGINT  ──> the socket is closed and every child drains; one that outlives the grace time is killed
            SIGHUP           ──> every child reads certificates and the log level again
            parent dies      ──> every child notices and drains

uvicorn's own supervisor loads the application inside its server, and ours has parts to open before and close after.
"""

import contextlib
import logging
import multiprocessing
import os
import signal
import socket
import time
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection, wait
from types import FrameType
from typing import Any

from watchword.app import start_logs
from watchword.cli import listening
from watchword.cli.output import MISUSED, NO_DATABASE, WRONG_KEY
from watchword.http import metrics
from watchword.services.keys.keyring import WrongRootKey
from watchword.services.runtime import Runtime
from watchword.settings import Settings, SettingsError
from watchword.store.engine import StoreDown, Unusable

_YOUNG = 5.0  # seconds: a child that dies earlier is not replaced at once
_PATIENCE = 5.0  # seconds that a child may take beyond the grace time
# What another try would not mend, and what the process ends with.
_CODES: dict[type[Exception], int] = {SettingsError: MISUSED, WrongRootKey: WRONG_KEY, Unusable: NO_DATABASE}
_log = logging.getLogger("watchword.workers")
_spawn = multiprocessing.get_context("spawn")


class Worker:
    """One child process."""

    def __init__(self, settings: Settings, listeners: Sequence[socket.socket], again: Callable[[], Settings]) -> None:
        self.news, child_end = _spawn.Pipe(duplex=False)
        self.process: Any = _spawn.Process(
            target=work, args=(settings, listeners, again, child_end), name="watchword worker"
        )
        mask = listening.hold_hangups()  # the child takes them once it can
        try:
            self.process.start()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        child_end.close()
        self.began = time.monotonic()

    @property
    def is_young(self) -> bool:
        """Whether the process was started only a moment ago."""
        return time.monotonic() - self.began < _YOUNG


def work(
    settings: Settings, listeners: Sequence[socket.socket], again: Callable[[], Settings], news: Connection
) -> None:
    """Serve in a child process, and tell the parent when it answers."""
    start_logs(settings)
    parent = multiprocessing.parent_process()

    def ready(parts: Runtime) -> Callable[[], None]:
        del parts
        return lambda: news.send(True)

    try:
        listening.run(
            listening.listen(settings, listeners, ready, again=again, orphaned=parent.sentinel if parent else None)
        )
    except (SettingsError, WrongRootKey, Unusable) as error:
        _log.critical(str(error))
        raise SystemExit(_CODES[type(error)]) from None
    except StoreDown as error:  # may be over in a moment: the parent tries again
        _log.critical(error.message)
        raise SystemExit(1) from None


class Supervisor:
    """The parent process: it starts, watches, restarts and stops the children."""

    def __init__(
        self,
        settings: Settings,
        listeners: Sequence[socket.socket],
        again: Callable[[], Settings],
        ready: Callable[[], None],
    ) -> None:
        self._settings = settings
        self._listeners = listeners
        self._again = again
        self._ready: Callable[[], None] | None = ready
        self._workers: list[Worker] = []
        self._stopping = False

    def run(self) -> int:
        """Keep the children running until asked to stop; the answer is the exit code."""
        with metrics.shared_directory() if self._settings.metrics != "off" else contextlib.nullcontext():
            return self._run()

    def _run(self) -> int:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._stop)
        signal.signal(signal.SIGHUP, self._reload)
        self._workers = [Worker(self._settings, self._listeners, self._again) for _ in range(self._settings.workers)]
        listening.take_hangups()
        while not self._stopping:
            wait(
                [worker.process.sentinel for worker in self._workers] + [worker.news for worker in self._workers],
                timeout=0.5,
            )
            self._hear()
            code = self._replace_the_dead()
            if code is not None:
                self._end()
                return code
        self._end()
        return 0

    def _stop(self, number: int, frame: FrameType | None) -> None:
        del number, frame
        self._stopping = True

    def _reload(self, number: int, frame: FrameType | None) -> None:
        del number, frame
        for worker in self._workers:
            if worker.process.is_alive():
                os.kill(worker.process.pid, signal.SIGHUP)

    def _hear(self) -> None:
        for worker in self._workers:
            try:
                if not worker.news.closed and worker.news.poll():
                    worker.news.recv()
                    if self._ready is not None:
                        self._ready()
                        self._ready = None
            except (EOFError, OSError):
                pass  # it ended, which its sentinel shows as well

    def _replace_the_dead(self) -> int | None:
        for place, worker in enumerate(self._workers):
            if worker.process.is_alive() or self._stopping:
                continue
            code = worker.process.exitcode
            if code in _CODES.values():
                return int(code)  # it would fail the same way again
            _log.error("a worker ended", extra={"pid": worker.process.pid, "exit_code": code})
            if worker.is_young:
                time.sleep(1)
            worker.news.close()
            metrics.forget_process(worker.process.pid)
            self._workers[place] = Worker(self._settings, self._listeners, self._again)
        return None

    def _end(self) -> None:
        for listener in self._listeners:  # otherwise connections would be accepted that no process reads
            listener.close()
        for worker in self._workers:
            if worker.process.is_alive():
                worker.process.terminate()
        until = time.monotonic() + self._settings.shutdown_grace + _PATIENCE
        for worker in self._workers:
            worker.process.join(max(0.0, until - time.monotonic()))
            if worker.process.is_alive():
                _log.error("a worker did not end in time and is killed", extra={"pid": worker.process.pid})
                worker.process.kill()
                worker.process.join()
