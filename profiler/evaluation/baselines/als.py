"""Matrix factorisation by alternating least squares, retrained, by the library `implicit`.

Hu, Koren, Volinsky, "Collaborative filtering for implicit feedback datasets", ICDM 2008. Persons
are folded in between two trainings: their factors are solved anew from all of their events so far.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection
from functools import partial
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from profiler.evaluation.baselines.contract import Family, best, filled
from profiler.evaluation.baselines.matrix import counts, touched
from profiler.evaluation.baselines.popularity import Popularity
from profiler.evaluation.log import Log
from profiler.extras import of_extra


class Als:
    """Factors of items from the last training, those of persons from all they did.

    Parameters
    ----------
    fallback_ms
        Half-life of the popularity, for persons whose items all came later.
    dims, regularisation, passes, seed
        As `implicit` has them.
    confidence
        What one event adds to the weight of a pair, that of a pair without any being one.

    Raises
    ------
    UsageError
        If `implicit` is not installed.
    """

    def __init__(
        self,
        fallback_ms: float,
        *,
        dims: int = 64,
        regularisation: float = 0.01,
        confidence: float = 10.0,
        passes: int = 10,
        seed: int = 0,
    ) -> None:
        self.name = f"ALS, {dims} factors, λ {regularisation:g}, α {confidence:g}"
        self._new = partial(
            of_extra("evaluate", "implicit.cpu.als").AlternatingLeastSquares,
            factors=dims,
            regularization=regularisation,
            iterations=passes,
            num_threads=1,
            random_state=seed,
        )
        self._confidence = confidence
        self._popularity = Popularity(fallback_ms)
        self._events: defaultdict[int, dict[int, float]] = defaultdict(dict)
        self._model: Any = None
        self._is_item: NDArray[np.bool_] = np.zeros(0, dtype=bool)

    def rank(self, person: int, k: int, exclude: Collection[int], ts: int) -> list[int]:
        """Give the items with the greatest product with the person's factors as of now."""
        own = self._known_items(person)
        if not own:
            return self._popularity.rank(person, k, exclude, ts)
        items = np.fromiter(own, dtype=np.int32, count=len(own))
        weights = np.fromiter(own.values(), dtype=np.float32, count=len(own)) * self._confidence
        shape = (1, len(self._is_item))
        row = sparse.csr_matrix((weights, items, np.array([0, len(own)])), shape=shape)
        factors = self._model.recalculate_user(0, row)
        scores = np.where(self._is_item, self._model.item_factors @ factors, -np.inf)
        return filled(best(scores, k, exclude), self._popularity.items(), k, exclude)

    def _known_items(self, person: int) -> dict[int, float]:
        """Number of the person's events with each item that had factors."""
        n = len(self._is_item)
        own = self._events.get(person, {})
        return {item: c for item, c in own.items() if item < n and self._is_item[item]}

    def learn(self, person: int, item: int, ts: int) -> None:
        """Remember the event; the factors of items wait for the next training."""
        own = self._events[person]
        own[item] = own.get(item, 0.0) + 1.0
        self._popularity.learn(person, item, ts)

    def retrain(self, log: Log) -> None:
        """Factorise all events so far."""
        limits = of_extra("evaluate", "threadpoolctl").threadpool_limits
        with limits(1, "blas"):  # its small products are slower on several cores, and it warns
            self._model = self._new()
            self._model.fit(counts(log) * self._confidence, show_progress=False)
        self._is_item = touched(log.item)


_SETTINGS: Final = (
    {"dims": 16, "regularisation": 10.0, "confidence": 5.0},
    {"dims": 32, "regularisation": 10.0, "confidence": 2.0},
    {"dims": 64, "regularisation": 30.0, "confidence": 5.0},
    {"dims": 64, "regularisation": 0.1, "confidence": 20.0},
)

FAMILY: Final = Family(
    "ALS",
    tuple(partial(Als, **settings) for settings in _SETTINGS),  # type: ignore[arg-type]
)
