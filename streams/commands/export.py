"""``profiler export``: training sets without a look into the future."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any, Final

import click
import msgspec

from streams.console import end_on_sigterm, json_option, require_files, require_other, show_json
from streams.past_options import PastOptions, past_options
from streams.settings import settings_from_process

EPILOG: Final = """\b
Examples:
  profiler export --labels churn.csv --out churn.parquet
  profiler export --labels next.parquet --out set.parquet --file may.jsonl.gz --with-topic
  profiler export --labels l.jsonl --out set.parquet --file UserBehavior.csv --source taobao

docs/training.md says what counts at a time, and which columns are written."""


@click.command(
    name="export",
    short_help="Write features and vectors as they were, for labels.",
    epilog=EPILOG,
)
@click.option(
    "--labels",
    required=True,
    type=click.Path(dir_okay=False, path_type=Path),
    help="CSV, JSON lines or Parquet: subject (or user_id, device_id, anonymous_id), time (ms or "
    "RFC 3339), and whatever is to be kept beside them.",
)
@click.option(
    "--out",
    required=True,
    type=click.Path(dir_okay=False, path_type=Path),
    help="Parquet file to write.",
)
@past_options
@json_option
def command(labels: Path, out: Path, as_json: bool, **past: Any) -> None:
    """Write what was known of each labelled person just before each label's time, as Parquet.

    Computed from the topic of events, or from files, by the code that computes live profiles.
    """
    options = PastOptions(**past)
    require_files([labels])
    require_other(out, [labels, *options.files])
    require_other(out, [labels, *map(Path, options.files)])
    settings = settings_from_process()
    end_on_sigterm()
    # River takes a second to import: not for a help text.
    opened = import_module("streams.past").open_past(settings, options)
    report = import_module("streams.training").export(settings, opened, labels, out)
    if as_json:
        show_json(msgspec.to_builtins(report))
        return
    click.echo(
        f"{report.labels:,} labels of {report.subjects:,} subjects from {report.records:,} records "
        f"in {report.seconds:.1f} s: {report.records_per_s:,.0f} a second"
    )
    if report.unknown:
        click.echo(f"{report.unknown:,} labels lie before anything was known of their subject")
    if report.erased:
        click.echo(f"{report.erased:,} labels are of people who asked to be forgotten: empty")
