"""Batches arrive in order and once; only what is acknowledged is committed; memory is bounded."""

from __future__ import annotations

import asyncio
import socket
import time
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import pytest
from aiokafka import AIOKafkaProducer
from faust.streams import Stream
from faust.types import StreamT
from kafka import KafkaAdminClient

from streams import app as app_module
from streams.app import create_app, serve
from streams.batching import BatchApp
from streams.inbox import Delivery
from streams.metrics import Metrics
from streams.settings import Settings
from streams.topics import create_topics

pytestmark = pytest.mark.integration

WAIT_S = 20.0
Place = tuple[str, int, int]


class RecordingWorker:
    """Remembers what it gets; acknowledges at once, or when told to."""

    def __init__(self, *, acknowledges: bool = True) -> None:
        self.acknowledges = acknowledges
        self.deliveries: list[Delivery] = []
        self.partitions: set[tuple[str, int]] = set()
        self.accepts = asyncio.Event()
        self.accepts.set()

    async def run(self, rewind: Callable[[], Awaitable[None]]) -> None:
        await asyncio.Event().wait()

    async def submit(self, delivery: Delivery) -> None:
        await self.accepts.wait()
        self.deliveries.append(delivery)
        if self.acknowledges:
            delivery.acknowledge("")

    async def assigned(self, partitions: Mapping[tuple[str, int], tuple[int, str]]) -> None:
        self.partitions = set(partitions)

    async def revoked(self, partitions: Collection[tuple[str, int]]) -> None:
        self.partitions -= set(partitions)

    async def ping(self) -> None:
        pass

    def acknowledge_all(self) -> None:
        for delivery in self.deliveries:
            delivery.acknowledge("")

    def places(self) -> list[Place]:
        return [(r.topic, r.partition, r.offset) for d in self.deliveries for r in d.records]

    def n_records(self) -> int:
        return sum(len(delivery.records) for delivery in self.deliveries)


@pytest.fixture
def topics(settings: Settings) -> Settings:
    create_topics(settings)
    return settings


def test_every_record_arrives_once_and_in_order(topics: Settings, tmp_path: Path) -> None:
    async def scenario() -> tuple[RecordingWorker, dict[int, int]]:
        worker = RecordingWorker()
        async with running(topics, worker, tmp_path):
            await produce(topics, "events", 3_000)
            await until(lambda: worker.n_records() >= 3_000)
        return worker, committed(topics, "events")

    worker, committed_offsets = asyncio.run(scenario())

    offsets = defaultdict(list)
    for _, partition, offset in worker.places():
        offsets[partition].append(offset)
    assert all(found == list(range(len(found))) for found in offsets.values())
    assert sum(map(len, offsets.values())) == 3_000
    assert len(worker.deliveries) < 1_000
    assert committed_offsets == {p: len(found) for p, found in offsets.items()}


def test_a_delivery_is_of_one_partition_and_has_whole_records(
    topics: Settings, tmp_path: Path
) -> None:
    async def scenario() -> RecordingWorker:
        worker = RecordingWorker()
        async with running(topics, worker, tmp_path):
            await produce(topics, "events", 200)
            await until(lambda: worker.n_records() == 200)
        return worker

    worker = asyncio.run(scenario())

    for delivery in worker.deliveries:
        assert {(r.topic, r.partition) for r in delivery.records} == {
            (delivery.topic, delivery.partition)
        }
    first = worker.deliveries[0].records[0]
    assert first.key == first.value
    assert (list(first.headers), type(first.timestamp)) == ([("h", b"1")], int)


def test_only_the_acknowledged_prefix_is_committed(topics: Settings, tmp_path: Path) -> None:
    async def scenario() -> list[dict[int, int]]:
        worker = RecordingWorker(acknowledges=False)
        one_partition = [0] * 5
        found = []
        async with running(topics, worker, tmp_path):
            await produce(topics, "events", 5, one_partition)
            await until(lambda: worker.n_records() == 5)
            await produce(topics, "events", 5, one_partition)
            await until(lambda: worker.n_records() == 10)
            for delivery in worker.deliveries[1:]:
                delivery.acknowledge("")
            await asyncio.sleep(3 * topics.commit_interval_s)
            found.append(committed(topics, "events"))
            worker.deliveries[0].acknowledge("")
            await until(lambda: committed(topics, "events") == {0: 10})
            found.append(committed(topics, "events"))
        return found

    before, after = asyncio.run(scenario())

    assert (before, after) == ({}, {0: 10})


def test_what_was_not_acknowledged_is_delivered_again(
    topics: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(app_module, "DRAIN_TIMEOUT_S", 0.1)

    async def scenario() -> tuple[list[Place], list[Place]]:
        first, second = RecordingWorker(), RecordingWorker()
        async with running(topics, first, tmp_path):
            await produce(topics, "events", 100)
            await until(lambda: first.n_records() == 100)
            first.acknowledges = False
            await produce(topics, "events", 50)
            await until(lambda: first.n_records() == 150)
        async with running(topics, second, tmp_path):
            await until(lambda: second.n_records() >= 50)
        return first.places(), second.places()

    first, second = asyncio.run(scenario())

    assert sorted(second) == sorted(first[100:])


def test_workers_that_come_and_go_lose_nothing_and_repeat_nothing(
    topics: Settings, tmp_path: Path
) -> None:
    async def scenario() -> tuple[list[Place], list[set[tuple[str, int]]]]:
        first, second = RecordingWorker(), RecordingWorker()
        both = "events", "forwarded"
        async with running(topics, first, tmp_path / "1", both):
            producing = asyncio.create_task(produce_slowly(topics, both))
            async with running(topics, second, tmp_path / "2", both):
                await until(lambda: len(first.partitions) == len(second.partitions) == 4)
                shares = [set(first.partitions), set(second.partitions)]
                n_before = first.n_records(), second.n_records()
                await until(lambda: first.n_records() > n_before[0] + 50)
                await until(lambda: second.n_records() > n_before[1] + 50)
            await until(lambda: len(first.partitions) == 8)
            producing.cancel()
            n_sent = await producing
            await until(lambda: first.n_records() + second.n_records() >= n_sent)
        return first.places() + second.places(), shares

    places, shares = asyncio.run(scenario())

    repeated = [place for place, n in Counter(places).items() if n > 1]
    assert repeated == []
    assert len(places) == len(set(places))
    # Partition n of both topics is at one worker.
    assert all({p for t, p in s if "ev" in t} == {p for t, p in s if "fo" in t} for s in shares)


def test_a_late_acknowledgement_of_an_assignment_that_is_gone_commits_nothing(
    topics: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(app_module, "DRAIN_TIMEOUT_S", 0.1)

    async def scenario() -> list[dict[int, int]]:
        first = RecordingWorker(acknowledges=False)
        second = RecordingWorker(acknowledges=False)
        async with running(topics, first, tmp_path / "1"):
            await produce(topics, "events", 100)
            await until(lambda: first.n_records() == 100)
            old = list(first.deliveries)
            async with running(topics, second, tmp_path / "2"):
                await until(lambda: first.n_records() + second.n_records() >= 200)
                for delivery in old:
                    delivery.acknowledge("")
                await asyncio.sleep(3 * topics.commit_interval_s)
                found = [committed(topics, "events")]
                first.acknowledge_all()
                second.acknowledge_all()
                await until(lambda: sum(committed(topics, "events").values()) == 100)
                found.append(committed(topics, "events"))
        return found

    before, after = asyncio.run(scenario())

    assert before == {}
    assert sum(after.values()) == 100


def test_seeking_back_where_nothing_is_committed_starts_from_the_beginning(
    topics: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(app_module, "DRAIN_TIMEOUT_S", 0.1)

    async def scenario() -> list[Place]:
        worker = RecordingWorker(acknowledges=False)
        async with running(topics, worker, tmp_path) as app:
            await produce(topics, "events", 100)
            await until(lambda: worker.n_records() == 100)
            await app.consumer.perform_seek()
            await until(lambda: worker.n_records() == 200)
        return worker.places()

    places = asyncio.run(scenario())

    assert sorted(places[:100]) == sorted(places[100:])


def test_other_topics_of_the_app_stay_record_by_record(topics: Settings, tmp_path: Path) -> None:
    async def scenario() -> tuple[int, list[bytes], dict[int, int]]:
        worker = RecordingWorker()
        alerts: list[bytes] = []

        def extend(app: BatchApp) -> None:
            topic = app.topic(topics.topic("alerts"), value_serializer="raw", key_serializer="raw")

            async def note(stream: StreamT[bytes]) -> None:
                assert isinstance(stream, Stream)
                async for value in stream:
                    alerts.append(value)

            app.agent(topic, name="note")(note)

        async with running(topics, worker, tmp_path, extend=extend):
            await asyncio.gather(produce(topics, "events", 300), produce(topics, "alerts", 300))
            await until(lambda: worker.n_records() == 300 and len(alerts) == 300)
        return worker.n_records(), alerts, committed(topics, "alerts")

    n_events, alerts, alerts_committed = asyncio.run(scenario())

    assert n_events == 300
    assert sorted(alerts) == sorted(b"%d" % n for n in range(300))
    assert sum(alerts_committed.values()) == 300


def test_a_worker_that_takes_nothing_stops_the_fetching(topics: Settings, tmp_path: Path) -> None:
    small = msgspec.structs.replace(topics, batch_events_max=10, queue_events_max=40)

    async def scenario() -> tuple[list[int], int]:
        worker = RecordingWorker()
        worker.accepts.clear()
        async with running(small, worker, tmp_path) as app:
            await produce(small, "events", 3_000)
            waiting = [await settled(lambda: n_outstanding(app)) for _ in range(2)]
            worker.accepts.set()
            await until(lambda: worker.n_records() == 3_000)
        return waiting, worker.n_records()

    waiting, n_records = asyncio.run(scenario())

    # Four in the queue, one at the agent, one in the hand of the fetcher, per partition at worst.
    assert waiting[0] == waiting[1] <= 12
    assert n_records == 3_000


def test_records_are_let_go_of_before_their_batch_is_acknowledged(
    topics: Settings, tmp_path: Path
) -> None:
    async def scenario() -> tuple[list[object], int]:
        worker = RecordingWorker(acknowledges=False)
        async with running(topics, worker, tmp_path) as app:
            await produce(topics, "events", 300)
            await until(lambda: worker.n_records() == 300)
            progress = app.consumer._progress.values()  # type: ignore[attr-defined]
            kept = [message.value for found in progress for _, message in found.outstanding]
            lag = sum(app.lags().values())
            worker.acknowledge_all()
        return kept, lag

    kept, lag = asyncio.run(scenario())

    assert kept == [None] * len(kept) != []
    assert lag == 300


@asynccontextmanager
async def running(
    settings: Settings,
    worker: RecordingWorker,
    directory: Path,
    topics: Sequence[str] = ("events",),
    extend: Callable[[BatchApp], None] = lambda app: None,
) -> AsyncIterator[BatchApp]:
    """An app that has started; stopped in good order at the end."""
    # Two apps of a test must not meet at one port.
    settings = msgspec.structs.replace(settings, web_port=free_port())
    directory.mkdir(parents=True, exist_ok=True)
    app = create_app(settings, worker, Metrics(), directory / "faust", topics)
    extend(app)
    stop = asyncio.Event()
    serving = asyncio.create_task(serve(app, stop))
    await until(lambda: bool(worker.partitions) or serving.done())
    try:
        yield app
    finally:
        stop.set()
        code = await serving
    assert code == 0


def free_port() -> int:
    """A port for the pages of one app."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


async def produce(
    settings: Settings, topic: str, n_records: int, partitions: Sequence[int] | None = None
) -> None:
    """Send numbered records, spread over the partitions by key, unless partitions are given."""
    producer = AIOKafkaProducer(bootstrap_servers=settings.brokers)
    await producer.start()
    name = settings.topic(topic)
    for number in range(n_records):
        text = b"%d" % number
        partition = partitions[number] if partitions else None
        await producer.send(name, text, key=text, partition=partition, headers=[("h", b"1")])
    await producer.stop()


async def produce_slowly(settings: Settings, topics: Sequence[str]) -> int:
    """Send records until cancelled; gives how many."""
    producer = AIOKafkaProducer(bootstrap_servers=settings.brokers)
    await producer.start()
    n_sent = 0
    try:
        while True:
            for topic in topics:
                await producer.send(settings.topic(topic), b"v", key=b"%d" % n_sent)
                n_sent += 1
            await asyncio.sleep(0.001)
    except asyncio.CancelledError:
        await producer.stop()
    return n_sent


def committed(settings: Settings, topic: str) -> dict[int, int]:
    """Committed offsets by partition, where there are any."""
    admin = KafkaAdminClient(bootstrap_servers=settings.brokers)
    found = admin.list_group_offsets(settings.group)[settings.group]
    admin.close()
    name = settings.topic(topic)
    return {
        tp.partition: at.offset for tp, at in found.items() if tp.topic == name and at.offset > 0
    }


def n_outstanding(app: BatchApp) -> int:
    """Batches that were fetched and not yet committed."""
    return sum(len(p.outstanding) for p in app.consumer._progress.values())  # type: ignore[attr-defined, misc]


async def settled(read: Callable[[], int]) -> int:
    """A figure, when it has stayed the same for half a second and is not 0."""
    value, since_s = read(), time.monotonic()
    deadline_s = since_s + WAIT_S
    while value == 0 or time.monotonic() - since_s < 0.5:
        assert time.monotonic() < deadline_s
        await asyncio.sleep(0.01)
        if read() != value:
            value, since_s = read(), time.monotonic()
    return value


async def until(holds: Callable[[], bool]) -> None:
    """Wait for a condition."""
    deadline_s = time.monotonic() + WAIT_S
    while not holds():
        assert time.monotonic() < deadline_s, "waited in vain"
        await asyncio.sleep(0.01)
