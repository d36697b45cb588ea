"""The person's own part: what sets somebody apart from what the crowd's model says of them.

A person's intercept is normal around zero, the crowd's (hierarchical shrinkage; Robinson, "That
BLUP is a good thing", Statistical Science 1991). The row keeps two sums over the person's labels:
of what was wrong with the crowd's predictions (E), and of the information in them (H), in which
older labels fade: the crowd's model gets better, and people change. With the crowd's variance v the
intercept is E / (H + 1/v): zero at first, nearly E/H after much evidence.

The variance is estimated online from the same sums. If e is wrong with a prediction of information
h, the mean of E·e is v times that of H·h, as only the intercept ties errors of one person together.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from profiler.columns import Floats
from profiler.models.labels import Labels
from profiler.models.numbers import log_odds, probability
from profiler.models.scoring import Figures, figures_of
from profiler.models.task import Kind

HALF_LIFE: Final = 20_000.0
"""Labels after which one counts half in the crowd's variance, and in whether own parts help."""

HELPS: Final = 0.02
HARDLY: Final = 0.01
"""Own parts are used once they would have made the loss less by the first share, until it is less
than the second. A small gain is not worth what they cost in calibration."""

LABELS_MIN: Final = 1_000

KEPT: Final = 0.9
"""What is left of a person's two sums when the next label comes: some ten labels count."""

SHIFT_MAX: Final = 3.0
"""Bound on an own part: log-odds, or logarithms."""


class Personal:
    """The crowd's variance, and whether own parts help.

    Attributes
    ----------
    variance
        Of people's intercepts: log-odds, or logarithms of amounts.
    is_used
        Whether own parts have been found to help.
    """

    def __init__(self, kind: Kind) -> None:
        self._kind = kind
        self._products = np.zeros(2)
        self.variance = 0.0
        self.is_used = False
        self._without: Figures = figures_of(kind, HALF_LIFE)
        self._with: Figures = figures_of(kind, HALF_LIFE)

    def served(
        self, crowd: NDArray[np.floating], own: NDArray[np.floating], of: NDArray[np.floating]
    ) -> NDArray[np.floating]:
        """(N,) what is said: the crowd's prediction, moved by own parts E of evidence H."""
        return self._moved(crowd, own, of) if self.is_used else crowd

    def evidence(self, labels: Labels) -> tuple[Floats, Floats]:
        """(L,) what was wrong with the crowd's predictions, and their information."""
        if self._kind == "binary":
            p = labels.prediction.astype(np.float64)
            return labels.label - p, p * (1.0 - p)
        wrong = np.log1p(labels.label) - np.log1p(labels.prediction)
        return wrong, np.where(labels.prediction > 0, 1.0, 0.0)

    def learn(self, labels: Labels) -> None:
        """Find from labels of people that had some before how much people differ."""
        if not len(labels):
            return
        before = labels.evidence > 0
        if before.any():
            some = labels.only(before)
            crowd = some.prediction
            self._without.update(some.label, crowd, some.weight)
            moved = self._moved(crowd, some.own, some.evidence)
            self._with.update(some.label, moved, some.weight)
            self._decide()
            wrong, information = self.evidence(some)
            self._products *= 0.5 ** (len(some) / HALF_LIFE)
            self._products += some.own @ wrong, some.evidence @ information
            if self._products[1] > 0:
                self.variance = max(float(self._products[0] / self._products[1]), 0.0)

    def start_again(self) -> None:
        """Ask anew whether own parts help: another model speaks for the crowd."""
        self.is_used = False
        self._without, self._with = (figures_of(self._kind, HALF_LIFE) for _ in range(2))
        self._products[:] = 0.0
        self.variance = 0.0

    def gain(self) -> float:
        """Share by which own parts make the loss less; NaN before there are any."""
        return 1.0 - self._with.loss() / self._without.loss() if self._with.n else float("nan")

    def _moved(
        self, crowd: NDArray[np.floating], own: NDArray[np.floating], of: NDArray[np.floating]
    ) -> NDArray[np.floating]:
        if self.variance <= 0:
            return crowd
        shift = np.clip(own / (of + 1.0 / self.variance), -SHIFT_MAX, SHIFT_MAX)
        if self._kind == "binary":
            return probability(log_odds(crowd) + shift)
        return np.asarray(np.maximum(np.expm1(np.log1p(crowd) + shift * (crowd > 0)), 0.0))

    def _decide(self) -> None:
        if self._with.n >= LABELS_MIN:
            self.is_used = self.gain() > (HARDLY if self.is_used else HELPS)

    def export(self) -> dict[str, Any]:
        """What was found."""
        return {"products": self._products.tolist(), "is_used": float(self.is_used)}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from what was exported."""
        self._products = np.array(state["products"], dtype=np.float64)
        self.is_used = state["is_used"] >= 0.5
        if self._products[1] > 0:
            self.variance = max(float(self._products[0] / self._products[1]), 0.0)
