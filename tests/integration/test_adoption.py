"""A topic that was made anew, or that lost its end, is noticed, and nothing of it is skipped."""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import pytest
from kafka import KafkaAdminClient, TopicPartition
from kafka.structs import OffsetAndMetadata

from profiler.errors import ProfilerError
from profiler.spec import DEFAULT_SPEC
from profiler.state import decode_states
from streams.assembly import open_store
from streams.cli import main
from streams.embedded import EmbeddedStore
from streams.eventlog import wait_until_consumed
from streams.producer import EventProducer
from streams.settings import Settings
from streams.topics import create_topics
from streams.worker_process import WorkerProcess
from tests.integration.rig import WAIT_S, until, workers
from tests.servers.apache_kafka import ApacheKafka

pytestmark = pytest.mark.integration


@pytest.fixture
def broker(kafka: ApacheKafka) -> ApacheKafka:
    """A real one: it forgets the offsets of a topic that is deleted."""
    return kafka


@pytest.fixture
def store() -> Iterator[EmbeddedStore]:
    """One of its own for each test: everybody in it is counted."""
    with EmbeddedStore() as running:
        yield running


def test_a_topic_that_was_made_anew_is_read_after_it_was_adopted(
    topics: Settings, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with workers(topics, tmp_path) as (worker,):
        worker.start()
        worker.wait_until_ready()
        send(topics, "old", 200)
        worker.stop()
        make_anew(topics, "events")

        refusal = refused(worker)
        capsys.readouterr()
        assert main(["topics", "adopt", "--json"]) == 0
        adopted = json.loads(capsys.readouterr().out)["topics"]
        worker.start()
        send(topics, "new", 100)

    assert "events was made anew" in refusal
    assert "profiler topics adopt" in refusal
    assert [topic["outcome"] for topic in adopted] == ["made anew", "unchanged"]
    assert n_accepted(topics) == 300


def test_a_topic_that_is_made_anew_under_a_worker_ends_it(
    topics: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with workers(topics, tmp_path) as (worker,):
        worker.start()
        worker.wait_until_ready()
        send(topics, "old", 200)
        make_anew(topics, "events")
        until(lambda: has_ended(worker))

        refusal = refused(worker, is_running=True)

    assert "events was made anew" in refusal


def test_a_topic_that_lost_its_end_goes_on_after_it_was_adopted(
    topics: Settings, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with workers(topics, tmp_path) as (worker,):
        worker.start()
        worker.wait_until_ready()
        send(topics, "old", 200)
        worker.stop()
        # As if an unclean election had cut the log: the group has read more than there is.
        commit(topics, {0: 1_000})

        refusal = refused(worker)
        assert main(["topics", "adopt"]) == 0
        said = capsys.readouterr().out
        worker.start()
        send(topics, "new", 100)

    assert "it lost its end" in refusal
    assert "events  lost its end; partitions begin: 0 at " in said
    assert n_accepted(topics) == 300


@pytest.mark.parametrize("dies", [False, True], ids=["ends by itself", "is killed"])
def test_a_topic_that_loses_its_end_costs_nothing_that_was_read(
    topics: Settings, tmp_path: Path, dies: bool
) -> None:
    """The worker has applied what it has not committed yet: none of it may come again unfenced,
    and nothing new may be taken for it."""
    with ApacheKafka() as mortal, worker_on(mortal, topics, tmp_path) as (settings, worker):
        worker.start()
        worker.wait_until_ready()
        n_applied = send(settings, "applied but not committed", 500, wait=False)
        until(lambda: n_accepted(settings) == n_applied)
        if dies:
            worker.kill()
        cut_off(mortal, settings, partition=0)
        if not dies:
            until(lambda: has_ended(worker), timeout_s=90)

        refusal = refused(worker, is_running=not dies)
        assert main(["topics", "adopt"]) == 0
        worker.start()
        send(settings, "new", 100, wait=False)

        assert "lost its end" in refusal
        until(lambda: n_accepted(settings) >= n_applied + 100)
        worker.stop()
        assert n_accepted(settings) == n_applied + 100


def test_nothing_is_adopted_while_workers_run(
    topics: Settings, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with workers(topics, tmp_path) as (worker,):
        worker.start()
        worker.wait_until_ready()

        code = main(["topics", "adopt"])

    assert code == 2
    assert "has 1 members: stop all workers first" in capsys.readouterr().err


@contextmanager
def worker_on(
    kafka: ApacheKafka, settings: Settings, directory: Path
) -> Iterator[tuple[Settings, WorkerProcess]]:
    """Settings for a broker of one's own, whose data may be damaged, and a worker."""
    mine = msgspec.structs.replace(
        settings, brokers=kafka.address, commit_interval_s=3_600, stall_timeout_s=7_200
    )
    create_topics(mine)
    with (
        pytest.MonkeyPatch.context() as patch,
        workers(mine, directory) as (worker,),
    ):
        patch.setenv("PROFILER_BROKERS", kafka.address)
        yield mine, worker


def cut_off(kafka: ApacheKafka, settings: Settings, partition: int) -> None:
    """Take the second half of a partition away, as an unclean election would."""
    log = kafka.log_file(settings.topic("events"), partition)
    kafka.kill()
    with log.open("r+b") as file:
        file.truncate(log.stat().st_size // 2)
    kafka.start()


def send(settings: Settings, prefix: str, n: int, *, wait: bool = True) -> int:
    """Events without ids of some people; returns their number, once they are read."""
    now_ms = time.time_ns() // 1_000_000
    with EventProducer(settings.brokers, settings.topic("events")) as producer:
        for k in range(n):
            event = {"type": "click", "ts": now_ms, "user_id": f"u{k % 7}", "item_id": prefix}
            producer.send_raw(f"u{k % 7}".encode(), json.dumps(event).encode())
    if wait:
        wait_until_consumed(settings, WAIT_S)
    return n


def refused(worker: WorkerProcess, *, is_running: bool = False) -> str:
    """What a worker says when it ends instead of becoming ready."""
    if not is_running:
        worker.start()
    with pytest.raises(ProfilerError) as refusal:
        worker.wait_until_ready()
    worker.stop()
    return str(refusal.value)


def has_ended(worker: WorkerProcess) -> bool:
    try:
        worker.check()
    except ProfilerError:
        return True
    return False


def make_anew(settings: Settings, name: str) -> None:
    admin = KafkaAdminClient(bootstrap_servers=settings.brokers)
    full = settings.topic(name)
    before = admin.describe_topics([full])[0]["topic_id"]
    admin.delete_topics([full])
    until(lambda: full not in admin.list_topics())
    create_topics(settings)
    until(lambda: admin.describe_topics([full])[0]["topic_id"] != before)
    admin.close()


def commit(settings: Settings, offsets: dict[int, int]) -> None:
    admin = KafkaAdminClient(bootstrap_servers=settings.brokers)
    name = settings.topic("events")
    wanted = {TopicPartition(name, n): OffsetAndMetadata(at, "", None) for n, at in offsets.items()}
    admin.alter_group_offsets(settings.group, wanted)
    admin.close()


def n_accepted(settings: Settings) -> int:
    """Events that the profiles hold."""

    async def count() -> int:
        store = open_store(settings)
        counts: Counter[str] = Counter()
        try:
            async for chunk in store.scan():
                stored = decode_states([value for _, value in chunk], DEFAULT_SPEC, {})
                counts["n"] += int(stored.rows["core.n_accepted"].sum())
        finally:
            await store.close()
        return counts["n"]

    return asyncio.run(count())
