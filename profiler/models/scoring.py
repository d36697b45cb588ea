"""Prequential figures of a classifier: every prediction is scored before its label is learnt.

Gama, Sebastião, Rodrigues, "On evaluating stream learning algorithms", Machine Learning 2013.
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np
from numpy.typing import NDArray

_LOG_ODDS_MAX: Final = 10.0
_FINE_BINS: Final = 400
_COARSE_BINS: Final = 20
_P_MIN: Final = 1e-9


class Prequential:
    """Log loss, ROC AUC and expected calibration error of the predictions scored so far.

    Two weighted histograms of the predictions' log-odds, of positives and of negatives, are all
    that is kept: a constant amount of memory, and the cost of a batch, not of a label. River's
    ROCAUC spaces its thresholds evenly in probability, where rare positives cannot be told apart;
    evenly spaced log-odds resolve them.

    Examples
    --------
    >>> figures = Prequential()
    >>> bought = np.array([True, True, True, False])
    >>> figures.update(bought, np.full(4, 0.8), np.array([1.0, 1.0, 1.0, 2.0]))
    >>> round(figures.calibration_error(), 6), figures.roc_auc(), figures.base_rate()
    (0.2, 0.5, 0.6)
    """

    def __init__(self) -> None:
        self.n_labels = [0, 0]
        self._mass = np.zeros((2, _FINE_BINS))
        self._predicted = np.zeros(_FINE_BINS)
        self._loss = 0.0

    def update(
        self, label: NDArray[np.bool_], p: NDArray[np.floating], weight: NDArray[np.floating]
    ) -> None:
        """Score (L,) predictions against their labels."""
        p = np.clip(p.astype(np.float64), _P_MIN, 1 - _P_MIN)
        log_odds = np.log(p / (1 - p))
        bins = (log_odds / (2 * _LOG_ODDS_MAX) + 0.5) * _FINE_BINS
        place = np.clip(bins, 0, _FINE_BINS - 1).astype(np.intp)
        np.add.at(self._mass, (label.astype(np.intp), place), weight)
        np.add.at(self._predicted, place, weight * p)
        self._loss -= float(weight @ np.log(np.where(label, p, 1 - p)))
        self.n_labels[0] += int(np.count_nonzero(~label))
        self.n_labels[1] += int(np.count_nonzero(label))

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
