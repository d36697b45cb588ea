"""Ties between people of different homes: each profile knows its side, whatever dies meanwhile."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from streams.cli import main
from streams.client import Profile, ProfileClient
from streams.embedded import EmbeddedStore
from streams.settings import Settings
from tests.integration.rig import send, settled, workers
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


def test_a_tie_reaches_both_whatever_dies_meanwhile(
    topics: Settings, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with workers(topics, tmp_path, 2) as several:
        for worker in several:
            worker.start()
        for worker in several:
            worker.wait_until_ready()
        send(topics, [event for k in range(PEOPLE) for event in history(k)])
        several[0].kill()
        send(topics, [follow(k, k + 1, weight=2.0) for k in range(PEOPLE)])
        several[0].start()
        tied = settled(topics)
        with ProfileClient(topics.store_url, topics.pseudonym_key.reveal()) as client:
            found = [client.get(f"user:u{k}", ties=True) for k in range(PEOPLE)]
        send(topics, [of(4, "consent", purposes={"ties": False}), of(6, "erase")])
        settled(topics)
        with ProfileClient(topics.store_url, topics.pseudonym_key.reveal()) as client:
            fewer = [client.get(f"user:u{k}", ties=True) for k in (3, 5)]
            gone = client.get("user:u6")
        capsys.readouterr()
        main(["get", "u0", "--ties", "--json"])
        shown = json.loads(capsys.readouterr().out)

    assert (tied.mismatched, tied.stale) == (0, 0)
    profiles = [profile for profile in found if profile is not None]
    assert len(profiles) == PEOPLE
    for k, profile in enumerate(profiles):
        after, next_one = profiles[(k + 1) % PEOPLE], (k + 1) % PEOPLE
        # One weight of 1 from the history, one of 2 while a worker was dead.
        assert [tie.pid for tie in profile.ties] == [after.pid]
        assert profile.ties[0].strength == pytest.approx(3.0, abs=0.01)
        assert profile.summary["social"]["reach"] == pytest.approx(2.0, abs=0.01)
        assert profile.summary["activity"]["follow"] == 2
        assert profile.tie_interests["category"] == [(f"c{next_one}", 1.0)]
        assert profile.tie_vector is not None
    assert gone is None
    assert all(one is not None and is_unmixed(one) and one.ties for one in fewer)
    assert shown["tie_interests"]["category"] == [["c1", 1.0]]


def is_unmixed(profile: Profile) -> bool:
    return profile.tie_vector is None and profile.tie_interests == {}


def history(k: int) -> list[dict[str, Any]]:
    return [of(k, "click", category=f"c{k}"), follow(k, k + 1)]


def follow(k: int, other: int, **fields: Any) -> dict[str, Any]:
    return of(k, "follow", target_id=f"u{other % PEOPLE}", **fields)


def of(k: int, kind: str, **fields: Any) -> dict[str, Any]:
    return {"type": kind, "ts": time.time_ns() // 1_000_000, "user_id": f"u{k}", **fields}
