"""Uplift in a world whose true effects are known, and in one where the treatment does nothing."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from msgspec import Struct
from scipy.stats import spearmanr

from profiler.optimisation.qini import Qini, qini
from profiler.optimisation.simulated import UpliftWorld
from profiler.optimisation.uplift import Uplift, UpliftSettings


class UpliftTrial(Struct, frozen=True):
    """How well effects were told apart.

    Parameters
    ----------
    world
        What was simulated.
    rank_correlation
        Spearman's, of expected and true effects; NaN where all true effects are the same.
    mean_error
        Mean absolute difference of expected and true effects.
    qini, oracle
        Of the ranking by expected, and by true effects.
    """

    world: str
    rank_correlation: float
    mean_error: float
    qini: Qini
    oracle: Qini


def uplift_trial(name: str, world: UpliftWorld, n_learnt: int, n_judged: int) -> UpliftTrial:
    """Learn from the first people of a world, then judge by those who come after them."""
    people, truth = world.people(n_learnt + n_judged)
    uplift = Uplift(UpliftSettings(features=world.n_features))
    uplift.learn(people.part(slice(0, n_learnt)))
    judged, true = people.part(slice(n_learnt, None)), truth[n_learnt:]
    expected, _ = uplift.effect(judged.context)
    varies = bool(np.ptp(true) > 0.0)
    return UpliftTrial(
        world=name,
        rank_correlation=float(spearmanr(expected, true)[0]) if varies else float("nan"),
        mean_error=float(np.abs(expected - true).mean()),
        qini=qini(expected, judged, world.seed),
        oracle=qini(true, judged, world.seed),
    )


def uplift_lines(trials: Sequence[UpliftTrial]) -> list[str]:
    """Table of trials."""
    lines = [
        f"{'world':<34} {'rank correlation':>16} {'mean error':>10} {'Qini':>24} {'oracle':>8}"
    ]
    for t in trials:
        rank = "–" if np.isnan(t.rank_correlation) else f"{t.rank_correlation:.3f}"
        found = f"{t.qini.coefficient:.4f} [{t.qini.low:.4f}, {t.qini.high:.4f}]"
        lines.append(
            f"{t.world:<34} {rank:>16} {t.mean_error:>10.4f} {found:>24} "
            f"{t.oracle.coefficient:>8.4f}"
        )
    return lines
