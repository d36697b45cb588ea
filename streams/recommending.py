"""A worker's share in recommendation: statistics of what its people touch, and what counts."""

from __future__ import annotations

import asyncio
import contextlib

from profiler.errors import StoreError, StoreUnavailable
from profiler.recommendation.seen import Seen
from streams.metrics import Metrics
from streams.next_touch import NextTouch
from streams.statistics import StatisticsWriter
from streams.store import Store
from streams.tasks import together


class Recommending:
    """Merges statistics into the store, and learns the mixes of clues, beside the worker's loop.

    Parameters
    ----------
    store
        Where both go.
    worker_id
        Tells this worker's mixes from those of others.
    interval_s
        How often statistics are merged; 0: nothing is kept or learnt.
    metrics
        Told at each `publish`.
    """

    def __init__(self, store: Store, worker_id: str, interval_s: float, metrics: Metrics) -> None:
        self._metrics = metrics.of_recommendation
        self._told = (0, 0, 0)
        self._statistics = StatisticsWriter(store)
        self._next_touch = NextTouch(store, worker_id, self._statistics.add)
        self._interval_s = interval_s

    def observe(self, seen: Seen) -> None:
        """Take in what a committed batch saw."""
        if self._interval_s:
            # What is to be ranked must not be counted before: it would tell what it was.
            self._statistics.add(self._next_touch.choose(seen))

    async def restore(self) -> None:
        """Go on from what workers have learnt."""
        if self._interval_s:
            await self._next_touch.restore()

    async def publish(self) -> None:
        """Write what was learnt here, for readers and other workers."""
        if self._interval_s:
            self._tell()
            await self._next_touch.publish()

    def _tell(self) -> None:
        counts = self._statistics
        now = counts.n_counted, counts.n_left_out, counts.n_given_up
        self._metrics.count(*(n - before for n, before in zip(now, self._told, strict=True)))
        self._told = now
        for task in self._next_touch.tasks:
            if task.n:
                self._metrics.set_recall(task.kind, task.recall())

    async def run(self) -> None:
        """Work until cancelled; what is not merged by then is merged first, if it can be."""
        if not self._interval_s:
            return
        try:
            await together(self._next_touch.run(), self._merge())
        finally:
            with contextlib.suppress(StoreError):
                await self._statistics.flush()

    async def _merge(self) -> None:
        while True:
            await asyncio.sleep(self._interval_s)
            with contextlib.suppress(StoreUnavailable):
                await self._statistics.flush()
