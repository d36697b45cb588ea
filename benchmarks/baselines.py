"""What baselines reach on the next item and the next category: docs/evaluation.md has the table.

``python -m benchmarks.baselines [--only SET] [--hindsight]``, with the data of
``PROFILER_DATA_DIR`` and MovieLens-100k fetched as `streams/movielens.py` says. Settings are chosen
on the events that are not scored; with ``--hindsight`` all are run, and the best is told as well,
which nobody could have known beforehand.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from msgspec import Struct
from tqdm import tqdm

from profiler.evaluation.baselines import FAMILIES, Family
from profiler.evaluation.baselines.popularity import Popularity
from profiler.evaluation.log import Log
from profiler.evaluation.prequential import Protocol, choose, rankings
from profiler.evaluation.ranking import Rankings
from profiler.sources import source_named
from streams.interactions import Interactions, interactions, rated, sold
from streams.movielens import ratings_file

DATA = Path(os.environ.get("PROFILER_DATA_DIR", Path(__file__).parents[2] / "shared" / "data"))
MOVIELENS = Path(__file__).parents[1] / "cache" / "ml-100k"
ONCE = Protocol(k=10, skip=0.3, once=True)


class Set(Struct, frozen=True):
    """One stream to be ranked."""

    read: Callable[[], Log]
    protocol: Protocol


def _movielens(*stars: float) -> Interactions:
    return interactions(ratings_file(MOVIELENS), source_named("movielens"), see=rated(stars))


def _taobao(name: str) -> Interactions:
    return interactions(DATA / f"taobao_{name}.csv.gz", source_named("taobao"))


def _retail(limit: int | None) -> Interactions:
    source = source_named("online-retail")
    return interactions(DATA / "online_retail.csv.gz", source, wanted=sold, limit=limit)


SETS: dict[str, Set] = {
    "movielens, ratings of 5": Set(lambda: _movielens(5).items(), ONCE),
    "movielens, all ratings": Set(lambda: _movielens(1, 2, 3, 4, 5).items(), ONCE),
    "taobao_long": Set(lambda: _taobao("long").items(), Protocol()),
    "taobao_burst": Set(lambda: _taobao("burst").items(), Protocol()),
    "online_retail, first 120,000": Set(lambda: _retail(120_000).items(), Protocol()),
    "online_retail, all": Set(lambda: _retail(None).items(), Protocol()),
    "taobao_long, categories": Set(lambda: _taobao("long").categories(), Protocol()),
    "taobao_burst, categories": Set(lambda: _taobao("burst").categories(), Protocol()),
}

COLUMNS = (
    *("baseline", "recall", "MRR", "hit@1", "hit@3", "coverage"),
    *("met: recall", "MRR", "hit@1", "hit@3"),
)


def rows(log: Log, protocol: Protocol, hindsight: bool) -> Iterator[tuple[str, ...]]:
    """Lines of the table: each family's chosen settings, and what the best would have given."""
    fallback_ms = float("inf")
    for family in FAMILIES:
        begun = time.process_time()
        chosen = choose(log, family, protocol, fallback_ms)
        tuned_s, begun = time.process_time() - begun, time.process_time()
        baseline = chosen.make()
        if isinstance(baseline, Popularity):
            fallback_ms = baseline.half_life_ms
        with tqdm(total=len(log), desc=baseline.name, leave=False) as bar:
            found = rankings(log, baseline, protocol, bar.update)
        took_s = time.process_time() - begun
        yield *_row(baseline.name, log, found), f"{tuned_s:.0f}", f"{took_s:.0f}"
        if hindsight:
            yield *_best(log, protocol, family, fallback_ms), "", ""


def _best(log: Log, protocol: Protocol, family: Family, fallback_ms: float) -> tuple[str, ...]:
    """Run all settings on everything and take the one with the best recall."""
    best: tuple[float, tuple[str, ...]] = (-1.0, ())
    for variant in tqdm(family.variants, desc=f"{family.name} in hindsight", leave=False):
        baseline = partial(variant, fallback_ms)()
        found = rankings(log, baseline, protocol)
        best = max(best, (found.recall(), _row(f"(hindsight: {baseline.name})", log, found)))
    return best[1]


def _row(name: str, log: Log, found: Rankings) -> tuple[str, ...]:
    n_items = int(log.item.max()) + 1
    met = found.only(~log.is_first()[len(log) - len(found) :])
    one, two = found.figures(n_items), met.figures(n_items)
    figures = (
        *(one.recall, one.mrr, one.hit_1, one.hit_3, one.coverage),
        *(two.recall, two.mrr, two.hit_1, two.hit_3),
    )
    return (name, *(f"{value:.4f}" for value in figures))


def main() -> None:
    """Print one table for each set."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", action="append", choices=SETS, help="Can be repeated.")
    parser.add_argument("--hindsight", action="store_true")
    options = parser.parse_args()
    for name in options.only or SETS:
        log = SETS[name].read()
        protocol = SETS[name].protocol
        print(
            f"\n{name}: {len(log):,} events, {len(set(log.person.tolist())):,} people, "
            f"{int(log.item.max()) + 1:,} items, k = {protocol.k}, "
            f"{int(log.is_first()[int(len(log) * protocol.skip) :].sum()):,} scored are a first\n"
        )
        print(f"| {' | '.join((*COLUMNS, 'tuning, CPU s', 'CPU s'))} |")
        print("| --- " * (len(COLUMNS) + 2) + "|")
        for row in rows(log, protocol, options.hindsight):
            print(f"| {' | '.join(row)} |", flush=True)


if __name__ == "__main__":
    main()
