"""Trees of River's: a Hoeffding adaptive tree, and an adaptive random forest.

Bifet, Gavaldà, "Adaptive learning from evolving data streams", IDA 2009; Gomes et al., "Adaptive
random forests for evolving data stream classification", Machine Learning 2017. They learn and
predict one row at a time, some hundred microseconds to a millisecond for each: they are off unless
they are asked for, and then see a small sample.

There is no plain form of River's trees, and a pickle is never read. What is kept are the latest
labels themselves, and a restored tree learns them again. It is then the tree of those labels, not
the one that was: what older ones had taught is gone. That also outlives another River.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from river import forest, tree

from profiler.columns import Floats
from profiler.models.candidates.contract import Question, State, X

EXAMPLES_MAX: Final = 1_000
"""Labels that are kept to be learnt again."""

_SEED: Final = 1
_TREES: Final = 5


class Tree:
    """A Hoeffding adaptive tree, and the latest labels."""

    def __init__(self, question: Question) -> None:
        self.names = question.feature_names
        self._is_binary = question.kind == "binary"
        self._prior = question.prior
        self.model: Any = self._made()
        self._examples: deque[tuple[list[float], float, float]] = deque(maxlen=EXAMPLES_MAX)

    def _made(self) -> Any:
        if self._is_binary:
            return tree.HoeffdingAdaptiveTreeClassifier(seed=_SEED)
        return tree.HoeffdingAdaptiveTreeRegressor(seed=_SEED)

    def predict(self, x: X) -> Floats:
        """See `Candidate.predict`."""
        if not self._examples:
            return np.full(len(x), self._prior if self._is_binary else 0.0)
        return np.array([self._one(dict(zip(self.names, row, strict=True))) for row in x.tolist()])

    def _one(self, named: dict[str, float]) -> float:
        if self._is_binary:
            return float(self.model.predict_proba_one(named).get(True, 0.0))
        return float(np.expm1(np.clip(self.model.predict_one(named), 0.0, 20.0)))

    def learn(self, x: X, y: Floats, w: Floats) -> None:
        """See `Candidate.learn`; a label that stands for many is learnt once, like any other."""
        for row, label, count in zip(x.tolist(), y.tolist(), w.tolist(), strict=True):
            self._examples.append((row, label, count))
            self._learn_one(row, label)

    def _learn_one(self, row: list[float], label: float) -> None:
        target = label > 0.5 if self._is_binary else float(np.log1p(label))
        self.model.learn_one(dict(zip(self.names, row, strict=True)), target)

    def export(self) -> State:
        """See `Candidate.export`."""
        return {
            "features": list(self.names),
            "x": [row for row, _, _ in self._examples],
            "y": [label for _, label, _ in self._examples],
            "w": [count for _, _, count in self._examples],
        }

    def restore(self, state: State) -> None:
        """See `Candidate.restore`. Learns the kept labels again; new features are zero in them."""
        place = {name: k for k, name in enumerate(state["features"])}
        self.model = self._made()
        self._examples.clear()
        for row, label, count in zip(state["x"], state["y"], state["w"], strict=True):
            mine = [row[place[name]] if name in place else 0.0 for name in self.names]
            self._examples.append((mine, float(label), float(count)))
            self._learn_one(mine, float(label))

    @staticmethod
    def merge(states: Sequence[State], shares: Floats) -> State:
        """See `Candidate.merge`. Trees cannot be averaged: that of the most labels is kept."""
        most = max(shares.tolist())
        best = [s for s, share in zip(states, shares.tolist(), strict=True) if share == most]
        return max(best, key=lambda state: (state["y"], state["x"]))


class Forest(Tree):
    """An adaptive random forest, and the latest labels."""

    def _made(self) -> Any:
        if self._is_binary:
            return forest.ARFClassifier(n_models=_TREES, seed=_SEED)
        return forest.ARFRegressor(n_models=_TREES, seed=_SEED)
