"""Figures of the crowd, from events through a worker to the command line."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from streams.cli import main
from streams.client import AsyncProfileClient, Behaviour, ProfileClient
from streams.embedded import EmbeddedStore
from streams.producer import EventProducer
from streams.settings import Settings
from streams.topics import create_topics
from tests.integration.rig import as_environment, audited, workers

pytestmark = pytest.mark.integration

MONDAY_MS = 1_699_833_600_000
PEOPLE = 40


@pytest.fixture
def store() -> Iterator[EmbeddedStore]:
    """Of its own, as figures of the crowd are of all who share a store."""
    with EmbeddedStore() as running:
        yield running


@pytest.fixture
def topics(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Settings:
    # Nothing is published but at the end: what a worker has must not go with it.
    settings = msgspec.structs.replace(
        settings, figures_interval_s=3_600.0, historical_sources=("made",)
    )
    create_topics(settings)
    as_environment(settings, monkeypatch)
    return settings


def test_what_a_worker_counted_before_it_stopped_is_on_the_command_line(
    topics: Settings, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["behaviour"]) == 1
    send(topics, shop())
    with workers(topics, tmp_path) as (worker,):
        worker.start()
        assert audited(topics).mismatched == 0
        worker.stop()
    capsys.readouterr()

    assert main(["behaviour", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert main(["behaviour", "u0"]) == 0
    person = capsys.readouterr().out
    assert main(["behaviour", "--cohort", "never"]) == 0
    text = capsys.readouterr().out
    assert main(["behaviour", "--cohort", "everyone"]) == 2

    # Half go to the cart after 4 minutes; half of those buy after 1 more.
    stages = found["funnel"]["stages"]
    assert [stage["sessions"] for stage in stages] == pytest.approx([40, 40, 20, 10], rel=1e-3)
    assert found["funnel"]["passages"][0]["median_s"] == pytest.approx(240, rel=0.19)
    assert found["next_steps"]["probability"][0] == pytest.approx([0, 0, 0.5, 0, 0.5], abs=1e-3)
    assert found["seasons"]["events"] == pytest.approx(70, rel=1e-3)
    assert "stage      purchase" in person
    assert "cart → purchase: 10.0 times, half within" in text
    crowd = read(topics)
    assert crowd is not None
    assert msgspec.to_builtins(crowd) == msgspec.to_builtins(msgspec.convert(found, Behaviour))


def shop() -> list[dict[str, Any]]:
    steps = (("browse", 0, 1), ("cart", 240_000, 2), ("purchase", 300_000, 4))
    return [
        {"type": name, "ts": MONDAY_MS + k + after_ms, "user_id": f"u{k}", "source": "made"}
        for name, after_ms, every in steps
        for k in range(0, PEOPLE, every)
    ]


def send(settings: Settings, events: list[dict[str, Any]]) -> None:
    """Send each person's events in their order."""
    with EventProducer.of(settings) as producer:
        for event in events:
            producer.send_raw(event["user_id"].encode(), msgspec.json.encode(event))


def read(settings: Settings) -> Behaviour | None:
    key = settings.pseudonym_key.reveal()

    async def run() -> Behaviour | None:
        async with AsyncProfileClient(settings.store_url, key) as client:
            return await client.behaviour()

    with ProfileClient(settings.store_url, key) as client:
        assert client.behaviour() == asyncio.run(run())
        return client.behaviour()
