"""From events to recommendations: a worker, a broker, a store, and whoever asks."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from profiler.events import Click
from streams.cli import main
from streams.client import ProfileClient, Recommendation
from streams.embedded import EmbeddedStore
from streams.producer import EventProducer
from streams.settings import Settings
from streams.topics import create_topics
from tests.integration.rig import as_environment, until, workers

pytestmark = pytest.mark.integration

PEOPLE = 30


@pytest.fixture
def store() -> Iterator[EmbeddedStore]:
    """Of its own, as statistics are of all who share a store."""
    with EmbeddedStore() as running:
        yield running


def look(person: str, item: str, ts: int) -> Click:
    category = "kitchen" if item in ("kettle", "teapot") else "garden"
    return Click(user_id=person, item_id=item, category=category, ts=ts)


def test_what_others_went_on_to_is_recommended_within_seconds(
    settings: Settings,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    settings = msgspec.structs.replace(settings, figures_interval_s=0.5, statistics_interval_s=0.2)
    create_topics(settings)
    as_environment(settings, monkeypatch)
    start_ms = time.time_ns() // 1_000_000 - 60_000
    key = settings.pseudonym_key.reveal()
    events = [
        look(f"u{k}", item, start_ms + 1_000 * place + k)
        for k in range(PEOPLE)
        for place, item in enumerate(("kettle", "teapot") if k % 3 else ("spade", "kettle"))
    ]
    with workers(settings, tmp_path) as (worker,), ProfileClient(settings.store_url, key) as client:
        worker.start()
        worker.wait_until_ready()
        with EventProducer.of(settings) as producer:
            for event in [*events, look("me", "kettle", start_ms + 9_000)]:
                producer.send(event)

        def found() -> list[Recommendation]:
            return client.recommend("me", 3, new_only=True)

        until(lambda: [one.name for one in found()][:1] == ["teapot"])
        (teapot, *_) = found()
        (category, *_) = client.recommend("me", 1, kind="category")
        stranger = client.recommend("nobody was ever called so", 3)
        capsys.readouterr()
        code = main(["recommend", "me", "--k", "2", "--exclude", "teapot", "--json"])
        told = json.loads(capsys.readouterr().out)["recommendations"]

    assert sum(teapot.clues.values()) == pytest.approx(teapot.score)
    assert teapot.clues["goes_with"] > 0
    assert 0 < teapot.probability < 1
    assert category.name == "kitchen"
    assert "kettle" in [one.name for one in stranger]
    assert code == 0
    assert "teapot" not in [one["name"] for one in told]
