"""Which features a linear model uses, and why: a test of each on its posterior.

A feature's columns say nothing if their weights are zero. Given a posterior of mean m and
covariance C, m' C⁻¹ m over the feature's columns is then chi-squared with as many degrees of
freedom (Wald 1943). A feature joins above one bound and leaves below a lower one, so that it does
not come and go with every label. Left-out columns cost nothing to take back: the posterior keeps
their sums, and the weights are solved for without them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from profiler.models.posterior import Posterior

JOINS: Final = 0.5
LEAVES: Final = -0.5
"""Bounds, in standard deviations above what a feature that says nothing has on average. They are
low, as the prior keeps useless weights small, and what is left out cannot help."""

EVERY: Final = 2_000
"""Labels between two looks."""

LABELS_MIN: Final = 4_000
"""Before so many all features are used: nothing is known to say nothing yet."""


class Verdict(Struct, frozen=True):
    """What was found of a feature.

    Parameters
    ----------
    feature
        Its name.
    kept
        Whether it is used.
    statistic
        In standard deviations above what chance gives.
    """

    feature: str
    kept: bool
    statistic: float


class Selection:
    """The features that are used.

    Parameters
    ----------
    names
        F features, whose columns stand in the posterior block by block, the constant last.
    """

    def __init__(self, names: Sequence[str]) -> None:
        self.names = tuple(names)
        self.kept = np.ones(len(self.names), dtype=bool)
        self.statistic = np.full(len(self.names), np.inf)
        self._n_new = 0

    def columns(self, posterior: Posterior, n_learnt: int) -> NDArray[np.bool_]:
        """(P,) columns to use, after so many more labels; looks again from time to time."""
        self._n_new += n_learnt
        if self._n_new >= EVERY and posterior.n >= LABELS_MIN:
            self._n_new = 0
            self._look(posterior)
        blocks = (len(posterior.columns) - 1) // max(len(self.names), 1)
        return np.append(np.tile(self.kept, blocks), True)

    def _look(self, posterior: Posterior) -> None:
        covariance = np.linalg.inv(posterior.precision)
        mean = covariance @ posterior.natural_mean
        n = len(self.names)
        block = np.arange(len(mean) - 1).reshape(-1, n).T
        of_block = covariance[block[:, :, None], block[:, None, :]]
        solved = np.linalg.solve(of_block, mean[block][:, :, None])[:, :, 0]
        degrees = block.shape[1]
        wald = np.einsum("fk,fk->f", mean[block], solved)
        self.statistic = (wald - degrees) / np.sqrt(2.0 * degrees)
        self.kept = self.statistic > np.where(self.kept, LEAVES, JOINS)

    def report(self) -> list[Verdict]:
        """What is used and what is not, the most telling first."""
        found = zip(self.names, self.kept.tolist(), self.statistic.tolist(), strict=True)
        return sorted((Verdict(*one) for one in found), key=lambda v: (-v.statistic, v.feature))

    def export(self) -> dict[str, Any]:
        """Which features are used: 1 or 0 by name."""
        return dict(zip(self.names, self.kept.astype(float).tolist(), strict=True))

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from what was exported; new features are used until they are looked at."""
        self.kept = np.array([state.get(name, 1.0) >= 0.5 for name in self.names], dtype=bool)
