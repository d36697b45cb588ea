"""Item-kNN by co-visitation: what followed your last items for others follows them for you.

Deshpande and Karypis, "Item-based top-N recommendation algorithms", TOIS 2004; counted in one pass,
within the order of events, as session-based recommenders do (Ludewig and Jannach, UMUAI 2018).
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from functools import partial
from itertools import product
from typing import Final

import numpy as np

from profiler.columns import Floats, Ints
from profiler.evaluation.baselines.contract import Family, best, filled, grown
from profiler.evaluation.baselines.popularity import Popularity
from profiler.evaluation.baselines.repeat_last import Recent

_TIE: Final = 1e-6
"""How much of a score an item's popularity is: enough to part those that are equal."""


class Covisitation:
    """Counts of the items that followed one of the person's last `reach` items.

    Parameters
    ----------
    fallback_ms
        Half-life of the popularity that fills up.
    reach
        Number of a person's last different items that count, in learning and in ranking.
    is_cosine
        Whether a count is divided by the roots of both items' own counts.
    fade
        What an item's say is multiplied by for each one that came after it.
    both_ways
        Whether what came before counts like what follows.

    Examples
    --------
    >>> knn = Covisitation(fallback_ms=1e6)
    >>> for ts, (person, item) in enumerate([(0, 7), (0, 8), (1, 9), (1, 7)]):
    ...     knn.learn(person, item, ts)
    >>> knn.rank(1, 1, {7}, 4)
    [8]
    """

    def __init__(
        self,
        fallback_ms: float,
        *,
        reach: int = 5,
        is_cosine: bool = False,
        fade: float = 1.0,
        both_ways: bool = False,
    ) -> None:
        self.name = (
            f"co-visitation, last {reach}{', cosine' * is_cosine}"
            f"{', both ways' * both_ways}{f', fading {fade:g}' * (fade < 1)}"
        )
        self._reach, self._is_cosine, self._both_ways = reach, is_cosine, both_ways
        self._fade = fade ** np.arange(reach)
        self._recent = Recent()
        self._popularity = Popularity(fallback_ms)
        self._n_events: Floats = np.zeros(1)
        self._followers: dict[int, _Followers] = {}

    def rank(self, person: int, k: int, exclude: Collection[int], ts: int) -> list[int]:
        """Give what followed the person's last items, then popular items."""
        found = list(self._scored(person))
        if not found:
            return self._popularity.rank(person, k, exclude, ts)
        items = np.concatenate([items for items, _ in found])
        weights = np.concatenate([weights for _, weights in found])
        scores: Floats = np.bincount(items, weights)  # type: ignore[assignment]
        touched = np.flatnonzero(scores)
        among, n_events = scores[touched], self._n_events[touched]
        if self._is_cosine:
            among = among / np.sqrt(n_events)
        among += among.max() * _TIE * n_events / n_events.max()
        nearest = touched[best(among, k + len(exclude), ())].tolist()
        return filled(nearest, self._popularity.items(), k, exclude)

    def _scored(self, person: int) -> Iterator[tuple[Ints, Floats]]:
        """Followers of each of the person's last items, and what they count."""
        for fade, item in zip(
            self._fade.tolist(), self._recent.last(person, self._reach), strict=False
        ):
            if (followers := self._followers.get(item)) is not None:
                norm = self._n_events[item] ** 0.5 if self._is_cosine else 1.0
                yield followers.items, followers.counts * (fade / norm)

    def learn(self, person: int, item: int, ts: int) -> None:
        """Count the item behind the person's last ones."""
        for before in self._recent.last(person, self._reach):
            self._of(before).add(item)
            if self._both_ways and before != item:
                self._of(item).add(before)
        self._n_events = grown(self._n_events, item + 1)
        self._n_events[item] += 1
        self._recent.add(person, item)
        self._popularity.learn(person, item, ts)

    def _of(self, item: int) -> _Followers:
        return self._followers.setdefault(item, _Followers())


class _Followers:
    """Counts of what followed one item, as two arrays."""

    __slots__ = ("_counts", "_items", "_place")

    def __init__(self) -> None:
        self._place: dict[int, int] = {}
        self._items: Ints = np.zeros(4, dtype=np.int64)
        self._counts: Floats = np.zeros(4)

    def add(self, item: int) -> None:
        place = self._place.setdefault(item, len(self._place))
        self._items = grown(self._items, place + 1)
        self._counts = grown(self._counts, place + 1)
        self._items[place] = item
        self._counts[place] += 1

    @property
    def items(self) -> Ints:
        return self._items[: len(self._place)]

    @property
    def counts(self) -> Floats:
        return self._counts[: len(self._place)]


FAMILY: Final = Family(
    "co-visitation",
    tuple(
        partial(Covisitation, reach=reach, is_cosine=is_cosine, fade=fade, both_ways=both_ways)
        for reach, is_cosine, fade, both_ways in product(
            (5, 20), (False, True), (1.0, 0.9, 0.7, 0.5), (False, True)
        )
    ),
)
