"""``profiler quality``: what is wrong with data, before they are loaded."""

from __future__ import annotations

from pathlib import Path
from typing import Final, NoReturn

import click
from tqdm import tqdm

from profiler.quality import Report, lines, page
from profiler.sources import SOURCE_NAMES
from streams.console import end_on_sigterm, json_option, require_writable, show_json
from streams.formats import source_of
from streams.quality import is_topic, survey_files, survey_topic
from streams.settings import settings_from_process

EPILOG: Final = """\b
Examples:
  profiler quality --source online-retail online_retail.csv.gz
  profiler quality --mapping shop.toml --html report.html orders.jsonl
  profiler quality profiler.events                 from its beginning to its present end

A name that is no file is a topic. No settings are needed for files. Identities, and what people
typed, are never shown. docs/quality.md says what each figure means."""


@click.command(name="quality", epilog=EPILOG)
@click.argument("names", nargs=-1, required=True, metavar="FILE...|TOPIC")
@click.option(
    "--source",
    type=click.Choice(SOURCE_NAMES),
    default="native",
    show_default=True,
    help="Format of the files, or of all records of the topic.",
)
@click.option(
    "--mapping",
    type=click.Path(dir_okay=False, path_type=Path),
    help="TOML file that says what the rows are, instead of --source; see docs/sources.md.",
)
@click.option("--limit", type=click.IntRange(min=1), help="Look at so many rows at most.")
@click.option(
    "--html",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write the report to this file too, as a page.",
)
@json_option
def command(
    names: tuple[str, ...],
    source: str,
    mapping: Path | None,
    limit: int | None,
    html: Path | None,
    as_json: bool,
) -> None:
    """Report on the quality of data in files or a topic; nothing is loaded."""
    end_on_sigterm()
    of_topic = is_topic(names)
    if html is not None:
        require_writable(html, [] if of_topic else map(Path, names))
    with _bar(limit) as bar:
        report: Report
        if of_topic:
            settings = settings_from_process()
            report = survey_topic(settings, names[0], source, mapping, limit, bar.update)
        else:
            paths = [Path(name) for name in names]
            report = survey_files(paths, source_of(source, mapping), limit, bar.update)
    if html is not None:
        html.write_text(page(report), "utf-8")
    if as_json:
        show_json(report)
    else:
        click.echo("\n".join(lines(report)))


def _bar(limit: int | None) -> tqdm[NoReturn]:
    # None: only if standard error is a terminal.
    return tqdm(total=limit, unit=" rows", unit_scale=True, disable=None)
