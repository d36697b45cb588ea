"""Bayesian linear regression in batches: River's model, driven below its surface.

River's `BayesianLinearRegression` (Bishop, "Pattern Recognition and Machine Learning", §3.3) keeps
the precision of its weights and their natural mean, both sums over examples. Its own `learn_many`
takes data frames and inverts a matrix at every call; here the sums are added to directly, weighted,
and the weights are solved for when they are asked for and enough is new.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from river import linear_model

from profiler.columns import Floats
from profiler.models.numbers import probability, weighted

STALE_SHARE: Final = 64
"""Weights are solved for anew when more than this part of what was learnt is new."""

STALE_MAX: Final = 256
"""And at the latest after so many examples."""

CURVATURE_MIN: Final = 1e-4


class Posterior:
    """Weights of P columns, known as well as the examples so far tell.

    Parameters
    ----------
    columns
        Their names.
    half_life
        Number of examples after which one counts half; 0: all count alike.
    """

    def __init__(self, columns: tuple[str, ...], half_life: float = 0.0) -> None:
        self.columns = columns
        self.half_life = half_life
        self.model = linear_model.BayesianLinearRegression()
        self.model._ensure_features(columns)
        self.n = 0.0
        self._kept = np.ones(len(columns), dtype=bool)
        self._mean: Floats = np.zeros(len(columns))
        self._n_new = 0.0

    @property
    def precision(self) -> Floats:
        """(P, P) precision of the weights, the prior's (one) included."""
        n = len(self.columns)
        return np.asarray(self.model._ss_arr)[:n, :n]

    @property
    def natural_mean(self) -> Floats:
        """(P,) precision times mean."""
        return np.asarray(self.model._eta_arr)[: len(self.columns)]

    def learn(self, columns: NDArray[np.float32], target: Floats, weight: Floats) -> None:
        """Add (M, P) examples, each with its weight."""
        if self.half_life:
            self.fade(0.5 ** (len(target) / self.half_life))
        left = columns.T * weight.astype(np.float32)
        precision, natural_mean = self.precision, self.natural_mean
        precision += left @ columns
        natural_mean += left @ target.astype(np.float32)
        self.n += len(target)
        self._n_new += len(target)

    def fade(self, share: float) -> None:
        """Let what was learnt count only so much; the prior counts as before."""
        precision, natural_mean = self.precision, self.natural_mean
        precision *= share
        precision.flat[:: len(precision) + 1] += 1.0 - share
        natural_mean *= share

    def weights(self) -> Floats:
        """(P,) mean of the weights; zero of columns that are left out."""
        if self._n_new > min(self.n / STALE_SHARE, STALE_MAX):
            self._solve()
        return self._mean

    def keep(self, kept: NDArray[np.bool_]) -> None:
        """Leave out all other columns: the weights are then as if they had never been there."""
        if not np.array_equal(kept, self._kept):
            self._kept = kept
            self._solve()

    def _solve(self) -> None:
        kept = np.flatnonzero(self._kept)
        mean = np.zeros(len(self.columns))
        precision = self.precision if len(kept) == len(mean) else self.precision[np.ix_(kept, kept)]
        mean[kept] = np.linalg.solve(precision, self.natural_mean[kept])
        self._mean = mean
        self._n_new = 0.0

    def export(self) -> dict[str, Any]:
        """The sums: the precision's upper triangle row by row, without the prior."""
        # Whoever goes on from here begins with weights that are up to date.
        self._solve()
        p = len(self.columns)
        triangle = (self.precision - np.eye(p))[np.triu_indices(p)]
        return {
            "columns": list(self.columns),
            "n": float(self.n),
            "precision": triangle.tolist(),
            "natural_mean": self.natural_mean.tolist(),
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from what was exported; columns that are gone are left out, new ones unknown."""
        place = {name: k for k, name in enumerate(self.columns)}
        before = state["columns"]
        full = np.zeros((len(before), len(before)))
        full[np.triu_indices(len(before))] = state["precision"]
        full += np.triu(full, 1).T
        there = [k for k, name in enumerate(before) if name in place]
        here = [place[before[k]] for k in there]
        self.precision[:] = np.eye(len(self.columns))
        self.precision[np.ix_(here, here)] += full[np.ix_(there, there)]
        self.natural_mean[:] = 0.0
        self.natural_mean[here] = np.array(state["natural_mean"])[there]
        self.n = float(state["n"])
        self._solve()


def logistic_step(
    posterior: Posterior, columns: NDArray[np.float32], offset: Floats | float, y: Floats, w: Floats
) -> None:
    """Learn (M,) labels of a logistic model whose log-odds are an offset and a weighted sum.

    One step of iteratively reweighted least squares: near the present log-odds r, with probability
    p, a logistic model is a linear one with response r + (y − p) / p(1 − p) and weight p(1 − p).
    """
    linear = np.asarray(columns @ posterior.weights().astype(np.float32), dtype=np.float64)
    p = probability(linear + offset)
    curvature = np.maximum(p * (1.0 - p), CURVATURE_MIN)
    posterior.learn(columns, linear + (y - p) / curvature, w * curvature)


def merged(states: Sequence[dict[str, Any]], shares: Floats) -> dict[str, Any]:
    """Average of posteriors: of their sums, which is where they are additive.

    States of other columns than the first's are left out.
    """
    columns = max(s["columns"] for s in states)
    chosen = [k for k, s in enumerate(states) if s["columns"] == columns]
    part = shares[chosen] / shares[chosen].sum()

    def mean(name: str) -> Any:
        return weighted(np.array([states[k][name] for k in chosen], dtype=np.float64), part)

    return {
        "columns": list(columns),
        "n": float(mean("n")),
        "precision": mean("precision").tolist(),
        "natural_mean": mean("natural_mean").tolist(),
    }
