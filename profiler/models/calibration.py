"""Calibration: what was predicted is held against what came, and put right for what is predicted.

Platt scaling ("Probabilistic outputs for support vector machines", 1999), learnt online: the
log-odds of an answer are stretched and shifted by a logistic regression on the log-odds that a
candidate gave, each label with the weight of the predictions that it stands for. It starts from
leaving them as they are.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from profiler.columns import Floats
from profiler.models.numbers import log_odds, probability
from profiler.models.posterior import Posterior, logistic_step

HALF_LIFE: Final = 4_000.0
"""Labels after which one counts half."""

STRENGTH: Final = 5.0
"""How firmly it starts from leaving the log-odds as they are."""


class Calibration:
    """Probabilities put right.

    Examples
    --------
    >>> calibration = Calibration()
    >>> claimed, came = np.full(2_000, 0.5), np.tile([0.0, 0.0, 0.0, 1.0], 500)
    >>> for part in np.split(np.arange(2_000), 100):
    ...     calibration.learn(claimed[part], came[part], np.ones(20))
    >>> calibration.of(np.array([0.5])).round(2)
    array([0.27])
    """

    def __init__(self) -> None:
        self._posterior = Posterior(("slope", "shift"), HALF_LIFE)

    def of(self, p: NDArray[np.floating]) -> Floats:
        """(N,) what a candidate's probabilities have turned out to mean."""
        odds = log_odds(p)
        slope, shift = (self._posterior.weights() / STRENGTH).tolist()
        return probability(odds * max(1.0 + slope, 0.0) + shift)

    def learn(self, p: NDArray[np.floating], y: Floats, w: Floats) -> None:
        """Hold (M,) probabilities against their labels."""
        odds = log_odds(p)
        columns = np.column_stack([odds, np.ones(len(odds))]).astype(np.float32) / STRENGTH
        logistic_step(self._posterior, columns, odds, y, w)

    def export(self) -> dict[str, Any]:
        """All that was learnt."""
        return self._posterior.export()

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from what was exported."""
        self._posterior.restore(state)
