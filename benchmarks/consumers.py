"""The two consumers that are measured, as child processes, and how far they have come.

Progress counts only what is durable in the store: of the worker its own ``/metrics`` (a batch is
counted when its write is answered), of the plain agent the number that it writes beside its work.
"""

from __future__ import annotations

import http.client
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import IO, Final, Protocol, Self

import redis
from msgspec import Struct

from benchmarks.plain_faust import PROGRESS_KEY
from streams.spawn import HOST, free_port, spawn

KEY: Final = "benchmark-key-of-no-value-at-all-0123456789"
STOP_TIMEOUT_S: Final = 15.0
SCRAPE_TIMEOUT_S: Final = 10.0
LOG_TAIL_BYTES: Final = 2_000


class Servers(Struct, frozen=True, kw_only=True):
    """Where the broker and the store are."""

    brokers: str
    store_url: str


class Progress(Struct, frozen=True, kw_only=True):
    """How far a consumer was.

    Parameters
    ----------
    at_s
        When it had done `n_events`, seconds since 1970.
    n_events
        Events that are durable.
    cpu_s
        Processor time of its process so far, user and system.
    metrics
        All of ``/metrics`` by sample; empty for the plain agent.
    """

    at_s: float
    n_events: int
    cpu_s: float
    metrics: Mapping[str, float] = {}


class Consumer(Protocol):
    """A process that consumes the topic."""

    @property
    def started_s(self) -> float: ...  # noqa: D102  # seconds since 1970

    def progress(self) -> Progress | None:
        """How far it is; None while it has not begun."""


class Child:
    """A child process with its output in a file; ended when the block is left."""

    def __init__(self, name: str, command: list[str], environ: Mapping[str, str]) -> None:
        self._name = name
        self._command = command
        self._environ = environ
        self._process: subprocess.Popen[bytes] | None = None
        self._log: IO[bytes] | None = None
        self.started_s = 0.0

    def __enter__(self) -> Self:
        self._log = tempfile.TemporaryFile()
        inherited = {name: v for name, v in os.environ.items() if not name.startswith("PROFILER_")}
        self.started_s = time.time()
        self._process = spawn(self._command, self._log, {**inherited, **self._environ})
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        fault: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        assert self._process is not None
        assert self._log is not None
        self._process.terminate()
        try:
            self._process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._log.close()

    @property
    def process_id(self) -> int:
        """Process id, from the start on."""
        assert self._process is not None
        return self._process.pid

    def cpu_s(self) -> float:
        """Processor time so far; raises if the process has ended."""
        assert self._process is not None
        assert self._log is not None
        if self._process.poll() is not None:
            self._log.seek(max(0, self._log.seek(0, os.SEEK_END) - LOG_TAIL_BYTES))
            said = self._log.read().decode(errors="replace")
            raise RuntimeError(f"{self._name} ended with {self._process.returncode}: …{said}")
        return cpu_s(self._process.pid)


class WorkerProcess(Child):
    """``profiler worker`` on a topic, from its beginning."""

    def __init__(self, servers: Servers, topic_prefix: str, group: str) -> None:
        self._port = free_port()
        environ = {
            "PROFILER_BROKERS": servers.brokers,
            "PROFILER_STORE_URL": servers.store_url,
            "PROFILER_PSEUDONYM_KEY": KEY,
            "PROFILER_TOPIC_PREFIX": topic_prefix,
            "PROFILER_GROUP": group,
            "PROFILER_WEB_PORT": str(self._port),
            "OPENBLAS_NUM_THREADS": "1",
        }
        super().__init__("the worker", [sys.executable, "-m", "streams.cli", "worker"], environ)

    def progress(self) -> Progress | None:
        """What ``/metrics`` says; None until it counts a batch."""
        spent_s = self.cpu_s()
        metrics = self.scrape()
        n_events = n_events_in(metrics)
        if not n_events:
            return None
        return Progress(
            at_s=metrics["profiler_last_commit_timestamp_seconds"],
            n_events=n_events,
            cpu_s=spent_s,
            metrics=metrics,
        )

    def scrape(self) -> dict[str, float]:
        """All of ``/metrics`` by sample; nothing until it listens."""
        connection = http.client.HTTPConnection(HOST, self._port, timeout=SCRAPE_TIMEOUT_S)
        try:
            connection.request("GET", "/metrics")
            page = connection.getresponse().read().decode()
        except ConnectionRefusedError:
            return {}
        finally:
            connection.close()
        lines = (line.rpartition(" ") for line in page.splitlines() if not line.startswith("#"))
        return {name: float(value) for name, _, value in lines}


class PlainProcess(Child):
    """The plain Faust agent on a topic, from its beginning."""

    def __init__(self, servers: Servers, topic: str, group: str) -> None:
        environ = {
            "PLAIN_BROKERS": servers.brokers,
            "PLAIN_STORE_URL": servers.store_url,
            "PLAIN_TOPIC": topic,
            "PLAIN_GROUP": group,
        }
        command = [sys.executable, "-m", "benchmarks.plain_faust", "worker", "-l", "warn"]
        super().__init__("the plain agent", [*command, "--without-web"], environ)
        self._store_url = servers.store_url

    def progress(self) -> Progress | None:
        """What it wrote to the store; None until it has done something."""
        spent_s = self.cpu_s()
        with redis.Redis.from_url(self._store_url) as store:
            found = store.get(PROGRESS_KEY)
        n_events, at_s = found.split() if isinstance(found, bytes) else (b"0", b"0")
        # What an earlier run left there was written before this one was started.
        if not int(n_events) or float(at_s) < self.started_s:
            return None
        return Progress(at_s=float(at_s), n_events=int(n_events), cpu_s=spent_s)


def n_events_in(metrics: Mapping[str, float]) -> int:
    """Events that a worker has done, by its ``/metrics``."""
    return round(sum(n for name, n in metrics.items() if name.startswith("profiler_events_total")))


def peak_bytes(process_id: int) -> int:
    """Most memory that a process has ever had resident."""
    status = Path(f"/proc/{process_id}/status").read_text("ascii")
    [kib] = [line.split()[1] for line in status.splitlines() if line.startswith("VmHWM:")]
    return 1024 * int(kib)


def cpu_s(process_id: int) -> float:
    """Processor time of a process so far, user and system."""
    with open(f"/proc/{process_id}/stat") as stat:  # noqa: PTH123  # not a file
        fields = stat.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
