"""How much memory a worker takes while more comes than it can hold.

``python benchmarks/memory.py`` runs one worker with its default settings through three acts, each
on a broker and a store of its own, and reads its resident memory once a second:

* ``users``: ten million users with one event each. The store may have 1 GB and then throws profiles
  away: ten million would take 28 GB, and nobody here comes twice.
* ``stalled``: events come at a steady rate while the store stands still (SIGSTOP).
* ``slow``: the same while the store runs for a tenth of the time only.

It fails if the worker ever had more than its settings allow (`allowed_bytes`), or grows on while
the store stands still.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Final, NamedTuple

import click
import numpy as np
import redis

from benchmarks.consumers import KEY, Servers, WorkerProcess, n_events_in, peak_bytes
from benchmarks.feed import Feed
from profiler.spec import DEFAULT_SPEC
from streams.embedded import EmbeddedBroker, EmbeddedStore
from streams.settings import Secret, Settings
from streams.topics import create_topics

ACTS: Final = ("users", "stalled", "slow")
MB: Final = 1e6
STORE_OPTIONS: Final = {"maxmemory": "1gb", "maxmemory-policy": "volatile-random"}
"""Of the act ``users``. What has no expiry (tombstones, identities of topics) is kept."""

AHEAD_MAX: Final = 500_000
STEADY_USERS: Final = 200_000
"""Twice the arena's rows, so that it evicts in all acts."""
WARM_UP_S: Final = 10.0
STOPPED_S: Final = 0.27
RUNNING_S: Final = 0.03
SAMPLE_S: Final = 1.0
START_TIMEOUT_S: Final = 60.0
STANDSTILL_S: Final = 120.0
N_LINES: Final = 20

PLACE_BYTES: Final = 700
"""Beside each row of the arena: its pid, place, revision, fence and use; the session waited for."""
EVENT_BYTES: Final = 700
"""An event of about 150 bytes as a Python object with key, value, offset and time."""
BATCHES_WAITING: Final = 8
"""Batches of events that are not in the worker's queue: four wait in Faust's, one before it and one
behind, one has been fetched, and the queue may be over its limit by one."""
BATCHES_COMPUTED: Final = 2
"""One is computed while the one before it is written."""
ROWS_PER_EVENT: Final = 8
"""Copies of a row while a batch is computed: as loaded, decoded, gathered, updated, encoded, and
the columns between. `tracemalloc` finds 7.4 at most, and 3 left to be written."""
MEMO_BYTES: Final = 262_144 * 450 + 200_000 * 900
"""Pseudonyms and contents, both full."""
ALLOCATOR: Final = 1.25
"""What malloc holds on to, between arrays of many sizes that come and go in several threads."""
STALLED_MB_PER_MIN: Final = 30.0
"""Growth that is allowed while nothing can be done. Other acts wave too much to be judged by it."""


class Sample(NamedTuple):
    """The worker at one time: seconds since the act began, events done and left, its memory."""

    at_s: float
    n_done: int
    lag: int
    rss_bytes: float


class Act(NamedTuple):
    """What one act showed.

    Parameters
    ----------
    name
        One of `ACTS`.
    samples
        In order of time.
    window
        Seconds from and to which memory was under pressure.
    peak_bytes
        The most that the kernel has ever seen.
    allowed_bytes
        The most that it may be.
    allowed_mb_per_min
        Growth over the last half of the window.
    """

    name: str
    samples: Sequence[Sample]
    window: tuple[float, float]
    peak_bytes: float
    allowed_bytes: float
    allowed_mb_per_min: float = float("inf")

    @property
    def is_bounded(self) -> bool:
        """Whether it stayed within what is allowed."""
        is_growing = self.slope_mb_per_min() > self.allowed_mb_per_min
        return self.peak_bytes <= self.allowed_bytes and not is_growing

    def slope_mb_per_min(self) -> float:
        """Growth over the last half of the window, by least squares."""
        start_s, end_s = self.window
        last = [s for s in self.samples if (start_s + end_s) / 2 <= s.at_s <= end_s]
        if len(last) < 2:  # a line needs two points
            return float("nan")
        slope, _ = np.polyfit([s.at_s for s in last], [s.rss_bytes for s in last], 1)
        return float(slope) * 60 / MB

    def lines(self) -> Iterator[str]:
        """Yield a table of about twenty lines, and one that sums up."""
        yield f"{self.name}: {'s':>8} {'done':>12} {'lag':>12} {'RSS MB':>8}"
        chosen = np.linspace(0, len(self.samples) - 1, N_LINES + 1).round()
        indent = " " * (len(self.name) + 1)
        for k in np.unique(chosen.astype(int)).tolist():
            at_s, n_done, lag, rss_bytes = self.samples[k]
            yield f"{indent} {at_s:>8,.0f} {n_done:>12,} {lag:>12,} {rss_bytes / MB:>8,.0f}"
        first, last = self.samples[0].rss_bytes, self.samples[-1].rss_bytes
        yield (
            f"{self.name}: {first / MB:,.0f} MB at the start, {self.peak_bytes / MB:,.0f} at most "
            f"({self.allowed_bytes / MB:,.0f} allowed), {last / MB:,.0f} at the end; "
            f"{self.slope_mb_per_min():+.1f} MB per minute over the last half of the pressure"
        )


def allowed_bytes(settings: Settings, start_bytes: float) -> float:
    """Sum what the settings let a worker hold, on top of what it has before the first event."""
    row_bytes = DEFAULT_SPEC.dtype.itemsize
    batch = settings.batch_events_max
    arena = settings.arena_rows * (row_bytes + PLACE_BYTES)
    waiting = settings.queue_events_max + (BATCHES_WAITING + BATCHES_COMPUTED) * batch
    computed = BATCHES_COMPUTED * batch * ROWS_PER_EVENT * row_bytes
    return start_bytes + ALLOCATOR * (arena + waiting * EVENT_BYTES + computed + MEMO_BYTES)


class _Stage:
    """One worker with its own broker and store, and what was seen of it."""

    def __init__(self, store: EmbeddedStore, brokers: str, settings: Settings) -> None:
        self.store = store
        self.samples: list[Sample] = []
        self._settings = settings
        self._brokers = brokers
        self._worker = WorkerProcess(
            Servers(brokers=brokers, store_url=store.url), settings.topic_prefix, "memory"
        )
        self._started_s = 0.0

    @contextmanager
    def running(self) -> Iterator[None]:
        with self._worker:
            deadline_s = time.monotonic() + START_TIMEOUT_S
            while not (metrics := self._worker.scrape()):
                self._worker.cpu_s()
                if time.monotonic() > deadline_s:
                    raise TimeoutError("the worker does not answer")
                time.sleep(SAMPLE_S / 10)
            self._started_s = time.monotonic()
            self.samples.append(Sample(0.0, 0, 0, metrics["process_resident_memory_bytes"]))
            yield

    def feed(
        self,
        n_users: int,
        n_events: int = sys.maxsize,
        rate: int | None = None,
        ahead_max: int | None = None,
    ) -> Feed:
        settings = self._settings
        place = self._brokers, settings.topic("events"), settings.partitions
        return Feed(*place, n_users=n_users, n_events=n_events, rate=rate, ahead_max=ahead_max)

    def now_s(self) -> float:
        return time.monotonic() - self._started_s

    def watch(
        self, feed: Feed, is_over: Callable[[], bool], patience_s: float = STANDSTILL_S
    ) -> None:
        """Look once a second until it is over."""
        moved_s = self.now_s()
        while not is_over():
            time.sleep(SAMPLE_S)
            feed.check()
            self._worker.cpu_s()
            try:
                metrics = self._worker.scrape()
            except TimeoutError:
                continue
            n_done = n_events_in(metrics)
            if n_done > feed.n_done:
                moved_s = self.now_s()
            elif self.now_s() - moved_s > patience_s:
                raise TimeoutError(f"no progress after {n_done:,} events")
            feed.n_done = n_done
            rss_bytes = metrics["process_resident_memory_bytes"]
            self.samples.append(Sample(self.now_s(), n_done, feed.n_sent - n_done, rss_bytes))

    def watch_for(self, feed: Feed, seconds: float) -> None:
        """Look for some time."""
        end_s = self.now_s() + seconds
        self.watch(feed, lambda: self.now_s() >= end_s, patience_s=2 * seconds)

    def watch_to_the_end(self, feed: Feed) -> None:
        """Send no more, and look until everything is done."""
        feed.stop()
        self.watch(feed, lambda: feed.n_done >= feed.n_sent)

    def told(self, name: str, window: tuple[float, float]) -> Act:
        process_id = self._worker.process_id
        allowed = allowed_bytes(self._settings, self.samples[0].rss_bytes)
        return Act(name, self.samples, window, peak_bytes(process_id), allowed)


@contextmanager
def _stage(name: str) -> Iterator[_Stage]:
    with EmbeddedStore() as store, EmbeddedBroker() as broker:
        settings = Settings(pseudonym_key=Secret(KEY), brokers=broker.address, topic_prefix=name)
        create_topics(settings)
        stage = _Stage(store, broker.address, settings)
        with stage.running():
            yield stage


def many_users(n_users: int) -> Act:
    """Send one event of each user."""
    with _stage("users") as stage:
        with redis.Redis.from_url(stage.store.url) as admin:
            for name, value in STORE_OPTIONS.items():
                admin.config_set(name, value)
        with stage.feed(n_users, n_users, ahead_max=AHEAD_MAX) as feed:
            stage.watch(feed, lambda: feed.n_done >= n_users)
        return stage.told("users", (0.0, stage.now_s()))


def stalled_store(rate: int, seconds: float) -> Act:
    """Send at a rate while the store stands still."""
    act = _pressed("stalled", _stopped, rate, seconds)
    return act._replace(allowed_mb_per_min=STALLED_MB_PER_MIN)


def slow_store(rate: int, seconds: float) -> Act:
    """Send at a rate while the store hardly runs."""
    return _pressed("slow", _slowed, rate, seconds)


def _pressed(
    name: str,
    pressure: Callable[[int], AbstractContextManager[None]],
    rate: int,
    seconds: float,
) -> Act:
    with _stage(name) as stage:
        process_id = stage.store.process_id
        assert process_id is not None
        with stage.feed(STEADY_USERS, rate=rate) as feed:
            stage.watch(feed, lambda: feed.n_done > 0)
            stage.watch_for(feed, WARM_UP_S)
            start_s = stage.now_s()
            with pressure(process_id):
                stage.watch_for(feed, seconds)
            end_s = stage.now_s()
            stage.watch_to_the_end(feed)
        return stage.told(name, (start_s, end_s))


@contextmanager
def _stopped(process_id: int) -> Iterator[None]:
    os.kill(process_id, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(process_id, signal.SIGCONT)


@contextmanager
def _slowed(process_id: int) -> Iterator[None]:
    is_over = threading.Event()

    def slow_down() -> None:
        while not is_over.wait(RUNNING_S):
            with _stopped(process_id):
                is_over.wait(STOPPED_S)

    thread = threading.Thread(target=slow_down, name="slow", daemon=True)
    thread.start()
    try:
        yield
    finally:
        is_over.set()
        thread.join()


@click.command()
@click.option("--users", default=10_000_000, show_default=True, help="With one event each.")
@click.option("--seconds", default=60.0, show_default=True, help="Of a store that is away or slow.")
@click.option("--rate", default=20_000, show_default=True, help="Events per second meanwhile.")
@click.option("--act", "acts", type=click.Choice(ACTS), multiple=True, help="Only this one.")
def main(users: int, seconds: float, rate: int, acts: tuple[str, ...]) -> None:
    """Show a worker's memory over time; fail if it is not bounded."""
    plays: dict[str, Callable[[], Act]] = {
        "users": lambda: many_users(users),
        "stalled": lambda: stalled_store(rate, seconds),
        "slow": lambda: slow_store(rate, seconds),
    }
    seen = []
    for name in acts or ACTS:
        act = plays[name]()
        print("\n".join([*act.lines(), ""]), flush=True)
        seen.append(act)
    if not all(act.is_bounded for act in seen):
        sys.exit(1)


if __name__ == "__main__":
    main()
