"""Records on a real broker: what was acknowledged is there, under the right key, in order."""

from __future__ import annotations

import gc
import logging
import subprocess
import sys
import warnings
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec
import pytest

from profiler.errors import BrokerUnavailable
from profiler.events import Click, Purchase, decode_batch
from profiler.partitioning import partition_of
from profiler.records import Record
from profiler.simulate import SimulationParams, simulate
from profiler.sources import source_named
from streams.embedded import EmbeddedBroker
from streams.eventlog import ends_of, records_until
from streams.ledger import Ledger
from streams.producer import EventProducer, ProducerOptions
from streams.replay import ReplayOptions, replay
from streams.settings import Settings
from streams.topics import create_topics

pytestmark = pytest.mark.integration

ROOT = Path(__file__).parents[2]


@pytest.fixture
def leaky(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """kafka-python drops the socket of a refused connection without closing it: collect it here."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        # What it logs would keep the socket alive until after the test.
        with caplog.at_level(logging.CRITICAL, "kafka"):
            yield
        gc.collect()


@pytest.fixture
def topic(settings: Settings) -> str:
    create_topics(settings)
    return settings.topic("events")


def records_of(settings: Settings) -> list[Record]:
    """All records of the topic of events, partition after partition."""
    records = records_until(settings, ends_of(settings))
    return sorted(records, key=lambda record: (record.partition, record.offset))


def test_a_typed_event_arrives_under_its_subjects_key(settings: Settings, topic: str) -> None:
    event = Purchase(ts=1_700_000_000_000, user_id="älice", anonymous_id="x", price=2.5, quantity=2)

    with EventProducer(settings.brokers, topic) as producer:
        producer.send(event)

    (record,) = records_of(settings)
    assert decode_batch([record.value]) == ([event], [])
    assert record.key == "älice".encode()
    assert record.partition == partition_of(record.key, settings.partitions)
    assert (producer.n_sent, producer.n_acknowledged, producer.n_failed) == (1, 1, 0)


def test_an_event_that_would_be_refused_is_not_sent(settings: Settings, topic: str) -> None:
    with EventProducer(settings.brokers, topic) as producer:
        with pytest.raises(ValueError, match="invalid:price"):
            producer.send(Purchase(ts=5, user_id="alice", price=-1.0))

        assert producer.n_sent == 0


def test_raw_records_keep_their_bytes_headers_and_time(settings: Settings, topic: str) -> None:
    with EventProducer(settings.brokers, topic) as producer:
        producer.send_raw(b"k", b"\xff{", 1_234_567, [("why", b"a test")])
        producer.send_raw(None, b"without a key")

    records = {record.value: record for record in records_of(settings)}
    raw = records[b"\xff{"]
    assert (raw.key, raw.timestamp, list(raw.headers)) == (b"k", 1_234_567, [("why", b"a test")])
    assert records[b"without a key"].key is None


def test_memory_in_flight_is_bounded_and_nothing_is_lost(settings: Settings, topic: str) -> None:
    options = ProducerOptions(in_flight_bytes_max=20_000)

    with EventProducer(settings.brokers, topic, options) as producer:
        for number in range(500):
            producer.send_raw(b"k", str(number).encode())
            assert producer.n_sent - producer.n_acknowledged < 40

    values = [record.value for record in records_of(settings)]
    assert values == [str(number).encode() for number in range(500)]


def test_a_record_that_no_request_holds_is_an_error_and_the_others_arrive(
    settings: Settings, topic: str
) -> None:
    producer = EventProducer(settings.brokers, topic, ProducerOptions(request_bytes_max=10_000))
    producer.send_raw(b"k", b"small")
    producer.send_raw(b"k", b"x" * 20_000)

    with pytest.raises(BrokerUnavailable, match="1 of 2 records were not acknowledged"):
        producer.flush()

    producer.close()
    assert [record.value for record in records_of(settings)] == [b"small"]


@pytest.mark.usefixtures("leaky")
def test_without_a_broker_the_producer_says_where_it_looked(settings: Settings) -> None:
    nowhere = "127.0.0.1:9"

    with pytest.raises(BrokerUnavailable, match=nowhere):
        EventProducer(nowhere, "any", ProducerOptions(connect_timeout_ms=300))


@pytest.mark.usefixtures("leaky")
def test_a_broker_that_goes_away_is_an_error_of_flush(settings: Settings) -> None:
    with EmbeddedBroker() as broker:
        mortal = msgspec.structs.replace(settings, brokers=broker.address)
        create_topics(mortal)
        options = ProducerOptions(delivery_timeout_ms=1_500, connect_timeout_ms=1_000)
        producer = EventProducer(broker.address, mortal.topic("events"), options)
        producer.send(Click(ts=5, user_id="alice"))
        producer.flush()
        broker.kill()

        producer.send(Click(ts=6, user_id="alice"))
        with pytest.raises(BrokerUnavailable, match="not acknowledged"):
            producer.flush()

        producer.close()
        assert producer.n_acknowledged == 1


def test_a_ledger_counts_what_was_acknowledged(settings: Settings, topic: str) -> None:
    ledger = Ledger()
    simulation = list(
        simulate(SimulationParams(start_ms=1_700_000_000_000, users=20, broken=0.05), seed=2)
    )

    with EventProducer(settings.brokers, topic, ledger=ledger) as producer:
        for record in simulation:
            producer.send_raw(record.key, record.value, record.ts_ms)

    events, _ = decode_batch(list({record.value for record in simulation}))
    assert producer.n_acknowledged == len(simulation)
    n_distinct = sum(event is not None for event in events)
    assert sum(sum(by_type.values()) for by_type in ledger.counts().values()) == n_distinct


def test_a_replayed_file_is_on_the_topic_row_by_row_and_in_the_ledger(
    settings: Settings, topic: str, tmp_path: Path
) -> None:
    rows = [f"{n % 7},{n},1,pv,{1_511_544_070 + n}\n" for n in range(1_000)] + ["broken\n"]
    path = tmp_path / "UserBehavior.csv"
    path.write_text("".join(rows))
    ledger_path = tmp_path / "ledger.jsonl"

    report = replay([path], source_named("taobao"), settings, ReplayOptions(ledger=ledger_path))

    values = [record.value or b"" for record in records_of(settings)]
    assert report.events == len(values) == 1_001
    assert report.bytes == sum(len(value) for value in values)
    assert report.events_per_s > 0
    items = items_by_user(values)
    assert items == {str(u): [str(n) for n in range(1_000) if n % 7 == u] for u in range(7)}
    written = [msgspec.json.decode(line) for line in ledger_path.read_bytes().splitlines()]
    assert sum(line["counts"]["browse"] for line in written) == 1_000


def items_by_user(values: Sequence[bytes]) -> dict[str | None, list[str | None]]:
    events, _ = decode_batch(values)
    items: dict[str | None, list[str | None]] = defaultdict(list)
    for event in events:
        if event is not None:
            items[event.user_id].append(event.item_id)
    return items


def test_the_example_sends_a_visit(settings: Settings) -> None:
    with EmbeddedBroker() as broker:
        mine = msgspec.structs.replace(settings, brokers=broker.address, topic_prefix="profiler")
        create_topics(mine)

        done = subprocess.run(
            [sys.executable, ROOT / "examples/send_events.py", broker.address, "alice"],
            capture_output=True,
            text=True,
            cwd=ROOT,
            check=False,
        )

        assert (done.returncode, done.stdout) == (0, "5 events of alice are acknowledged\n")
        assert len(records_of(mine)) == 5
