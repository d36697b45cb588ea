"""The worker: batches in, profiles out. It knows Kafka only as deliveries, and no engine at all.

One loop. What waits is coalesced into one batch over all partitions (group commit); its missing
rows are loaded in one read; it is computed; and while its write is on the wire the next batch is
computed on its uncommitted rows. Nothing of that next batch is sent before the replies are in. A
profile whose write was refused is dropped from both, loaded again, and its events applied again:
the fence drops what had been applied.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import Counter, deque
from collections.abc import Callable, Collection, Sequence
from typing import Final, NamedTuple, Protocol

import msgspec
import numpy as np
from msgspec import Struct

from profiler.batch import Chunk, Preparer, Record
from profiler.dedupe import partition_code
from profiler.errors import ConfigurationError, StoreUnavailable
from profiler.models.bank import ModelBank
from profiler.spec import Spec
from streams.arena import Arena
from streams.deadletter import DeadLetter
from streams.figures import Figures
from streams.log import get_logger
from streams.metrics import BatchFigures, Metrics
from streams.patience import Patience
from streams.store import Erasure, ProfileWrite, Store
from streams.updater import Updater, Work, rejected_records

IDLE_S: Final = 60.0
BATCHES_IN_ARENA: Final = 3
OVERLAP_EVENTS_MIN: Final = 1_024
"""Waiting events from which on the next batch is computed while a write is on the wire. With fewer
the worker is not behind, and threads that take turns at the interpreter would only delay the write.
"""
EVENTS_TOPIC: Final = 0

_log = get_logger(component="worker")


class Delivery(Struct):
    """Records of one partition that were fetched together.

    Parameters
    ----------
    topic, partition
        Where they came from.
    records
        In order of offset.
    acknowledge
        To be called, in the loop's thread, once every record's effect is durable.
    """

    topic: str
    partition: int
    records: Sequence[Record]
    acknowledge: Callable[[], None]


class DeadLetters(Protocol):
    """Where records go that cannot be applied."""

    async def send(self, letters: Sequence[DeadLetter]) -> None:
        """Return once they are kept."""


class Limits(Struct, frozen=True, kw_only=True):
    """How much a worker takes on.

    Parameters
    ----------
    batch_events_max
        Records of one batch, give or take a delivery.
    queue_events_max
        Records waiting; beyond it `Worker.submit` waits.
    arena_rows
        Rows kept in memory.
    figures_interval_s
        How often model quality and weights go to the store.
    """

    batch_events_max: int = 16_384
    queue_events_max: int = 65_536
    arena_rows: int = 100_000
    figures_interval_s: float = 10.0


class _Flight(NamedTuple):
    """A batch whose write is on the wire."""

    work: Work
    deliveries: list[Delivery]
    write: asyncio.Task[set[str]]


class Worker:
    """Takes deliveries, updates profiles, and acknowledges what is durable.

    Parameters
    ----------
    spec, preparer, bank
        The pure core.
    store, dead_letters
        The edges.
    metrics
        Told once per batch.
    limits
        Bounds.
    worker_id
        Under which its figures are published.

    Raises
    ------
    ConfigurationError
        If the arena is too small for the batches.
    """

    def __init__(
        self,
        *,
        spec: Spec,
        preparer: Preparer,
        bank: ModelBank,
        store: Store,
        dead_letters: DeadLetters,
        metrics: Metrics,
        limits: Limits,
        worker_id: str = "worker",
    ) -> None:
        least = BATCHES_IN_ARENA * limits.batch_events_max
        if limits.arena_rows < least:
            problem = f"must be at least {least}: three times PROFILER_BATCH_EVENTS_MAX"
            raise ConfigurationError("PROFILER_ARENA_ROWS", problem)
        self._spec = spec
        self._store = store
        self._dead_letters = dead_letters
        self._metrics = metrics
        self._limits = limits
        self._patience = Patience(metrics)
        self._updater = Updater(spec, preparer, bank, Arena(spec, limits.arena_rows), store)
        self._figures = Figures(store, bank, metrics, worker_id)
        self._queue: deque[Delivery] = deque()
        self._queued_events = 0
        self._arrived = asyncio.Event()
        self._has_room = asyncio.Event()
        self._has_room.set()
        self._idle = asyncio.Event()
        self._idle.set()
        self._last_batch_s = time.monotonic()
        metrics.set_arena_capacity(limits.arena_rows)

    async def submit(self, delivery: Delivery) -> None:
        """Queue a delivery; waits while the queue is full, not until the delivery is durable."""
        while self._queued_events >= self._limits.queue_events_max:
            self._has_room.clear()
            await self._has_room.wait()
        self._queue.append(delivery)
        self._queued_events += len(delivery.records)
        self._idle.clear()
        self._arrived.set()

    async def drain(self) -> None:
        """Return once everything submitted has been acknowledged."""
        await self._idle.wait()

    async def assigned(self, partitions: Collection[tuple[str, int]]) -> None:
        """Expect deliveries of these partitions."""
        _log.info("assigned", partitions=sorted(p for _, p in partitions))

    async def revoked(self, partitions: Collection[tuple[str, int]]) -> None:
        """Finish what is in flight, then forget the people of these partitions."""
        numbers = sorted(p for _, p in partitions)
        try:
            await self.drain()
        finally:
            # Also when it is cut short: another worker may write these rows from now on.
            self._updater.forget({partition_code(EVENTS_TOPIC, p) for p in numbers})
            for number in numbers:
                self._metrics.forget_partition(number)
            _log.info("revoked", partitions=numbers)

    async def ping(self) -> None:
        """Ask the store for an answer."""
        await self._store.ping()

    async def run(self) -> None:
        """Work until cancelled."""
        layout = msgspec.json.encode(self._spec.layout())
        await self._patience.until_done(lambda: self._store.put_spec(self._spec.hash, layout))
        await self._patience.until_done(self._figures.restore)
        reporting = asyncio.create_task(self._report())
        try:
            await self._loop()
        finally:
            reporting.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await reporting

    async def _loop(self) -> None:
        flight: _Flight | None = None
        try:
            while True:
                await self._wait_for_work(flight)
                deliveries = self._take()
                work = await self._compute(_chunks(deliveries)) if deliveries else None
                if flight is not None:
                    await self._land(flight, work)
                flight = None
                if work is not None:
                    write = asyncio.create_task(self._write(work))
                    flight = _Flight(work, deliveries, write)
                elif not self._queue:
                    self._idle.set()
        finally:
            if flight is not None:
                flight.write.cancel()

    async def _wait_for_work(self, flight: _Flight | None) -> None:
        """Return when there is something to do that should not wait for the write on the wire."""
        self._arrived.clear()
        if flight is not None:
            is_behind = self._queued_events >= min(
                OVERLAP_EVENTS_MIN, self._limits.batch_events_max
            )
            if not is_behind:
                await asyncio.wait({flight.write})
        elif not self._queue:
            await self._arrived.wait()

    def _take(self) -> list[Delivery]:
        """What waits, up to a batch."""
        taken: list[Delivery] = []
        n_events = 0
        while self._queue and n_events < self._limits.batch_events_max:
            delivery = self._queue.popleft()
            n_events += len(delivery.records)
            taken.append(delivery)
        self._queued_events -= n_events
        self._has_room.set()
        return taken

    async def _compute(self, chunks: Sequence[Chunk]) -> Work:
        async def load(pids: Sequence[str]) -> list[bytes | None]:
            return await self._patience.until_done(lambda: self._store.load(pids))

        self._last_batch_s = time.monotonic()
        return await self._updater.compute(chunks, load)

    async def _write(self, work: Work) -> set[str]:
        """Send a batch: dead letters, names, profiles. Returns the people who were refused."""
        started = time.perf_counter()
        await self._send_letters(work)
        refused, _ = await asyncio.gather(self._commit(work.writes), self._put_names(work))
        work.seconds["write"] = time.perf_counter() - started
        if not refused:
            self._observe(work, 0)
        return refused

    async def _send_letters(self, work: Work) -> None:
        letters = [DeadLetter(record, reason) for record, reason in rejected_records(work)]
        if letters:
            await self._patience.until_done(lambda: self._dead_letters.send(letters))

    async def _commit(self, writes: dict[str, ProfileWrite | Erasure]) -> set[str]:
        """Write profiles. A repetition of what had arrived is refused, and so reloaded."""
        if not writes:
            return set()
        answers = await self._patience.until_done(lambda: self._store.commit(list(writes.values())))
        return {pid for pid, is_written in zip(writes, answers, strict=True) if not is_written}

    async def _put_names(self, work: Work) -> None:
        if work.names:
            await self._patience.until_done(lambda: self._store.put_names(work.names))

    async def _land(self, flight: _Flight, following: Work | None) -> None:
        """Wait for a batch's replies, settle what was refused, and acknowledge it."""
        refused = await flight.write
        if refused:
            await self._settle(refused, flight.work, following)
            self._observe(flight.work, len(refused))
        for delivery in flight.deliveries:
            delivery.acknowledge()

    async def _settle(self, refused: set[str], work: Work, following: Work | None) -> None:
        """Apply again, on what the store has, the events of people whose write was refused."""
        chunks = work.records_of(refused)
        if following is not None:
            chunks += following.records_of(refused)
            for pid in refused:
                following.writes.pop(pid, None)
        _log.warning("commit_refused", profiles=len(refused))
        while refused:
            self._updater.arena.drop(refused)
            again = await self._compute(chunks)
            # What fails on the row as it is now may not have failed before.
            await self._send_letters(again)
            refused = await self._commit(again.writes)
            chunks = again.records_of(refused)

    def _observe(self, work: Work, n_refused: int) -> None:
        """Tell what a batch did, once all of it is readable."""
        now_s = time.time()
        prepared, outcomes = work.prepared, work.processed.outcomes
        # A record without a timestamp, or with one from a faster clock, has no delay to speak of.
        readable_s = now_s - prepared.stamped_ms[prepared.stamped_ms > 0] / 1000
        reasons = Counter(reason for _, reason in rejected_records(work))
        self._metrics.observe_batch(
            BatchFigures(
                n_events=len(prepared.records),
                outcomes=outcomes,
                dead_letters=reasons,
                seconds=work.seconds,
                readable_s=np.maximum(readable_s, 0.0),
                n_conflicts=n_refused,
                arena_rows=len(self._updater.arena),
                committed_at_s=now_s,
            )
        )
        for code, watermark_ms in self._updater.watermarks_ms().items():
            self._metrics.set_partition(code & 0xFFFFFF, watermark_ms=watermark_ms)
        _log.info(
            "batch",
            records=len(prepared.records),
            profiles=len(work.writes),
            **{name: n for name, n in outcomes.items() if n},
            **{f"{step}_s": round(seconds, 6) for step, seconds in work.seconds.items()},
        )

    async def _report(self) -> None:
        """Every now and then: figures to the store, and sessions that ended while nothing came."""
        while True:
            await asyncio.sleep(self._limits.figures_interval_s)
            if time.monotonic() - self._last_batch_s > IDLE_S and self._idle.is_set():
                self._updater.expire(int(time.time() * 1000))
            with contextlib.suppress(StoreUnavailable):
                await self._figures.publish()


def _chunks(deliveries: Sequence[Delivery]) -> list[Chunk]:
    return [Chunk(EVENTS_TOPIC, d.partition, d.records) for d in deliveries]
