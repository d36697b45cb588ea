"""Records of Confluent's own serializers, through Kafka and a worker, into profiles."""

from __future__ import annotations

import json
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest
from confluent_kafka import Producer

from streams.client import ProfileClient
from streams.embedded import EmbeddedStore
from streams.letterbox import list_dead_letters
from streams.settings import Settings
from streams.topics import create_topics
from streams.worker_process import WorkerProcess
from tests.integration.rig import audited, until
from tests.registered import Shop, message_class
from tests.servers.apicurio import Apicurio
from tests.servers.schema_registry import SchemaRegistry

pytestmark = pytest.mark.integration

WAIT_S = 30.0


@pytest.fixture(scope="module")
def apicurio() -> Iterator[Apicurio]:
    with Apicurio() as running:
        yield running


@pytest.fixture
def registry() -> Iterator[SchemaRegistry]:
    with SchemaRegistry() as running:
        yield running


@pytest.fixture
def store() -> Iterator[EmbeddedStore]:
    """A store of its own for each test: an audit looks at everybody in it."""
    with EmbeddedStore() as running:
        yield running


@pytest.fixture(params=["in-process", "apicurio"])
def url(request: pytest.FixtureRequest) -> str:
    """Address of a registry: ours, and a real one."""
    name = "registry" if request.param == "in-process" else "apicurio"
    found: str = request.getfixturevalue(name).url
    return found


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[[Settings], WorkerProcess]]:
    """Start workers, and end them with the test."""
    workers = []

    def started(settings: Settings) -> WorkerProcess:
        create_topics(settings)
        worker = WorkerProcess(settings, tmp_path / "worker.log")
        workers.append(worker)
        worker.start()
        return worker

    yield started
    for worker in workers:
        worker.kill()


def test_avro_protobuf_and_json_of_the_official_client_land_in_the_right_profiles(
    settings: Settings, start: Callable[[Settings], WorkerProcess], url: str
) -> None:
    settings = msgspec.structs.replace(settings, registry_url=url)
    shop = Shop(url, settings.topic("events"))
    click = message_class("shop.v1.Envelope.Click")
    write_click = Shop(url, f"{settings.topic('events')}-clicks").protobuf(click)
    write_json = Shop(url, f"{settings.topic('events')}-json").json()
    write_purchase = shop.avro()
    now = now_ms()
    start(settings)

    values = [
        value
        for k in range(50)
        for value in (
            write_purchase(purchase("alice", now + k, f"cup-{k}")),
            write_click(click(ts=now + k, user_id="bob", item_id="hat")),
            write_json({"type": "click", "ts": now + k, "user_id": "carol"}),
            b'{"type":"click","ts":%d,"user_id":"dave"}' % (now + k),
        )
    ]
    send(settings, [*values, values[0][:-3], b"\0\x7f\xff\xff\xff" + values[0][5:]])
    report = audited(settings)

    assert (report.mismatched, report.stale, report.records) == (0, 0, 202)
    assert report.outcomes == {"applied": 200, "malformed": 1, "unknown_schema": 1}
    reasons = Counter(letter.reason for letter in list_dead_letters(settings, limit=10))
    assert reasons == {"malformed": 1, "unknown_schema": 1}
    with ProfileClient(settings.store_url, settings.pseudonym_key.reveal()) as client:
        for user, kind in (("alice", "purchase"), ("bob", "click"), ("carol", "click")):
            profile = client.get(user)
            assert profile is not None
            assert profile.summary["activity"] == {kind: 50}


def test_a_registry_that_goes_and_comes_back_costs_time_and_nothing_else(
    settings: Settings, start: Callable[[Settings], WorkerProcess], registry: SchemaRegistry
) -> None:
    settings = msgspec.structs.replace(settings, registry_url=registry.url)
    write = Shop(registry.url, settings.topic("events")).avro()
    values = [write(purchase("alice", now_ms() + k, "cup")) for k in range(20)]
    registry.stop()
    worker = start(settings)
    worker.wait_until_ready()

    send(settings, [b'{"type":"click","ts":%d,"user_id":"dave"}' % now_ms()])
    # More than one where it came to another partition than its home.
    until(lambda: worker.scrape().n_records >= 1)
    send(settings, values)
    until(lambda: ("paused", "registry") in said(worker))
    n_letters = len(list_dead_letters(settings, limit=10))
    registry.start()
    report = audited(settings)

    assert n_letters == 0
    assert (report.mismatched, report.stale, report.outcomes) == (0, 0, {"applied": 21})
    assert ("resumed", "registry") in said(worker)
    assert list_dead_letters(settings, limit=10) == []


def test_a_worker_that_stops_while_the_registry_is_away_leaves_the_records_to_the_next(
    settings: Settings, start: Callable[[Settings], WorkerProcess], registry: SchemaRegistry
) -> None:
    settings = msgspec.structs.replace(settings, registry_url=registry.url)
    write = Shop(registry.url, settings.topic("events")).avro()
    values = [write(purchase("alice", now_ms() + k, "cup")) for k in range(20)]
    registry.stop()
    worker = start(settings)

    send(settings, values)
    until(lambda: ("paused", "registry") in said(worker))
    code = worker.stop()
    registry.start()
    start(settings)
    report = audited(settings)

    assert code == 0
    assert (report.mismatched, report.stale, report.outcomes) == (0, 0, {"applied": 20})


def purchase(user: str, ts_ms: int, item: str) -> dict[str, Any]:
    return {
        "ts": ts_ms * 1_000,
        "event_id": str(uuid.uuid4()),
        "user_id": user,
        "item_id": item,
        "price": Decimal("19.99"),
        "currency": "EUR",
        "quantity": 2,
        "lines": [{"sku": item}],
    }


def send(settings: Settings, values: list[bytes]) -> None:
    producer = Producer({"bootstrap.servers": settings.brokers})
    for value in values:
        producer.produce(settings.topic("events"), value)
    assert producer.flush(WAIT_S) == 0


def now_ms() -> int:
    return time.time_ns() // 1_000_000


def said(worker: WorkerProcess) -> list[tuple[str, str | None]]:
    """Messages of a worker's log, and what they waited for."""
    lines = worker.log.read_bytes().splitlines()
    found = [json.loads(line) for line in lines if line.startswith(b"{")]
    return [(x["message"], x.get("waiting_for") or x.get("waited_for")) for x in found]
