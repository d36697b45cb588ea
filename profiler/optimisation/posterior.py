"""What is believed of each action's reward: a Gaussian for every context.

One Bayesian linear regression per action (Bishop 2006, §3.3), the one that River has as
`BayesianLinearRegression`, for all actions at once. An action starts from what is known of all
actions together, and moves away from it as its own evidence grows: a new one is believed to be like
the others, and to be uncertain.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np

from profiler.columns import Floats
from profiler.optimisation.evidence import Evidence

FIRST_VARIANCE: Final = 0.25
"""Of rewards before any was seen: the most that a reward between 0 and 1 can have."""


class Posterior(NamedTuple):
    """Beliefs on A actions.

    Parameters
    ----------
    mean
        (A, D) coefficients.
    covariance
        (A, D, D) of the coefficients.
    """

    mean: Floats
    covariance: Floats

    def scores(self, context: Floats) -> tuple[Floats, Floats]:
        """(N, A) means of the expected reward, and standard deviations.

        Parameters
        ----------
        context
            (N, D), or (N, A, D) where actions have contexts of their own.
        """
        # By action first, so that both forms are stacks of matrices.
        x = context[None] if context.ndim == 2 else context.transpose(1, 0, 2)
        mean = np.matmul(x, self.mean[:, :, None])[..., 0]
        variance = (np.matmul(x, self.covariance) * x).sum(axis=2)
        return mean.T, np.sqrt(np.maximum(variance, 0.0)).T


def posterior(
    evidence: Evidence, actions: Sequence[str], prior_weight: float, now_ms: int
) -> Posterior:
    """Beliefs on these actions at a time; on one without evidence, those on all of them together.

    Parameters
    ----------
    prior_weight
        How many impressions the common belief is worth.

    Notes
    -----
    With the sums G = Σw·x·xᵀ and b = Σw·r·x of an action, those of all actions G₀ and b₀, and
    λ = `prior_weight`: m₀ = (λI + G₀)⁻¹b₀, the mean is (λI + G)⁻¹(λm₀ + b), and the covariance
    σ²(λI + G)⁻¹, where σ² is the variance of all rewards.
    """
    factor = evidence.factor(now_ms)
    ridge = prior_weight * np.eye(evidence.dims)
    common = np.linalg.solve(
        ridge + factor * evidence.gram.sum(axis=0), factor * evidence.moment.sum(axis=0)
    )
    gram = np.zeros((len(actions), evidence.dims, evidence.dims))
    moment = np.zeros((len(actions), evidence.dims))
    known = [
        (k, evidence.places[name]) for k, name in enumerate(actions) if name in evidence.places
    ]
    if known:
        here, there = map(list, zip(*known, strict=True))
        gram[here], moment[here] = factor * evidence.gram[there], factor * evidence.moment[there]
    inverse: Floats = np.asarray(np.linalg.inv(ridge + gram), dtype=np.float64)
    mean = np.matmul(inverse, (prior_weight * common + moment)[:, :, None])[..., 0]
    return Posterior(mean, noise_variance(evidence, prior_weight, now_ms) * inverse)


def noise_variance(evidence: Evidence, prior_weight: float, now_ms: int) -> float:
    """Variance of a reward, of all actions together; `FIRST_VARIANCE` before any was seen."""
    factor = evidence.factor(now_ms)
    total, reward, squares = (
        factor * float(sums.sum())
        for sums in (evidence.impressions, evidence.reward, evidence.squares)
    )
    if total <= 0.0:
        return FIRST_VARIANCE
    within = max(0.0, squares - reward * reward / total)
    return (prior_weight * FIRST_VARIANCE + within) / (prior_weight + total)
