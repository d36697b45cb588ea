"""``profiler backfill``: years of history into the store."""

from __future__ import annotations

import asyncio
import os
import time
from pathlib import Path
from typing import Final

import click

from profiler.errors import UsageError
from profiler.events import TS_MAX_MS
from profiler.sources import SOURCE_NAMES
from streams.backfill import BackfillOptions, BackfillReport, backfill
from streams.backfill_origins import file_origins, load_id_of, topic_origins, until_ms_of
from streams.console import (
    end_on_sigterm,
    json_option,
    require_files,
    require_writable,
    show_json,
    tell,
)
from streams.replay import ReplayOptions
from streams.settings import Settings, settings_from_process, variable

EPILOG: Final = """\b
Examples:
  profiler backfill --before 2024-06-01T00:00:00Z history/*.parquet
  profiler backfill --source online-retail online_retail.csv.gz
  profiler backfill --topic archive.events --before 2024-06-01T00:00:00Z

Workers may run meanwhile. Give them the same time as PROFILER_LIVE_FROM if what they read reaches
back before it: each event is then taken by one side only. Stopped or killed, the same command goes
on from where it was; once it is done, it does nothing. See docs/backfill.md."""


@click.command(name="backfill", short_help="Load history from files or a topic.", epilog=EPILOG)
@click.argument("files", nargs=-1, type=click.Path(path_type=Path))
@click.option("--topic", help="Read this topic, from its beginning to its present end, not files.")
@click.option(
    "--source",
    type=click.Choice(SOURCE_NAMES),
    default="native",
    show_default=True,
    help="Format of the files, as for `profiler replay`.",
)
@click.option(
    "--mapping",
    type=click.Path(dir_okay=False, path_type=Path),
    help="TOML file that says what the rows are, instead of --source; see docs/sources.md.",
)
@click.option(
    "--before",
    help="Leave out events of this time (RFC 3339) and later; by default PROFILER_LIVE_FROM.",
)
@click.option("--limit", type=click.IntRange(min=1), help="Read at most so many rows.")
@click.option("--distinct", is_flag=True, help="Leave out rows that are equal to one before.")
@click.option(
    "--processes",
    type=click.IntRange(1, 256),
    default=lambda: os.cpu_count() or 1,
    show_default="number of processors",
    help="How many work at a time.",
)
@click.option(
    "--folder",
    type=click.Path(file_okay=False, path_type=Path),
    help="Where records are sorted; holds raw ids until the end. By default in the user's cache.",
)
@click.option(
    "--rejected",
    type=click.Path(dir_okay=False, path_type=Path),
    help="List the records that cannot be applied, with their reasons, in this file.",
)
@json_option
def command(
    files: tuple[Path, ...],
    topic: str | None,
    source: str,
    mapping: Path | None,
    before: str | None,
    limit: int | None,
    distinct: bool,
    processes: int,
    folder: Path | None,
    rejected: Path | None,
    as_json: bool,
) -> None:
    """Load history into the store, past Kafka, in parallel and exactly once."""
    if bool(files) == (topic is not None):
        raise UsageError("name files, or a topic by --topic")
    settings = settings_from_process()
    until_ms = until_ms_of(settings, before)
    _require_past(settings, topic, before, until_ms)
    end_on_sigterm()
    if topic is not None:
        origins, records = topic_origins(settings, topic)
    else:
        require_files(files)
        rows = ReplayOptions(limit=limit, distinct=distinct)
        origins, records = file_origins(files, source, mapping, rows, processes)
    options = BackfillOptions(
        until_ms=until_ms, records=records, processes=processes, folder=folder, rejected=rejected
    )
    if rejected is not None:
        require_writable(rejected, files)
    try:
        report = asyncio.run(backfill(settings, origins, load_id_of(origins, until_ms), options))
    except KeyboardInterrupt:
        tell("stopped: the same command goes on from here")
        raise
    if as_json:
        show_json(report)
    else:
        click.echo("\n".join(_lines(report)))


def _require_past(settings: Settings, topic: str | None, before: str | None, until_ms: int) -> None:
    """Refuse what would be applied by the workers too, or be missed by both."""
    if before is not None and until_ms > time.time_ns() // 1_000_000:
        raise UsageError(f"--before {before} is in the future: what happens until then is missed")
    if settings.live_from_ms and until_ms != settings.live_from_ms:
        tell(f"note: workers take events from another time on, {variable('live_from')}")
    if topic is None:
        return
    if until_ms > TS_MAX_MS:
        raise UsageError("--topic needs --before: what comes later is for the workers")
    if topic == settings.topic("events") and until_ms != settings.live_from_ms:
        raise UsageError(
            f"{topic} is what the workers read: give them {variable('live_from')}={before} first, "
            "and this command too, or they apply the same events"
        )


def _lines(report: BackfillReport) -> list[str]:
    if report.was_finished:
        return [f"load {report.load_id} is done already: nothing to do"]
    rate = f"{report.events_per_s:,.0f} a second"
    lines = [f"{report.records:,} records in {report.seconds:.1f} s: {rate}"]
    lines.append(" ".join(f"{name}={n}" for name, n in report.outcomes.items()))
    if report.outside:
        lines.append(f"{report.outside:,} events are left to the live stream")
    if report.rejected:
        found = ", ".join(f"{reason} {n:,}" for reason, n in report.rejected.items())
        lines.append(f"not applied: {found}")
    return lines
