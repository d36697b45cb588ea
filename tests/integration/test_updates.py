"""Who joins, leaves and is erased is told on the topic of updates, on a real broker."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from profiler.privacy.pseudonym import Pseudonymiser
from profiler.updates import Update
from streams.embedded import EmbeddedStore
from streams.eventlog import ends_of, portions_until, wait_until_consumed
from streams.producer import EventProducer
from streams.settings import Settings
from streams.topics import create_topics
from streams.worker_process import WorkerProcess
from tests.integration.rig import WAIT_S

pytestmark = pytest.mark.integration

ROOT = Path(__file__).parents[2]
PEOPLE = 30


@pytest.fixture
def store() -> Iterator[EmbeddedStore]:
    """A store of its own: of whom another test has linked already nothing new is told."""
    with EmbeddedStore() as running:
        yield running


@pytest.fixture
def worker(settings: Settings, tmp_path: Path) -> Iterator[WorkerProcess]:
    create_topics(settings)
    process = WorkerProcess(settings, tmp_path / "worker.log")
    yield process
    process.kill()


def test_who_joins_leaves_and_is_erased_is_told(settings: Settings, worker: WorkerProcess) -> None:
    cookie, ann = pid(settings, "anonymous", "a1"), pid(settings, "user", "ann")
    both = {"user_id": "ann", "anonymous_id": "a1"}
    worker.start()

    send(settings, {"type": "click", "item_id": "lamp", "anonymous_id": "a1"})
    send(settings, {"type": "identify", **both})
    joined = told(settings)
    send(settings, {"type": "identify", "unlink": True, **both})
    parted = told(settings)
    send(settings, {"type": "erase", "user_id": "ann"})
    erased = told(settings)

    assert changes(joined) == [(cookie, "moved", ann)]
    assert changes(parted)[1:] == [(cookie, "returned", None)]
    assert changes(erased)[2:] == [(ann, "erased", None)]


def test_a_killed_worker_leaves_nobody_untold(
    settings: Settings, worker: WorkerProcess, tmp_path: Path
) -> None:
    worker.start()
    worker.wait_until_ready()

    for k in range(PEOPLE):
        send(
            settings, {"type": "identify", "user_id": f"u{k}", "anonymous_id": f"a{k}"}, wait=False
        )
        if k % 10 == 5:
            worker.kill()
            worker.start()
    found = told(settings)

    expected = {
        (pid(settings, "anonymous", f"a{k}"), "moved", pid(settings, "user", f"u{k}"))
        for k in range(PEOPLE)
    }
    assert set(changes(found)) == expected


def test_the_example_follows_them(settings: Settings, worker: WorkerProcess) -> None:
    own = msgspec.structs.replace(settings, topic_prefix="profiler")
    create_topics(own)
    worker = WorkerProcess(own, worker.log)
    worker.start()
    program = [sys.executable, str(ROOT / "examples/read_updates.py"), own.brokers, own.store_url]
    try:
        send(own, {"type": "identify", "user_id": "ida", "anonymous_id": "a-ida"})
        with subprocess.Popen(program, stdout=subprocess.PIPE, cwd=ROOT, text=True) as reader:
            assert reader.stdout is not None
            line = reader.stdout.readline()
            reader.kill()
    finally:
        worker.kill()

    cookie, ida = pid(own, "anonymous", "a-ida"), pid(own, "user", "ida")
    assert line == f"moved    {cookie}  rev 1: belongs to {ida}\n"


def send(settings: Settings, event: dict[str, Any], *, wait: bool = True) -> None:
    """Send an event of now; wait until it is worked off."""
    stamped = {"ts": time.time_ns() // 1_000_000, **event}
    with EventProducer(settings.brokers, settings.topic("events")) as producer:
        producer.send_raw(None, msgspec.json.encode(stamped))
    if wait:
        wait_until_consumed(settings, WAIT_S)


def told(settings: Settings) -> list[Update]:
    """All updates so far, once every event is worked off."""
    wait_until_consumed(settings, WAIT_S)
    topic = settings.topic("updates")
    ends = ends_of(settings, "updates")
    records = [r for some in portions_until(settings, topic, ends) for r in some]
    records.sort(key=lambda record: record.timestamp or 0)
    updates = [msgspec.json.decode(record.value or b"", type=Update) for record in records]
    assert [(record.key or b"").decode() for record in records] == [
        update.pid for update in updates
    ]
    return updates


def changes(updates: list[Update]) -> list[tuple[str, str, str | None]]:
    return [(update.pid, update.change, update.moved_to) for update in updates]


def pid(settings: Settings, kind: str, subject_id: str) -> str:
    return Pseudonymiser(settings.pseudonym_key.reveal().encode()).pid(kind, subject_id)
