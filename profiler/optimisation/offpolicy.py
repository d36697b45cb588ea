"""What a policy would have earned, from the log of another: IPS, SNIPS and doubly robust.

All three are ratios of sums over the logged decisions, Σu / Σv, with weights w = π(a|x) / p of the
judged policy's probability over the logged propensity:

* *ips*: u = w·r, v = 1 (Horvitz and Thompson, JASA 1952);
* *snips*: u = w·r, v = w (Swaminathan and Joachims, NeurIPS 2015);
* *dr*: u = Σ_a π(a|x)·q(x,a) + w·(r − q(x,a)), v = 1 (Dudík, Langford, Li, ICML 2011).

Where rewards are rare, the few decisions that weigh most may all be without one, and what they show
of their variance is far too little; the usual intervals, of a bootstrap too, then miss the truth
more often than not. So an error is at least that of rewards which vary as those of the whole log do
(a proportion's error at the effective number: Korn and Graubard, Survey Methodology 1998).

Where the judged policy learns as it goes, each decision must be judged by what it had learnt before
it; the sums are then those of a martingale, and the intervals hold for the mean value on the way.
"""

from __future__ import annotations

from typing import Any, Final, Literal, NamedTuple

import numpy as np
from msgspec import Struct

from profiler.columns import Floats

Method = Literal["ips", "snips", "dr"]
METHODS: Final[tuple[Method, ...]] = ("ips", "snips", "dr")
N_DRAWS: Final = 1_000

_Z: Final = 1.959963984540054
_DRAWN_AT_ONCE: Final = 4_000_000


class Log(Struct, frozen=True):
    """N logged decisions, and what the judged policy would have done.

    Parameters
    ----------
    reward
        (N,) what came of the action that was chosen.
    propensity
        (N,) with what probability it was chosen, at its position where there are several.
    target
        (N,) with what probability the judged policy chooses it.
    modelled
        (N,) reward that a model expects of the action; only needed by *dr*.
    expected
        (N,) reward that the model expects of the judged policy, Σ_a π(a|x)·q(x,a).
    """

    reward: Floats
    propensity: Floats
    target: Floats
    modelled: Floats | None = None
    expected: Floats | None = None


class Estimate(Struct, frozen=True):
    """Value of a policy per decision.

    Parameters
    ----------
    value, low, high
        The estimate, and its 95 % interval.
    n
        Number of decisions.
    effective_n
        Of how many the weights leave the information: (Σw)² / Σw² (Kish 1965).
    clipped
        Share of weights that were above the largest allowed.
    """

    value: float
    low: float
    high: float
    n: int
    effective_n: float
    clipped: float = 0.0


class _Ratio(NamedTuple):
    """(N,) terms of both sums, and the weight of each reward."""

    numerator: Floats
    denominator: Floats
    weight: Floats

    @property
    def value(self) -> float:
        return float(self.numerator.sum() / self.denominator.sum())

    @property
    def influence(self) -> Floats:
        """(N,) how much each decision moves the value, times N."""
        return np.asarray(
            (self.numerator - self.value * self.denominator) / self.denominator.mean()
        )

    @property
    def slope(self) -> Floats:
        """(N,) how much the value changes with each reward, times N."""
        return np.asarray(self.weight / self.denominator.mean())


def estimate(
    method: Method, log: Log, *, weight_max: float | None = None, seed: int | None = None
) -> Estimate:
    """Value of the judged policy.

    Parameters
    ----------
    method
        One of `METHODS`.
    log
        At least two decisions.
    weight_max
        Bound on weights: less variance for some bias towards 0 (towards the model, with *dr*).
    seed
        None for an asymptotic interval; otherwise one of a bootstrap that this seeds.

    Raises
    ------
    ValueError
        If the log is too short or has no model where one is needed, if a propensity is not
        positive, or if nothing that was logged could have been chosen.

    Examples
    --------
    >>> log = Log(np.array([1.0, 0.0]), np.array([0.5, 0.5]), np.array([0.9, 0.1]))
    >>> estimate("ips", log).value, estimate("snips", log).value
    (0.9, 0.9)
    """
    weight, clipped = _weights(log, weight_max)
    ratios = [_ratio(method, log, weight)]
    return _estimated(ratios, log, weight, clipped, seed)


def lift(
    method: Method, log: Log, *, weight_max: float | None = None, seed: int | None = None
) -> Estimate:
    """How much better the judged policy is than the one that decided, on the same decisions.

    Parameters and errors are those of `estimate`. The interval is that of the difference, which
    two overlapping intervals do not tell.

    Examples
    --------
    >>> same = Log(np.array([1.0, 0.0]), np.array([0.5, 0.5]), np.array([0.5, 0.5]))
    >>> lift("ips", same).value
    0.0
    """
    weight, clipped = _weights(log, weight_max)
    ones = np.ones(len(weight))
    ratios = [_ratio(method, log, weight), _Ratio(log.reward, ones, ones)]
    return _estimated(ratios, log, weight, clipped, seed)


def _estimated(
    ratios: list[_Ratio], log: Log, weight: Floats, clipped: float, seed: int | None
) -> Estimate:
    """Estimate of the first ratio, or of the first less the second."""
    n = len(weight)
    value = _less([ratio.value for ratio in ratios])
    noise = log.reward.std() * np.linalg.norm(_less([r.slope for r in ratios])) / n
    error = max(noise, np.sqrt(_less([r.influence for r in ratios]).var(ddof=1) / n))
    low, high = value - _Z * error, value + _Z * error
    if seed is not None:
        drawn = np.quantile(_drawn(ratios, seed), [0.025, 0.975])
        low, high = min(drawn[0], value - _Z * noise), max(drawn[1], value + _Z * noise)
    effective_n = float(weight.sum() ** 2 / (weight @ weight))
    return Estimate(value, float(low), float(high), n, effective_n, clipped)


def _less(parts: list[Any]) -> Any:
    return parts[0] - parts[1] if len(parts) > 1 else parts[0]


def _weights(log: Log, weight_max: float | None) -> tuple[Floats, float]:
    if len(log.reward) < 2:
        raise ValueError("a policy cannot be judged by fewer than two decisions")
    if not (log.propensity > 0.0).all():
        raise ValueError("a logged action has a propensity that is not positive")
    weight = log.target / log.propensity
    clipped = 0.0
    if weight_max is not None:
        clipped = float((weight > weight_max).mean())
        weight = np.minimum(weight, weight_max)
    if not weight.any():
        raise ValueError("the judged policy never chooses what was logged")
    return weight, clipped


def _ratio(method: Method, log: Log, weight: Floats) -> _Ratio:
    if method == "ips":
        return _Ratio(weight * log.reward, np.ones(len(weight)), weight)
    if method == "snips":
        return _Ratio(weight * log.reward, weight, weight)
    if log.modelled is None or log.expected is None:
        raise ValueError("doubly robust estimates need a model of rewards")
    corrected = log.expected + weight * (log.reward - log.modelled)
    return _Ratio(corrected, np.ones(len(weight)), weight)


def _drawn(ratios: list[_Ratio], seed: int) -> Floats:
    """(draws,) values under weights of a Poisson bootstrap (Hanley, MacGibbon 2006)."""
    chance = np.random.default_rng(seed)
    sums = np.stack([part for r in ratios for part in (r.numerator, r.denominator)], axis=1)
    n = len(sums)
    n_at_once = max(1, _DRAWN_AT_ONCE // n)
    drawn = [
        chance.poisson(1.0, (min(n_at_once, N_DRAWS - k), n)).astype(np.float64) @ sums
        for k in range(0, N_DRAWS, n_at_once)
    ]
    totals = np.concatenate(drawn)
    # A draw may leave out all that matters of a tiny log; it says nothing then.
    totals = totals[(totals[:, 1::2] > 0.0).all(axis=1)]
    values = totals[:, 0::2] / totals[:, 1::2]
    return np.asarray(_less([values[:, k] for k in range(values.shape[1])]))
