"""Known failures of Faust that are about single deliveries, on Apache Kafka.

Named after what users reported; numbers are issues of faust-streaming/faust. The app runs in the
test with a worker that writes down what it gets. ``test_faust_failures.py`` has whole processes.
"""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path

import msgspec
import pytest
from kafka import KafkaAdminClient, KafkaConsumer, TopicPartition
from kafka.admin import ConfigResource, ConfigResourceType

from streams import app as app_module
from streams.eventlog import held_up
from streams.inbox import Delivery
from streams.settings import Settings
from streams.topics import create_topics
from tests.integration.test_batching import (
    Place,
    RecordingWorker,
    committed,
    produce,
    running,
    until,
)
from tests.servers.apache_kafka import ApacheKafka

pytestmark = pytest.mark.integration

SLOW_S = 2.5


class SlowWorker(RecordingWorker):
    """Takes its time for its first batch, one way or the other."""

    def __init__(self, *, blocks: bool) -> None:
        super().__init__()
        self.n_assignments = 0
        self._blocks = blocks

    async def submit(self, delivery: Delivery) -> None:
        if not self.deliveries:
            if self._blocks:
                time.sleep(SLOW_S)  # a batch that keeps the loop
            else:
                await asyncio.sleep(SLOW_S)
        await super().submit(delivery)

    async def assigned(self, partitions: Mapping[tuple[str, int], tuple[int, str]]) -> None:
        self.n_assignments += 1
        await super().assigned(partitions)


class LateWorker(RecordingWorker):
    """Acknowledges a little later than it takes, and shares a journal with others."""

    def __init__(self, journal: list[Place]) -> None:
        super().__init__(acknowledges=False)
        self._journal = journal

    async def submit(self, delivery: Delivery) -> None:
        await asyncio.sleep(0.005)
        self._journal += [(r.topic, r.partition, r.offset) for r in delivery.records]
        await super().submit(delivery)
        asyncio.get_running_loop().call_later(0.02, delivery.acknowledge, "")


@pytest.fixture
def broker(kafka: ApacheKafka) -> ApacheKafka:
    """Apache Kafka where other tests have the embedded broker."""
    return kafka


@pytest.fixture
def admin(kafka: ApacheKafka) -> Iterator[KafkaAdminClient]:
    client = KafkaAdminClient(bootstrap_servers=kafka.address)
    yield client
    client.close()


@pytest.fixture
def topics(settings: Settings) -> Settings:
    create_topics(settings)
    return settings


def test_prefetched_events_arrive_out_of_order_after_a_rebalance_221_502(
    topics: Settings, tmp_path: Path
) -> None:
    small = msgspec.structs.replace(topics, batch_events_max=10, queue_events_max=40)
    journal: list[Place] = []

    async def scenario() -> None:
        first, second = LateWorker(journal), LateWorker(journal)
        await produce(small, "events", 10_000)
        async with running(small, first, tmp_path / "1"):
            await until(lambda: len(journal) > 500)
            async with running(small, second, tmp_path / "2"):
                await until(lambda: second.n_records() > 200)
            await until(lambda: len(journal) >= 10_000)

    asyncio.run(scenario())

    offsets = defaultdict(list)
    for _, partition, offset in journal:
        offsets[partition].append(offset)
    assert all(found == list(range(len(found))) for found in offsets.values())


@pytest.mark.parametrize("blocks", [False, True], ids=["waits", "keeps the loop"])
def test_a_slow_batch_costs_the_worker_its_partitions(
    topics: Settings, tmp_path: Path, blocks: bool
) -> None:
    small = msgspec.structs.replace(topics, batch_events_max=10, queue_events_max=40)

    async def scenario() -> SlowWorker:
        worker = SlowWorker(blocks=blocks)
        await produce(small, "events", 1_000)
        async with running(small, worker, tmp_path):
            await until(lambda: worker.n_records() >= 1_000)
        return worker

    worker = asyncio.run(scenario())

    assert worker.n_assignments == 1
    assert len(set(worker.places())) == len(worker.places()) == 1_000
    assert sum(committed(small, "events").values()) == 1_000


def test_a_slow_agent_gets_five_batches_a_second_53(topics: Settings, tmp_path: Path) -> None:
    small = msgspec.structs.replace(topics, batch_events_max=10, queue_events_max=40)
    journal: list[Place] = []

    async def scenario() -> None:
        await produce(small, "events", 3_000, [0] * 3_000)
        async with running(small, LateWorker(journal), tmp_path):
            # Sixty seconds long, were a full queue noticed only after Faust's second.
            await until(lambda: len(journal) == 3_000)

    asyncio.run(scenario())

    assert [offset for _, _, offset in journal] == list(range(3_000))


def test_start_up_hangs_on_an_empty_topic_155_176(topics: Settings, tmp_path: Path) -> None:
    async def scenario() -> RecordingWorker:
        worker = RecordingWorker()
        async with running(topics, worker, tmp_path):
            await until(lambda: len(worker.partitions) == 4)
            await produce(topics, "events", 100)
            await until(lambda: worker.n_records() == 100)
        return worker

    worker = asyncio.run(scenario())

    assert len(set(worker.places())) == 100


@pytest.mark.parametrize("n_left", [0, 30])
def test_start_up_hangs_on_a_truncated_topic_597_651(
    topics: Settings, tmp_path: Path, admin: KafkaAdminClient, n_left: int
) -> None:
    partition = TopicPartition(topics.topic("events"), 0)

    async def scenario() -> tuple[list[Place], list[Place]]:
        first, second = RecordingWorker(), RecordingWorker()
        async with running(topics, first, tmp_path / "1"):
            await produce(topics, "events", 50, [0] * 50)
            await until(lambda: first.n_records() == 50)
        await produce(topics, "events", 50, [0] * 50)
        admin.delete_records({partition: 100 - n_left})
        async with running(topics, second, tmp_path / "2"):
            await until(lambda: second.n_records() == n_left)
            await produce(topics, "events", 20, [0] * 20)
            await until(lambda: second.n_records() == n_left + 20)
        return first.places(), second.places()

    before, after = asyncio.run(scenario())

    assert [offset for _, _, offset in before] == list(range(50))
    assert [offset for _, _, offset in after] == list(range(100 - n_left, 120))
    assert committed(topics, "events") == {0: 120}


def test_start_up_hangs_on_a_compacted_topic_176_651(
    topics: Settings, tmp_path: Path, admin: KafkaAdminClient
) -> None:
    name = topics.topic("events")
    compacted = ConfigResource(
        ConfigResourceType.TOPIC,
        name,
        {"cleanup.policy": "compact", "min.cleanable.dirty.ratio": "0.001", "segment.ms": "100"},
    )
    admin.alter_configs([compacted])

    async def scenario() -> list[Place]:
        worker = RecordingWorker()
        for _ in range(3):
            await produce(topics, "events", 50, [0] * 50)
            await asyncio.sleep(0.2)  # the next record begins a segment
        await produce(topics, "events", 1, [0])
        kept = await asyncio.to_thread(compacted_offsets, topics)
        async with running(topics, worker, tmp_path):
            await until(lambda: worker.n_records() == len(kept))
        assert [offset for _, _, offset in worker.places()] == kept
        return worker.places()

    places = asyncio.run(scenario())

    assert len(places) < 151
    assert committed(topics, "events") == {0: 151}
    assert held_up(topics, {(name, 0)}) == {}


def test_new_partitions_of_a_live_topic_are_never_read(
    topics: Settings, tmp_path: Path, admin: KafkaAdminClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(app_module, "METADATA_MAX_AGE_S", 1.0)

    async def scenario() -> RecordingWorker:
        worker = RecordingWorker()
        async with running(topics, worker, tmp_path):
            await produce(topics, "events", 100, list(range(4)) * 25)
            await until(lambda: worker.n_records() == 100)
            admin.create_partitions({topics.topic("events"): 6})
            await produce(topics, "events", 60, list(range(6)) * 10)
            await until(lambda: len(worker.partitions) == 6)
            await until(lambda: worker.n_records() >= 160)
        return worker

    worker = asyncio.run(scenario())

    assert len(set(worker.places())) == len(worker.places()) == 160
    assert committed(topics, "events") == {0: 35, 1: 35, 2: 35, 3: 35, 4: 10, 5: 10}


def compacted_offsets(settings: Settings) -> list[int]:
    """Offsets that are left of partition 0, once the broker has compacted it."""
    partition = TopicPartition(settings.topic("events"), 0)
    deadline_s = time.monotonic() + 40.0
    while time.monotonic() < deadline_s:
        consumer = KafkaConsumer(bootstrap_servers=settings.brokers, enable_auto_commit=False)
        consumer.assign([partition])
        consumer.seek_to_beginning(partition)
        end = consumer.end_offsets([partition])[partition]
        found: list[int] = []
        while consumer.position(partition) < end:
            records = consumer.poll(200).get(partition, [])
            found += [record.offset for record in records]
        consumer.close()
        if len(found) < end:
            return found
        time.sleep(0.1)
    raise AssertionError("the broker does not compact")
