"""The policy in a world whose best action is known, beside River's own bandits."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, Protocol

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray
from river import bandit, proba, stats

from profiler.columns import DAY_MS, HOUR_MS, Floats
from profiler.optimisation.evidence import Observed
from profiler.optimisation.exploration import drawn_order
from profiler.optimisation.policy import Policy, PolicySettings
from profiler.optimisation.simulated import N_NOISE, START_MS, BanditWorld

STEP: Final = 50
"""Decisions between which nothing is learnt: feedback comes late."""

EVERY_MS: Final = 10_000
"""Between two decisions: 360 an hour."""

N_PARTS: Final = 5


class Contender(Protocol):
    """What makes decisions in a world, and learns from them."""

    def choose(self, first: int, context: Floats) -> NDArray[np.intp]:
        """(N,) actions for the N people from the first on."""
        ...

    def learn(self, first: int, context: Floats, chosen: NDArray[np.intp], reward: Floats) -> None:
        """Take in what came of them."""
        ...

    def best_known(self, context: Floats, first: int) -> NDArray[np.intp] | None:
        """(N,) actions that it holds to be the best; None if it cannot tell."""
        ...


class BanditTrial(Struct, frozen=True):
    """How one contender did in one world.

    Parameters
    ----------
    contender
        Its name.
    best_share
        Share of decisions for the best action, in fifths of the stream.
    regret
        Rewards missed, relative to those that choosing evenly misses.
    explored
        Share of decisions for other actions than the best known; NaN if it cannot tell.
    found_after
        Decisions after which the best known action of every segment was the true one, to the end
        (or to the drift); None if never, or if it cannot tell.
    refound_after
        The same after the drift, counted from there.
    """

    contender: str
    best_share: list[float]
    regret: float
    explored: float
    found_after: int | None
    refound_after: int | None = None


def bandit_trial(name: str, contender: Contender, world: BanditWorld, n: int) -> BanditTrial:
    """Let a contender make n decisions."""
    segment, context = world.people(n)
    at = np.arange(n)
    chance, best, luck = world.probabilities(segment, at), world.best(segment, at), world.luck(n)
    pure = np.concatenate([np.eye(world.n_segments), np.zeros((world.n_segments, N_NOISE))], axis=1)
    chosen = np.zeros(n, dtype=np.intp)
    explores: list[Floats] = []
    is_found: list[bool] = []
    for first in range(0, n, STEP):
        rows = slice(first, first + STEP)
        known = contender.best_known(context[rows], first)
        chosen[rows] = contender.choose(first, context[rows])
        if known is not None:
            explores.append((chosen[rows] != known).astype(np.float64))
        reward = (luck[rows] < chance[at[rows], chosen[rows]]).astype(np.float64)
        contender.learn(first, context[rows], chosen[rows], reward)
        held = contender.best_known(pure, first + STEP)
        truth = world.best(np.arange(world.n_segments), np.full(world.n_segments, first))
        is_found.append(held is not None and bool((held == truth).all()))
    missed = chance.max(axis=1) - chance[at, chosen]
    evenly = chance.max(axis=1) - chance.mean(axis=1)
    drift = n if world.drift_at is None else world.drift_at
    return BanditTrial(
        contender=name,
        best_share=[float(part.mean()) for part in np.array_split(chosen == best, N_PARTS)],
        regret=float(missed.sum() / evenly.sum()),
        explored=float(np.concatenate(explores).mean()) if explores else float("nan"),
        found_after=_found(is_found[: drift // STEP]),
        refound_after=_found(is_found[drift // STEP :]),
    )


def _found(is_found: Sequence[bool]) -> int | None:
    """Decisions after which it was found and stayed so; None if it is not at the end."""
    if not is_found or not is_found[-1]:
        return None
    wrong = [k for k, found in enumerate(is_found) if not found]
    return STEP * (wrong[-1] + 2 if wrong else 1)


class OurPolicy:
    """`Policy` as a contender.

    Parameters
    ----------
    world
        Whose actions it chooses from.
    settings
        The policy's, but for the number of features.
    """

    def __init__(self, world: BanditWorld, settings: PolicySettings) -> None:
        self._actions = world.actions
        self._policy = Policy(settings)
        self._seed = world.seed

    def choose(self, first: int, context: Floats) -> NDArray[np.intp]:  # noqa: D102
        propensities = self._policy.propensities(context, self._actions, _at_ms(first))
        return np.array(
            [
                drawn_order(f"{self._seed}:{first + k}", self._actions, p)[0]
                for k, p in enumerate(propensities)
            ]
        )

    def learn(  # noqa: D102
        self, first: int, context: Floats, chosen: NDArray[np.intp], reward: Floats
    ) -> None:
        ones = np.ones(len(reward))
        self._policy.observe(
            Observed(
                actions=[self._actions[k] for k in chosen],
                context=context,
                is_first=ones > 0,
                reward=reward,
                squares=reward**2,
                weight=ones,
                at_ms=_at_ms(first) + EVERY_MS * np.arange(len(reward)),
            )
        )

    def best_known(self, context: Floats, first: int) -> NDArray[np.intp] | None:  # noqa: D102
        mean, _ = self._policy.beliefs(context, self._actions, _at_ms(first))
        return np.asarray(mean.argmax(axis=1))


class RiverBandit:
    """One of River's bandits as a contender; only those with a context are given it."""

    def __init__(self, world: BanditWorld, policy: bandit.base.Policy) -> None:
        self._arms: list[bandit.base.ArmID] = list(range(world.n_actions))
        self._policy = policy

    def choose(self, first: int, context: Floats) -> NDArray[np.intp]:  # noqa: D102
        if isinstance(self._policy, bandit.base.ContextualPolicy):
            return np.array([self._policy.pull(self._arms, _named(x)) for x in context])
        return np.array([self._policy.pull(self._arms) for _ in context])

    def learn(  # noqa: D102
        self, first: int, context: Floats, chosen: NDArray[np.intp], reward: Floats
    ) -> None:
        for x, arm, value in zip(context, chosen.tolist(), reward.tolist(), strict=True):
            if isinstance(self._policy, bandit.base.ContextualPolicy):
                self._policy.update(arm, _named(x), value)
            else:
                self._policy.update(arm, value)

    def best_known(self, context: Floats, first: int) -> NDArray[np.intp] | None:  # noqa: D102
        return None


def contenders(world: BanditWorld) -> dict[str, Callable[[], Contender]]:
    """Who takes part, by name."""
    features = world.n_features
    seed = world.seed

    def ours(half_life_ms: int, ceiling: float) -> Callable[[], Contender]:
        settings = PolicySettings(features=features, half_life_ms=half_life_ms, ceiling=ceiling)
        return lambda: OurPolicy(world, settings)

    def river(policy: bandit.base.Policy) -> Callable[[], Contender]:
        return lambda: RiverBandit(world, policy)

    return {
        "policy, at most 30 % explores": ours(30 * DAY_MS, 0.3),
        "policy, half-life of 4 hours": ours(4 * HOUR_MS, 0.3),
        "policy, without ceiling": ours(30 * DAY_MS, 1.0),
        "River LinUCBDisjoint": river(bandit.LinUCBDisjoint(seed=seed)),
        "River ThompsonSampling": river(bandit.ThompsonSampling(proba.Beta(), seed=seed)),
        "River EpsilonGreedy": river(bandit.EpsilonGreedy(0.1, reward_obj=stats.Mean(), seed=seed)),
        "River RandomPolicy": river(bandit.RandomPolicy(seed=seed)),
    }


def bandit_lines(trials: Sequence[BanditTrial]) -> list[str]:
    """Table of trials, one line per contender: means over the seeds, medians of what was found."""
    fifths = " ".join(f"{f'{k}/{N_PARTS}':>5}" for k in range(1, N_PARTS + 1))
    lines = [
        f"{'contender':<30} {fifths}  {'regret':>6} {'explored':>8} {'found after':>13} "
        f"{'after drift':>13}"
    ]
    for name in dict.fromkeys(t.contender for t in trials):
        mine = [t for t in trials if t.contender == name]
        shares = " ".join(f"{s:>5.2f}" for s in np.mean([t.best_share for t in mine], axis=0))
        regret = np.mean([t.regret for t in mine])
        explored = np.mean([t.explored for t in mine])
        told = "–" if np.isnan(explored) else f"{explored:.2f}"
        found = _median([t.found_after for t in mine])
        again = _median([t.refound_after for t in mine])
        lines.append(f"{name:<30} {shares}  {regret:>6.2f} {told:>8} {found:>13} {again:>13}")
    return lines


def _median(found: Sequence[int | None]) -> str:
    known = sorted(k for k in found if k is not None)
    if not known:
        return "–"
    # Those that never found it count as later than all others.
    middle = (len(found) - 1) // 2
    median = f"{known[middle]:,}" if middle < len(known) else "never"
    return f"{median} ({len(known)}/{len(found)})"


def _named(context: Floats) -> dict[str, float]:
    return {str(k): v for k, v in enumerate(context.tolist())} | {"one": 1.0}


def _at_ms(first: int) -> int:
    return START_MS + EVERY_MS * first
