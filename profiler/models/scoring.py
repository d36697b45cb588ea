"""Prequential figures of a classifier: every prediction is scored before its label is learnt.

Gama, Sebastião, Rodrigues, "On evaluating stream learning algorithms", Machine Learning 2013.
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np
from river import metrics

_BINS: Final = 10
_THRESHOLDS: Final = 20


class Prequential:
    """Log loss, ROC AUC and expected calibration error of the predictions scored so far.

    Log loss and AUC are River's; calibration compares, in ten bins of the probability, the mean
    prediction with the share of positives (Naeini, Cooper, Hauskrecht, AAAI 2015).

    Examples
    --------
    >>> figures = Prequential()
    >>> for _ in range(3):
    ...     figures.update(True, 0.8, weight=1.0)
    >>> figures.update(False, 0.8, weight=2.0)
    >>> round(figures.calibration_error(), 6)
    0.2
    """

    def __init__(self) -> None:
        self.n_labels = [0, 0]
        self._log_loss = metrics.LogLoss()
        self._roc_auc = metrics.ROCAUC(n_thresholds=_THRESHOLDS)
        self._mass = np.zeros(_BINS)
        self._predicted = np.zeros(_BINS)
        self._positive = np.zeros(_BINS)

    def update(self, label: bool, probability: float, weight: float) -> None:
        """Score one prediction against its label."""
        self.n_labels[label] += 1
        self._log_loss.update(label, probability, weight)
        self._roc_auc.update(label, probability, weight)
        place = min(int(probability * _BINS), _BINS - 1)
        self._mass[place] += weight
        self._predicted[place] += weight * probability
        self._positive[place] += weight * label

    def log_loss(self) -> float:
        """Mean log loss, in nats; NaN before the first label."""
        return float(self._log_loss.get()) if any(self.n_labels) else math.nan

    def roc_auc(self) -> float:
        """Area under the ROC curve; NaN until both labels were seen."""
        return float(self._roc_auc.get()) if all(self.n_labels) else math.nan

    def calibration_error(self) -> float:
        """Expected calibration error; NaN before the first label."""
        total = float(self._mass.sum())
        if total == 0:
            return math.nan
        return float(np.abs(self._predicted - self._positive).sum()) / total

    def base_rate(self) -> float:
        """Weighted share of positives; NaN before the first label."""
        total = float(self._mass.sum())
        return float(self._positive.sum()) / total if total else math.nan
