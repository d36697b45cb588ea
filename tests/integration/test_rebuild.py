"""One person recomputed from the log while a worker runs: repaired, nothing lost or applied twice.

On Apache Kafka: producers write at the same moment, see `test_partitioners`.
"""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from profiler.privacy.pseudonym import Pseudonymiser
from profiler.spec import DEFAULT_SPEC
from profiler.state import decode_state, encode_states
from streams.assembly import open_store
from streams.cli import main
from streams.embedded import EmbeddedStore
from streams.producer import EventProducer
from streams.settings import Settings
from streams.store import ProfileWrite
from tests.integration.rig import settled, workers
from tests.servers.apache_kafka import ApacheKafka

pytestmark = pytest.mark.integration

PEOPLE = 5
SENT_PAUSE_S = 0.002


@pytest.fixture
def broker(kafka: ApacheKafka) -> ApacheKafka:
    return kafka


@pytest.fixture
def store() -> Iterator[EmbeddedStore]:
    with EmbeddedStore() as running:
        yield running


def test_a_corrupted_person_is_repaired_while_events_go_on(
    topics: Settings, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with workers(topics, tmp_path) as (worker,):
        worker.start()
        worker.wait_until_ready()
        send(topics, [*linked(0), *(click(k % PEOPLE) for k in range(100)), b"{broken"])
        settled(topics)
        asyncio.run(corrupt(topics, "user", "u0"))
        asyncio.run(corrupt(topics, "anonymous", "a0"))

        code = main(["rebuild", "user:u0", "--dry-run", "--json"])
        planned = json.loads(capsys.readouterr().out)
        with traffic(topics):
            assert main(["rebuild", "user:u0", "--json"]) == 0
            done = json.loads(capsys.readouterr().out)
            assert main(["rebuild", "anonymous:a0"]) == 0
        report = settled(topics)

    assert code == 1
    assert {found["column"] for found in planned["differences"]} == {"activity.count"}
    assert len(planned["differences"]) == 2
    assert (planned["written"], done["written"]) == (0, 3)
    assert (report.mismatched, report.stale) == (0, 0)
    assert report.outcomes["malformed"] == 1


def test_a_person_who_writes_all_the_time_is_rebuilt_again_and_again(
    topics: Settings, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with workers(topics, tmp_path) as (worker,):
        worker.start()
        worker.wait_until_ready()
        send(topics, [click(0)])
        settled(topics)
        with traffic(topics, people=1):
            for _ in range(3):
                assert main(["rebuild", "u0"]) == 0
        report = settled(topics)

    assert (report.mismatched, report.stale) == (0, 0)
    assert capsys.readouterr().out.count("written=1") == 3


def test_what_cannot_be_read_at_all_is_put_right(topics: Settings, tmp_path: Path) -> None:
    with workers(topics, tmp_path) as (worker,):
        worker.start()
        worker.wait_until_ready()
        send(topics, [click(0), click(1)])
        settled(topics)
    asyncio.run(ruin(topics, "user", "u0"))

    assert main(["rebuild", "u0"]) == 0

    assert settled(topics).mismatched == 0


def test_an_event_that_the_worker_has_not_read_yet_counts_once(
    topics: Settings, tmp_path: Path
) -> None:
    with workers(topics, tmp_path) as (worker,):
        worker.start()
        worker.wait_until_ready()
        send(topics, [click(0)])
        settled(topics)
        worker.stop()
        # More than a row's ring of recent ids could tell of.
        send(topics, [click(0)] * 100, key=b"u0")
        assert main(["rebuild", "u0"]) == 0
        worker.start()
        worker.wait_until_ready()
        report = settled(topics)

    assert (report.mismatched, report.stale) == (0, 0)
    assert report.outcomes == {"applied": 101}


def test_somebody_of_whom_the_log_knows_nothing_is_told(
    topics: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["rebuild", "nobody"]) == 2

    assert "knows nothing of nobody" in capsys.readouterr().err


def linked(k: int) -> list[bytes]:
    nobody, device, user = {"anonymous_id": f"a{k}"}, {"device_id": f"d{k}"}, {"user_id": f"u{k}"}
    return [
        *(event(nobody, "click") for _ in range(9)),
        *(event(device, "browse") for _ in range(3)),
        event({**device, **nobody}, "identify"),
        event({**user, **device}, "identify"),
    ]


def click(k: int) -> bytes:
    return event({"user_id": f"u{k}"}, "click")


def event(subject: dict[str, str], kind: str) -> bytes:
    what: dict[str, Any] = {} if kind == "identify" else {"item_id": "cup", "category": "tea"}
    return msgspec.json.encode({"type": kind, "ts": time.time_ns() // 1_000_000, **subject, **what})


def send(settings: Settings, values: list[bytes], key: bytes | None = None) -> None:
    """Without a key events arrive anywhere."""
    with EventProducer(settings.brokers, settings.topic("events")) as producer:
        for value in values:
            producer.send_raw(key, value)


@contextmanager
def traffic(settings: Settings, people: int = PEOPLE) -> Iterator[None]:
    """Events of everybody, until the end, keyed and not."""
    enough = threading.Event()

    def run() -> None:
        with EventProducer(settings.brokers, settings.topic("events")) as producer:
            k = 0
            while not enough.wait(SENT_PAUSE_S):
                k += 1
                producer.send_raw(b"u0" if k % 3 else None, click(k % people))
                if k % 7 == 0:
                    producer.send_raw(None, event({"anonymous_id": "a0"}, "click"))

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        enough.set()
        thread.join()


async def corrupt(settings: Settings, kind: str, subject_id: str) -> None:
    """Miscount somebody's clicks, by a commit as any worker makes it."""
    store = open_store(settings)
    pid = pid_of(settings, kind, subject_id)
    (value,) = await store.load([pid])
    (view,) = await store.views([pid])
    assert value is not None
    stored = decode_state(value, DEFAULT_SPEC, {})
    stored.rows["activity.count"][0, 0] += 5
    rev = int(stored.rev[0]) + 1
    (state,) = encode_states(
        DEFAULT_SPEC, stored.rows, np.array([rev]), stored.fences, stored.links
    )
    vector, summary = view.get(b"vector", b"" * 4), view.get(b"summary", b"{}")  # type: ignore[call-overload]
    as_of = int(stored.rows["core.as_of"][0])
    assert await store.commit([ProfileWrite(pid, rev, state, vector, summary, as_of)]) == [True]
    await store.close()


async def ruin(settings: Settings, kind: str, subject_id: str) -> None:
    """Leave nothing of a state but its revision."""
    store = open_store(settings)
    pid = pid_of(settings, kind, subject_id)
    (value,) = await store.load([pid])
    assert value is not None
    rev = decode_state(value, DEFAULT_SPEC, {}).rev + 1
    state = b"\xff" * 9 + int(rev[0]).to_bytes(8, "little") + b"rubbish"
    assert await store.commit([ProfileWrite(pid, int(rev[0]), state, b"", b"{}", 1)]) == [True]
    await store.close()


def pid_of(settings: Settings, kind: str, subject_id: str) -> str:
    return Pseudonymiser(settings.pseudonym_key.reveal().encode()).pid(kind, subject_id)
