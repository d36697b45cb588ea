"""``profiler evaluate``: how good predictions are on a data set, against baselines."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Final, NoReturn

import click
from tqdm import tqdm

from profiler.sources import SOURCE_NAMES
from streams.answers import answer, answer_lines
from streams.console import end_on_sigterm, json_option, require_writable, show_json
from streams.evaluation import OURS, EvaluationOptions, Table, curves, evaluate, lines
from streams.formats import source_of
from streams.replay import ReplayOptions, load
from streams.tracking import open_tracker, track_option

EPILOG: Final = """\b
Examples:
  profiler evaluate --source taobao taobao_long.csv.gz
  profiler evaluate --source movielens --once --k 10 --skip 0.3 u.data
  profiler evaluate --mapping shop.toml --curves curves.csv orders.jsonl
  profiler evaluate --source taobao --track tensorboard:runs taobao_long.csv.gz

The records go, in the order of their times, through the code that a worker runs. Each event is
predicted before it is learnt. Matrix factorisation needs an extra: pip install
'streaming-user-profiles[evaluate]'. No settings are needed, no broker and no store. See
docs/evaluation.md for what the figures mean."""


@click.command(name="evaluate", epilog=EPILOG)
@click.argument(
    "files", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="FILE..."
)
@click.option(
    "--source",
    type=click.Choice(SOURCE_NAMES),
    default="native",
    show_default=True,
    help="Format of the files.",
)
@click.option(
    "--mapping",
    type=click.Path(dir_okay=False, path_type=Path),
    help="TOML file that says what the rows are, instead of --source; see docs/sources.md.",
)
@click.option("--limit", type=click.IntRange(min=1), help="Take so many records at most.")
@click.option("--k", type=click.IntRange(1, 200), default=20, show_default=True, help="Ranks.")
@click.option(
    "--skip",
    type=click.FloatRange(0, 0.9),
    default=0.1,
    show_default=True,
    help="Share of the events that is learnt only.",
)
@click.option("--once", is_flag=True, help="Nobody turns to an item twice: leave out what is seen.")
@click.option(
    "--baselines/--no-baselines", default=True, show_default=True, help="Run baselines, too."
)
@click.option(
    "--batch",
    "batch_events",
    type=click.IntRange(1, 16_384),
    default=32,
    show_default=True,
    help="Records of a batch; statistics count what earlier batches saw.",
)
@click.option("--seed", type=int, default=1, show_default=True, help="Of the intervals.")
@click.option(
    "--curves",
    "curves_file",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write recall and MRR by tenths of the stream to this file, as CSV.",
)
@track_option
@json_option
def command(
    files: tuple[Path, ...],
    source: str,
    mapping: Path | None,
    limit: int | None,
    k: int,
    skip: float,
    once: bool,
    baselines: bool,
    batch_events: int,
    seed: int,
    curves_file: Path | None,
    track: tuple[str, ...],
    as_json: bool,
) -> None:
    """Predict the events of data files one after another, and say how well."""
    end_on_sigterm()
    if curves_file is not None:
        require_writable(curves_file, files)
    options = EvaluationOptions(
        k=k, skip=skip, once=once, baselines=baselines, batch_events=batch_events, seed=seed
    )
    known = source_of(source, mapping)
    records = list(load(files, known, ReplayOptions(sort=True, limit=limit)))
    with ExitStack() as held:
        trackers = [open_tracker(target) for target in track]
        for tracker in trackers:
            held.callback(tracker.close)
        bars = _Bars()
        held.callback(bars.close)
        tables = evaluate(records, known.name, options, bars.tell)
        tell = partial(_tell, bars, len(records))
        answers = answer(records, known.name, skip=skip, baselines=baselines, told=tell)
        for tracker in trackers:
            for table in tables:
                for tenth, metrics in enumerate(_metrics(table), 1):
                    tracker.log(metrics, step=tenth * table.events // 10)
    if curves_file is not None:
        curves_file.write_text("\n".join(curves(tables)) + "\n", "utf-8")
    if as_json:
        show_json({"seed": seed, "tables": tables, "answers": answers})
    else:
        click.echo(f"seed {seed}, {len(records):,} records")
        for table in tables:
            click.echo("\n".join(["", *lines(table, k)]))
        click.echo("\n".join(["", *answer_lines(answers)]))


def _tell(bars: _Bars, total: int, n: int) -> None:
    bars.tell("tasks", n, total)


def _metrics(table: Table) -> Sequence[dict[str, float]]:
    """Figures of each tenth of the stream, by name."""
    return [
        {
            f"{table.of}/{row.name if row.name == OURS else 'baselines/' + row.name}/{name}": part
            for row in table.rows
            for name, part in (("recall", row.recall[n]), ("mrr", row.mrr[n]))
        }
        for n in range(len(table.rows[0].recall))
    ]


class _Bars:
    """One progress bar after another."""

    def __init__(self) -> None:
        self._bar: tqdm[NoReturn] | None = None
        self._what = ""

    def tell(self, what: str, n: int, total: int) -> None:
        """Go on with the bar of what is done now."""
        if what != self._what:
            self.close()
            # None: only if standard error is a terminal.
            self._bar = tqdm(total=total, desc=what, unit=" events", disable=None, leave=False)
            self._what = what
        if self._bar is not None:
            self._bar.update(n)

    def close(self) -> None:
        """Take the bar away."""
        if self._bar is not None:
            self._bar.close()
