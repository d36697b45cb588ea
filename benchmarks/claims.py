"""``make claims``: what is claimed of predictions, measured again; fails where it does not hold.

The quick part of ``make evaluate``, without baselines: some two minutes.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Final, NamedTuple

import numpy as np

from benchmarks.evaluate import DATA, MOVIELENS, ONCE, STREAMS
from profiler.drift.trials import calm_under_watch, found_by_watch
from profiler.drift.worlds import DRIFTS
from profiler.errors import UsageError
from profiler.optimisation.bandit_trial import bandit_trial, contenders
from profiler.optimisation.simulated import BanditWorld, UpliftWorld
from profiler.optimisation.uplift_trial import uplift_trial
from streams.answers import answer
from streams.evaluation import EvaluationOptions, evaluate

SEEDS: Final = 50
CALM_LABELS: Final = 400_000
PEOPLE: Final = 20_000
WORLDS: Final = range(201, 204)
"""Of decisions: no settings were chosen on these."""


class Claim(NamedTuple):
    """One figure, and its bounds."""

    what: str
    measured: float
    least: float
    most: float

    def holds(self) -> bool:
        """Whether it is within them."""
        return self.least <= self.measured <= self.most


def claims() -> Iterator[Claim]:
    """All claims, as soon as each is measured."""
    infinite = float("inf")
    options = EvaluationOptions(k=ONCE.k, skip=ONCE.skip, once=True, baselines=False)
    for name, least in (("movielens-5", 0.175),):
        stream = STREAMS[name]
        (items,) = evaluate(stream.read(), stream.source, options)
        yield Claim(f"{name}: recall@10", items.rows[0].figures.recall, least, 1.0)
    if DATA.is_dir():
        yield from _answers()
    else:
        print(f"not measured: no such folder: {DATA}; PROFILER_DATA_DIR names that of the data")
    found = found_by_watch(DRIFTS[0], range(SEEDS))
    yield Claim("drift 0.1 to 0.3: median delay, labels", found.median, 0.0, 500.0)
    worst = max(calm.per_100_000 for calm in calm_under_watch(CALM_LABELS, range(5)))
    yield Claim("nothing drifts: alarms per 100,000", worst, 0.0, 5.0)
    found_after = []
    for seed in WORLDS:
        world = BanditWorld(seed=seed)
        ours = next(iter(contenders(world)))
        trial = bandit_trial(ours, contenders(world)[ours](), world, 10_000)
        found_after.append(infinite if trial.found_after is None else trial.found_after)
    yield Claim("best action found: median decisions", float(np.median(found_after)), 0.0, 1e4)
    effects = [
        uplift_trial("", UpliftWorld(seed=seed, strength=1.0), 20_000, 20_000) for seed in WORLDS
    ]
    rank = float(np.median([one.rank_correlation for one in effects]))
    yield Claim("uplift: rank correlation with the true effect", rank, 0.9, 1.0)


def _answers() -> Iterator[Claim]:
    retail = STREAMS["online_retail"]
    assert retail.all_of_it is not None
    answers = answer(retail.all_of_it(), retail.source, baselines=False)
    back = next(one for one in answers.tasks if one.task == "back_within_30_days")
    yield Claim("online_retail, back in 30 days: AUC", back.ours["roc_auc"], 0.75, 1.0)
    yield Claim("the same: calibration error", back.ours["calibration_error"], 0.0, 0.03)


def main() -> int:
    """Print the claims; 1 where one does not hold."""
    print(f"seeds 0 to {SEEDS - 1}, worlds {WORLDS.start} to {WORLDS.stop - 1}; {MOVIELENS}")
    n_broken = 0
    for claim in claims():
        n_broken += not claim.holds()
        verdict = "holds" if claim.holds() else "BROKEN"
        bounds = f"[{claim.least:g}, {claim.most:g}]"
        print(f"{verdict:7}{claim.what:48}{claim.measured:>12.4f}  {bounds}", flush=True)
    return 1 if n_broken else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except UsageError as fault:
        sys.exit(str(fault))
