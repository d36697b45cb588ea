"""How soon drift is found, how often without cause, what reacting is worth, and what it costs.

``python -m benchmarks.drift`` prints the tables of docs/drift.md, within a minute.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Iterator
from typing import Final

import click
import numpy as np

from profiler.drift.detectors import DETECTORS, KSWIN
from profiler.drift.table import lines
from profiler.drift.trials import trial
from profiler.drift.watch import DriftWatch

N_COST: Final = 100_000
N_FEATURES: Final = 16
BATCHES: Final = (16, 256, 4_096)


@click.command()
@click.option("--seeds", default=50, show_default=True, help="Of each world with a drift.")
@click.option("--calm", default=400_000, show_default=True, help="Labels of each calm world.")
@click.option("--gains", default=8, show_default=True, help="Seeds of worlds with a reaction.")
def main(seeds: int, calm: int, gains: int) -> None:
    """Measure the drift watch on worlds whose truth is known."""
    started_s = time.perf_counter()
    for line in (*lines(trial(seeds, calm, gains)), "", *cost_lines(N_COST)):
        print(line)
    print(f"\n{time.perf_counter() - started_s:.0f} s")


def cost_lines(n: int) -> Iterator[str]:
    """Microseconds of processor time per label."""
    chance = np.random.default_rng(0)
    losses = (chance.random(n) < 0.1).astype(np.float64)
    x = chance.normal(size=(n, N_FEATURES)).astype(np.float32)
    ts = np.arange(n, dtype=np.int64)
    yield f"{'cost':<28}{'us per label':>13}"
    for kind in DETECTORS:
        some = losses[: n // 16] if kind is KSWIN else losses
        us = _us(functools.partial(kind.detector().update, some), len(some))
        yield f"{kind.name + ' alone':<28}{us:>13.3f}"
    for size in BATCHES:
        watch = DriftWatch("cost", [f"x{k}" for k in range(N_FEATURES)])
        parts = [slice(start, start + size) for start in range(0, n, size)]

        def run(watch: DriftWatch = watch, parts: list[slice] = parts) -> None:
            for part in parts:
                watch.update(losses[part], x[part], ts[part])

        name = f"watch, {N_FEATURES} features, by {size}"
        yield f"{name:<28}{_us(run, n):>13.3f}"


def _us(run: Callable[[], object], n: int) -> float:
    started_s = time.process_time()
    run()
    return 1e6 * (time.process_time() - started_s) / n


if __name__ == "__main__":
    main()
