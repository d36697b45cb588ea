"""Gaussian naive Bayes: what `river.naive_bayes.GaussianNB` computes, for whole batches.

Each feature is normal within each class, independent of the others. River keeps a count, a mean
and a sum of squares per class and feature, one object each; these are the same numbers as matrices.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from profiler.columns import Floats
from profiler.models.candidates.contract import Question, State, X
from profiler.models.numbers import averaged, by_name, in_order, log_odds, probability

_CLASSES: Final = ("no", "yes")


class NaiveBayes:
    """Probabilities by counts, means and variances of the two classes."""

    def __init__(self, question: Question) -> None:
        self.names = question.feature_names
        shape = (len(_CLASSES), len(self.names))
        self._prior = float(log_odds(question.prior))
        self._n = np.zeros(len(_CLASSES))
        self._mean = np.zeros(shape)
        self._squares = np.zeros(shape)

    def predict(self, x: X) -> Floats:
        """See `Candidate.predict`."""
        if not self._n.all():
            return np.full(len(x), probability(np.array(self._prior)))
        # The contributions' sum is a quadratic function of each feature: two products.
        square, slope, constant = self._coefficients()
        odds = (x * x) @ square + x @ slope + (constant.sum() + self.intercept())
        return probability(odds.astype(np.float64))

    def _coefficients(self) -> tuple[Floats, Floats, Floats]:
        """(F,) each of x², x and 1 in the log ratio of the densities."""
        variance = self._squares / np.maximum(self._n, 1.0)[:, None]
        varies = (variance > 0).all(axis=0)
        safe = np.where(varies, variance, 1.0)
        square = -0.5 / safe
        slope = self._mean / safe
        constant = -0.5 * (self._mean**2 / safe + np.log(safe))
        no, yes = (np.where(varies, [square[c], slope[c], constant[c]], 0.0) for c in range(2))
        return tuple(yes - no)

    def contributions(self, x: X) -> Floats:
        """(N, F) log ratio of the two densities of each feature; 0 of those that never varied."""
        square, slope, constant = self._coefficients()
        return np.asarray(x * x * square + x * slope + constant)

    def intercept(self) -> float:
        """Log-odds of the classes."""
        return float(np.log(self._n[1] / self._n[0])) if self._n.all() else self._prior

    def learn(self, x: X, y: Floats, w: Floats) -> None:
        """See `Candidate.learn`."""
        for c in range(len(_CLASSES)):
            of_class = np.flatnonzero((y > 0.5) == bool(c))
            n = float(w[of_class].sum())
            if not n:
                continue
            part, weight = x[of_class].astype(np.float64), w[of_class]
            mean = weight @ part / n
            squares = weight @ (part - mean) ** 2
            total = self._n[c] + n
            shift = mean - self._mean[c]
            # Chan, Golub, LeVeque 1983, by which River adds two variances.
            self._squares[c] += squares + shift**2 * self._n[c] * n / total
            self._mean[c] += shift * n / total
            self._n[c] = total

    def export(self) -> State:
        """See `Candidate.export`."""
        return {
            name: {
                "n": float(self._n[c]),
                "sums": by_name(self.names, self._mean[c] * self._n[c]),
                "squares": by_name(self.names, self._squares[c] + self._mean[c] ** 2 * self._n[c]),
            }
            for c, name in enumerate(_CLASSES)
        }

    def restore(self, state: State) -> None:
        """See `Candidate.restore`."""
        for c, name in enumerate(_CLASSES):
            part = state[name]
            self._n[c] = part["n"]
            n = max(self._n[c], 1e-300)
            self._mean[c] = in_order(self.names, part["sums"]) / n
            squares = in_order(self.names, part["squares"]) - self._mean[c] ** 2 * self._n[c]
            self._squares[c] = np.maximum(squares, 0.0)

    @staticmethod
    def merge(states: Sequence[State], shares: Floats) -> State:
        """See `Candidate.merge`."""
        return dict(averaged(states, shares))
