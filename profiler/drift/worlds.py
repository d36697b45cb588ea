"""Streams of labels whose drift is known, by seed: what the watch is measured on."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np
from msgspec import Struct

from profiler.columns import Floats

CALM: Final = 0.1
"""Error rate before a drift."""

BAD: Final = 0.3
"""Error rate after it."""

N_FEATURES: Final = 8
FLIPPED_AFTER: Final = 4_000


class World(Struct, frozen=True):
    """A stream of N labels.

    Parameters
    ----------
    losses, x, weights
        (N,), (N, F) and (N,) of the labels.
    changes
        Labels at which the losses get worse, ascending; none in a calm world.
    on
        What drifts: `watch.ERROR`, or the name of a feature.
    """

    losses: Floats
    x: Floats
    weights: Floats
    changes: tuple[int, ...] = ()
    on: str = "error"


def feature_names() -> tuple[str, ...]:
    """Names of the worlds' features."""
    return tuple(f"x{k}" for k in range(N_FEATURES))


def abrupt(seed: int) -> World:
    """Error rate 0.1, then 0.3 at once; when is drawn."""
    chance = np.random.default_rng(seed)
    change = int(chance.integers(2_000, 6_000))
    rate = np.repeat([CALM, BAD], [change, 3_000])
    return _errors(chance, rate, (change,))


def gradual(seed: int) -> World:
    """Error rate 0.1, rising to 0.3 within 2,000 labels."""
    chance = np.random.default_rng(seed)
    change = int(chance.integers(2_000, 6_000))
    rise = np.linspace(CALM, BAD, 2_000)
    rate = np.concatenate([np.full(change, CALM), rise, np.full(3_000, BAD)])
    return _errors(chance, rate, (change,))


def recurring(seed: int) -> World:
    """Error rates 0.1 and 0.3 in turn, 3,000 labels each: three times it gets worse."""
    chance = np.random.default_rng(seed)
    rate = np.repeat([CALM, BAD] * 3, 3_000)
    return _errors(chance, rate, (3_000, 9_000, 15_000))


def weighted(seed: int) -> World:
    """As `abrupt`, with labels that stand for 1 to 16 predictions."""
    world = abrupt(seed)
    chance = np.random.default_rng((seed, 1))
    weights = np.minimum(16.0, np.floor(1.0 / (1.0 - chance.random(len(world.losses)))))
    return World(world.losses, world.x, weights, world.changes)


def features_only(seed: int) -> World:
    """Errors as ever, while the first feature moves by half a standard deviation."""
    chance = np.random.default_rng(seed)
    change = int(chance.integers(5_000, 9_000))
    n = change + 8_000
    world = _errors(chance, np.full(n, CALM), (change,), on=feature_names()[0])
    world.x[change:, 0] += 0.5
    return world


DRIFTS: Final[tuple[Callable[[int], World], ...]] = (
    abrupt,
    gradual,
    recurring,
    weighted,
    features_only,
)
"""Worlds in which something drifts."""


def calm_errors(rate: float, n: int, seed: int) -> World:
    """Errors at one rate."""
    return _errors(np.random.default_rng(seed), np.full(n, rate), ())


def calm_log_losses(n: int, seed: int) -> World:
    """Log losses of calibrated predictions, a tenth of which are positives on average."""
    chance = np.random.default_rng(seed)
    p = chance.beta(1.0, 9.0, n)
    losses = -np.log(np.where(chance.random(n) < p, p, 1.0 - p))
    return World(losses, _features(chance, n), np.ones(n))


def calm_amounts(n: int, seed: int) -> World:
    """Absolute errors of amounts of money: log-normal, without a bound, weighted."""
    chance = np.random.default_rng(seed)
    weights = np.floor(1.0 + 15.0 * chance.random(n) ** 8)
    return World(chance.lognormal(3.0, 1.5, n), _features(chance, n), weights)


class Flipped(Struct, frozen=True):
    """A logistic world whose true coefficients change their signs.

    Parameters
    ----------
    x, y
        (N, F) features and (N,) outcomes 0 and 1.
    change
        Label at which it happens.
    """

    x: Floats
    y: Floats
    change: int


def flipped(seed: int, n_after: int = 4_000, share: float = 1.0) -> Flipped:
    """Outcomes by a logistic model of five features, of which a share flips after 4,000 labels."""
    chance = np.random.default_rng(seed)
    n = FLIPPED_AFTER + n_after
    x = chance.normal(size=(n, 5))
    coefficients = chance.choice([-1.5, 1.5], size=5)
    after = np.where(np.arange(5) < round(5 * share), -coefficients, coefficients)
    raw = np.concatenate([x[:FLIPPED_AFTER] @ coefficients, x[FLIPPED_AFTER:] @ after])
    y = (chance.random(n) < 1.0 / (1.0 + np.exp(-raw))).astype(np.float64)
    return Flipped(x, y, FLIPPED_AFTER)


def _errors(
    chance: np.random.Generator, rate: Floats, changes: tuple[int, ...], on: str = "error"
) -> World:
    n = len(rate)
    losses = (chance.random(n) < rate).astype(np.float64)
    return World(losses, _features(chance, n), np.ones(n), changes, on)


def _features(chance: np.random.Generator, n: int) -> Floats:
    return chance.normal(size=(n, N_FEATURES))
