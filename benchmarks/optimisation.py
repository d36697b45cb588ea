"""Optimisation from feedback, judged three ways: a real log, a known best action, known effects.

``python -m benchmarks.optimisation`` reads ``open_bandit.csv.gz`` in the folder that
``PROFILER_DATA_DIR`` names (default ``../shared/data``) and prints three tables; then what a
decision costs. Everything but the last is the same at every run.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Final

import click
import numpy as np

from profiler.errors import UsageError
from profiler.optimisation.bandit_trial import bandit_lines, bandit_trial, contenders
from profiler.optimisation.logged_trial import logged_lines, logged_trials
from profiler.optimisation.policy import Policy, PolicySettings
from profiler.optimisation.simulated import START_MS, BanditWorld, UpliftWorld
from profiler.optimisation.uplift_trial import uplift_lines, uplift_trial
from streams.open_bandit import read_open_bandit

FILE: Final = "open_bandit.csv.gz"
N_WORLDS: Final = 5
FIRST_SEED: Final = 101
"""Settings were chosen on worlds with smaller seeds."""

N_DECISIONS: Final = 10_000
N_PEOPLE: Final = 20_000


@click.command()
@click.option(
    "--data",
    envvar="PROFILER_DATA_DIR",
    type=click.Path(path_type=Path),
    default=Path(__file__).parents[2] / "shared/data",
    help=f"Folder with {FILE}.",
)
@click.option(
    "--worlds", default=N_WORLDS, show_default=True, help="Simulated worlds of each kind."
)
@click.option("--part", type=click.Choice(["log", "bandit", "uplift", "cost"]), multiple=True)
def main(data: Path, worlds: int, part: tuple[str, ...]) -> None:
    """Print the tables."""
    parts = part or ("log", "bandit", "uplift", "cost")
    if "log" in parts:
        try:
            logs = read_open_bandit(data / FILE)
        except UsageError as fault:
            sys.exit(str(fault))
        print("Learnt policies on a log that others decided (test, then learn; no chance in it)\n")
        print("\n".join(logged_lines(logged_trials(logs, PolicySettings(features=0)))), "\n")
    if "bandit" in parts:
        for drift_at in (None, N_DECISIONS // 2):
            print(bandit_table(worlds, N_DECISIONS, drift_at), "\n")
    if "uplift" in parts:
        print(uplift_table(worlds, N_PEOPLE), "\n")
    if "cost" in parts:
        print(cost_table())


def bandit_table(n_worlds: int, n: int, drift_at: int | None) -> str:
    """Table of all contenders in the same worlds."""
    trials = [
        bandit_trial(name, contender(), world, n)
        for world in (BanditWorld(seed=seed, drift_at=drift_at) for seed in _seeds(n_worlds))
        for name, contender in contenders(world).items()
    ]
    after = "" if drift_at is None else f", other favourites from decision {drift_at:,} on"
    title = f"Simulated, best action known{after} ({n:,} decisions, seeds {_told(n_worlds)})"
    return "\n".join([title, "", *bandit_lines(trials)])


def uplift_table(n_worlds: int, n: int) -> str:
    """Table of worlds with an effect, and without one."""
    trials = [
        uplift_trial(f"{name}, seed {seed}", UpliftWorld(seed=seed, strength=strength), n, n)
        for name, strength in (("effect on some", 1.0), ("no effect", 0.0))
        for seed in _seeds(n_worlds)
    ]
    title = f"Simulated, effects known (learnt from {n:,} people, judged by {n:,} others)"
    return "\n".join([title, "", *uplift_lines(trials)])


def _seeds(n: int) -> range:
    return range(FIRST_SEED, FIRST_SEED + n)


def _told(n: int) -> str:
    return f"{FIRST_SEED} to {FIRST_SEED + n - 1}"


def cost_table() -> str:
    """Time of one decision, and of one in a batch, on this machine now."""
    lines = ["Time of a decision, µs (median of 200, on this machine now)", ""]
    for n_actions, features in ((10, 8), (80, 16), (500, 32)):
        policy = Policy(PolicySettings(features=features))
        actions = [f"a{k}" for k in range(n_actions)]
        chance = np.random.default_rng(0)
        context = chance.normal(size=(64, features))
        took_s = []
        for k in range(200):
            started_s = time.perf_counter()
            policy.decide(context[k % 64], actions, f"d{k}", START_MS)
            took_s.append(time.perf_counter() - started_s)
        started_s = time.perf_counter()
        policy.propensities(context, actions, START_MS)
        batch_s = (time.perf_counter() - started_s) / len(context)
        lines.append(
            f"{n_actions:>4} actions, {features:>3} features: one {1e6 * np.median(took_s):,.0f}, "
            f"in a batch of {len(context)} {1e6 * batch_s:,.0f}"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    main()
