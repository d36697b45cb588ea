"""Learns, from a few of the worker's events, what speaks for what people touch next.

Every now and then an event is ranked as a reader would have ranked it, from its person's trail
just before and the statistics in the store; then the mix of clues learns what it was. So what is
served is what is measured. Workers exchange their mixes: each publishes its own, and goes on from
the mean.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections import deque
from collections.abc import Callable
from typing import Final

import msgspec
import numpy as np

from profiler.errors import CorruptState, StoreUnavailable
from profiler.recommendation.clues import Past
from profiler.recommendation.mix import Mix, MixState, merged
from profiler.recommendation.recommender import (
    Answer,
    Ranked,
    Steps,
    Wanted,
    category_mix,
    item_mix,
    rank_categories,
    rank_items,
)
from profiler.recommendation.seen import Seen
from profiler.recommendation.shelf import Shelf
from profiler.recommendation.stored import decode_rows, decode_shelf
from streams.log import get_logger
from streams.statistics import SHELF
from streams.store import Store, name_field

INTERVAL_S: Final = 0.1
"""Least time between two events that are learnt."""
WAITING_MAX: Final = 16
SHELF_S: Final = 5.0
RECALL_AT: Final = 20
FADING: Final = 0.998
"""Per event, of the recall that is reported: about the last 500 count."""

_log = get_logger(component="next_touch")


class _Task:
    """Mix, shelf and figures of items, or of categories."""

    def __init__(self, kind: str, mix: Mix) -> None:
        self.kind, self.mix = kind, mix
        self.shelf = Shelf()
        self.n = 0
        self._hits = self._mass = 0.0

    def score(self, ranked: Ranked, token: int) -> None:
        """Judge a ranking, then learn from what came."""
        place = ranked.place_of(token)
        found = False
        if place is not None:
            scores = self.mix.scores(ranked.x)
            found = int(np.count_nonzero(scores > scores[place])) < RECALL_AT
            self.mix.learn(ranked.x, place)
        self.n += 1
        self._hits = FADING * self._hits + found
        self._mass = FADING * self._mass + 1

    def recall(self) -> float:
        """Share of the latest events that were among the first 20; NaN before any."""
        return self._hits / self._mass if self._mass else float("nan")


class NextTouch:
    """Learns the mixes of clues that recommendations are ranked by.

    Parameters
    ----------
    store
        Where statistics are, and mixes go.
    worker_id
        Tells this worker's mixes from those of others.
    done
        Given each chosen event when it has been ranked, and may be counted.
    """

    def __init__(self, store: Store, worker_id: str, done: Callable[[Seen], None]) -> None:
        self._store = store
        self._worker_id = worker_id
        self._done = done
        self.tasks = (_Task("item", item_mix()), _Task("category", category_mix()))
        self._waiting: deque[Seen] = deque()
        self._arrived = asyncio.Event()
        self._shelf_due_s = 0.0
        self._random = random.Random(0)  # noqa: S311  # which event is learnt is no secret

    def choose(self, seen: Seen) -> Seen:
        """Choose one of a batch's events, of people who have a past; return all others."""
        with_past = np.flatnonzero(seen.items_before[:, 0] | seen.categories_before[:, 0])
        if not len(with_past) or len(self._waiting) == WAITING_MAX:
            return seen
        chosen = int(with_past[self._random.randrange(len(with_past))])
        self._waiting.append(seen.only(slice(chosen, chosen + 1)))
        self._arrived.set()
        return seen.only(np.delete(np.arange(len(seen)), chosen))

    async def run(self) -> None:
        """Learn what is offered, at its own pace, until cancelled."""
        while True:
            await self._arrived.wait()
            self._arrived.clear()
            while self._waiting:
                seen = self._waiting.popleft()
                with contextlib.suppress(StoreUnavailable):
                    await self._learn(seen)
                self._done(seen)
                await asyncio.sleep(INTERVAL_S)

    async def restore(self) -> None:
        """Go on from what all workers learnt; start afresh without."""
        for task in self.tasks:
            if states := await self._published(task.kind):
                task.mix.restore(merged(states))

    async def publish(self) -> None:
        """Write what was learnt here, and go on from the mean of what all workers learnt."""
        for task in self.tasks:
            if not task.n:
                continue
            state = task.mix.state()
            fields = {self._worker_id: msgspec.json.encode(state)}
            await self._store.put_figures(mix_key(task.kind), fields)
            states = await self._published(task.kind)
            if len(states) > 1:
                task.mix.restore(msgspec.structs.replace(merged(states), n=state.n))
            figures = {"recall_at_20": f"{task.recall():.6g}", "events": str(task.n)}
            await self._store.put_figures(f"profiler:models:next_{task.kind}", figures)

    async def _published(self, kind: str) -> list[MixState]:
        found = await self._store.figures(mix_key(kind))
        states = []
        for value in found.values():
            with contextlib.suppress(msgspec.DecodeError):
                states.append(msgspec.json.decode(value, type=MixState))
        return states

    async def _learn(self, seen: Seen) -> None:
        now_s = asyncio.get_running_loop().time()
        if now_s >= self._shelf_due_s:
            self._shelf_due_s = now_s + SHELF_S
            await self._fetch_shelves()
        (items,), (categories,) = seen.items_before.tolist(), seen.categories_before.tolist()
        past = Past(tuple(filter(None, items)), tuple(filter(None, categories)))
        ts = int(seen.ts[0])
        of_items, of_categories = self.tasks
        try:
            if item := int(seen.item[0]):
                of_items.score(await self._rank(rank_items(past, of_items.shelf, ts)), item)
            if category := int(seen.category[0]):
                steps = rank_categories(past, of_categories.shelf, ts)
                of_categories.score(await self._rank(steps), category)
        except CorruptState as fault:
            _log.warning("row_unreadable", fault=str(fault))

    async def _fetch_shelves(self) -> None:
        for task in self.tasks:
            (value,) = await self._store.rows(SHELF, [task.kind])
            with contextlib.suppress(CorruptState):
                task.shelf = Shelf(decode_shelf(value))

    async def _rank(self, steps: Steps) -> Ranked:
        wanted = next(steps)
        while True:
            answer = await self._answer(wanted)
            try:
                wanted = steps.send(answer)
            except StopIteration as done:
                ranked: Ranked = done.value
                return ranked

    async def _answer(self, wanted: Wanted) -> Answer:
        async def rows(kind: str, tokens: tuple[int, ...]) -> list[bytes | None]:
            return await self._store.rows(kind, [name_field(token) for token in tokens])

        return Answer(
            decode_rows(await rows("item", wanted.rows)),
            decode_rows(await rows("category", wanted.categories)),
            decode_rows(await rows("members", wanted.members)),
            decode_rows(await rows("item", wanted.heads)).heads,
        )


def mix_key(kind: str) -> str:
    """Key of the hash with each worker's mix."""
    return f"profiler:models:mix:{kind}"
