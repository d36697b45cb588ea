"""The whole way, with a real broker, a real store, and a worker that is a process of its own."""

from __future__ import annotations

import asyncio
import json
import os
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
import redis

from profiler.events import Erase
from profiler.faults import FAULTS
from profiler.privacy.pseudonym import Pseudonymiser
from profiler.simulate import DUPLICATE, LATE, SimulationParams, simulate
from profiler.sources import source_named
from streams.assembly import open_store
from streams.cli import main
from streams.client import ProfileClient
from streams.embedded import EmbeddedStore
from streams.letterbox import list_dead_letters
from streams.producer import EventProducer
from streams.replay import ReplayOptions, Speed, replay
from streams.settings import Settings
from streams.topics import create_topics
from streams.worker_process import WorkerProcess, environment_of
from tests.integration.rig import audited, until

pytestmark = pytest.mark.integration

DAY_MS = 86_400_000
WAIT_S = 30.0
N_REPLAYED = 15_000
REPLAYED_PER_S = 3_000
DATA = Path(os.environ.get("PROFILER_DATA_DIR", Path(__file__).parents[3] / "shared/data"))


@pytest.fixture
def store() -> Iterator[EmbeddedStore]:
    """A store of its own for each test: an audit looks at everybody in it."""
    with EmbeddedStore() as running:
        yield running


@pytest.fixture
def worker(settings: Settings, tmp_path: Path) -> Iterator[WorkerProcess]:
    """A worker that is not started yet; its topics exist."""
    create_topics(settings)
    process = WorkerProcess(settings, tmp_path / "worker.log")
    yield process
    process.kill()


def test_every_broken_record_is_kept_with_its_reason_and_the_others_are_applied(
    settings: Settings, worker: WorkerProcess
) -> None:
    params = SimulationParams(
        start_ms=now_ms() - 5 * DAY_MS,
        span_ms=5 * DAY_MS,
        users=40,
        duplicates=0.05,
        late=0.05,
        broken=0.15,
    )
    records = list(simulate(params, seed=3))
    worker.start()

    with EventProducer(settings.brokers, settings.topic("events")) as producer:
        for record in records:
            producer.send_raw(record.key, record.value)
        producer.send_raw(b"alice", b'{"type":"search","query":"' + b"x" * 1_000_000 + b'"}')
    report = audited(settings)

    broken = [r for r in records if r.fault not in (None, DUPLICATE, LATE)]
    assert {r.fault for r in broken} == {reason for reason, _ in FAULTS}
    letters = list_dead_letters(settings, limit=10_000)
    giants = [letter for letter in letters if letter.key == b"alice"]
    assert [(letter.reason, letter.n_bytes) for letter in giants] == [("oversize", 1_000_028)]
    found = Counter((x.reason, x.key, x.value) for x in letters if x.key != b"alice")
    assert found == Counter((r.fault, r.key, r.value) for r in broken)
    assert (report.mismatched, report.stale) == (0, 0)
    assert report.profiles > 30
    n_duplicates = sum(r.fault == DUPLICATE for r in records)
    assert report.outcomes["applied"] == len(records) - len(broken) - n_duplicates


def test_a_worker_that_is_killed_in_the_middle_of_a_replay_loses_and_repeats_nothing(
    settings: Settings, worker: WorkerProcess, tmp_path: Path
) -> None:
    ledger = tmp_path / "ledger.jsonl"
    worker.start()
    worker.wait_until_ready()

    replaying = start_replay(settings, tmp_path, ledger)
    until(lambda: worker.scrape().n_records > N_REPLAYED // 5)
    worker.kill()
    n_at_kill = len(asyncio.run(states(settings)))
    worker.start()
    replaying.join()
    report = audited(settings, ledger)

    assert 0 < n_at_kill < report.profiles
    assert (report.mismatched, report.stale, report.lost, report.duplicated) == (0, 0, 0, 0)


def test_the_erased_stay_erased(settings: Settings, worker: WorkerProcess) -> None:
    at_ms = now_ms() - DAY_MS
    clicks = [
        b'{"type":"click","ts":%d,"user_id":"%b","event_id":"%b-%d","item_id":"i%d"}'
        % (at_ms + k, user, user, k, k)
        for user in (b"alice", b"bob")
        for k in range(20)
    ]
    erase = msgspec.json.encode(Erase(ts=at_ms + 1_000, user_id="alice"))
    later = b'{"type":"click","ts":%d,"user_id":"alice","item_id":"new"}' % (at_ms + 2_000)
    pid = Pseudonymiser(settings.pseudonym_key.reveal().encode()).pid("user", "alice")
    profile, state = f"profile:{{{pid}}}", f"state:{{{pid}}}"
    worker.start()

    with redis.Redis.from_url(settings.store_url) as store:
        send(settings, clicks)
        audited(settings)
        existed = store.exists(profile, state)
        send(settings, [erase])
        audited(settings)
        after_erase = store.exists(profile), store.get(state), store.ttl(state)
        send(settings, [later, *clicks])
        report = audited(settings)
        after_replay = store.exists(profile), store.get(state), store.ttl(state)

    assert existed == 2
    n_profiles, tombstone, ttl_s = after_erase
    assert n_profiles == 0
    assert isinstance(tombstone, bytes)
    assert tombstone[0] == 2
    assert ttl_s == -1
    assert after_replay == after_erase
    assert (report.mismatched, report.stale) == (0, 0)
    with ProfileClient(settings.store_url, settings.pseudonym_key.reveal()) as client:
        assert client.get("alice") is None
        assert client.get("bob") is not None


def test_a_store_that_goes_and_comes_back_costs_time_and_nothing_else(
    settings: Settings, tmp_path: Path
) -> None:
    ledger = tmp_path / "ledger.jsonl"
    with EmbeddedStore(appendonly=True, directory=tmp_path / "store") as store:
        settings = msgspec.structs.replace(settings, store_url=store.url, store_timeout_s=1.0)
        create_topics(settings)
        worker = WorkerProcess(settings, tmp_path / "worker.log")
        try:
            worker.start()
            worker.wait_until_ready()
            replaying = start_replay(settings, tmp_path, ledger)
            until(lambda: worker.scrape().n_records > N_REPLAYED // 5)
            store.stop()
            until(lambda: "paused" in messages(worker))
            replaying.join()
            store.start()
            report = audited(settings, ledger)
        finally:
            worker.kill()

    assert (report.mismatched, report.stale, report.lost, report.duplicated) == (0, 0, 0, 0)
    said = Counter(messages(worker))
    assert (said["paused"], said["resumed"]) == (1, 1)


def test_a_public_data_set_goes_the_whole_way_by_the_command_line(
    settings: Settings,
    worker: WorkerProcess,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    file = DATA / "taobao_burst.csv.gz"
    if not file.exists():
        pytest.skip(f"{file} is absent: set PROFILER_DATA_DIR to the folder with it")
    for name, text in environment_of(settings).items():
        monkeypatch.setenv(name, text)
    ledger = str(tmp_path / "ledger.jsonl")
    worker.start()

    options = ["--source", "taobao", "--limit", "20000", "--ledger", ledger, "--json"]
    replayed = main(["replay", str(file), *options])
    sent = json.loads(capsys.readouterr().out)
    code = main(["audit", "--wait", "30", "--ledger", ledger, "--json"])
    found = json.loads(capsys.readouterr().out)
    got = main(["get", "pid:nobody", "--json"])

    assert (replayed, code, got) == (0, 0, 1)
    assert sent["events"] == found["records"] == found["outcomes"]["applied"] == 20_000
    assert [found[name] for name in ("mismatched", "stale", "lost", "duplicated")] == [0, 0, 0, 0]
    assert found["profiles"] > 10_000


def now_ms() -> int:
    return time.time_ns() // 1_000_000


def start_replay(settings: Settings, directory: Path, ledger: Path) -> threading.Thread:
    """Replay a file for a few seconds, in a thread."""
    file = directory / "events.jsonl"
    params = SimulationParams(start_ms=now_ms() - 5 * DAY_MS, span_ms=5 * DAY_MS, users=1_000)
    values = [r.value for r in simulate(params, seed=4) if r.fault in (None, DUPLICATE, LATE)]
    file.write_bytes(b"\n".join(values) + b"\n")
    options = ReplayOptions(
        speed=Speed(events_per_s=REPLAYED_PER_S), limit=N_REPLAYED, ledger=ledger, progress=False
    )
    thread = threading.Thread(
        target=replay, args=([file], source_named("native"), settings, options)
    )
    thread.start()
    return thread


def send(settings: Settings, values: list[bytes]) -> None:
    with EventProducer(settings.brokers, settings.topic("events")) as producer:
        for record in source_named("native").convert(values, "test"):
            producer.send_raw(record.key, record.value)


async def states(settings: Settings) -> list[str]:
    """Pids of all stored states."""
    store = open_store(settings)
    try:
        return [pid async for chunk in store.scan() for pid, _ in chunk]
    finally:
        await store.close()


def messages(worker: WorkerProcess) -> list[str]:
    """What a worker's log lines say, without their details."""
    lines = worker.log.read_bytes().splitlines()
    return [json.loads(line)["message"] for line in lines if line.startswith(b"{")]
