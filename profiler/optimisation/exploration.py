"""With what probability each action is chosen: as likely as it is the best, within bounds.

Thompson sampling (1933) chooses an action with the probability that it is the best. Here that
probability is computed and not sampled, so that it is known, can be bounded, and can be logged.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from scipy.special import ndtr

from profiler.columns import Floats
from profiler.tokens import hash_text

POINTS: Final = 33
SPREADS: Final = 5.0
"""Standard deviations beyond which nothing is looked for."""

_AT_ONCE: Final = 2_000_000
_TINY: Final = 1e-300
_SAME: Final = 1e-12


def bounded(mean: Floats, matched: Floats, floor: float, ceiling: float) -> Floats:
    """(N, A) probabilities of choosing each action.

    Parameters
    ----------
    mean
        (N, A) what each action is expected to give. The highest is the *best known* action, or
        several that are equal.
    matched
        (N, A) probabilities before they are bounded, such as those that an action is the best.
    floor
        Every action has at least ``floor / A``.
    ceiling
        All actions but the best known have at most this together, where the floor lets them.

    Examples
    --------
    >>> mean, matched = np.array([[0.3, 0.2, 0.2]]), np.array([[0.2, 0.5, 0.3]])
    >>> bounded(mean, matched, floor=0.0, ceiling=0.4).round(2)
    array([[0.6 , 0.25, 0.15]])
    """
    n_actions = mean.shape[1]
    best = mean >= mean.max(axis=1, keepdims=True) - _SAME
    mixed = floor / n_actions + (1.0 - floor) * matched
    # What the floor gives to others cannot be taken back; only what is above it is scaled.
    others = ~best
    above = np.where(others, mixed - floor / n_actions, 0.0)
    total = above.sum(axis=1, keepdims=True)
    room = np.maximum(0.0, ceiling - floor / n_actions * others.sum(axis=1, keepdims=True))
    scale = np.minimum(1.0, room / np.maximum(total, _TINY))
    freed = total * (1.0 - scale) / best.sum(axis=1, keepdims=True)
    found = np.where(best, mixed + freed, floor / n_actions + above * scale)
    return np.asarray(np.minimum(found, 1.0))


def chance_to_be_best(mean: Floats, spread: Floats) -> Floats:
    """(N, A) probabilities that each of A independent Gaussians is the greatest.

    Parameters
    ----------
    mean, spread
        (N, A) means and standard deviations, which are positive.

    Notes
    -----
    P(a is best) = ∫ dΦₐ(t) ∏_{b≠a} Φ_b(t), summed over cells whose edges are quantiles of the
    maximum, found on a coarse grid first: so narrow Gaussians are told apart beside wide ones.

    Examples
    --------
    >>> chance_to_be_best(np.array([[0.0, 0.0, -9.0]]), np.ones((1, 3))).round(3)
    array([[0.5, 0.5, 0. ]])
    """
    rows = max(1, _AT_ONCE // (POINTS * mean.shape[1]))
    parts = [
        _chance_to_be_best(mean[k : k + rows], spread[k : k + rows])
        for k in range(0, len(mean), rows)
    ]
    return np.concatenate(parts) if parts else np.zeros_like(mean)


def _chance_to_be_best(mean: Floats, spread: Floats) -> Floats:
    low = (mean - SPREADS * spread).max(axis=1)
    high = (mean + SPREADS * spread).max(axis=1)
    steps = np.linspace(0.0, 1.0, POINTS)
    edges = _refined(mean, spread, low[:, None] + (high - low)[:, None] * steps)
    below = ndtr((edges[:, None, :] - mean[:, :, None]) / spread[:, :, None])
    middle = np.maximum((below[..., 1:] + below[..., :-1]) / 2, _TINY)
    # Where the product underflows, the maximum is not.
    others = middle.prod(axis=1, keepdims=True) / middle
    chance = (np.diff(below, axis=2) * others).sum(axis=2)
    total = chance.sum(axis=1, keepdims=True)
    return np.asarray(chance / total)


def _refined(mean: Floats, spread: Floats, edges: Floats) -> Floats:
    """Edges that are as many quantiles of the maximum, among the coarse ones."""
    below = ndtr((edges[:, None, :] - mean[:, :, None]) / spread[:, :, None])
    maximum = below.prod(axis=1)
    wanted = np.linspace(0.0, 1.0, POINTS)[1:-1]
    cell = (maximum[:, None, :] <= wanted[:, None]).sum(axis=2).clip(1, POINTS - 1)
    left, right = (np.take_along_axis(maximum, k, axis=1) for k in (cell - 1, cell))
    start, end = (np.take_along_axis(edges, k, axis=1) for k in (cell - 1, cell))
    share = ((wanted - left) / np.maximum(right - left, _TINY)).clip(0.0, 1.0)
    return np.sort(np.concatenate([edges, start + share * (end - start)], axis=1), axis=1)


def drawn_order(decision_id: str, actions: Sequence[str], propensities: Floats) -> list[int]:
    """Places of the actions in the order in which they are drawn, without putting them back.

    The first is drawn with the propensities, each further one with those of the actions that are
    left. Chance is a hash of the decision's id and the action's name, so that it is the same at
    every replay, whatever the order of `actions`.

    Notes
    -----
    An exponential race: with u uniform, −log(u)/p is the least for each with probability p.

    Examples
    --------
    >>> drawn_order("d1", ["a", "b"], np.array([1.0, 0.0]))
    [0, 1]
    """
    hashes = [hash_text(f"{decision_id}\0{name}") for name in actions]
    uniform = ((np.array(hashes, dtype=np.uint64) >> np.uint64(11)) + 0.5) / 2.0**53
    times = -np.log(uniform) / np.maximum(propensities, _TINY)
    return [int(k) for k in np.argsort(times, kind="stable")]
