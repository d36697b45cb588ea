"""Prequential figures: every prediction is scored before its label is learnt.

Gama, Sebastião, Rodrigues, "On evaluating stream learning algorithms", Machine Learning 2013, whose
fading factors let what was long ago count less.
"""

from __future__ import annotations

import math
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray

from profiler.columns import Floats
from profiler.models.task import Kind

_LOG_ODDS_MAX: Final = 10.0
_FINE_BINS: Final = 400
_COARSE_BINS: Final = 20
_P_MIN: Final = 1e-9


class Figures(Protocol):
    """What is known of how well a task is answered."""

    n: int
    """Labels that were scored."""

    def update(
        self,
        label: NDArray[np.floating],
        prediction: NDArray[np.floating],
        weight: NDArray[np.floating],
    ) -> Floats:
        """Score (L,) predictions against their labels; give the loss of each."""
        ...

    def loss(self) -> float:
        """What candidates compete by, the less the better; NaN before a label."""
        ...

    def figures(self) -> dict[str, float]:
        """All figures by name."""
        ...


def figures_of(kind: Kind, half_life: float = 0.0) -> Figures:
    """Figures for a kind of task; `half_life` in labels, 0: all count alike."""
    return Probabilities(half_life) if kind == "binary" else Amounts(half_life)


class Probabilities:
    """Log loss, ROC AUC and expected calibration error of the predictions scored so far.

    Two weighted histograms of the predictions' log-odds, of positives and of negatives, are all
    that is kept: a constant amount of memory, and the cost of a batch, not of a label. River's
    ROCAUC spaces its thresholds evenly in probability, where rare positives cannot be told apart;
    evenly spaced log-odds resolve them.

    Examples
    --------
    >>> figures = Probabilities()
    >>> label = np.array([1.0, 1.0, 1.0, 0.0])
    >>> figures.update(label, np.full(4, 0.8), np.array([1.0, 1.0, 1.0, 2.0])).round(3)
    array([0.223, 0.223, 0.223, 1.609])
    >>> round(figures.calibration_error(), 6), figures.roc_auc(), figures.base_rate()
    (0.2, 0.5, 0.6)
    """

    def __init__(self, half_life: float = 0.0) -> None:
        self.n = 0
        self.n_labels = [0, 0]
        self._half_life = half_life
        self._mass = np.zeros((2, _FINE_BINS))
        self._predicted = np.zeros(_FINE_BINS)
        self._loss = 0.0

    def update(
        self,
        label: NDArray[np.floating],
        prediction: NDArray[np.floating],
        weight: NDArray[np.floating],
    ) -> Floats:
        """Score (L,) predictions against their labels; give the loss of each."""
        self._fade(len(label))
        is_yes = label > 0.5
        p = np.clip(prediction.astype(np.float64), _P_MIN, 1 - _P_MIN)
        log_odds = np.log(p / (1 - p))
        bins = (log_odds / (2 * _LOG_ODDS_MAX) + 0.5) * _FINE_BINS
        place = np.clip(bins, 0, _FINE_BINS - 1).astype(np.intp)
        cell = is_yes * _FINE_BINS + place
        self._mass += np.bincount(cell, weight, 2 * _FINE_BINS).reshape(2, _FINE_BINS)
        self._predicted += np.bincount(place, weight * p, _FINE_BINS)
        losses: Floats = -np.log(np.where(is_yes, p, 1 - p))
        self._loss += float(weight @ losses)
        n_yes = int(np.count_nonzero(is_yes))
        self.n_labels[0] += len(label) - n_yes
        self.n_labels[1] += n_yes
        self.n += len(label)
        return losses

    def _fade(self, n: int) -> None:
        if self._half_life:
            share = 0.5 ** (n / self._half_life)
            self._mass *= share
            self._predicted *= share
            self._loss *= share

    def loss(self) -> float:
        """Log loss."""
        return self.log_loss()

    def log_loss(self) -> float:
        """Mean log loss in nats; NaN before the first label."""
        total = float(self._mass.sum())
        return self._loss / total if total else math.nan

    def roc_auc(self) -> float:
        """Area under the ROC curve, ties counting half; NaN until both labels were seen."""
        negative, positive = self._mass
        pairs = float(negative.sum() * positive.sum())
        below = np.cumsum(negative) - negative / 2
        return float(positive @ below) / pairs if pairs else math.nan

    def calibration_error(self) -> float:
        """Expected calibration error (Naeini, Cooper, Hauskrecht, AAAI 2015); NaN before a label.

        The mean prediction and the share of positives are compared in 20 bins of the log-odds.
        """
        total = float(self._mass.sum())
        difference = (self._predicted - self._mass[1]).reshape(_COARSE_BINS, -1).sum(axis=1)
        return float(np.abs(difference).sum()) / total if total else math.nan

    def base_rate(self) -> float:
        """Weighted share of positives; NaN before the first label."""
        total = float(self._mass.sum())
        return float(self._mass[1].sum()) / total if total else math.nan

    def figures(self) -> dict[str, float]:
        """All figures by name."""
        return {
            "log_loss": self.log_loss(),
            "roc_auc": self.roc_auc(),
            "calibration_error": self.calibration_error(),
            "base_rate": self.base_rate(),
        }


class Amounts:
    """Mean absolute error of amounts, beside the mean amount.

    Examples
    --------
    >>> figures = Amounts()
    >>> figures.update(np.array([0.0, 10.0]), np.array([2.0, 6.0]), np.ones(2))
    array([2., 4.])
    >>> figures.figures()
    {'mae': 3.0, 'mean': 5.0}
    """

    def __init__(self, half_life: float = 0.0) -> None:
        self.n = 0
        self._half_life = half_life
        self._sums: Floats = np.zeros(3)

    def update(
        self,
        label: NDArray[np.floating],
        prediction: NDArray[np.floating],
        weight: NDArray[np.floating],
    ) -> Floats:
        """Score (L,) predictions against their labels; give the loss of each."""
        if self._half_life:
            self._sums *= 0.5 ** (len(label) / self._half_life)
        losses: Floats = np.abs(label - prediction).astype(np.float64)
        self._sums += weight.sum(), weight @ losses, weight @ label
        self.n += len(label)
        return losses

    def loss(self) -> float:
        """Mean absolute error."""
        return self.figures()["mae"]

    def figures(self) -> dict[str, float]:
        """All figures by name."""
        total, error, amount = self._sums.tolist()
        if not total:
            return {"mae": math.nan, "mean": math.nan}
        return {"mae": error / total, "mean": amount / total}
