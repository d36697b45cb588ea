"""``profiler items``: catalogue files into the topic of items."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import click

from streams.console import json_option, require_files, show_json, tell
from streams.items import load_items
from streams.settings import settings_from_process

EPILOG: Final = """\b
Examples:
  profiler items catalogue.csv
  profiler items --check items.jsonl.gz
  profiler items --remove discontinued.csv

Columns or keys: item_id, title, category, brand, price, currency, tags (a list; in CSV separated by
|). Workers use them with PROFILER_ITEMS=true. Exit code 1 if a row was refused."""


@click.command(name="items", short_help="Load or remove items of the catalogue.", epilog=EPILOG)
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--remove", is_flag=True, help="Remove the items of the files instead.")
@click.option("--check", is_flag=True, help="Check the rows, and send nothing.")
@json_option
def command(files: tuple[Path, ...], remove: bool, check: bool, as_json: bool) -> int:
    """Send the items of catalogue files to the topic of items.

    Reads CSV with a header, JSON lines and Parquet, also gzipped. Rows that are refused are told
    and not sent; the others are. An item that is there already gets a new version if it says
    something else.
    """
    require_files(files)
    report = load_items(files, settings_from_process(), remove=remove, dry=check)
    if as_json:
        show_json(report)
    else:
        verb = "good" if check else "removed" if remove else "sent"
        click.echo(f"{report.sent:,} items {verb}, {sum(report.refused.values()):,} rows refused")
        for line in report.examples:
            click.echo(line)
        if (n_more := sum(report.refused.values()) - len(report.examples)) > 0:
            click.echo(f"and {n_more:,} more")
        if report.unused:
            tell(f"columns that are not used: {', '.join(report.unused)}")
    return 1 if report.refused else 0
