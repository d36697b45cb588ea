"""``profiler rebuild``: one person, recomputed from the log."""

from __future__ import annotations

import asyncio
from importlib import import_module
from typing import Any, Final

import click
import msgspec

from streams.console import json_option, show_json
from streams.past_options import PastOptions
from streams.settings import Settings, settings_from_process

EPILOG: Final = """\b
Examples:
  profiler rebuild alice --dry-run         what stands in the store and is wrong
  profiler rebuild device:4f2a

Workers may run meanwhile. With --dry-run the exit code is 1 if something differs."""


@click.command(
    name="rebuild", short_help="Recompute one person from the log, into the store.", epilog=EPILOG
)
@click.argument("subject")
@click.option("--dry-run", is_flag=True, help="Only show the differences.")
@click.option(
    "--force",
    is_flag=True,
    help="Also if the log no longer reaches back to the person's first event.",
)
@json_option
def command(subject: str, dry_run: bool, force: bool, as_json: bool) -> int:
    """Recompute SUBJECT, and all who were ever linked with them, and put them into the store.

    What lies among the dead letters stays out. The store's own comparison decides: what a worker
    writes at the same moment is neither lost nor counted twice.
    """
    report = asyncio.run(_rebuild(settings_from_process(), subject, dry_run, force))
    if as_json:
        show_json(msgspec.to_builtins(report))
    else:
        for found in report.differences:
            click.echo(
                f"{found.pid} {found.column}: expected {found.expected}, found {found.actual}"
            )
        n = len(report.pids)
        click.echo(
            f"profiles={n} events={report.events} differences={len(report.differences)} "
            f"written={report.written}"
        )
    return 1 if dry_run and report.differences else 0


async def _rebuild(settings: Settings, subject: str, dry_run: bool, force: bool) -> Any:
    # River takes a second to import: not for a help text.
    past = import_module("streams.past").open_past(settings, PastOptions(force=True))
    store = import_module("streams.assembly").open_store(settings)
    try:
        return await import_module("streams.rebuild").rebuild(
            settings, store, past, subject, dry_run=dry_run, force=force
        )
    finally:
        await store.close()
