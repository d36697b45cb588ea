"""Everything that a run needs, as real processes: brokers, store, workers, producer."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import msgspec
from msgspec import Struct

from profiler.errors import ProfilerError
from streams.settings import Secret, Settings
from streams.spawn import free_port
from streams.topics import create_topics
from streams.worker_process import WorkerProcess
from tests.chaos.load import Load
from tests.chaos.schedule import WORKERS_AT_START, Fault
from tests.servers.apache_kafka import ApacheKafka
from tests.servers.process import ServerProcess
from tests.servers.redis_server import Kind, RedisServer

READY_TIMEOUT_S: Final = 60.0

Tell = Callable[[str], None]


class Options(Struct, frozen=True, kw_only=True):
    """What to run.

    Parameters
    ----------
    seed, duration_s, n_brokers
        What the schedule follows from.
    store
        Which store.
    events_per_s
        At which the producer sends.
    keep_logs
        Keep them although nothing went wrong.
    """

    seed: int
    duration_s: float
    n_brokers: int
    store: Kind
    events_per_s: float
    keep_logs: bool = False


class Worker(WorkerProcess):
    """A worker that can be sent signals."""

    def send(self, number: signal.Signals) -> None:
        """Send it a signal, if it runs."""
        if self.process_id is not None:
            os.kill(self.process_id, number)


class Rig:
    """Servers, workers and producer of a run; leaving it ends them all.

    Attributes
    ----------
    settings
        For whoever wants to reach them.
    load
        The producer, not started yet.
    n_crashes
        Workers that ended by themselves and were started again.
    """

    settings: Settings

    def __init__(self, options: Options, directory: Path, tell: Tell) -> None:
        self.n_crashes = 0
        self._options = options
        self._directory = directory
        self._tell = tell
        self._held = ExitStack()
        self._kafka = ApacheKafka(n_brokers=options.n_brokers, directory=directory / "kafka")
        self._store = RedisServer(options.store, directory / "store")
        self._workers: dict[int, Worker] = {}
        self._down: set[int] = set()
        self.load = Load(directory, seed=options.seed, events_per_s=options.events_per_s)

    def __enter__(self) -> Self:
        with ExitStack() as held:
            held.callback(self._end)
            self._kafka.start()
            self._store.start()
            self.settings = Settings(
                pseudonym_key=Secret("chaos" * 8),
                brokers=self._kafka.address,
                store_url=self._store.url,
                replication=self._options.n_brokers,
            )
            create_topics(self.settings)
            for number in range(WORKERS_AT_START):
                self._hire(number)
            for worker in self._workers.values():
                worker.wait_until_ready(READY_TIMEOUT_S)
            self._held = held.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        fault: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._held.close()

    def begin(self, fault: Fault) -> None:
        """Let a fault happen."""
        if fault.part == "worker":
            self._begin_with_worker(fault)
            return
        server = self._server(fault)
        if fault.manner == "kill":
            server.kill()
        elif fault.manner == "freeze":
            server.freeze()
        else:
            server.ask_to_end()

    def mend(self, fault: Fault) -> None:
        """Start or continue what a fault has hit; returns before it answers."""
        if fault.part == "worker":
            self._mend_worker(fault)
        elif fault.manner == "freeze":
            self._server(fault).thaw()
        else:
            self._server(fault).stop()
            self._server(fault).launch()

    def supervise(self) -> None:
        """Start workers again that have ended by themselves, as a supervisor would."""
        for number, worker in self._workers.items():
            if number in self._down:
                continue
            try:
                worker.check()
            except ProfilerError as ended:
                self.n_crashes += 1
                self._tell(f"worker {number}: {ended}")
                worker.stop()
                worker.start()

    def wait_until_well(self) -> None:
        """Return once every server answers and every worker that should run is ready."""
        for server in (*self._kafka.brokers, self._store.process):
            server.wait()
        deadline_s = time.monotonic() + READY_TIMEOUT_S
        for worker in self._workers.values():
            while True:
                try:
                    worker.wait_until_ready(max(1.0, deadline_s - time.monotonic()))
                except ProfilerError:
                    if time.monotonic() > deadline_s:
                        raise
                    self.supervise()
                else:
                    break

    def _server(self, fault: Fault) -> ServerProcess:
        return self._kafka.brokers[fault.number] if fault.part == "broker" else self._store.process

    def _begin_with_worker(self, fault: Fault) -> None:
        if fault.manner == "add":
            self._hire(fault.number)
            return
        worker = self._workers[fault.number]
        self._down.add(fault.number)
        if fault.manner == "kill":
            worker.kill()
        elif fault.manner == "freeze":
            worker.send(signal.SIGSTOP)
        else:
            worker.send(signal.SIGTERM)

    def _mend_worker(self, fault: Fault) -> None:
        if fault.manner == "add":
            return
        worker = self._workers[fault.number]
        if fault.manner == "freeze":
            worker.send(signal.SIGCONT)
        else:
            if code := worker.stop():
                self._tell(f"worker {fault.number} was told to end, and ended with {code}")
            if fault.manner == "remove":
                del self._workers[fault.number]
            else:
                worker.start()
        self._down.discard(fault.number)

    def _hire(self, number: int) -> None:
        settings = msgspec.structs.replace(self.settings, web_port=free_port())
        self._workers[number] = Worker(settings, self._directory / f"worker-{number}.log")
        self._workers[number].start()

    def _end(self) -> None:
        self.load.kill()
        for worker in self._workers.values():
            worker.kill()
        self._store.kill()
        for broker in self._kafka.brokers:
            broker.kill()
