"""``profiler replay``: data files into the topic of events."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import click

from profiler.sources import SOURCE_NAMES
from streams.console import end_on_sigterm, json_option, require_files, show_json
from streams.formats import source_of
from streams.replay import ReplayOptions, parse_speed, replay
from streams.settings import settings_from_process

EPILOG: Final = """\b
Examples:
  profiler replay events.jsonl.gz
  profiler replay --source taobao --limit 20000 UserBehavior.csv
  profiler replay --source online-retail --speed 2000 --ledger sent.jsonl online_retail.csv.gz
  profiler replay --mapping shop.toml orders.jsonl
  profiler replay --speed 10x monday.jsonl tuesday.jsonl"""


@click.command(name="replay", epilog=EPILOG)
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "--source",
    type=click.Choice(SOURCE_NAMES),
    default="native",
    show_default=True,
    help="Format of the files: our own events, another system's, or a public data set's.",
)
@click.option(
    "--mapping",
    type=click.Path(dir_okay=False, path_type=Path),
    help="TOML file that says what the rows are, instead of --source; see docs/sources.md.",
)
@click.option(
    "--speed",
    default="max",
    show_default=True,
    help="max; a multiple of the events' own time, like 1x or 10x; or events per second.",
)
@click.option("--limit", type=click.IntRange(min=1), help="Send at most so many records.")
@click.option("--sort", is_flag=True, help="Send in the order of event times, all files together.")
@click.option("--distinct", is_flag=True, help="Leave out rows that are equal to one before.")
@click.option(
    "--ledger",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write what was acknowledged to this file, for `profiler audit --ledger`.",
)
@json_option
def command(
    files: tuple[Path, ...],
    source: str,
    mapping: Path | None,
    speed: str,
    limit: int | None,
    sort: bool,
    distinct: bool,
    ledger: Path | None,
    as_json: bool,
) -> None:
    """Send data files to the topic of events.

    Reads JSON lines, CSV and Parquet, also packed by gzip or zstd. Rows that cannot be read are
    sent as they are, so that they end among the dead letters with their reason.

    Events of a public data set get the id source:file:row, where file is the path as given here,
    without extensions.
    """
    require_files(files)
    end_on_sigterm()
    options = ReplayOptions(
        speed=parse_speed(speed),
        limit=limit,
        sort=sort,
        distinct=distinct,
        ledger=ledger,
    )
    report = replay(files, source_of(source, mapping), settings_from_process(), options)
    if as_json:
        show_json(report)
    else:
        rate = f"{report.events_per_s:,.0f} a second"
        click.echo(f"{report.events:,} events in {report.seconds:.1f} s: {rate}")
