"""What the log may lack: records that are gone, and records that lie among the dead letters."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from kafka import KafkaAdminClient, TopicPartition

from streams.cli import main
from streams.client import ProfileClient
from streams.deadletter import DeadLetter, KafkaDeadLetters
from streams.embedded import EmbeddedStore
from streams.eventlog import beginnings_of, ends_of, records_between, wait_until_consumed
from streams.producer import EventProducer
from streams.settings import Settings
from tests.integration.rig import WAIT_S, workers
from tests.servers.apache_kafka import ApacheKafka

pytestmark = pytest.mark.integration


@pytest.fixture
def broker(kafka: ApacheKafka) -> ApacheKafka:
    return kafka


@pytest.fixture
def store() -> Iterator[EmbeddedStore]:
    with EmbeddedStore() as running:
        yield running


def test_a_log_that_has_lost_its_beginning_rebuilds_nobody_unless_forced(
    topics: Settings, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    send(topics, 9)
    with workers(topics, tmp_path) as (worker,):
        worker.start()
        worker.wait_until_ready()
        wait_until_consumed(topics, WAIT_S)
    lose(topics, 4)

    assert main(["rebuild", "ann"]) == 2
    refusal = capsys.readouterr().err
    assert events_of(topics) == 9
    assert main(["rebuild", "ann", "--force", "--json"]) == 0
    forced = json.loads(capsys.readouterr().out)

    assert "does not reach back" in refusal
    assert forced["is_cut"]
    assert events_of(topics) == 9 - 4


def test_the_past_is_not_taken_for_whole_where_it_has_lost_its_beginning(
    topics: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    send(topics, 9)
    lose(topics, 4)
    later = str(time.time_ns() // 1_000_000 + 1)

    assert main(["get", "ann", "--as-of", later, "--json"]) == 2
    refusal = capsys.readouterr().err
    assert main(["get", "ann", "--as-of", later, "--json", "--force"]) == 0
    found = json.loads(capsys.readouterr().out)

    assert "no longer begin at offset 0" in refusal
    assert found["summary"]["activity"] == {"click": 5}


def test_what_lies_among_the_dead_letters_stays_out(
    topics: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    send(topics, 9)
    asyncio.run(bury(topics, offset=3))

    assert main(["rebuild", "ann", "--json"]) == 0

    assert json.loads(capsys.readouterr().out)["events"] == 8


def send(settings: Settings, n: int) -> None:
    with EventProducer(settings.brokers, settings.topic("events")) as producer:
        for k in range(n):
            event = {"type": "click", "ts": time.time_ns() // 1_000_000, "user_id": "ann"}
            producer.send_raw(b"ann", msgspec.json.encode(event | {"item_id": f"i{k}"}))


def lose(settings: Settings, n: int) -> None:
    """As retention does it: the first records of every partition are gone."""
    topic = settings.topic("events")
    admin = KafkaAdminClient(bootstrap_servers=settings.brokers.split(","))
    offsets = {TopicPartition(topic, p): min(n, end) for p, end in ends_of(settings).items()}
    admin.delete_records(offsets)
    admin.close()


async def bury(settings: Settings, offset: int) -> None:
    ends = ends_of(settings)
    topic = settings.topic("events")
    pieces = records_between(settings, topic, beginnings_of(settings, topic, ends), ends)
    (record,) = [r for piece in pieces for r in piece if r.offset == offset]
    letters = KafkaDeadLetters(settings.brokers, settings.topic("deadletter"), lambda: 1)
    await letters.send([DeadLetter(record, "update_failed")])
    await letters.close()


def events_of(settings: Settings) -> int:
    with ProfileClient(settings.store_url, settings.pseudonym_key.reveal()) as client:
        profile = client.get("ann")
    assert profile is not None
    n: int = profile.summary["core"]["events"]
    return n
