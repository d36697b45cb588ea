"""River's logistic regression as a `Learner`: the smallest example of what can be reacted upon."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from river import linear_model, optim
from river.optim.schedulers import Constant

from profiler.columns import Floats

_PROBABILITY_MIN = 1e-6


class Logistic:
    """Logistic regression with AdaGrad, learnt one label at a time.

    Parameters
    ----------
    step
        AdaGrad's step.
    """

    def __init__(self, step: float = 0.1) -> None:
        self._step = step
        self._model = linear_model.LogisticRegression(optimizer=optim.AdaGrad(step))

    def predict(self, x: NDArray[np.floating]) -> Floats:
        """(N,) probabilities from (N, F) features."""
        weights = self._model.weights
        w = np.array([weights.get(k, 0.0) for k in range(x.shape[1])])
        return np.asarray(1.0 / (1.0 + np.exp(-(x @ w + self._model.intercept))))

    def learn(self, x: NDArray[np.floating], y: Floats, w: Floats) -> None:
        """Learn (N,) outcomes 0 and 1 with (N,) weights, one after another."""
        for row, outcome, weight in zip(x.tolist(), y.tolist(), w.tolist(), strict=True):
            self._model.learn_one(dict(enumerate(row)), outcome, w=weight)

    def fresh(self) -> Logistic:
        """A new model that has learnt nothing."""
        return Logistic(self._step)

    def hasten(self, factor: float) -> None:
        """Take steps this many times as large as usual."""
        self._model.optimizer.lr = Constant(self._step * factor)


def log_loss(p: Floats, y: Floats) -> Floats:
    """(N,) log losses in nats.

    Examples
    --------
    >>> log_loss(np.array([0.5, 1.0]), np.array([1.0, 1.0]))
    array([0.693147..., 0.000001])
    """
    p = np.clip(p, _PROBABILITY_MIN, 1.0 - _PROBABILITY_MIN)
    return -np.log(np.where(y > 0, p, 1.0 - p))
