"""What tests of workers under trouble share: load, workers, an audit, and a few questions."""

from __future__ import annotations

import asyncio
import http.client
import threading
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Final, Self

import msgspec
import orjson
import pytest

from profiler.errors import BrokerUnavailable, ProfilerError, UsageError
from streams.assembly import open_store
from streams.audit import AuditReport, audit
from streams.ledger import Ledger, passes_screen
from streams.producer import EventProducer, ProducerOptions
from streams.settings import Settings
from streams.spawn import free_port
from streams.traffic import without_end
from streams.worker_process import WorkerProcess, environment_of

WAIT_S: Final = 60.0
PAUSE_S: Final = 0.001


class Load:
    """Events from a thread until it is told to stop, and a ledger of what was acknowledged.

    Parameters
    ----------
    settings, directory
        Where to, and where the ledger is.
    """

    def __init__(self, settings: Settings, directory: Path) -> None:
        self.n_sent = 0
        self._settings = settings
        self._path = directory / "ledger.jsonl"
        self._ledger = Ledger(passes_screen(settings))
        self._enough = threading.Event()
        self._thread = threading.Thread(target=self._send)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._enough.set()
        self._thread.join()

    def audited(self) -> AuditReport:
        """Send no more, wait until all is read, then compare every profile and the ledger."""
        self._enough.set()
        self._thread.join()
        self._ledger.write(self._path)
        deadline_s = time.monotonic() + WAIT_S
        while True:
            try:
                return audited(self._settings, self._path)
            except BrokerUnavailable:  # a coordinator that moves is away for a moment
                assert time.monotonic() < deadline_s
                time.sleep(0.1)

    def _send(self) -> None:
        options = ProducerOptions(delivery_timeout_ms=int(1_000 * WAIT_S))
        topic = self._settings.topic("events")
        with EventProducer(self._settings.brokers, topic, options, self._ledger) as producer:
            for record in without_end(time.time_ns() // 1_000_000, users=500, seed=4):
                producer.send_raw(record.key, record.value)
                self.n_sent += 1
                if self._enough.wait(PAUSE_S):
                    return


def differences(report: AuditReport) -> dict[str, int]:
    """What an audit found wrong; empty if every acknowledged event counts exactly once."""
    names = ("mismatched", "stale", "lost", "duplicated")
    found = {name: getattr(report, name) for name in names}
    return {name: n for name, n in found.items() if n}


@contextmanager
def workers(settings: Settings, directory: Path, n: int = 1) -> Iterator[list[WorkerProcess]]:
    """Worker processes that are not started yet, each with a port and a log of its own."""
    with ExitStack() as stack:
        made = []
        for number in range(n):
            own = msgspec.structs.replace(settings, web_port=free_port())
            made.append(WorkerProcess(own, directory / f"worker-{number}.log"))
            stack.callback(made[-1].kill)
        yield made


def page(worker: WorkerProcess, path: str = "/readyz") -> dict[str, Any]:
    """What a page of a worker says; empty while it does not answer."""
    settings = worker._settings
    url = f"http://{settings.web_host}:{settings.web_port}{path}"
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            found: dict[str, Any] = orjson.loads(answer.read())
    except urllib.error.HTTPError as refusal:
        with refusal:
            found = orjson.loads(refusal.read())
    except (OSError, http.client.HTTPException):
        return {}
    return found


def n_partitions(worker: WorkerProcess) -> int:
    """Partitions that a worker has; 0 while it rebalances or does not answer."""
    return int(page(worker).get("partitions", 0))


def n_records(worker: WorkerProcess) -> int:
    """Records that a worker has worked on in this life; 0 while it does not answer."""
    try:
        return worker.scrape().n_records
    except ProfilerError:
        worker.check()
        return 0


def logged(worker: WorkerProcess) -> list[dict[str, Any]]:
    """A worker's log lines, of all its lives."""
    lines = worker.log.read_bytes().splitlines()
    return [orjson.loads(line) for line in lines if line.startswith(b"{")]


def outcomes(workers: Sequence[WorkerProcess]) -> Counter[str]:
    """What became of all records that these workers were given, in all their lives.

    Those that they had forwarded themselves do not count again.
    """
    total: Counter[str] = Counter()
    for worker in workers:
        for line in logged(worker):
            if line["message"] == "batch":
                total["records"] += line["records"] - line.get("forwarded", 0)
                total["fenced"] += line.get("fenced", 0)
    return total


def as_environment(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the command line of this process find these settings."""
    for name, value in environment_of(settings).items():
        monkeypatch.setenv(name, value)


def send(settings: Settings, events: Sequence[Mapping[str, Any]]) -> None:
    """Send events without keys: they arrive anywhere."""
    with EventProducer(settings.brokers, settings.topic("events")) as producer:
        for event in events:
            producer.send_raw(None, orjson.dumps(event))


def audited(settings: Settings, ledger: Path | None = None) -> AuditReport:
    """Let the workers catch up, then compare every profile."""

    async def run() -> AuditReport:
        store = open_store(settings)
        try:
            return await audit(settings, store, ledger=ledger, wait_s=WAIT_S)
        finally:
            await store.close()

    return asyncio.run(run())


def settled(settings: Settings) -> AuditReport:
    """Wait until all is as an audit wants it: looks beget looks, so more than once."""
    found: list[AuditReport] = []

    def is_right() -> bool:
        try:
            found.append(audited(settings))
        except UsageError:  # events still come
            return False
        return not (found[-1].mismatched or found[-1].stale)

    until(is_right)
    return found[-1]


def until(holds: Callable[[], bool], timeout_s: float = WAIT_S) -> None:
    """Wait for a condition."""
    deadline_s = time.monotonic() + timeout_s
    while not holds():
        assert time.monotonic() < deadline_s, "waited in vain"
        time.sleep(0.01)
