"""The production code on a stream of records, test, then learn: what comes next, and who was right.

Batches go through the two halves of the pipeline that a worker runs. Each event of interest is
ranked with what was known before it: its person's trail as it was just then, the statistics as of
the batch's beginning, the mix as of the event before. Then all of them learn.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from itertools import islice
from typing import Final

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from profiler.batch import Preparer
from profiler.columns import Hashes
from profiler.dedupe import EVENTS, topic_code
from profiler.evaluation.log import Log, numbered
from profiler.evaluation.prequential import Protocol
from profiler.evaluation.ranking import MISSED, Rankings
from profiler.fold import Fold
from profiler.recommendation.clues import Past
from profiler.recommendation.mix import Mix
from profiler.recommendation.recommender import (
    Steps,
    category_mix,
    item_mix,
    rank_categories,
    rank_items,
)
from profiler.recommendation.shelf import Shelf
from profiler.recommendation.statistics import Statistics
from profiler.records import Chunk, RawRecord
from profiler.spec import DEFAULT_SPEC, Spec

BATCH_EVENTS: Final = 32


class Ranking(Struct, frozen=True):
    """Rankings of one kind of token before each event that named one.

    Parameters
    ----------
    log
        Those events; persons and tokens by number.
    rankings
        Of the events that count.
    """

    log: Log
    rankings: Rankings


class Prequential:
    """Runs records through the production code, and keeps what it would have recommended.

    Parameters
    ----------
    preparer
        Decodes records; everybody is at home.
    protocol
        How rankings are asked for. The share to skip is that of the events of `n_records`.
    """

    def __init__(self, preparer: Preparer, protocol: Protocol, spec: Spec = DEFAULT_SPEC) -> None:
        self._preparer = preparer
        self._protocol = protocol
        self._spec = spec
        self._fold = Fold(spec, preparer)
        self._statistics = Statistics()
        self.items = _Kind("item", item_mix())
        self.categories = _Kind("category", category_mix())

    def take(self, records: Sequence[RawRecord]) -> None:
        """Rank, then learn a batch of records in the order of their times."""
        prepared = self._preparer.prepare([Chunk(topic_code(EVENTS), 0, records)])
        seen = self._fold.apply(prepared).seen
        seen = seen.only(np.argsort(seen.ts, kind="stable"))
        for k in range(len(seen)):
            ts = int(seen.ts[k])
            items, categories = _trail(seen.items_before[k]), _trail(seen.categories_before[k])
            past = Past(items, categories)
            pid = prepared.pids[int(seen.person[k])]
            if item := int(seen.item[k]):
                exclude = self.items.touched(pid) if self._protocol.once else ()
                steps = rank_items(past, self.items.shelf, ts, exclude)
                self._rank(self.items, steps, pid, item, ts)
            if category := int(seen.category[k]):
                steps = rank_categories(past, self.categories.shelf, ts)
                self._rank(self.categories, steps, pid, category, ts)
        self._statistics.add(seen)
        for kind, tokens, table in (
            (self.items, seen.item, self._statistics.items),
            (self.categories, seen.category, self._statistics.categories),
        ):
            changed = [token for token in dict.fromkeys(tokens.tolist()) if token]
            kind.shelf = kind.shelf.with_heads(table.heads(changed))

    def _rank(self, kind: _Kind, steps: Steps, pid: str, token: int, ts: int) -> None:
        ranked = self._statistics.rank(steps)
        place = ranked.place_of(token)
        best = ranked.tokens[ranked.best(kind.mix, self._protocol.k)]
        kind.note(pid, token, ts, best)
        if place is not None:
            kind.mix.learn(ranked.x, place)


class _Kind:
    """What was ranked of one kind of token, and all that learns of it."""

    def __init__(self, name: str, mix: Mix) -> None:
        self.name, self.mix, self.shelf = name, mix, Shelf()
        self._pids: list[str] = []
        self._tokens: list[int] = []
        self._ts: list[int] = []
        self._best: list[Hashes] = []
        self._touched: dict[str, set[int]] = {}

    @property
    def n_events(self) -> int:
        """Events that named one."""
        return len(self._ts)

    def touched(self, pid: str) -> Collection[int]:
        """What somebody was seen to touch."""
        return self._touched.get(pid, ())

    def note(self, pid: str, token: int, ts: int, best: Hashes) -> None:
        """Keep a ranking and what came."""
        self._pids.append(pid)
        self._tokens.append(token)
        self._ts.append(ts)
        self._best.append(best)
        self._touched.setdefault(pid, set()).add(token)

    def ranking(self, protocol: Protocol) -> Ranking:
        """All rankings, as numbers."""
        item, person = numbered(self._tokens), numbered(self._pids)
        number = dict(zip(self._tokens, item.tolist(), strict=True))
        start = int(len(item) * protocol.skip)
        lists = np.full((len(item) - start, protocol.k), MISSED, dtype=np.int32)
        for row, best in zip(lists, self._best[start:], strict=True):
            # What only machines touched has no number.
            row[: len(best)] = [number.get(token, MISSED) for token in best.tolist()]
        log = Log(person, item, np.array(self._ts, dtype=np.int64))
        return Ranking(log, Rankings(lists, item[start:], person[start:]))


def _trail(tokens: NDArray[np.uint64]) -> tuple[int, ...]:
    return tuple(token for token in tokens.tolist() if token)


def batches(records: Iterable[RawRecord], size: int = BATCH_EVENTS) -> Iterator[list[RawRecord]]:
    """Cut records into batches."""
    rest = iter(records)
    while batch := list(islice(rest, size)):
        yield batch
