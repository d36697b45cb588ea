"""Bayesian logistic regression on bent features: River's linear one, on a working response.

Near the present log-odds a logistic model is a linear one (`logistic_step`), whose posterior is
carried on as River's `BayesianLinearRegression` does (the extended Kalman filter of Fahrmeir,
"Posterior mode estimation by extended Kalman filtering for multivariate dynamic generalized linear
models", JASA 1992). It learns from some hundred labels what gradient
steps take thousands for, and needs no step size.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from profiler.columns import Floats
from profiler.models.basis import Basis
from profiler.models.candidates.contract import Question, State, X
from profiler.models.numbers import averaged, log_odds, probability
from profiler.models.posterior import Posterior, logistic_step, merged
from profiler.models.selection import Selection, Verdict

HALF_LIFE: Final = 100_000.0
"""Labels after which one counts half."""

_BATCH_MAX: Final = 128
_GROWTH: Final = 16


class Bayesian:
    """Probabilities by the posterior mean of a logistic model's weights."""

    def __init__(self, question: Question) -> None:
        self.basis = Basis(question.feature_names)
        self.posterior = Posterior(self.basis.columns, HALF_LIFE)
        self.selection = Selection(question.feature_names)
        self._start = float(log_odds(question.prior))

    def predict(self, x: X) -> Floats:
        """See `Candidate.predict`."""
        return self.chance(self.basis.expand(x))

    def chance(self, columns: NDArray[np.float32]) -> Floats:
        """(N,) probabilities for the columns of the basis."""
        return probability(self._raw(columns))

    def contributions(self, x: X) -> Floats:
        """(N, F) what each feature adds to the log-odds."""
        return self.basis.by_feature(self.basis.expand(x) * self.posterior.weights())

    def intercept(self) -> float:
        """Log-odds without any of them."""
        return self._start + float(self.posterior.weights()[-1])

    def learn(self, x: X, y: Floats, w: Floats) -> None:
        """See `Candidate.learn`."""
        self.basis.scale.learn(x)
        columns = self.basis.expand(x)
        start = 0
        while start < len(x):
            # Small steps at first: the point near which a label is linearised moves with each.
            size = min(_BATCH_MAX, 1 + int(self.posterior.n + start) // _GROWTH)
            part = slice(start, start + size)
            logistic_step(self.posterior, columns[part], self._start, y[part], w[part])
            start += size
        self.posterior.keep(self.selection.columns(self.posterior, len(x)))

    def report(self) -> list[Verdict]:
        """See `Selecting.report`."""
        return self.selection.report()

    def _raw(self, columns: NDArray[np.float32]) -> Floats:
        linear = columns @ self.posterior.weights().astype(np.float32)
        return np.asarray(linear.astype(np.float64) + self._start)

    def export(self) -> State:
        """See `Candidate.export`."""
        return {
            "scale": self.basis.scale.export(),
            "posterior": self.posterior.export(),
            "kept": self.selection.export(),
        }

    def restore(self, state: State) -> None:
        """See `Candidate.restore`."""
        self.basis.scale.restore(state["scale"])
        self.posterior.restore(state["posterior"])
        self.selection.restore(state["kept"])
        self.posterior.keep(self.selection.columns(self.posterior, 0))

    @staticmethod
    def merge(states: Sequence[State], shares: Floats) -> State:
        """See `Candidate.merge`."""
        return {
            "scale": averaged([s["scale"] for s in states], shares),
            "posterior": merged([s["posterior"] for s in states], shares),
            "kept": averaged([s["kept"] for s in states], shares),
        }
