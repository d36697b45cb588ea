"""``profiler behaviour``: how the crowd behaves, or one person."""

from __future__ import annotations

from typing import Final

import click

from profiler.behaviour.layout import EVERYBODY
from profiler.errors import UsageError
from streams.behaviour import behaviour_lines, habit_lines, habits_of
from streams.client import ProfileClient
from streams.console import json_option, show_json, tell
from streams.settings import settings_from_process

EPILOG: Final = """\b
Examples:
  profiler behaviour                     funnel, times, next steps and seasons of everybody
  profiler behaviour --cohort never      of those who had bought nothing before
  profiler behaviour alice --json        of one person

Workers add to the figures of the crowd every PROFILER_FIGURES_INTERVAL_S; they are read from the
store, and no event is read again. docs/behaviour.md says what each figure means."""


@click.command(name="behaviour", epilog=EPILOG)
@click.argument("subject", required=False)
@click.option(
    "--cohort",
    default=EVERYBODY,
    show_default=True,
    metavar="NAME",
    help="all, never, once, often (bought before), or segment-<n>.",
)
@json_option
def command(subject: str | None, cohort: str, as_json: bool) -> int:
    """Show how people behave: how far they come, how long it takes, where they leave, and when.

    With SUBJECT, how one person does; what is not known of them is what the cohort does.
    """
    if subject == "":
        raise UsageError("whose behaviour? SUBJECT is empty")
    settings = settings_from_process()
    key = settings.pseudonym_key.reveal()
    with ProfileClient(settings.store_url, key, timeout_s=settings.store_timeout_s) as client:
        crowd = client.behaviour(cohort)
        profile = client.get(subject) if subject else None
    if subject is None:
        if crowd is None:
            tell("nothing was counted yet: no worker has published figures of the crowd")
            return 1
        if as_json:
            show_json(crowd)
        else:
            click.echo("\n".join(behaviour_lines(crowd)))
        return 0
    habits = habits_of(profile, crowd) if profile is not None else None
    if habits is None:
        tell(f"nothing is known of the behaviour of {subject}")
        return 1
    if as_json:
        show_json(habits)
    else:
        click.echo("\n".join(habit_lines(habits)))
    return 0
