"""Incremental matrix factorisation by stochastic gradient descent on positive-only feedback.

ISGD: Vinagre, Jorge, Gama, "Fast incremental matrix factorization for recommendation with
positive-only feedback", UMAP 2014. With negative feedback by recency (RAISGD): the same, "Collabor-
ative filtering with recency-based negative feedback", SAC 2015.
"""

from __future__ import annotations

from collections.abc import Collection
from functools import partial
from typing import Final

import numpy as np
from numpy.typing import NDArray

from profiler.evaluation.baselines.contract import Family, best, filled, grown
from profiler.evaluation.baselines.popularity import Popularity

_SPREAD: Final = 0.1
"""Standard deviation of factors before anything is learnt."""


class Isgd:
    """Factors of persons and items, moved at each event towards a product of one.

    Items are ranked by how near their product is to one, as in the paper.

    Parameters
    ----------
    fallback_ms
        Half-life of the popularity for persons of whom nothing is known.
    dims, step, regularisation, passes
        Number of factors, learning rate, weight of their squares in the loss, and how often each
        event is gone over.
    negatives
        For each event, so many of the items that were touched longest ago are taken as not wanted.
    seed
        Of the first factors.

    Examples
    --------
    >>> isgd = Isgd(fallback_ms=1e6, step=0.1)
    >>> for ts in range(200):
    ...     isgd.learn(ts % 4, ts % 2, ts)
    >>> isgd.rank(2, 1, (), 200), isgd.rank(3, 1, (), 200)
    ([0], [1])
    """

    def __init__(
        self,
        fallback_ms: float,
        *,
        dims: int = 40,
        step: float = 0.05,
        regularisation: float = 0.01,
        passes: int = 1,
        negatives: int = 0,
        seed: int = 0,
    ) -> None:
        self.name = (
            f"ISGD, {dims} factors, step {step:g}, {passes} passes, λ {regularisation:g}"
            f"{f', {negatives} negatives' * bool(negatives)}"
        )
        self._dims, self._step, self._regularisation = dims, step, regularisation
        self._passes, self._negatives = passes, negatives
        self._chance = np.random.default_rng(seed)
        self._persons = _Factors(dims)
        self._items = _Factors(dims)
        self._by_recency: dict[int, None] = {}
        self._popularity = Popularity(fallback_ms)

    def rank(self, person: int, k: int, exclude: Collection[int], ts: int) -> list[int]:
        """Give the items whose product with the person's factors is nearest to one."""
        if not self._persons.has(person):
            return self._popularity.rank(person, k, exclude, ts)
        items = self._items
        distance = np.abs(1.0 - items.values @ self._persons.values[person])
        nearest = best(np.where(items.known, -distance, -np.inf), k, exclude)
        return filled(nearest, self._popularity.items(), k, exclude)

    def learn(self, person: int, item: int, ts: int) -> None:
        """Take a step, or some, towards one; and towards zero for negatives."""
        self._persons.meet(person, self._chance)
        self._items.meet(item, self._chance)
        self._popularity.learn(person, item, ts)
        for _ in range(min(self._negatives, len(self._by_recency))):
            oldest = next(iter(self._by_recency))
            if oldest != item:
                self._approach(person, oldest, 0.0)
            self._touch(oldest)
        if self._negatives:
            self._touch(item)
        self._approach(person, item, 1.0)

    def _touch(self, item: int) -> None:
        self._by_recency.pop(item, None)
        self._by_recency[item] = None

    def _approach(self, person: int, item: int, target: float) -> None:
        a, b = self._persons.values[person], self._items.values[item]
        shrink = 1.0 - self._step * self._regularisation
        for _ in range(self._passes):
            move = self._step * (target - float(a @ b))
            a_before = a.copy()
            a *= shrink
            a += move * b
            b *= shrink
            b += move * a_before


class _Factors:
    """Rows of factors that begin at random when they are first met."""

    def __init__(self, dims: int) -> None:
        self.values: NDArray[np.float32] = np.zeros((1, dims), dtype=np.float32)
        self.known: NDArray[np.bool_] = np.zeros(1, dtype=bool)

    def has(self, row: int) -> bool:
        return row < len(self.known) and bool(self.known[row])

    def meet(self, row: int, chance: np.random.Generator) -> None:
        if not self.has(row):
            self.values = grown(self.values, row + 1)
            self.known = grown(self.known, row + 1)
            self.values[row] = chance.normal(0.0, _SPREAD, self.values.shape[1])
            self.known[row] = True


_SETTINGS: Final = (
    {"dims": 40, "step": 0.003, "regularisation": 0.01},
    {"dims": 40, "step": 0.1, "regularisation": 0.01},
    {"dims": 100, "step": 0.1, "regularisation": 0.4, "passes": 8},
    {"dims": 40, "step": 0.1, "regularisation": 0.1, "passes": 4, "negatives": 1},
    {"dims": 40, "step": 0.1, "regularisation": 0.1, "passes": 4, "negatives": 3},
    {"dims": 40, "step": 0.1, "regularisation": 0.1, "passes": 4, "negatives": 10},
)

FAMILY: Final = Family(
    "ISGD",
    tuple(partial(Isgd, **settings) for settings in _SETTINGS),  # type: ignore[arg-type]
)
