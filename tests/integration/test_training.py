"""Online against offline: what a worker wrote is what an export says of the same moment."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from pyarrow import parquet

from profiler.spec import DEFAULT_SPEC
from streams.cli import main
from streams.client import ProfileClient
from streams.eventlog import wait_until_consumed
from streams.producer import EventProducer
from streams.settings import Settings
from tests.integration.rig import WAIT_S, workers

pytestmark = pytest.mark.integration

PEOPLE = 4
ROUNDS = 5
OUTPUT = "intent"
"""Slice that is model output: what the models knew at the time is not in the log."""


def test_an_export_says_what_readers_saw(
    topics: Settings, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    seen: list[tuple[str, int, Any]] = []
    with workers(topics, tmp_path) as (worker,):
        worker.start()
        worker.wait_until_ready()
        with ProfileClient(topics.store_url, topics.pseudonym_key.reveal()) as client:
            for number in range(ROUNDS):
                send(topics, number)
                for _ in range(2):  # looks are sent to where others were read
                    wait_until_consumed(topics, WAIT_S)
                at_ms = later_than_now_ms()
                for subject in [*(f"user:u{k}" for k in range(PEOPLE)), "anonymous:a0"]:
                    seen.append((subject, at_ms, client.get(subject)))
    labels, out = tmp_path / "labels.jsonl", tmp_path / "out.parquet"
    labels.write_bytes(
        b"\n".join(msgspec.json.encode({"subject": s, "time": at_ms}) for s, at_ms, _ in seen)
    )

    assert main(["export", "--labels", str(labels), "--out", str(out), "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert main(["get", seen[0][0], "--as-of", str(seen[0][1]), "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)

    rows = parquet.read_table(out).to_pylist()
    assert report["labels"] == len(seen) == len(rows)
    for (_, at_ms, profile), row in zip(seen, rows, strict=True):
        assert row["events"] == profile.summary["core"]["events"]
        assert row["as_of_ms"] == profile.as_of_ms
        expected = without_output(profile.at(at_ms).vector)
        np.testing.assert_allclose(without_output(np.float32(row["vector"])), expected, 1e-6)
    _, at_ms, profile = seen[0]
    first = profile.at(at_ms).summary
    assert {**shown["summary"], OUTPUT: None, "interest": None} == {
        **first,
        OUTPUT: None,
        "interest": None,
    }


def send(settings: Settings, number: int) -> None:
    """Some of everything; from the third round on, the anonymous belong to a user."""
    now_ms = time.time_ns() // 1_000_000
    with EventProducer(settings.brokers, settings.topic("events")) as producer:
        for k in range(PEOPLE):
            who = {"user_id": f"u{k}"}
            item = {"item_id": f"i{number * k % 7}", "category": f"c{k}", "title": "red lamp"}
            put(producer, {"type": "browse", "ts": now_ms - 40, **who, **item})
            put(producer, {"type": "purchase", "ts": now_ms - 3_600_000, "price": 5, **who, **item})
            put(producer, {"type": "click", "ts": now_ms, **who, **item})
        if number < 3:
            put(producer, {"type": "click", "ts": now_ms - 900, "anonymous_id": "a0"})
        if number == 2:
            link = {"user_id": "u0", "anonymous_id": "a0"}
            put(producer, {"type": "identify", "ts": now_ms, **link})


def put(producer: EventProducer, event: dict[str, Any]) -> None:
    key = event.get("user_id") or event["anonymous_id"]
    producer.send_raw(key.encode(), msgspec.json.encode(event))


def later_than_now_ms() -> int:
    """A time after all that was sent, and before all that will be."""
    now_ms = time.time_ns() // 1_000_000
    while time.time_ns() // 1_000_000 <= now_ms + 1:
        pass
    return now_ms + 1


def without_output(vector: Any) -> Any:
    (part,) = [one for one in DEFAULT_SPEC.slices if one.name == OUTPUT]
    kept = np.ones(len(vector), dtype=bool)
    kept[part.offset : part.offset + part.length] = False
    return vector[kept]
