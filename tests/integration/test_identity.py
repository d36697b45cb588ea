"""Anonymous, device and user of one person: three subjects, one profile, and three again."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from streams.assembly import open_store
from streams.audit import AuditReport, audit
from streams.cli import main
from streams.client import ProfileClient
from streams.embedded import EmbeddedStore
from streams.eventlog import wait_until_consumed
from streams.producer import EventProducer
from streams.settings import Settings
from streams.topics import create_topics
from streams.worker_process import environment_of
from tests.integration.rig import WAIT_S, until, workers
from tests.servers.apache_kafka import ApacheKafka

pytestmark = pytest.mark.integration

PEOPLE = 40


@pytest.fixture
def broker(kafka: ApacheKafka) -> ApacheKafka:
    return kafka


@pytest.fixture
def store() -> Iterator[EmbeddedStore]:
    with EmbeddedStore() as running:
        yield running


@pytest.fixture
def topics(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Settings:
    create_topics(settings)
    for name, value in environment_of(settings).items():
        monkeypatch.setenv(name, value)
    return settings


def test_the_anonymous_history_joins_whatever_dies_meanwhile(
    topics: Settings, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with workers(topics, tmp_path, 2) as several:
        for worker in several:
            worker.start()
        for worker in several:
            worker.wait_until_ready()
        send(topics, [event for k in range(PEOPLE) for event in history(k)])
        several[0].kill()
        send(topics, [click({"anonymous_id": f"a{k}"}, "after") for k in range(PEOPLE)])
        several[0].start()
        joined = settled(topics)

        with ProfileClient(topics.store_url, topics.pseudonym_key.reveal()) as client:
            found = [client.get(f"anonymous:a{k}") for k in range(PEOPLE)]
            users = [client.get(f"user:u{k}") for k in range(PEOPLE)]
        capsys.readouterr()
        main(["identity", "show", "device:d3", "--json"])
        graph = json.loads(capsys.readouterr().out)["subjects"]

        main(["identity", "unmerge", "device:d3", "user:u3"])
        parted = settled(topics)
        with ProfileClient(topics.store_url, topics.pseudonym_key.reveal()) as client:
            device, user = client.get("device:d3"), client.get("user:u3")

    assert joined.outcomes["accepted_unused"] == 2 * PEOPLE
    assert all(f and u and f.pid == u.pid for f, u in zip(found, users, strict=True))
    # Two clicks without a name, one on the device, one as a user, one without a name again.
    assert [clicks(user) for user in users] == [5] * PEOPLE
    assert [one["events"] for one in graph] == [1, 1, 3]
    assert (clicks(device), clicks(user)) == (4, 1)
    assert parted.mismatched == 0


def history(k: int) -> list[dict[str, Any]]:
    nobody, device, user = {"anonymous_id": f"a{k}"}, {"device_id": f"d{k}"}, {"user_id": f"u{k}"}
    return [
        click(nobody, "before"),
        click(nobody, "before, too"),
        click(device, "device"),
        {"type": "identify", "ts": now_ms(), **device, **nobody},
        {"type": "identify", "ts": now_ms(), **user, **device},
        click(user, "user"),
    ]


def click(subject: dict[str, str], item_id: str) -> dict[str, Any]:
    return {"type": "click", "ts": now_ms(), "item_id": item_id, **subject}


def clicks(profile: Any) -> int:
    assert profile is not None
    n: int = profile.summary["activity"]["click"]
    return n


def now_ms() -> int:
    return time.time_ns() // 1_000_000


def send(settings: Settings, events: list[dict[str, Any]]) -> None:
    """Without keys: events arrive anywhere."""
    with EventProducer(settings.brokers, settings.topic("events")) as producer:
        for event in events:
            producer.send_raw(None, msgspec.json.encode(event))


def settled(settings: Settings) -> AuditReport:
    """Wait until all is as an audit wants it: looks beget looks, so more than once."""
    found: list[AuditReport] = []

    def is_right() -> bool:
        wait_until_consumed(settings, WAIT_S)
        found.append(asyncio.run(audited(settings)))
        return not (found[-1].mismatched or found[-1].stale)

    until(is_right)
    return found[-1]


async def audited(settings: Settings) -> AuditReport:
    store = open_store(settings)
    try:
        return await audit(settings, store)
    finally:
        await store.close()
