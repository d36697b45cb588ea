"""Bayesian personalised ranking, retrained from all events so far, by the library `implicit`.

Rendle, Freudenthaler, Gantner, Schmidt-Thieme, "BPR: Bayesian personalized ranking from implicit
feedback", UAI 2009. Factors of persons stay as they are between two trainings.
"""

from __future__ import annotations

from collections.abc import Collection
from functools import partial
from typing import Final

import numpy as np
from numpy.typing import NDArray

from profiler.columns import Floats
from profiler.evaluation.baselines.contract import Family, best, filled
from profiler.evaluation.baselines.matrix import counts, touched
from profiler.evaluation.baselines.popularity import Popularity
from profiler.evaluation.log import Log
from profiler.extras import of_extra


class Bpr:
    """Factors of persons and items; who or what came later falls back on popularity.

    Parameters
    ----------
    fallback_ms
        Half-life of the popularity.
    dims, step, regularisation, passes, seed
        As `implicit` has them.

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
        step: float = 0.05,
        regularisation: float = 0.01,
        passes: int = 50,
        seed: int = 0,
    ) -> None:
        self.name = f"BPR, {dims} factors, step {step:g}, {passes} passes, λ {regularisation:g}"
        self._new = partial(
            of_extra("evaluate", "implicit.cpu.bpr").BayesianPersonalizedRanking,
            factors=dims,
            learning_rate=step,
            regularization=regularisation,
            iterations=passes,
            num_threads=1,
            random_state=seed,
        )
        self._popularity = Popularity(fallback_ms)
        self._persons: Floats = np.zeros((0, 1))
        self._items: Floats = np.zeros((0, 1))
        self._is_known: NDArray[np.bool_] = np.zeros(0, dtype=bool)
        self._is_item: NDArray[np.bool_] = np.zeros(0, dtype=bool)

    def rank(self, person: int, k: int, exclude: Collection[int], ts: int) -> list[int]:
        """Give the items with the greatest product with the person's factors."""
        if person >= len(self._is_known) or not self._is_known[person]:
            return self._popularity.rank(person, k, exclude, ts)
        scores = np.where(self._is_item, self._items @ self._persons[person], -np.inf)
        return filled(best(scores, k, exclude), self._popularity.items(), k, exclude)

    def learn(self, person: int, item: int, ts: int) -> None:
        """Count the event for popularity; factors wait for the next training."""
        self._popularity.learn(person, item, ts)

    def retrain(self, log: Log) -> None:
        """Factorise all events so far."""
        model = self._new()
        model.fit(counts(log), show_progress=False)
        self._persons, self._items = model.user_factors, model.item_factors
        self._is_known, self._is_item = touched(log.person), touched(log.item)


_SETTINGS: Final = (
    {"dims": 16, "step": 0.02, "regularisation": 0.01, "passes": 50},
    {"dims": 32, "step": 0.05, "regularisation": 0.01, "passes": 50},
    {"dims": 64, "step": 0.1, "regularisation": 0.02, "passes": 50},
)

FAMILY: Final = Family(
    "BPR",
    tuple(partial(Bpr, **settings) for settings in _SETTINGS),  # type: ignore[arg-type]
)
