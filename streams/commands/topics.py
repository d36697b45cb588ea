"""``profiler topics``: the topics of the system."""

from __future__ import annotations

import asyncio
from typing import Final

import click

from streams.adoption import Adoption, adopt
from streams.assembly import open_store
from streams.console import json_option, show_json
from streams.settings import Settings, settings_from_process
from streams.topics import create_topics

EPILOG: Final = """\b
Examples:
  profiler topics create
  PROFILER_PARTITIONS=12 PROFILER_REPLICATION=3 profiler topics create --json"""


ADOPT_EPILOG: Final = """\b
Examples:
  profiler topics adopt
  profiler topics adopt --json"""


@click.group(name="topics")
def command() -> None:
    """Create the topics, or accept them as they have become."""


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


@command.command(name="adopt", epilog=ADOPT_EPILOG)
@json_option
def adopt_topics(as_json: bool) -> None:
    """Accept topics that were made anew, or lost their end.

    A worker that meets one stops: the profiles hold offsets of the old topic, and new records would
    be taken for old ones. Stop all workers with SIGTERM, make sure that the topic is as you want
    it, and run this. A topic that was made anew is read from its beginning, one that lost its end
    from where it ends now; whatever else of it was not read before is lost.
    """
    found = asyncio.run(_adopt(settings_from_process()))
    if as_json:
        show_json({"topics": found})
        return
    for topic in found:
        begins = ", ".join(f"{n} at {offset}" for n, offset in sorted(topic.begins.items()))
        reading = f"; partitions begin: {begins}" if begins else ""
        click.echo(f"{topic.name}  {topic.outcome}{reading}")


async def _adopt(settings: Settings) -> list[Adoption]:
    store = open_store(settings)
    try:
        return await adopt(settings, store)
    finally:
        await store.close()
