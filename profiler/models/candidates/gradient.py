"""Linear models by gradient: River's logistic regression, and for amounts its linear regression.

One step along the mean gradient of a mini-batch, by AdaGrad, on features that River's scaler has
brought to mean 0 and variance 1. Mini-batches grow with what has been learnt: single steps while
everything is new, then steps that are less noisy, and cheaper (Smith, Kindermans, Ying, Le, "Don't
decay the learning rate, increase the batch size", ICLR 2018). Amounts are learnt as logarithms,
with the loss whose optimum is the median (`river.optim.losses.Quantile`).
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from river import linear_model, optim
from river.utils import VectorDict

from profiler.columns import Floats
from profiler.models.basis import Scale
from profiler.models.candidates.contract import Question, State, X
from profiler.models.numbers import averaged, by_name, in_order, log_odds, probability

LOG_AMOUNT_MAX: Final = 20.0

_STEP: Final = 0.1
_INTERCEPT_STEP: Final = 0.05
_MINI_BATCH_MAX: Final = 64
_LABELS_PER_GROWTH: Final = 250


class ByGradient:
    """A generalised linear model of River's, in batches."""

    def __init__(self, question: Question) -> None:
        self.names = question.feature_names
        self.scale = Scale(self.names)
        self._is_binary = question.kind == "binary"
        start = float(log_odds(question.prior)) if self._is_binary else 0.0
        self.model: Any
        if self._is_binary:
            self.model = linear_model.LogisticRegression(
                optim.AdaGrad(_STEP), intercept_init=start, intercept_lr=_INTERCEPT_STEP
            )
        else:
            self.model = linear_model.LinearRegression(
                optim.AdaGrad(_STEP),
                loss=optim.losses.Quantile(0.5),
                intercept_init=start,
                intercept_lr=_INTERCEPT_STEP,
            )

    def predict(self, x: X) -> Floats:
        """See `Candidate.predict`."""
        weights = in_order(self.names, self.model.weights).astype(np.float32)
        raw = (self.scale.transform(x) @ weights).astype(np.float64) + self.intercept()
        if self._is_binary:
            return probability(raw)
        return np.asarray(np.expm1(np.clip(raw, 0.0, LOG_AMOUNT_MAX)))

    def contributions(self, x: X) -> Floats:
        """(N, F) what each feature adds to the log-odds, or to the logarithm of the amount."""
        return np.asarray(self.scale.transform(x) * in_order(self.names, self.model.weights))

    def intercept(self) -> float:
        """What the raw score is without any of them."""
        return float(self.model.intercept)

    def learn(self, x: X, y: Floats, w: Floats) -> None:
        """See `Candidate.learn`."""
        n_before = self.scale.n
        self.scale.learn(x)
        scaled = self.scale.transform(x).astype(np.float64)
        target = y if self._is_binary else np.log1p(y)
        start = 0
        while start < len(x):
            size = min(_MINI_BATCH_MAX, 1 + (n_before + start) // _LABELS_PER_GROWTH)
            part = slice(start, start + size)
            self._step(scaled[part], target[part], w[part])
            start += size

    def _step(self, x: Floats, y: Floats, w: Floats) -> None:
        """One step along the mean gradient of (M, F) scaled features: River's `learn_many`.

        Called below its surface, which takes data frames only and spends a millisecond on each.
        """
        model = self.model
        saved = model._enter_learn_mode(set(self.names))
        try:
            gradient = functools.partial(model._eval_gradient_many, x)
            model._fit(x=self.names, y=y, w=w, get_grad=gradient)
        finally:
            model._exit_learn_mode(saved)

    def export(self) -> State:
        """See `Candidate.export`."""
        return {
            "intercept": float(self.model.intercept),
            "steps": float(self.model.optimizer.n_iterations),
            "weights": by_name(self.names, in_order(self.names, self.model.weights)),
            "squared_gradients": by_name(self.names, in_order(self.names, self.model.optimizer.g2)),
            "scale": self.scale.export(),
        }

    def restore(self, state: State) -> None:
        """See `Candidate.restore`."""
        there = [name for name in self.names if name in state["weights"]]
        self.model.intercept = float(state["intercept"])
        self.model.optimizer.n_iterations = int(state["steps"])
        # River has no public way to set weights; a test pins this one.
        self.model._weights = VectorDict({name: state["weights"][name] for name in there})
        self.model.optimizer.g2.update({n: state["squared_gradients"][n] for n in there})
        self.scale.restore(state["scale"])

    @staticmethod
    def merge(states: Sequence[State], shares: Floats) -> State:
        """See `Candidate.merge`."""
        return dict(averaged(states, shares))
