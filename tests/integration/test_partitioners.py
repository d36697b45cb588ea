"""Producers with different partitioners, at once: every event finds its profile all the same.

On Apache Kafka: of producers that write the first records of a partition at the same moment, the
embedded broker (Tansu 0.6) now and then forgets what one of them sent, though it acknowledged it.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from itertools import count
from pathlib import Path
from typing import Final

import msgspec
import pytest
from confluent_kafka import Producer

from streams.embedded import EmbeddedStore
from streams.producer import EventProducer
from streams.settings import Settings
from streams.topics import create_topics
from streams.worker_process import WorkerProcess
from tests.integration.rig import audited, until
from tests.servers.apache_kafka import ApacheKafka

pytestmark = pytest.mark.integration

USERS = 200
EVENTS = 6_000
WAIT_S = 60.0

Partitioner = Callable[[Settings, Sequence[tuple[bytes, bytes]]], None]


@pytest.fixture
def broker(kafka: ApacheKafka) -> ApacheKafka:
    return kafka


@pytest.fixture
def store() -> Iterator[EmbeddedStore]:
    """A store of its own: an audit looks at everybody in it."""
    with EmbeddedStore() as running:
        yield running


@pytest.fixture
def workers(
    settings: Settings, free_port: Callable[[], int], tmp_path: Path
) -> Iterator[list[WorkerProcess]]:
    """Two workers, so that one person's partitions are read by different processes."""
    create_topics(settings)
    started = []
    try:
        for number in range(2):
            mine = msgspec.structs.replace(settings, web_port=free_port())
            started.append(WorkerProcess(mine, tmp_path / f"worker-{number}.log"))
            started[-1].start()
        for worker in started:
            worker.wait_until_ready()
        yield started
    finally:
        for worker in started:
            worker.kill()


@pytest.mark.usefixtures("workers")
def test_three_partitioners_at_once_and_every_profile_is_right(settings: Settings) -> None:
    threads = start_producers(settings)
    for thread in threads:
        thread.join()

    assert_right(settings)


def test_a_worker_that_is_killed_meanwhile_changes_nothing(
    settings: Settings, workers: list[WorkerProcess]
) -> None:
    mortal = workers[0]

    threads = start_producers(settings)
    until(lambda: mortal.scrape().n_records > EVENTS // 2)
    mortal.kill()
    mortal.start()
    for thread in threads:
        thread.join()

    assert_right(settings)


def start_producers(settings: Settings) -> list[threading.Thread]:
    threads = [
        threading.Thread(target=send, args=(settings, records_of(sender)))
        for sender, send in enumerate(PARTITIONERS)
    ]
    for thread in threads:
        thread.start()
    return threads


def assert_right(settings: Settings) -> None:
    report = audited(settings)

    assert report.outcomes == {"applied": len(PARTITIONERS) * EVENTS}
    assert report.profiles == USERS
    assert report.unordered > 0.9 * USERS, "nobody's events are in several partitions"
    assert (report.mismatched, report.stale) == (0, 0), report.differences


def by_murmur2(settings: Settings, records: Sequence[tuple[bytes, bytes]]) -> None:
    """As Java's, kafka-python's and aiokafka's producers do."""
    with EventProducer(settings.brokers, settings.topic("events")) as producer:
        for key, value in records:
            producer.send_raw(key, value)


def by_crc32(settings: Settings, records: Sequence[tuple[bytes, bytes]]) -> None:
    """As librdkafka's producers do."""
    producer = Producer({"bootstrap.servers": settings.brokers, "partitioner": "consistent_random"})
    for key, value in records:
        producer.produce(settings.topic("events"), value, key)
        producer.poll(0)
    assert producer.flush(WAIT_S) == 0


def in_turn(settings: Settings, records: Sequence[tuple[bytes, bytes]]) -> None:
    """As producers without keys do."""
    producer = Producer({"bootstrap.servers": settings.brokers})
    for (_, value), number in zip(records, count(), strict=False):
        producer.produce(settings.topic("events"), value, partition=number % settings.partitions)
        producer.poll(0)
    assert producer.flush(WAIT_S) == 0


def records_of(sender: int) -> list[tuple[bytes, bytes]]:
    now_ms = time.time_ns() // 1_000_000
    types = ("browse", "click", "cart", "purchase")
    events = [
        {
            "type": types[k % len(types)],
            # No event ids: what is read again must be known by its origin.
            "ts": now_ms - (EVENTS - k) * 1_000,
            "user_id": f"user-{k * 7 % USERS}",
            "item_id": f"item-{sender}-{k % 50}",
            "category": f"category-{k % 9}",
            "price": 1.0 + k % 5,
            "currency": "EUR",
        }
        for k in range(EVENTS)
    ]
    return [(str(event["user_id"]).encode(), msgspec.json.encode(event)) for event in events]


PARTITIONERS: Final[tuple[Partitioner, ...]] = (by_murmur2, by_crc32, in_turn)
