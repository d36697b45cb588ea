"""Amounts in two parts: whether it is anything at all, and how much it is then.

A Bayesian logistic regression says whether the amount is above zero, a Bayesian linear regression
(River's, see `profiler.models.posterior`) its logarithm if it is. Together they are a distribution,
and what is predicted is its median, which is the optimum of the absolute error: zero while the
chance of anything is below one half. (Two-part models: Duan, Manning, Morris, Newhouse, JBES 1983.)
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from river import stats
from scipy.special import ndtri

from profiler.columns import Floats
from profiler.models.candidates.bayesian import HALF_LIFE, Bayesian
from profiler.models.candidates.contract import Question, State, X
from profiler.models.candidates.gradient import LOG_AMOUNT_MAX
from profiler.models.numbers import averaged
from profiler.models.posterior import Posterior, merged
from profiler.models.selection import Verdict

_QUANTILE_MIN: Final = 1e-6


class TwoPart:
    """Median of an amount that is often zero."""

    def __init__(self, question: Question) -> None:
        self.any = Bayesian(Question("binary", question.feature_names, question.prior))
        self.size = Posterior(self.any.basis.columns, HALF_LIFE)
        self._squares = stats.Mean()
        self._squares.update(1.0)

    def predict(self, x: X) -> Floats:
        """See `Candidate.predict`."""
        columns = self.any.basis.expand(x)
        chance = self.any.chance(columns)
        size = (columns @ self.size.weights().astype(np.float32)).astype(np.float64)
        spread = np.sqrt(self._squares.get())
        quantile = np.clip((chance - 0.5) / chance, _QUANTILE_MIN, 1.0 - _QUANTILE_MIN)
        logarithm = np.clip(size + spread * ndtri(quantile), 0.0, LOG_AMOUNT_MAX)
        return np.asarray(np.where(chance > 0.5, np.expm1(logarithm), 0.0))

    def contributions(self, x: X) -> Floats:
        """(N, F) what each feature adds to the log-odds that it is anything."""
        return self.any.contributions(x)

    def intercept(self) -> float:
        """Log-odds without any of them."""
        return self.any.intercept()

    def learn(self, x: X, y: Floats, w: Floats) -> None:
        """See `Candidate.learn`."""
        self.any.learn(x, (y > 0).astype(np.float64), w)
        some = np.flatnonzero(y > 0)
        if not len(some):
            return
        columns = self.any.basis.expand(x[some])
        target, weight = np.log1p(y[some]), w[some]
        wrong = target - columns @ self.size.weights()
        self._squares.update(float(weight @ wrong**2 / weight.sum()), float(weight.sum()))
        self.size.learn(columns, target, weight)

    def report(self) -> list[Verdict]:
        """See `Selecting.report`: of whether it is anything."""
        return self.any.report()

    def export(self) -> State:
        """See `Candidate.export`."""
        return {
            "any": self.any.export(),
            "size": self.size.export(),
            "squares": {"mean": float(self._squares.get()), "n": float(self._squares.n)},
        }

    def restore(self, state: State) -> None:
        """See `Candidate.restore`."""
        self.any.restore(state["any"])
        self.size.restore(state["size"])
        self._squares = stats.Mean._from_state(state["squares"]["n"], state["squares"]["mean"])

    @staticmethod
    def merge(states: Sequence[State], shares: Floats) -> State:
        """See `Candidate.merge`."""
        return {
            "any": Bayesian.merge([s["any"] for s in states], shares),
            "size": merged([s["size"] for s in states], shares),
            "squares": averaged([s["squares"] for s in states], shares),
        }
