"""A bot among people: held, not learnt from, told of, and released; history is never held."""

from __future__ import annotations

import json
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from kafka import KafkaConsumer

from streams.cli import main
from streams.client import Profile, ProfileClient, Quarantine
from streams.embedded import EmbeddedStore
from streams.producer import EventProducer
from streams.settings import Settings
from streams.topics import create_topics
from streams.worker_process import WorkerProcess
from tests.integration.rig import as_environment, audited, until, workers

pytestmark = pytest.mark.integration

PEOPLE = 40
BOT_EVENTS = 2_000
LATER_MS = 45 * 60_000


@pytest.fixture
def store() -> Iterator[EmbeddedStore]:
    """Of its own, as an audit looks at all that is stored."""
    with EmbeddedStore() as running:
        yield running


@pytest.fixture
def topics(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Settings:
    settings = msgspec.structs.replace(settings, figures_interval_s=0.2)
    create_topics(settings)
    as_environment(settings, monkeypatch)
    return settings


def test_a_bot_is_held_and_teaches_nothing_until_it_is_released(
    topics: Settings, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    start_ms = now_ms() - 60_000
    with workers(topics, tmp_path) as (worker,):
        worker.start()
        worker.wait_until_ready()
        # Each buys once, which tells the model of one label.
        bought = {"type": "purchase", "price": 9.0}
        send(topics, [click("bot", start_ms + k * 25) for k in range(BOT_EVENTS - 1)])
        send(topics, [click("bot", start_ms + BOT_EVENTS * 25) | bought])
        people = [click(f"u{k}", start_ms + k) for k in range(PEOPLE)]
        send(topics, [event | more for event in people for more in ({}, bought)])
        # Whether a session ended in a purchase is learnt when it would be over.
        send(topics, [click(f"late{k}", start_ms + LATER_MS) for k in range(PEOPLE)])
        held = audited(topics)
        until(lambda: n_labels(worker) >= PEOPLE)
        bot, person = profile(topics, "bot"), profile(topics, "u0")
        figures = page(worker)
        capsys.readouterr()
        main(["quarantine", "show", "bot", "--json"])
        shown = json.loads(capsys.readouterr().out)["subjects"]

        main(["quarantine", "release", "bot", "--reason", "a reseller"])
        until(lambda: profile(topics, "bot").quarantine is None)
        released = audited(topics)
        after = profile(topics, "bot")

        main(["quarantine", "hold", "bot"])
        until(lambda: profile(topics, "bot").quarantine is not None)
        again = audited(topics)
        told = alerts(topics)

    assert bot.quarantine is not None
    assert bot.quarantine.reason == "rate"
    assert start_ms - 60_000 < bot.quarantine.since_ms < now_ms()
    assert bot.summary["activity"] == {"click": BOT_EVENTS - 1, "purchase": 1}
    assert person.quarantine is None
    assert 'profiler_quarantined_total{reason="rate"} 1.0' in figures
    assert n_labels_of(figures) == PEOPLE
    assert [one["reason"] for one in shown] == ["rate"]
    assert after.summary["activity"] == bot.summary["activity"]
    assert (after.vector == bot.vector)[:120].all()
    assert isinstance(profile(topics, "bot").quarantine, Quarantine)
    assert (held.mismatched, released.mismatched, again.mismatched) == (0, 0, 0)
    assert (held.stale, released.stale, again.stale) == (0, 0, 0)
    assert [(one["held"], one.get("reason")) for one in told] == [
        (True, "rate"),
        (False, None),
        (True, "operator"),
    ]
    assert {one["pid"] for one in told} == {bot.pid}


def test_a_dense_file_of_history_is_not_held(topics: Settings, tmp_path: Path) -> None:
    file = tmp_path / "UserBehavior.csv"
    rows = [f"1,{k},{k % 7},pv,{1_511_658_000 + k // 100}" for k in range(BOT_EVENTS)]
    file.write_text("\n".join(rows) + "\n")
    with workers(topics, tmp_path) as (worker,):
        worker.start()
        worker.wait_until_ready()

        assert main(["replay", "--source", "taobao", str(file)]) == 0

        report = audited(topics)
        found = profile(topics, "1")

    assert (report.mismatched, report.stale) == (0, 0)
    assert found.summary["core"]["events"] == BOT_EVENTS
    assert found.quarantine is None


def click(user_id: str, ts: int) -> dict[str, Any]:
    return {"type": "click", "ts": ts, "user_id": user_id, "item_id": f"i{ts % 97}"}


def now_ms() -> int:
    return time.time_ns() // 1_000_000


def send(settings: Settings, events: list[dict[str, Any]]) -> None:
    with EventProducer.of(settings) as producer:
        for event in events:
            producer.send_raw(event["user_id"].encode(), msgspec.json.encode(event))


def profile(settings: Settings, subject: str) -> Profile:
    with ProfileClient(settings.store_url, settings.pseudonym_key.reveal()) as client:
        found = client.get(subject)
    assert found is not None
    return found


def page(worker: WorkerProcess) -> str:
    settings = worker._settings
    url = f"http://{settings.web_host}:{settings.web_port}/metrics"
    with urllib.request.urlopen(url, timeout=5) as answer:
        text: str = answer.read().decode()
    return text


def n_labels(worker: WorkerProcess) -> int:
    return n_labels_of(page(worker))


def n_labels_of(figures: str) -> int:
    lines = [x for x in figures.splitlines() if x.startswith("profiler_model_labels_total{")]
    return sum(int(float(line.split()[-1])) for line in lines)


def alerts(settings: Settings) -> list[dict[str, Any]]:
    consumer = KafkaConsumer(
        settings.topic("alerts"),
        bootstrap_servers=settings.brokers,
        auto_offset_reset="earliest",
        consumer_timeout_ms=3_000,
    )
    try:
        return [json.loads(record.value) for record in consumer]
    finally:
        consumer.close()
