"""Prior: the same answer for all, the floor that every other candidate must beat.

A probability is the weighted share of yes so far (River's `stats.Mean`). An amount is the median,
which is what the absolute error asks for, off a histogram of logarithms: River's running quantile
takes single values and cannot be merged.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from river import stats

from profiler.columns import Floats
from profiler.models.candidates.contract import Question, State, X
from profiler.models.numbers import averaged

STRENGTH: Final = 10.0
"""Labels that the share known beforehand counts for."""

_BINS_PER_UNIT: Final = 32
_BINS: Final = 20 * _BINS_PER_UNIT


class Prior:
    """Share of yes, or median amount.

    Examples
    --------
    >>> prior = Prior(Question("binary", (), 0.5))
    >>> prior.learn(np.empty((30, 0)), np.ones(30), np.ones(30))
    >>> prior.predict(np.empty((1, 0)))
    array([0.875])
    """

    def __init__(self, question: Question) -> None:
        self._is_binary = question.kind == "binary"
        self._share = stats.Mean()
        self._share.update(question.prior, STRENGTH)
        self._mass = np.zeros(_BINS)

    def predict(self, x: X) -> Floats:
        """See `Candidate.predict`."""
        return np.full(len(x), self._share.get() if self._is_binary else self._median())

    def learn(self, x: X, y: Floats, w: Floats) -> None:
        """See `Candidate.learn`."""
        total = float(w.sum())
        if total and self._is_binary:
            self._share.update(float(w @ y) / total, total)
        if not self._is_binary:
            place = np.minimum(np.ceil(np.log1p(y) * _BINS_PER_UNIT), _BINS - 1).astype(np.intp)
            self._mass += np.bincount(place, w, _BINS)

    def _median(self) -> float:
        below = np.cumsum(self._mass)
        place = int(np.searchsorted(below, below[-1] / 2)) if below[-1] else 0
        return float(np.expm1(place / _BINS_PER_UNIT))

    def export(self) -> State:
        """See `Candidate.export`."""
        if self._is_binary:
            return {"share": float(self._share.get()), "n": float(self._share.n)}
        there = np.flatnonzero(self._mass)
        return {"mass": {str(k): float(self._mass[k]) for k in there.tolist()}}

    def restore(self, state: State) -> None:
        """See `Candidate.restore`."""
        if self._is_binary:
            self._share = stats.Mean._from_state(state["n"], state["share"])
        else:
            self._mass = np.zeros(_BINS)
            for place, mass in state["mass"].items():
                self._mass[int(place)] = mass

    @staticmethod
    def merge(states: Sequence[State], shares: Floats) -> State:
        """See `Candidate.merge`."""
        return dict(averaged(states, shares))
