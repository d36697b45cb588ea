"""The catalogue end to end: items change while events flow, workers die, and the audit agrees."""

from __future__ import annotations

import asyncio
import itertools
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest
from confluent_kafka import Producer as ConfluentProducer
from kafka import KafkaAdminClient

from profiler.catalogue import Catalogue
from profiler.records import RawRecord
from profiler.spec import DEFAULT_SPEC
from profiler.state import decode_states
from streams.assembly import open_store
from streams.catalogue import CatalogueReader
from streams.cleaning import catalogue_of
from streams.deadletter import KafkaDeadLetters
from streams.embedded import EmbeddedBroker, EmbeddedStore
from streams.items import load_items
from streams.letterbox import list_dead_letters
from streams.metrics import Metrics
from streams.producer import EventProducer
from streams.settings import Settings
from streams.topics import create_topics
from streams.worker_process import WorkerProcess
from tests.integration.rig import PAUSE_S, audited, n_records, page, until, workers
from tests.servers.apache_kafka import ApacheKafka

pytestmark = pytest.mark.integration

GRACE_S = 0.2
RATES = "date,currency,rate\n2020-01-01,USD,1.25\n"
NAMES = [f"item-{n}" for n in range(20)]


@pytest.fixture(params=["embedded", "kafka"])
def broker(request: pytest.FixtureRequest) -> Iterator[EmbeddedBroker | ApacheKafka]:
    """One broker after the other."""
    if request.param == "kafka":
        yield request.getfixturevalue("kafka")
        return
    with EmbeddedBroker() as running:
        yield running


@pytest.fixture
def store() -> Iterator[EmbeddedStore]:
    """A store of its own for each test: an audit looks at everybody in it."""
    with EmbeddedStore() as running:
        yield running


@pytest.fixture
def settings(settings: Settings, tmp_path: Path) -> Settings:
    rates = tmp_path / "rates.csv"
    rates.write_text(RATES)
    made = msgspec.structs.replace(
        settings,
        items=True,
        items_grace_s=GRACE_S,
        currency="EUR",
        rates_file=str(rates),
    )
    create_topics(made)
    return made


class Shop:
    """Publishes items and sells them, by id alone."""

    def __init__(self, settings: Settings) -> None:
        self.n_sold = 0
        self._items = EventProducer(settings.brokers, settings.topic("items"))
        self._events = EventProducer.of(settings)

    def publish(self, name: str, price: float | None) -> None:
        """Publish a price in dollars, or (None) that the item is gone."""
        fields = {"item_id": name, "category": f"c{price}", "price": price, "currency": "USD"}
        value = None if price is None else msgspec.json.encode(fields)
        self._items.send_raw(name.encode(), value)

    def sell(self, name: str) -> None:
        user = f"u{self.n_sold % 7}"
        fields = {"type": "purchase", "user_id": user, "item_id": name}
        value = msgspec.json.encode(fields | {"ts": time.time_ns() // 1_000_000})
        self._events.send_raw(user.encode(), value)
        self.n_sold += 1

    def trade(self, seconds: float) -> None:
        """Sell one item after another, while prices change and items come and go."""
        end_s = time.monotonic() + seconds
        for n in itertools.count():
            self.sell(NAMES[n % 20])
            if n % 5 == 0:
                self.publish(NAMES[n % 19], None if n % 15 == 0 else float(n + 1))
            if time.monotonic() > end_s:
                return
            time.sleep(PAUSE_S)

    def flush(self) -> None:
        self._items.flush()
        self._events.flush()

    def close(self) -> None:
        self._items.close()
        self._events.close()


@pytest.fixture
def shop(settings: Settings) -> Iterator[Shop]:
    made = Shop(settings)
    yield made
    made.close()


def spent(settings: Settings) -> float:
    """What everybody spent together; all of it by the catalogue's prices."""

    async def run() -> float:
        store, found = open_store(settings), 0.0
        async for chunk in store.scan():
            rows = decode_states([value for _, value in chunk], DEFAULT_SPEC, {}).rows
            found += float(rows["value.spent"].sum())
        await store.close()
        return found

    return asyncio.run(run())


def metrics(worker: WorkerProcess) -> dict[str, float]:
    settings = worker._settings
    url = f"http://{settings.web_host}:{settings.web_port}/metrics"
    with urllib.request.urlopen(url, timeout=5) as answer:
        lines = answer.read().decode().splitlines()
    samples = (line.rpartition(" ") for line in lines if not line.startswith("#"))
    return {name: float(value) for name, _, value in samples}


def test_items_change_while_events_flow_and_workers_die_and_every_profile_is_right(
    settings: Settings, shop: Shop, tmp_path: Path
) -> None:
    with workers(settings, tmp_path, 2) as (first, second):
        for name in NAMES:
            shop.publish(name, 1.0)
        first.start()
        shop.trade(5 * GRACE_S)
        until(lambda: n_records(first) > 0)
        second.start()
        shop.trade(5 * GRACE_S)
        first.kill()
        shop.trade(5 * GRACE_S)
        first.start()
        shop.trade(5 * GRACE_S)
        shop.flush()
        report = audited(settings)

    assert report.differences == ()
    assert (report.mismatched, report.stale) == (0, 0)
    assert report.outcomes == {"applied": shop.n_sold}
    assert spent(settings) > 0


def test_a_record_that_is_no_item_becomes_one_dead_letter_whatever_restarts(
    settings: Settings, shop: Shop, tmp_path: Path
) -> None:
    shop.publish("cup", -5.0)
    shop.publish("hat", 5.0)
    shop.flush()
    with workers(settings, tmp_path) as (worker,):
        worker.start()
        worker.wait_until_ready()
        worker.stop()
        worker.start()
        worker.wait_until_ready()
        found = metrics(worker)
        readiness = page(worker)

    (letter,) = list_dead_letters(settings, limit=10)
    assert (letter.reason, letter.topic) == ("invalid:price", settings.topic("items"))
    assert found["profiler_items"] == 1
    assert found['profiler_items_refused_total{reason="invalid:price"}'] == 1
    assert readiness["items"] == "ok"


def test_a_catalogue_file_reaches_the_events_that_come_after_it(
    settings: Settings, shop: Shop, tmp_path: Path
) -> None:
    path = tmp_path / "items.csv"
    path.write_text("item_id,category,price,currency,tags,weight\nitem-0,ware,2.5,usd,a|b,7\n")

    def has_sold() -> bool:
        shop.sell("item-0")
        shop.sell("item-1")
        shop.flush()
        return spent(settings) > 0

    report = load_items([path], settings)
    with workers(settings, tmp_path) as (worker,):
        worker.start()
        until(has_sold)
        found = metrics(worker)

    assert (report.sent, report.refused, report.unused) == (1, {}, ["weight"])
    assert spent(settings) % 2.0 == 0.0
    assert found["profiler_items_unknown_total"] > 0


def test_removed_items_are_not_known_any_more(settings: Settings, tmp_path: Path) -> None:
    path = tmp_path / "items.jsonl"
    path.write_text('{"item_id": "cup", "price": 5}\n{"item_id": "hat", "price": 6}\n')
    load_items([path], settings)
    path.write_text('{"item_id": "cup", "price": -1}\n')

    report = load_items([path], settings, remove=True)

    with workers(settings, tmp_path) as (worker,):
        worker.start()
        worker.wait_until_ready()
        found = metrics(worker)
    assert (report.sent, report.refused) == (1, {})
    assert (found["profiler_items"], found["profiler_items_versions"]) == (1, 3)


def reader_of(settings: Settings, now_ms: Callable[[], int]) -> tuple[CatalogueReader, Catalogue]:
    catalogue = catalogue_of(settings)
    assert catalogue is not None
    letters = KafkaDeadLetters(settings.brokers, settings.topic("deadletter"), now_ms)
    return CatalogueReader(settings, catalogue, None, letters, Metrics(), now_ms), catalogue


def test_a_record_waits_until_the_items_before_it_have_been_read(
    settings: Settings, shop: Shop
) -> None:
    late_ms = time.time_ns() // 1_000_000
    reader, catalogue = reader_of(settings, lambda: late_ms)
    event = RawRecord("t", 0, 0, late_ms + 3_600_000, None, None)

    async def run() -> None:
        nonlocal late_ms
        await reader.load()
        shop.publish("cup", 5.0)
        shop.flush()
        late_ms += 3_600_000
        waiting = asyncio.create_task(reader.reach([event]))
        await asyncio.sleep(0)
        assert not waiting.done()
        assert catalogue.n_items == 0
        following = asyncio.create_task(reader.run())

        await asyncio.wait_for(waiting, 30)

        assert catalogue.find("cup", late_ms) is not None
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)

    asyncio.run(run())


@pytest.mark.parametrize("broker", ["kafka"], indirect=True)
def test_what_lies_behind_the_last_record_is_not_waited_for(settings: Settings) -> None:
    producer = ConfluentProducer(
        {"bootstrap.servers": settings.brokers, "transactional.id": settings.group}
    )
    producer.init_transactions(30)
    producer.begin_transaction()
    for name in NAMES:
        producer.produce(settings.topic("items"), b'{"item_id":"%s"}' % name.encode(), name)
    producer.commit_transaction(30)
    reader, catalogue = reader_of(settings, lambda: time.time_ns() // 1_000_000)

    asyncio.run(asyncio.wait_for(reader.load(), 20))

    assert catalogue.n_items == len(NAMES)


def test_without_the_topic_a_worker_says_so_and_ends(settings: Settings, tmp_path: Path) -> None:
    admin = KafkaAdminClient(bootstrap_servers=settings.brokers)
    admin.delete_topics([settings.topic("items")])
    admin.close()
    with workers(settings, tmp_path) as (worker,):
        worker.start()

        until(lambda: f"no topic {settings.topic('items')}" in worker.log.read_text())
