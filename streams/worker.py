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
from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from functools import partial
from typing import Final, NamedTuple

import msgspec
import numpy as np

from profiler.batch import Preparer
from profiler.errors import ConfigurationError, StoreRestarted, StoreUnavailable
from profiler.models.bank import ModelBank
from profiler.records import Chunk
from profiler.spec import Spec
from streams.acknowledgements import Acknowledgements
from streams.arena import Arena
from streams.committer import Alerts, Committer, DeadLetters, Forwards, Updates
from streams.figures import Figures
from streams.homes import Homes, Topics
from streams.identity import Place, reached, recognise
from streams.inbox import Delivery, Inbox
from streams.limits import Limits as Limits  # whoever builds a worker needs it too
from streams.log import get_logger
from streams.metrics import BatchFigures, Metrics
from streams.patience import Patience
from streams.recommending import Recommending
from streams.registry import learn_schemas
from streams.store import Store
from streams.tasks import together
from streams.updater import Updater, Work, rejected_records

IDLE_S: Final = 60.0
DEFAULT_TOPICS: Final = Topics("profiler.events", "profiler.forwarded")
BATCHES_IN_ARENA: Final = 3
OVERLAP_EVENTS_MIN: Final = 1_024
"""Waiting events from which on the next batch is computed while a write is on the wire. With fewer
the worker is not behind, and threads that take turns at the interpreter would only delay the write.
"""

_log = get_logger(component="worker")


class _Received(NamedTuple):
    """A computed batch, and what to call when it is durable."""

    work: Work
    acknowledge: list[Callable[[], None]]


class _Flight(NamedTuple):
    """A batch whose write is on the wire."""

    received: _Received
    write: asyncio.Task[set[str]]


class Worker:
    """Takes deliveries, updates profiles, and acknowledges what is durable.

    Parameters
    ----------
    spec, preparer, bank
        The pure core.
    store, dead_letters, forwards, updates, alerts
        The edges.
    metrics
        Told once per batch.
    limits
        Bounds.
    topics
        That it reads.
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
        forwards: Forwards,
        metrics: Metrics,
        limits: Limits,
        topics: Topics = DEFAULT_TOPICS,
        worker_id: str = "worker",
        updates: Updates | None = None,
        alerts: Alerts | None = None,
    ) -> None:
        least = BATCHES_IN_ARENA * limits.batch_events_max
        if limits.arena_rows < least:
            problem = f"must be at least {least}: three times PROFILER_BATCH_EVENTS_MAX"
            raise ConfigurationError("PROFILER_ARENA_ROWS", problem)
        self._spec = spec
        self._store = store
        self._metrics = metrics
        self._limits = limits
        self._patience = Patience(metrics)
        self._homes = Homes(topics, forwards, self._patience)
        self._schemas = preparer.schemas
        arena, told = Arena(spec, limits.arena_rows), updates.told if updates else "none"
        self._updater = Updater(spec, preparer, bank, arena, store, told=told)
        self._committer = Committer(
            store=store,
            dead_letters=dead_letters,
            forwards=forwards,
            alerts=alerts,
            patience=self._patience,
            updater=self._updater,
            compute=self._compute,
            topic=topics.events,
            updates=updates,
        )
        self._acknowledgements = Acknowledgements(store, self._patience, limits.durable_after_s)
        self._figures = Figures(store, bank, metrics, worker_id)
        self._recommending = Recommending(store, worker_id, limits.statistics_interval_s, metrics)
        self._inbox = Inbox(limits.queue_events_max)
        self._written = asyncio.Event()
        self._written.set()
        self._last_batch_s = time.monotonic()
        metrics.set_arena_capacity(limits.arena_rows)

    async def submit(self, delivery: Delivery) -> None:
        """Queue a delivery; waits while the queue is full, not until the delivery is durable."""
        await self._inbox.put(delivery)
        self._written.clear()

    async def drain(self) -> None:
        """Return once everything submitted has been acknowledged, or dropped to come again."""
        await self._written.wait()
        await self._acknowledgements.wait_until_none_left()

    async def recognise(self, topic_ids: Mapping[str, str]) -> dict[Place, int]:
        """Make sure that these are the topics whose offsets the profiles know.

        Returns
        -------
        dict
            How far they know each partition.

        Raises
        ------
        TopicReplaced
            One is not.
        """
        look = partial(recognise, self._store, topic_ids)
        known = await self._patience.until_done(look)
        self._homes.identify_topics(known)
        far = partial(reached, self._store, known, self._homes.topics.events)
        return await self._patience.until_done(far)

    async def assigned(self, partitions: Mapping[tuple[str, int], tuple[int, str]]) -> None:
        """Expect deliveries of these partitions, from this committed offset with this text on."""
        await self._homes.assign(partitions)
        _log.info("assigned", partitions=sorted({number for _, number in partitions}))

    async def revoked(self, partitions: Collection[tuple[str, int]]) -> None:
        """Finish what is in flight, then forget the people of these partitions."""
        codes = self._homes.codes_of(partitions)
        numbers = sorted({p for _, p in partitions})
        try:
            await self.drain()
        finally:
            # Also when it is cut short: another worker may write these rows from now on.
            self._updater.forget(codes)
            for number in numbers:
                self._metrics.forget_partition(number)
            _log.info("revoked", partitions=numbers)
        # A worker that stops comes this way, too.
        with contextlib.suppress(StoreUnavailable):
            await self._figures.crowd.publish()

    async def ping(self) -> None:
        """Ask the store for an answer."""
        await self._store.ping()

    async def run(self, rewind: Callable[[], Awaitable[None]]) -> None:
        """Work until cancelled.

        Parameters
        ----------
        rewind
            Makes all that was delivered so far stale, and lets it come again from the committed
            offsets.
        """
        is_first = True
        while True:
            try:
                await self._publish_layout()
                if is_first:
                    await self._patience.until_done(self._figures.restore)
                    await self._patience.until_done(self._recommending.restore)
                is_first = False
                beside = (self._acknowledgements.run(), self._report(), self._recommending.run())
                await together(self._loop(), *beside)
            except StoreRestarted as fault:
                await self._start_over(rewind, fault)

    async def _publish_layout(self) -> None:
        layout = msgspec.json.encode(self._spec.layout())
        await self._patience.until_done(lambda: self._store.put_spec(self._spec.hash, layout))

    async def _start_over(
        self, rewind: Callable[[], Awaitable[None]], fault: StoreRestarted
    ) -> None:
        """Forget all that the store may not have, and read it again from the log."""
        _log.warning("store_restarted", fault=str(fault))
        self._metrics.count_store_restart()
        await rewind()
        self._inbox.clear()
        self._acknowledgements.clear()
        self._updater.forget_all()
        self._store.rejoin()
        self._written.set()

    async def _loop(self) -> None:
        flight: _Flight | None = None
        try:
            while True:
                await self._wait_for_work(flight)
                deliveries = self._inbox.take(self._limits.batch_events_max)
                work = await self._receive(deliveries) if deliveries else None
                if flight is not None:
                    await self._land(flight, work)
                flight = None
                if work is not None:
                    flight = _Flight(work, asyncio.create_task(self._write(work.work)))
                elif not self._inbox:
                    self._written.set()
        finally:
            if flight is not None:
                flight.write.cancel()
                await asyncio.gather(flight.write, return_exceptions=True)

    async def _wait_for_work(self, flight: _Flight | None) -> None:
        """Return when there is something to do that should not wait for the write on the wire."""
        self._inbox.arrived.clear()
        if flight is not None:
            is_behind = self._inbox.n_events >= min(
                OVERLAP_EVENTS_MIN, self._limits.batch_events_max
            )
            if not is_behind:
                await asyncio.wait({flight.write})
        elif not self._inbox:
            await self._inbox.arrived.wait()

    async def _receive(self, deliveries: Sequence[Delivery]) -> _Received:
        """Compute a batch of deliveries, without the forwards that have been seen before."""
        arrivals = [self._homes.receive(delivery) for delivery in deliveries]
        work = await self._compute([arrival.chunk for arrival in arrivals])
        work.processed.outcomes["repeated"] = sum(arrival.n_repeated for arrival in arrivals)
        return _Received(work, [arrival.acknowledge for arrival in arrivals])

    async def _compute(self, chunks: Sequence[Chunk], only: Collection[str] | None = None) -> Work:
        async def load(pids: Sequence[str]) -> list[bytes | None]:
            return await self._patience.until_done(lambda: self._store.load(pids))

        if self._schemas is not None:
            await learn_schemas(self._schemas, chunks, self._patience)
        self._last_batch_s = time.monotonic()
        return await self._updater.compute(chunks, load, only)

    async def _write(self, work: Work) -> set[str]:
        refused = await self._committer.write(work)
        if not refused:
            self._observe(work, 0)
        return refused

    async def _land(self, flight: _Flight, following: _Received | None) -> None:
        """Wait for a batch's replies, settle what was refused, and have it acknowledged."""
        refused = await flight.write
        if refused:
            work = following.work if following else None
            await self._committer.settle(refused, flight.received.work, work)
            self._observe(flight.received.work, len(refused))
        await self._acknowledgements.wait_for_room()
        self._acknowledgements.add(flight.received.acknowledge)

    def _observe(self, work: Work, n_refused: int) -> None:
        """Tell what a batch did, once all of it is readable."""
        now_s = time.time()
        self._recommending.observe(work.processed.seen)
        self._figures.crowd.count(work.processed.crowds)
        prepared, outcomes = work.prepared, work.processed.outcomes
        # A record without a timestamp, or with one from a faster clock, has no delay to speak of.
        readable_s = now_s - prepared.stamped_ms[prepared.stamped_ms > 0] / 1000
        reasons = Counter(reason for _, reason in rejected_records(work))
        self._metrics.observe_batch(
            BatchFigures(
                n_events=len(prepared.records) + outcomes["repeated"],
                outcomes=outcomes,
                dead_letters=reasons,
                guarded=work.processed.guarded,
                seconds=work.seconds,
                readable_s=np.maximum(readable_s, 0.0),
                n_conflicts=n_refused,
                n_traits_ignored=prepared.n_traits_ignored,
                arena_rows=len(self._updater.arena),
                committed_at_s=now_s,
                n_unknown_items=int(prepared.is_unknown.sum()),
            )
        )
        for number, watermark_ms in self._updater.watermarks_ms().items():
            self._metrics.set_partition(number, watermark_ms=watermark_ms)
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
            if time.monotonic() - self._last_batch_s > IDLE_S and self._written.is_set():
                self._updater.expire(int(time.time() * 1000))
            with contextlib.suppress(StoreUnavailable):
                await self._figures.publish()
                await self._recommending.publish()
