"""Known failures of Faust, each named after what users reported, on Apache Kafka.

Numbers are issues of faust-streaming/faust. Workers are processes; every test ends with an audit:
all that was acknowledged to the producer counts exactly once. ``test_faust_topics.py`` has those
that are about single deliveries.
"""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import pytest
from aiokafka.admin import AIOKafkaAdminClient
from kafka import KafkaConsumer
from kafka.coordinator.assignors.range import RangePartitionAssignor

from streams.assignor import HomeAssignor
from streams.embedded import EmbeddedStore
from streams.eventlog import READ
from streams.groups import members_of
from streams.settings import Settings
from streams.topics import create_topics
from streams.worker_process import WorkerProcess
from tests.integration.rig import (
    Load,
    differences,
    n_partitions,
    n_records,
    outcomes,
    until,
    workers,
)
from tests.servers.apache_kafka import ApacheKafka

pytestmark = pytest.mark.integration

SESSION_TIMEOUT_S = 2.0


@pytest.fixture
def broker(kafka: ApacheKafka) -> ApacheKafka:
    """Apache Kafka where other tests have the embedded broker."""
    return kafka


@pytest.fixture
def store() -> Iterator[EmbeddedStore]:
    """A store of its own for each test: an audit looks at everybody in it."""
    with EmbeddedStore() as running:
        yield running


@pytest.fixture
def topics(settings: Settings) -> Settings:
    create_topics(settings)
    return msgspec.structs.replace(
        settings, session_timeout_s=SESSION_TIMEOUT_S, store_timeout_s=1.0, durable_after_s=0.5
    )


def test_agents_stop_silently_after_a_broker_outage_175_523(
    topics: Settings, tmp_path: Path, kafka: ApacheKafka
) -> None:
    with workers(topics, tmp_path) as (worker,), Load(topics, tmp_path) as load:
        worker.start()
        until(lambda: n_records(worker) > 500)
        process_id = worker.process_id
        kafka.kill()
        time.sleep(2 * SESSION_TIMEOUT_S)
        kafka.start()
        report = load.audited()
        worker.check()

        assert (differences(report), worker.process_id) == ({}, process_id)


def test_agents_stop_silently_after_a_heartbeat_timeout_532(
    topics: Settings, tmp_path: Path
) -> None:
    with workers(topics, tmp_path, 2) as (frozen, other), Load(topics, tmp_path) as load:
        for worker in (frozen, other):
            worker.start()
        until(lambda: n_partitions(frozen) == n_partitions(other) == 2)
        until(lambda: n_records(frozen) > 500)
        with suspended(frozen):
            until(lambda: n_partitions(other) == 4)
        until(lambda: n_partitions(frozen) == n_partitions(other) == 2)
        report = load.audited()

        assert differences(report) == {}


def test_a_lone_worker_stops_silently_after_a_heartbeat_timeout_532(
    topics: Settings, tmp_path: Path
) -> None:
    with workers(topics, tmp_path) as (worker,), Load(topics, tmp_path) as load:
        worker.start()
        until(lambda: n_records(worker) > 500)
        with suspended(worker):
            until(lambda: not members_of(topics, topics.group))
        report = load.audited()
        worker.check()

        assert differences(report) == {}


def test_a_rebalance_skips_offsets_or_processes_them_twice_216_217(
    topics: Settings, tmp_path: Path
) -> None:
    with workers(topics, tmp_path, 2) as (stays, comes_and_goes), Load(topics, tmp_path) as load:
        stays.start()
        stays.wait_until_ready()
        codes = []
        for _ in range(2):
            comes_and_goes.start()
            until(lambda: n_partitions(stays) == n_partitions(comes_and_goes) == 2)
            until(lambda: n_records(comes_and_goes) > 500)
            codes.append(comes_and_goes.stop())
        report = load.audited()

        assert (differences(report), codes) == ({}, [0, 0])
        assert outcomes([stays, comes_and_goes]) == {"records": load.n_sent, "fenced": 0}


def test_rebalancing_never_ends_133_602(topics: Settings, tmp_path: Path) -> None:
    with workers(topics, tmp_path) as (worker,), Load(topics, tmp_path) as load:
        worker.start()
        worker.wait_until_ready()
        for _ in range(6):
            join_and_leave(topics)
        until(lambda: n_partitions(worker) == 4)
        report = load.audited()
        worker.check()

        assert differences(report) == {}


def test_the_coordinator_moves_to_another_broker(topics: Settings, tmp_path: Path) -> None:
    with ApacheKafka(n_brokers=3) as kafka:
        settings = msgspec.structs.replace(topics, brokers=kafka.address, replication=3)
        create_topics(settings)
        with workers(settings, tmp_path) as (worker,), Load(settings, tmp_path) as load:
            worker.start()
            until(lambda: n_records(worker) > 500)
            kafka.kill(coordinator_of(settings))
            n_before = n_records(worker)
            until(lambda: n_records(worker) > n_before + 500)
            report = load.audited()
            worker.check()

            assert differences(report) == {}


@contextmanager
def suspended(worker: WorkerProcess) -> Iterator[None]:
    """A process that stands still meanwhile, its connections open."""
    assert worker.process_id is not None
    os.kill(worker.process_id, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(worker.process_id, signal.SIGCONT)


class Follower(RangePartitionAssignor):  # type: ignore[misc]
    """Another client's assignor under the name of ours."""

    name = HomeAssignor.name


def join_and_leave(settings: Settings) -> None:
    """Another client gets partitions and goes at once: two rebalances."""
    consumer = KafkaConsumer(
        *(settings.topic(name) for name in READ),
        bootstrap_servers=settings.brokers,
        group_id=settings.group,
        partition_assignment_strategy=[Follower],
        enable_auto_commit=False,
    )
    until(lambda: consumer.poll(50, max_records=1) is not None and bool(consumer.assignment()))
    consumer.close()


def coordinator_of(settings: Settings) -> int:
    """Number of the broker that coordinates the group."""

    async def ask() -> int:
        admin = AIOKafkaAdminClient(bootstrap_servers=settings.brokers)
        await admin.start()
        try:
            node: int = await admin.find_coordinator(settings.group)
            return node
        finally:
            await admin.close()

    return asyncio.run(ask())
