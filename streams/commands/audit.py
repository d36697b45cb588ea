"""``profiler audit``: every profile against one that is recomputed from the log."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from pathlib import Path
from typing import Final

import click
import msgspec

from profiler.errors import UsageError
from profiler.sources import SOURCE_NAMES, Converted
from streams.assembly import open_store
from streams.audit import AuditReport, audit
from streams.backfill_origins import until_ms_of
from streams.console import json_option, show_json
from streams.formats import source_of
from streams.replay import ReplayOptions, load
from streams.settings import Settings, settings_from_process

EPILOG: Final = """\b
Examples:
  profiler audit                                   against the topic of events from its beginning
  profiler audit --wait 60 --ledger sent.jsonl
  profiler audit --file taobao.csv.gz --source taobao
  profiler audit --history 2023.parquet --before 2024-01-01T00:00:00Z

Audit a system at rest: what is still on its way would be reported as a difference. Exit code 1 if a
profile differs, if readers see another than is stored (stale), or if events were lost or duplicated
by the ledger."""


@click.command(
    name="audit", short_help="Recompute all profiles from the log and compare.", epilog=EPILOG
)
@click.option(
    "--file",
    "files",
    multiple=True,
    type=click.Path(path_type=Path),
    help="Recompute from this file, as it was replayed, instead of the topic; can be repeated.",
)
@click.option(
    "--history",
    "history",
    multiple=True,
    type=click.Path(path_type=Path),
    help="A file that `profiler backfill` loaded, besides the topic; can be repeated.",
)
@click.option("--before", help="With --history: as it was given to `profiler backfill`.")
@click.option(
    "--source",
    type=click.Choice(SOURCE_NAMES),
    default="native",
    show_default=True,
    help="With --file or --history: its format.",
)
@click.option(
    "--mapping",
    type=click.Path(dir_okay=False, path_type=Path),
    help="With --file or --history: the mapping file with which it was read.",
)
@click.option(
    "--limit", type=click.IntRange(min=1), help="With --file or --history: first rows only."
)
@click.option("--sort", is_flag=True, help="With --file: in the order of event times.")
@click.option(
    "--drop-duplicates",
    is_flag=True,
    help="With --file or --history: without the rows that are equal to one before.",
)
@click.option(
    "--ledger",
    type=click.Path(dir_okay=False, path_type=Path),
    help="What a producer knows was acknowledged: report lost and duplicated events.",
)
@click.option(
    "--wait",
    "wait_s",
    type=click.FloatRange(min=0),
    help="Wait at most so many seconds until the workers have read everything.",
)
@click.option(
    "--differences", type=click.IntRange(min=0), default=10, show_default=True, help="To print."
)
@json_option
def command(
    files: tuple[Path, ...],
    history: tuple[Path, ...],
    before: str | None,
    source: str,
    mapping: Path | None,
    limit: int | None,
    sort: bool,
    drop_duplicates: bool,
    ledger: Path | None,
    wait_s: float | None,
    differences: int,
    as_json: bool,
) -> int:
    """Recompute all profiles from the log, one event after another, and compare the store."""
    options = ReplayOptions(limit=limit, sort=sort, drop_duplicates=drop_duplicates)
    if files and history:
        raise UsageError("--file reads instead of the topic, --history besides it: give one")
    if not (files or history):
        _refuse_options_of_files(source, mapping, options)
    if before is not None and not history:
        raise UsageError("--before: only with --history")
    settings = settings_from_process()
    records = load(files, source_of(source, mapping), options) if files else None
    past = None
    if history:
        # As a backfill applies it.
        in_order = msgspec.structs.replace(options, sort=True)
        past = load(sorted(history), source_of(source, mapping), in_order)
    until_ms = until_ms_of(settings, before)
    report = asyncio.run(_audit(settings, records, past, until_ms, ledger, wait_s, differences))
    if as_json:
        show_json(msgspec.to_builtins(report))
    else:
        click.echo("\n".join(audit_lines(report)))
    return 0 if report.passed else 1


def audit_lines(report: AuditReport) -> list[str]:
    """Lines that tell what an audit found."""
    names = ("profiles", "mismatched", "missing", "unexpected", "stale", "lost", "duplicated")
    figures = {name: getattr(report, name) for name in names}
    lines = [" ".join(f"{name}={n}" for name, n in figures.items() if n is not None)]
    lines.append(
        f"records={report.records} "
        + " ".join(f"{outcome}={n}" for outcome, n in report.outcomes.items())
    )
    if report.unordered:
        lines.append(
            f"{report.unordered} profiles have events from several partitions: their sequential "
            "columns were held against bounds"
        )
    lines += [
        f"{found.pid} {found.column}: expected {found.expected}, found {found.actual}"
        for found in report.differences
    ]
    return lines


def _refuse_options_of_files(source: str, mapping: Path | None, options: ReplayOptions) -> None:
    given = {
        "--source": source != "native",
        "--mapping": mapping is not None,
        "--limit": options.limit is not None,
        "--sort": options.sort,
        "--drop-duplicates": options.drop_duplicates,
    }
    if names := [name for name, is_given in given.items() if is_given]:
        raise UsageError(f"{', '.join(names)}: only with --file or --history")


async def _audit(
    settings: Settings,
    records: Iterable[Converted] | None,
    history: Iterable[Converted] | None,
    until_ms: int,
    ledger: Path | None,
    wait_s: float | None,
    limit_differences: int,
) -> AuditReport:
    store = open_store(settings)
    try:
        return await audit(
            settings,
            store,
            records=records,
            history=history,
            history_until_ms=until_ms,
            ledger=ledger,
            wait_s=wait_s,
            limit_differences=limit_differences,
        )
    finally:
        await store.close()
