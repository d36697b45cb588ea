"""Decayed popularity: what many turned to lately is what anyone turns to next."""

from __future__ import annotations

import bisect
import math
from collections.abc import Collection, Iterator
from functools import partial
from typing import Final

from profiler.columns import HOUR_MS
from profiler.evaluation.baselines.contract import Family, filled


class Popularity:
    """Counts of each item's events that halve with time; of equal ones the latest touched first.

    Counts are kept as logarithms relative to one landmark, 1970, so that no half-life is too short
    for any span. All decay alike, so only what is learnt changes the order, which is kept sorted.

    Parameters
    ----------
    half_life_ms
        Infinite: plain counts.

    Examples
    --------
    >>> popular = Popularity(HOUR_MS)
    >>> for ts, item in enumerate([7, 7, 7, 7, 9]):
    ...     popular.learn(0, item, ts * HOUR_MS // 2)
    >>> popular.rank(0, 2, (), 0), Popularity().rank(0, 2, (), 0)
    ([7, 9], [])
    """

    def __init__(self, half_life_ms: float = math.inf) -> None:
        hours = half_life_ms / HOUR_MS
        self.name = "popularity" if math.isinf(hours) else f"popularity, half-life {hours:g} h"
        self.half_life_ms = half_life_ms
        self._place: dict[int, tuple[float, int, int]] = {}
        self._order: list[tuple[float, int, int]] = []
        self._n_learnt = 0

    def rank(self, person: int, k: int, exclude: Collection[int], ts: int) -> list[int]:
        """Give the most popular items."""
        return filled((), self.items(), k, exclude)

    def items(self) -> Iterator[int]:
        """All items that were learnt, the most popular first."""
        return (item for _, _, item in reversed(self._order))

    def learn(self, person: int, item: int, ts: int) -> None:
        """Count an event."""
        weight = ts / self.half_life_ms
        before = self._place.get(item)
        if before is not None:
            del self._order[bisect.bisect_left(self._order, before)]
            low, high = sorted((before[0], weight))
            weight = high + math.log2(1.0 + 2.0 ** (low - high))
        self._n_learnt += 1
        now = self._place[item] = (weight, self._n_learnt, item)
        bisect.insort(self._order, now)


def _of(half_life_h: float, _fallback_ms: float) -> Popularity:
    return Popularity(half_life_h * HOUR_MS)


_HALF_LIVES_H: Final = (
    *(1 / 60, 0.25, 1.0, 6.0, 24.0),
    *(3 * 24.0, 7 * 24.0, 14 * 24.0, 30 * 24.0, 90 * 24.0, math.inf),
)

FAMILY: Final = Family("decayed popularity", tuple(partial(_of, h) for h in _HALF_LIVES_H))
