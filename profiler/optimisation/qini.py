"""Qini curves: what is gained by treating only those on whom the treatment is believed to work.

Radcliffe, "Using control groups to target on predicted lift", Direct Marketing Analytics 2007. With
people sorted by their score, the curve at a share φ of them is the outcome that treating these
alone brings more than treating none, told per person of the whole crowd. Each person counts by the
inverse of the propensity of what happened to them; where that is the same for all, the curve is
Radcliffe's, divided by the number of those who were treated.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from profiler.columns import Floats
from profiler.optimisation.treatment import Treatments

N_DRAWS: Final = 200


class QiniCurve(Struct, frozen=True):
    """A curve from (0, 0).

    Parameters
    ----------
    share
        Share of the people who are treated, the highest scores first.
    gain
        What that brings per person of the crowd; at share 1 the mean effect.
    """

    share: Floats
    gain: Floats

    @property
    def coefficient(self) -> float:
        """Area between the curve and the line to its end, which choosing at random gives."""
        area = np.trapezoid(self.gain, self.share)
        return float(area - self.gain[-1] / 2.0)


class Qini(Struct, frozen=True):
    """A Qini coefficient and its 95 % interval; 0 is what choosing at random gives."""

    coefficient: float
    low: float
    high: float


def qini_curve(score: Floats, people: Treatments) -> QiniCurve:
    """Curve of a ranking by (N,) scores; people with equal scores are taken together.

    Examples
    --------
    >>> people = Treatments(
    ...     context=np.zeros((4, 0)),
    ...     treated=np.array([True, False, True, False]),
    ...     propensity=np.full(4, 0.5),
    ...     outcome=np.array([1.0, 0.0, 0.0, 0.0]),
    ...     at_ms=np.arange(4),
    ... )
    >>> curve = qini_curve(np.array([2.0, 2.0, 1.0, 1.0]), people)
    >>> curve.gain, curve.coefficient
    (array([0. , 0.5, 0.5]), 0.125)
    """
    return _curve(_Sorted.by(score, people), np.ones((1, len(score))))[0]


def qini(score: Floats, people: Treatments, seed: int) -> Qini:
    """Coefficient of a ranking, with an interval by a Poisson bootstrap over people."""
    ranked = _Sorted.by(score, people)
    chance = np.random.default_rng(seed)
    counts = chance.poisson(1.0, (N_DRAWS, len(score))).astype(np.float64)
    drawn = [curve.coefficient for curve in _curve(ranked, counts)]
    low, high = np.quantile(drawn, [0.025, 0.975])
    return Qini(qini_curve(score, people).coefficient, float(low), float(high))


class _Sorted(Struct, frozen=True):
    """People by score, highest first: (N,) inverse weights, outcomes, and where scores end."""

    treated: Floats
    untreated: Floats
    outcome: Floats
    last: NDArray[np.intp]

    @staticmethod
    def by(score: Floats, people: Treatments) -> _Sorted:
        order = np.argsort(-score, kind="stable")
        treated, propensity = people.treated[order], people.propensity[order]
        last = np.flatnonzero(np.diff(score[order], append=-np.inf) != 0.0)
        return _Sorted(
            treated=np.where(treated, 1.0 / propensity, 0.0),
            untreated=np.where(treated, 0.0, 1.0 / (1.0 - propensity)),
            outcome=people.outcome[order],
            last=last,
        )


def _curve(ranked: _Sorted, counts: Floats) -> list[QiniCurve]:
    """One curve for each row of (B, N) counts of how often a person is in the crowd.

    A row at a time, so that memory does not grow with their number.
    """
    curves = []
    for count in counts:
        treated, untreated = count * ranked.treated, count * ranked.untreated
        sums = [
            np.cumsum(terms)[ranked.last]
            for terms in (treated, untreated, treated * ranked.outcome, untreated * ranked.outcome)
        ]
        n_treated, n_untreated, of_treated, of_untreated = sums
        # Until somebody was left untreated, nothing is known to take off (Radcliffe's 0 / 0).
        mean = np.divide(
            of_untreated, n_untreated, out=np.zeros_like(of_untreated), where=n_untreated > 0
        )
        total = n_treated[-1] or 1.0
        gain = (of_treated - mean * n_treated) / total
        people = np.cumsum(count)[ranked.last]
        share = people / (people[-1] or 1.0)
        curves.append(QiniCurve(np.append(0.0, share), np.append(0.0, gain)))
    return curves
