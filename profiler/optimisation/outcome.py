"""A River regression of what comes of a person, fed by arrays."""

from __future__ import annotations

import functools
from typing import Any, Final, Literal

import numpy as np
from msgspec import Struct
from river import linear_model, optim
from river.utils import VectorDict

from profiler.columns import Floats

Kind = Literal["binary", "amount"]
"""Whether something happens or not (logistic regression), or how much of it (linear regression)."""

_STEP: Final = 0.1
_INTERCEPT_STEP: Final = 0.05
_MINI_BATCH: Final = 32


class OutcomeRecord(Struct, frozen=True):
    """A regression as plain data, for JSON."""

    n_learnt: int
    intercept: float
    weights: dict[str, float]
    squared_gradients: dict[str, float]


class OutcomeModel:
    """Expected outcome by F features.

    Parameters
    ----------
    n_features
        F.
    kind
        *binary* or *amount*.

    Examples
    --------
    >>> model = OutcomeModel(1, "binary")
    >>> x = np.tile([[-1.0], [1.0]], (2_000, 1))
    >>> model.learn(x, np.tile([0.0, 1.0], 2_000))
    >>> model.expected(np.array([[-1.0], [1.0]])).round()
    array([0., 1.])
    """

    def __init__(self, n_features: int, kind: Kind) -> None:
        self.kind = kind
        self.n_learnt = 0
        self._names = tuple(str(k) for k in range(n_features))
        regression = (
            linear_model.LogisticRegression if kind == "binary" else linear_model.LinearRegression
        )
        self._model: Any = regression(optimizer=optim.AdaGrad(_STEP), intercept_lr=_INTERCEPT_STEP)

    def expected(self, x: Floats) -> Floats:
        """(N,) expected outcomes."""
        weights = self._model.weights
        raw = x @ np.array([weights.get(name, 0.0) for name in self._names]) + self._model.intercept
        return np.asarray(1.0 / (1.0 + np.exp(-np.clip(raw, -30, 30))) if self._is_binary else raw)

    def learn(self, x: Floats, outcome: Floats) -> None:
        """Learn from N people in mini-batches: River's `learn_many`.

        Called below its surface, which takes data frames only.
        """
        model = self._model
        for k in range(0, len(x), _MINI_BATCH):
            part = slice(k, k + _MINI_BATCH)
            saved = model._enter_learn_mode(set(self._names))
            try:
                gradient = functools.partial(model._eval_gradient_many, x[part])
                ones = np.ones(len(x[part]))
                model._fit(x=self._names, y=outcome[part], w=ones, get_grad=gradient)
            finally:
                model._exit_learn_mode(saved)
        self.n_learnt += len(x)

    @property
    def _is_binary(self) -> bool:
        return self.kind == "binary"

    def export(self) -> OutcomeRecord:
        """All that was learnt."""
        model = self._model
        return OutcomeRecord(
            self.n_learnt,
            float(model.intercept),
            {name: float(w) for name, w in model.weights.items()},
            {name: float(g) for name, g in model.optimizer.g2.items()},
        )

    def restore(self, record: OutcomeRecord) -> None:
        """Go on from what was exported; features that are gone are left out."""
        self.n_learnt = record.n_learnt
        self._model.intercept = record.intercept
        # River has no public way to set weights; a test pins this one.
        self._model._weights = VectorDict(self._known(record.weights))
        self._model.optimizer.g2.update(self._known(record.squared_gradients))

    def _known(self, numbers: dict[str, float]) -> dict[str, float]:
        return {name: number for name, number in numbers.items() if name in self._names}


def averaged(a: OutcomeRecord, b: OutcomeRecord) -> OutcomeRecord:
    """Both regressions together, weighted by what they have learnt (McMahan et al., AISTATS 2017).

    Examples
    --------
    >>> a, b = OutcomeRecord(3, 1.0, {"0": 1.0}, {}), OutcomeRecord(1, 0.0, {}, {"0": 2.0})
    >>> averaged(a, b)
    OutcomeRecord(n_learnt=4, intercept=0.75, weights={'0': 0.75}, squared_gradients={'0': 2.0})
    """
    total = a.n_learnt + b.n_learnt
    if not total:
        return a
    share_a, share_b = a.n_learnt / total, b.n_learnt / total

    def mixed(one: dict[str, float], other: dict[str, float]) -> dict[str, float]:
        names = sorted({*one, *other})
        return {n: share_a * one.get(n, 0.0) + share_b * other.get(n, 0.0) for n in names}

    gradients = sorted({*a.squared_gradients, *b.squared_gradients})
    return OutcomeRecord(
        total,
        share_a * a.intercept + share_b * b.intercept,
        mixed(a.weights, b.weights),
        {n: a.squared_gradients.get(n, 0.0) + b.squared_gradients.get(n, 0.0) for n in gradients},
    )
