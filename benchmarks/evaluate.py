"""``make evaluate``: how good predictions are, in one go, against baselines on the same events.

Rankings on data sets that everybody can get (MovieLens-100k comes by pip, the others from the
folder that ``PROFILER_DATA_DIR`` names), then what simulated worlds with a known truth say of drift
and of decisions. ``docs/evaluation.md`` says what the figures mean.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Final

import click
import msgspec
from msgspec import Struct

from benchmarks import drift, optimisation
from profiler.errors import UsageError
from profiler.sources import Converted, Row, source_named
from streams.answers import answer, answer_lines
from streams.evaluation import EvaluationOptions, evaluate, lines
from streams.files import read_lines, stem
from streams.interactions import Interaction, rated, sold
from streams.movielens import ratings_file
from streams.replay import by_event_time

ROOT: Final = Path(__file__).parents[1]
DATA: Final = Path(os.environ.get("PROFILER_DATA_DIR", ROOT.parent / "shared" / "data"))
MOVIELENS: Final = ROOT / "cache" / "ml-100k"
ONCE: Final = EvaluationOptions(k=10, skip=0.3, once=True)
RETAIL_ROWS: Final = 120_000

_DECODE: Final = msgspec.json.Decoder(Interaction).decode


class Stream(Struct, frozen=True):
    """A data set to be ranked."""

    source: str
    read: Callable[[], list[Converted]]
    options: EvaluationOptions
    has_tasks: bool = True


def _records(
    path: Path, source: str, see: Callable[[Row], bool] | None = None
) -> Iterator[Converted]:
    if not path.is_file():
        raise UsageError(f"no such file: {path}; PROFILER_DATA_DIR names the folder of the data")
    known = source_named(source)
    return known.convert(read_lines(path, known.form), stem(path), see)


def _movielens(*stars: float) -> list[Converted]:
    return by_event_time(_records(ratings_file(MOVIELENS), "movielens", rated(stars)))


def _taobao(name: str) -> list[Converted]:
    return by_event_time(_records(DATA / f"taobao_{name}.csv.gz", "taobao"))


def _retail(limit: int) -> list[Converted]:
    records = _records(DATA / "online_retail.csv.gz", "online-retail")
    return list(islice(filter(_is_sold, by_event_time(records)), limit))


def _is_sold(record: Converted) -> bool:
    try:
        return sold(_DECODE(record.value))
    except msgspec.DecodeError:
        return False


STREAMS: Final = {
    "movielens-5": Stream("movielens", lambda: _movielens(5), ONCE, False),
    "movielens-all": Stream("movielens", lambda: _movielens(1, 2, 3, 4, 5), ONCE, False),
    "taobao_long": Stream("taobao", lambda: _taobao("long"), EvaluationOptions()),
    "taobao_burst": Stream("taobao", lambda: _taobao("burst"), EvaluationOptions()),
    "online_retail": Stream("online-retail", lambda: _retail(RETAIL_ROWS), EvaluationOptions()),
}
WORLDS: Final = {
    "drift": lambda: drift.main(["--seeds", "50"], standalone_mode=False),
    "decisions": lambda: optimisation.main(["--data", str(DATA)], standalone_mode=False),
}


@click.command()
@click.option("--only", multiple=True, type=click.Choice([*STREAMS, *WORLDS]))
def main(only: tuple[str, ...]) -> None:
    """Print one table after another."""
    begun_s = time.monotonic()
    for name in only or (*STREAMS, *WORLDS):
        print(f"\n== {name}", flush=True)
        if name in STREAMS:
            stream = STREAMS[name]
            records = stream.read()
            for table in evaluate(records, stream.source, stream.options):
                print("\n".join(["", *lines(table, stream.options.k)]), flush=True)
            if stream.has_tasks:
                print("\n".join(["", *answer_lines(answer(records, stream.source))]), flush=True)
        else:
            WORLDS[name]()
    print(f"\n{time.monotonic() - begun_s:,.0f} s")


if __name__ == "__main__":
    try:
        main()
    except UsageError as fault:
        sys.exit(str(fault))
