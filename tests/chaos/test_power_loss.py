"""A store that loses its last second of writes: the events behind them must be applied again."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from streams import worker_process
from streams.embedded import EmbeddedBroker
from streams.eventlog import wait_until_consumed
from streams.settings import Secret, Settings
from streams.spawn import free_port
from streams.topics import create_topics
from streams.worker_process import WorkerProcess
from tests.chaos.load import Load
from tests.chaos.verdict import check_profiles
from tests.servers.mortal_store import MortalStore
from tests.servers.redis_server import Kind

pytestmark = pytest.mark.integration

SEED = 5
EVENTS_PER_S = 1_500
UNSYNCED_BYTES_MIN = 1_000_000
N_LOSSES = 3
WAIT_S = 60.0
STILL_S = 3.0


class Scene:
    """Broker, store and one worker under load."""

    def __init__(self, broker: EmbeddedBroker, store: MortalStore, directory: Path) -> None:
        self.store = store
        self.settings = Settings(
            pseudonym_key=Secret("k" * 32),
            brokers=broker.address,
            store_url=store.url,
            session_timeout_s=1.0,
            commit_interval_s=0.1,
            web_port=free_port(),
        )
        self.worker = WorkerProcess(self.settings, directory / "worker.log")
        self.load = Load(directory, seed=SEED, events_per_s=EVENTS_PER_S)

    def work(self, n_records: int) -> None:
        """Return once the worker has worked on so many records since its start."""
        until(lambda: self.worker.scrape().n_records > n_records)

    def lose_power(self) -> None:
        """Let the store lose what it wrote lately, which is a good deal."""
        until(self._stands_still_unsynced)
        n_lost = self.store.lose_power()
        print(f"seed {SEED}: lost {n_lost} bytes")
        assert n_lost > UNSYNCED_BYTES_MIN

    def _stands_still_unsynced(self) -> bool:
        if self.store.unsynced_bytes <= UNSYNCED_BYTES_MIN:
            return False
        # Else it might sync between the look and the kill.
        self.store.process.freeze()
        if self.store.unsynced_bytes > UNSYNCED_BYTES_MIN:
            return True
        self.store.process.thaw()
        return False


@pytest.fixture(params=["redis", "valkey"])
def scene(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Scene]:
    kind: Kind = request.param
    with EmbeddedBroker() as broker, MortalStore(kind, tmp_path / "store") as store:
        scene = Scene(broker, store, tmp_path)
        create_topics(scene.settings)
        try:
            scene.worker.start()
            scene.worker.wait_until_ready()
            scene.load.start(scene.settings)
            yield scene
        finally:
            scene.load.kill()
            scene.worker.kill()


def test_a_worker_that_lives_on_goes_back_to_what_is_durable(scene: Scene) -> None:
    for _ in range(N_LOSSES):
        scene.work(scene.worker.scrape().n_records + 2 * EVENTS_PER_S)
        scene.lose_power()
        scene.store.start()

    assert_nothing_is_lost(scene)


def test_offsets_are_committed_for_what_is_durable_alone(scene: Scene) -> None:
    for _ in range(N_LOSSES):
        scene.work(2 * EVENTS_PER_S)
        scene.lose_power()
        scene.worker.kill()
        scene.store.start()
        scene.worker.start()
        scene.worker.wait_until_ready()

    assert_nothing_is_lost(scene)


def test_a_store_that_stays_away_for_long_is_not_believed_meanwhile(scene: Scene) -> None:
    scene.work(2 * EVENTS_PER_S)
    scene.lose_power()
    died_s = time.monotonic()
    until(lambda: time.monotonic() > died_s + 2 * scene.settings.durable_after_s)
    scene.store.start()

    assert_nothing_is_lost(scene)


NO_SEEK_BACK = """
from streams.worker import Worker

async def start_over(worker, rewind, fault):
    async def nowhere(): pass
    await go_back(worker, nowhere, fault)

go_back, Worker._start_over = Worker._start_over, start_over
"""


def test_without_the_seek_back_it_loses_what_the_store_lost(
    scene: Scene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The test of these tests: the worker is made to forget the seek as Python starts."""
    (tmp_path / "sitecustomize.py").write_text(NO_SEEK_BACK)
    plain = worker_process.environment_of
    planted = {"PYTHONPATH": str(tmp_path)}
    monkeypatch.setattr(
        worker_process, "environment_of", lambda settings: plain(settings) | planted
    )
    scene.worker.kill()
    scene.worker.start()
    scene.worker.wait_until_ready()
    scene.work(2 * EVENTS_PER_S)
    scene.lose_power()
    scene.store.start()
    scene.work(scene.worker.scrape().n_records + 2 * EVENTS_PER_S)

    scene.load.stop()
    until(lambda: stands_still(scene.worker))
    report = check_profiles(scene.settings, scene.load.ledger)
    print(f"seed {SEED}: without the seek back lost={report.lost} of {report.records}")
    assert report.lost


def assert_nothing_is_lost(scene: Scene) -> None:
    account = scene.load.stop()
    wait_until_consumed(scene.settings, WAIT_S)
    report = check_profiles(scene.settings, scene.load.ledger)
    assert account.acknowledged > N_LOSSES * EVENTS_PER_S
    assert (report.lost, report.duplicated, report.mismatched, report.stale) == (0, 0, 0, 0)


def stands_still(worker: WorkerProcess) -> bool:
    """Whether a worker takes nothing more; what was in flight at a fault it never commits."""
    n_records, since_s = worker.scrape().n_records, time.monotonic()
    while time.monotonic() < since_s + STILL_S:
        if worker.scrape().n_records > n_records:
            return False
        time.sleep(0.1)
    return True


def until(is_so: Callable[[], bool]) -> None:
    deadline_s = time.monotonic() + WAIT_S
    while not is_so():
        assert time.monotonic() < deadline_s, "it did not happen in time"
        time.sleep(0.01)
