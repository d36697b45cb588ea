"""One cell: real servers, two workers of which one is killed, events, then the reckoning."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from itertools import cycle, islice
from pathlib import Path
from typing import Final

import redis
from msgspec import Struct

from profiler.errors import ProfilerError
from streams.embedded import EmbeddedBroker
from streams.eventlog import wait_until_consumed
from streams.ledger import passes_screen
from streams.settings import Secret, Settings
from streams.topics import create_topics
from streams.worker_process import WorkerProcess
from tests.chaos.producer import Books
from tests.chaos.traffic import Sent, traffic
from tests.chaos.verdict import check_letters, check_profiles
from tests.integration.rig import logged, page, workers
from tests.matrix.cells import Cell
from tests.matrix.producers import send
from tests.servers.apache_kafka import ApacheKafka
from tests.servers.broker_security import PASSWORD, SecureListener
from tests.servers.certificates import Certificates
from tests.servers.redis_server import RedisServer
from tests.servers.valkey_cluster import ValkeyCluster

EVENTS: Final = 20_000
EVENTS_PER_S: Final = 3_000
KILLED_AFTER: Final = 8_000
DOWN_S: Final = 1.0
CATCH_UP_S: Final = 120.0
READY_TIMEOUT_S: Final = 60.0
SESSION_TIMEOUT_S: Final = 3.0
"""The embedded broker lets a group wait for its members for half of this."""
SLOTS_PER_MOVE: Final = 20


class Result(Struct, frozen=True, kw_only=True):
    """What came out of a cell.

    Parameters
    ----------
    store
        Name and version, as the store calls itself.
    durability
        What both workers' ``/readyz`` says.
    is_told
        Whether the store itself said what is on its disk; else the age of a write has to do.
    n_moved
        Slots that moved while events flowed.
    """

    store: str
    events: int
    seconds: float
    mismatched: int
    stale: int
    lost: int
    duplicated: int
    letters_missing: int
    letters_unexpected: int
    durability: str
    is_told: bool
    n_moved: int

    @property
    def passed(self) -> bool:
        """Whether everything is as it must be."""
        wrong = (self.mismatched, self.stale, self.lost, self.duplicated)
        return not any((*wrong, self.letters_missing, self.letters_unexpected))


def run(cell: Cell, directory: Path) -> Result:
    """Try one combination.

    Raises
    ------
    ProfilerError
        If a server or a worker does not start, or the workers do not catch up.
    """
    started_s = time.monotonic()
    with ExitStack() as held:
        store_url, cluster = _start_store(cell, directory, held)
        settings = _start_broker(cell, directory, held, store_url)
        create_topics(settings)
        pair = held.enter_context(workers(settings, directory, 2))
        for worker in pair:
            worker.start()
        for worker in pair:
            worker.wait_until_ready(READY_TIMEOUT_S)
        books = Books(passes_screen(settings))
        with _moving(cluster) as moved:
            n_sent = send(cell.producer, settings, _load(pair[0]), books)
            wait_until_consumed(settings, CATCH_UP_S)
        books.write(directory / "ledger.jsonl")
        found = check_profiles(settings, directory / "ledger.jsonl")
        letters = check_letters(settings, books.account())
        for worker in pair:
            worker.wait_until_ready()
        said = sorted({str(page(worker).get("durability")) for worker in pair})
        return Result(
            store=_name_of(settings),
            events=n_sent,
            seconds=time.monotonic() - started_s,
            mismatched=found.mismatched,
            stale=found.stale,
            lost=found.lost or 0,
            duplicated=found.duplicated or 0,
            letters_missing=letters.missing,
            letters_unexpected=letters.unexpected,
            durability=" or ".join(said),
            is_told=not _has_doubt(pair),
            n_moved=len(moved),
        )


def _start_store(cell: Cell, directory: Path, held: ExitStack) -> tuple[str, ValkeyCluster | None]:
    if cell.store == "cluster":
        cluster = held.enter_context(ValkeyCluster(options={"appendonly": "yes"}))
        return cluster.url, cluster
    certificates = Certificates(directory / "store-tls") if cell.store_tls else None
    password = PASSWORD if cell.store_password else None
    server = RedisServer(
        cell.store, directory / "store", certificates=certificates, password=password
    )
    return held.enter_context(server).url, None


def _start_broker(cell: Cell, directory: Path, held: ExitStack, store_url: str) -> Settings:
    listener = None
    if cell.security:
        with_password = cell.security != "TLS"
        listener = SecureListener(directory / "kafka-tls", with_password=with_password)
    broker = (
        ApacheKafka(cell.kafka, directory=directory / "kafka", listener=listener)
        if cell.kafka
        else EmbeddedBroker()
    )
    held.enter_context(broker)
    settings = Settings(
        pseudonym_key=Secret("matrix" * 8),
        brokers=broker.address,
        store_url=store_url,
        session_timeout_s=SESSION_TIMEOUT_S,
    )
    return listener.told(settings, cell.security) if listener else settings


def _load(mortal: WorkerProcess) -> Iterator[Sent]:
    """Give the records at a steady rate; in the midst of them a worker is killed."""
    started_s = time.monotonic()
    back_at_s = 0.0
    for n, record in enumerate(islice(traffic(1, lambda: time.time_ns() // 1_000_000), EVENTS)):
        time.sleep(max(0.0, started_s + n / EVENTS_PER_S - time.monotonic()))
        if n == KILLED_AFTER:
            mortal.kill()
            back_at_s = time.monotonic() + DOWN_S
        if back_at_s and time.monotonic() >= back_at_s:
            mortal.start()
            back_at_s = 0.0
        yield record


@contextmanager
def _moving(cluster: ValkeyCluster | None) -> Iterator[list[int]]:
    """Move slots around between the masters until the context ends; gives those that moved."""
    moved: list[int] = []
    over = threading.Event()

    def move() -> None:
        assert cluster is not None
        for source in cycle(range(len(cluster.nodes))):
            slots = cluster.nodes[source].slots()[:SLOTS_PER_MOVE]
            cluster.move_slots(slots, source, (source + 1) % len(cluster.nodes))
            moved.extend(slots)
            if over.is_set():
                return

    mover = threading.Thread(target=move, name="mover")
    if cluster is not None:
        mover.start()
    try:
        yield moved
    finally:
        over.set()
        if cluster is not None:
            mover.join()
    if cluster is not None and not moved:
        raise ProfilerError("no slot of the cluster moved")


def _has_doubt(pair: Sequence[WorkerProcess]) -> bool:
    lines = (line for worker in pair for line in logged(worker))
    return any(line["message"] == "durability_unconfirmed" for line in lines)


def _name_of(settings: Settings) -> str:
    with redis.Redis.from_url(settings.store_url) as client:
        info = client.info("server")
    assert isinstance(info, dict)
    if "valkey_version" in info:
        return f"Valkey {info['valkey_version']}"
    return f"Redis {info['redis_version']}"
