"""Figures of a stream of rankings, each judged by the one thing that came next.

With one relevant item recall@k is the hit rate, and the ideal gain of NDCG@k is one (Järvelin and
Kekäläinen, TOIS 2002). Intervals come from a bootstrap over persons, whose events are not
independent (Field and Welsh, "Bootstrapping clustered data", JRSS B 2007).
"""

from __future__ import annotations

from functools import cached_property
from typing import Final

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from profiler.columns import Floats, Ints

MISSED: Final = -1
"""Place of an item that is not in the ranking; also what fills rankings that are too short."""

N_PARTS: Final = 10
N_DRAWS: Final = 2_000
_DRAWN_AT_ONCE: Final = 4_000_000


class Figures(Struct, frozen=True):
    """How good a stream of rankings is.

    Parameters
    ----------
    events
        Number of rankings.
    recall, mrr, ndcg
        Means over them at the length of the rankings.
    hit_1, hit_3
        Share of those with the item at the top, and among the first three.
    coverage
        Share of the catalogue that was ever ranked.
    """

    events: int
    recall: float
    mrr: float
    ndcg: float
    hit_1: float
    hit_3: float
    coverage: float


class Interval(Struct, frozen=True):
    """A mean with the bounds of its bootstrap interval."""

    mean: float
    low: float
    high: float


class Rankings:
    """N rankings of up to k items, and what came.

    Parameters
    ----------
    lists
        (N, k) items, the best first, filled up with `MISSED`.
    item, person
        (N,) what came, and to whom.

    Examples
    --------
    >>> lists = np.array([[4, 2], [2, -1], [1, 2]])
    >>> ranked = Rankings(lists, np.array([2, 2, 9]), np.array([0, 0, 1]))
    >>> ranked.place
    array([ 1,  0, -1])
    >>> ranked.figures(n_items=10).mrr
    0.5
    """

    def __init__(self, lists: NDArray[np.integer], item: Ints, person: Ints) -> None:
        self.lists, self.item, self.person = lists, item, person

    def __len__(self) -> int:
        return len(self.item)

    def only(self, chosen: NDArray[np.bool_]) -> Rankings:
        """Give some of them, such as those of persons who were met before."""
        return Rankings(self.lists[chosen], self.item[chosen], self.person[chosen])

    @cached_property
    def place(self) -> NDArray[np.intp]:
        """(N,) place of what came in its ranking, from 0; `MISSED` where it is not there."""
        is_it = self.lists == self.item[:, None]
        return np.where(is_it.any(axis=1), is_it.argmax(axis=1), MISSED)

    def hits(self, k: int) -> Floats:
        """(N,) 1 where what came is among the first `k`."""
        return np.asarray((self.place != MISSED) & (self.place < k), dtype=np.float64)

    def reciprocal(self) -> Floats:
        """(N,) one divided by the place counted from 1; 0 where it was missed."""
        return np.asarray(np.where(self.place == MISSED, 0.0, 1.0 / (self.place + 1.0 + self._gap)))

    def gain(self) -> Floats:
        """(N,) 1 at the top, less with the logarithm of the place; 0 where it was missed."""
        gain = 1.0 / np.log2(self.place + 2.0 + self._gap)
        return np.asarray(np.where(self.place == MISSED, 0.0, gain))

    @cached_property
    def _gap(self) -> Floats:
        """Keeps denominators of missed ones from zero."""
        return np.asarray(self.place == MISSED, dtype=np.float64)

    def recall(self) -> float:
        """Share of rankings that have what came; NaN without any."""
        return _mean(self.hits(self.lists.shape[1]))

    def ndcg(self) -> float:
        """Mean gain; NaN without any."""
        return _mean(self.gain())

    def figures(self, n_items: int) -> Figures:
        """Means over all rankings; NaN without any.

        Parameters
        ----------
        n_items
            Size of the catalogue.
        """
        ranked = np.unique(self.lists)
        return Figures(
            events=len(self),
            recall=self.recall(),
            mrr=_mean(self.reciprocal()),
            ndcg=self.ndcg(),
            hit_1=_mean(self.hits(1)),
            hit_3=_mean(self.hits(3)),
            coverage=np.count_nonzero(ranked != MISSED) / n_items,
        )


def curve(values: Floats, n_parts: int = N_PARTS) -> Floats:
    """(P,) means over the parts of a stream, of equal lengths to one event; NaN of an empty part.

    Examples
    --------
    >>> curve(np.arange(20.0))
    array([ 0.5,  2.5,  4.5,  6.5,  8.5, 10.5, 12.5, 14.5, 16.5, 18.5])
    """
    bounds = np.arange(n_parts + 1) * len(values) // n_parts
    sums = np.diff(np.append(0.0, np.cumsum(values))[bounds])
    lengths = np.diff(bounds)
    return np.asarray(np.divide(sums, lengths, out=np.full(n_parts, np.nan), where=lengths > 0))


def difference(
    a: Floats, b: Floats, person: Ints, seed: int, level: float = 0.95, n_draws: int = N_DRAWS
) -> Interval:
    """Tell how much better `a` is than `b` on the same events: mean and bootstrap interval.

    Parameters
    ----------
    a, b
        (N,) what each got for each event, such as `Rankings.hits`.
    person
        (N,) whose event it is. Persons are drawn with all of their events.
    seed
        The same seed gives the same bounds.
    level
        Share of the draws that lie within the bounds.

    Examples
    --------
    >>> hits = np.array([1.0, 0.0, 1.0, 1.0])
    >>> difference(hits, hits - 0.25, np.array([0, 0, 1, 2]), seed=1)
    Interval(mean=0.25, low=0.25, high=0.25)
    """
    if not len(a):
        return Interval(np.nan, np.nan, np.nan)
    _, whose = np.unique(person, return_inverse=True)
    sums = np.bincount(whose, a - b)
    events = np.bincount(whose).astype(np.float64)
    n, chance = len(sums), np.random.default_rng(seed)
    means: list[Floats] = []
    at_once = max(1, _DRAWN_AT_ONCE // n)
    for begin in range(0, n_draws, at_once):
        size = (min(at_once, n_draws - begin), n)
        drawn = chance.integers(n, size=size)
        means.append(sums[drawn].sum(axis=1) / events[drawn].sum(axis=1))
    tail = (1.0 - level) / 2.0
    low, high = np.quantile(np.concatenate(means), [tail, 1.0 - tail])
    return Interval(float(sums.sum() / events.sum()), float(low), float(high))


def _mean(values: Floats) -> float:
    return float(values.mean()) if len(values) else float("nan")
