"""``profiler topics create``: the topics of the system."""

from __future__ import annotations

from typing import Final

import click

from streams.console import json_option, show_json
from streams.settings import settings_from_process
from streams.topics import create_topics

EPILOG: Final = """\b
Examples:
  profiler topics create
  PROFILER_PARTITIONS=12 PROFILER_REPLICATION=3 profiler topics create --json"""


@click.group(name="topics")
def command() -> None:
    """Create the topics."""


@command.command(epilog=EPILOG)
@json_option
def create(as_json: bool) -> None:
    """Create the topics that do not exist yet; others are left as they are."""
    found = create_topics(settings_from_process())
    if as_json:
        show_json({"topics": found})
        return
    width = max(len(topic.name) for topic in found)
    for topic in found:
        note = f"  {topic.note}" if topic.note else ""
        plural = "" if topic.n_partitions == 1 else "s"
        click.echo(
            f"{topic.name:{width}}  {topic.outcome}  {topic.n_partitions} partition{plural}{note}"
        )
