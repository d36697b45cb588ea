"""Worlds whose truth is known, from a seed: who likes which action, whom a treatment moves."""

from __future__ import annotations

from typing import Final

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray
from scipy.special import expit

from profiler.columns import Floats, Ints
from profiler.optimisation.treatment import Treatments

N_NOISE: Final = 4
START_MS: Final = 1_700_000_000_000
_DRIFT: Final = 1


class BanditWorld(Struct, frozen=True):
    """Segments of people, for each of which another action is the best.

    Contexts tell the segment, and features that mean nothing.

    Parameters
    ----------
    seed
        Of who comes, and of the segments' favourites.
    n_actions, n_segments
        K and S.
    reward, best_reward
        Probability of a reward: of any action, and of the one that is the segment's best.
    drift_at
        Decision from which on every segment has another favourite; None for never.

    Examples
    --------
    >>> world = BanditWorld(seed=1)
    >>> world.probabilities(np.array([0]), np.array([0])).round(2).tolist()[0].count(0.15)
    1
    """

    seed: int
    n_actions: int = 10
    n_segments: int = 4
    reward: float = 0.05
    best_reward: float = 0.15
    drift_at: int | None = None

    @property
    def actions(self) -> list[str]:
        """Names of the actions."""
        return [f"offer-{k}" for k in range(self.n_actions)]

    @property
    def n_features(self) -> int:
        """F, length of a context."""
        return self.n_segments + N_NOISE

    def best(self, segment: NDArray[np.intp], at: Ints) -> NDArray[np.intp]:
        """(N,) place of the best action of each segment at the at-th decision."""
        chance = np.random.default_rng(self.seed)
        favourites = chance.permutation(self.n_actions)
        places = segment % self.n_actions
        if self.drift_at is not None:
            places = (places + (at >= self.drift_at) * _DRIFT) % self.n_actions
        return np.asarray(favourites[places])

    def probabilities(self, segment: NDArray[np.intp], at: Ints) -> Floats:
        """(N, K) probability of a reward."""
        is_best = self.best(segment, at)[:, None] == np.arange(self.n_actions)
        return np.where(is_best, self.best_reward, self.reward)

    def people(self, n: int) -> tuple[NDArray[np.intp], Floats]:
        """(N,) segments of the people who come, and (N, F) what is known of them."""
        chance = np.random.default_rng((self.seed, 1))
        segment = chance.integers(0, self.n_segments, n)
        noise = chance.normal(size=(n, N_NOISE))
        return segment, np.concatenate([np.eye(self.n_segments)[segment], noise], axis=1)

    def luck(self, n: int) -> Floats:
        """(N,) numbers: a reward comes where one is below its probability."""
        chance = np.random.default_rng((self.seed, 2))
        return chance.random(n)


class UpliftWorld(Struct, frozen=True):
    """People who buy or not, and whom a coupon moves or not.

    Parameters
    ----------
    seed
        Of everything.
    n_features
        F; the first says who buys anyway, the second whom the coupon moves.
    base
        Log-odds of buying for the average person.
    strength
        How much the coupon changes the log-odds by one unit of the second feature, and by itself;
        0 where it does nothing.
    is_targeted
        Whether those who buy anyway are treated more often, with known propensity, as marketing
        does; otherwise one in two, whoever it is.
    """

    seed: int
    n_features: int = 6
    base: float = -1.5
    strength: float = 1.0
    is_targeted: bool = True

    def people(self, n: int) -> tuple[Treatments, Floats]:
        """N people, one a second, and (N,) the truth: what the treatment does to their chance."""
        chance = np.random.default_rng(self.seed)
        x = chance.normal(size=(n, self.n_features))
        log_odds = self.base + 0.8 * x[:, 0]
        untreated = expit(log_odds)
        treated = expit(log_odds + self.strength * (0.3 + x[:, 1]))
        propensity = 0.2 + 0.6 * expit(x[:, 0]) if self.is_targeted else np.full(n, 0.5)
        is_treated = chance.random(n) < propensity
        outcome = chance.random(n) < np.where(is_treated, treated, untreated)
        at_ms = START_MS + 1_000 * np.arange(n)
        people = Treatments(x, is_treated, propensity, outcome.astype(np.float64), at_ms)
        return people, treated - untreated
