"""By how much a challenger is better than the one that serves, label by label."""

from __future__ import annotations

import math
from typing import Final

import numpy as np

from profiler.columns import Floats

HALF_LIFE: Final = 5_000.0
"""Labels after which one counts half."""


class Lead:
    """Mean difference of two losses on the same labels, and how sure it is.

    Examples
    --------
    >>> lead = Lead()
    >>> lead.update(np.array([0.1, 0.3, 0.2, 0.2]), np.full(4, 0.5), np.ones(4))
    >>> lead.n, round(lead.mean(), 3), round(lead.surely(2.0), 3)
    (4, 0.3, -0.008)
    """

    def __init__(self) -> None:
        self.n = 0
        self._sums: Floats = np.zeros(3)

    def update(self, challenger: Floats, serving: Floats, weight: Floats) -> None:
        """Compare (L,) losses."""
        gained = weight * (serving - challenger)
        self._sums *= 0.5 ** (len(weight) / HALF_LIFE)
        self._sums += weight.sum(), gained.sum(), (gained * gained).sum()
        self.n += len(weight)

    def mean(self) -> float:
        """How much less the challenger loses; 0 before a label."""
        total, gained, _ = self._sums.tolist()
        return gained / total if total else 0.0

    def surely(self, n_errors: float) -> float:
        """The mean less so many standard errors of a mean that is zero."""
        total, gained, squares = self._sums.tolist()
        return (gained - n_errors * math.sqrt(squares)) / total if total else 0.0
