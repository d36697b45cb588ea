"""``profiler recommend``: what a person may touch next."""

from __future__ import annotations

from typing import Final

import click
import msgspec

from profiler.errors import UsageError
from streams.client import ProfileClient, Recommendation
from streams.console import json_option, show_json, tell
from streams.settings import settings_from_process

EPILOG: Final = """\b
Examples:
  profiler recommend alice
  profiler recommend alice --k 5 --new-only --why
  profiler recommend alice --kind category --json

From the person's latest items and what all people touched together: see docs/recommendation.md.
Somebody of whom nothing is known gets what is popular."""

WHY_CLUES: Final = 3


@click.command(name="recommend", epilog=EPILOG)
@click.argument("subject")
@click.option("--k", type=click.IntRange(1, 200), default=20, show_default=True, help="How many.")
@click.option(
    "--kind",
    type=click.Choice(["item", "category"]),
    default="item",
    show_default=True,
    help="What to recommend.",
)
@click.option(
    "--exclude", multiple=True, metavar="NAME", help="Leave this one out; may be repeated."
)
@click.option("--new-only", is_flag=True, help="Leave out what the person touched last.")
@click.option("--why", is_flag=True, help="Show the clues that counted the most.")
@json_option
def command(
    subject: str,
    k: int,
    kind: str,
    exclude: tuple[str, ...],
    new_only: bool,
    why: bool,
    as_json: bool,
) -> int:
    """Recommend what SUBJECT may touch next, the likeliest first."""
    if not subject:
        raise UsageError("to whom? SUBJECT is empty")
    settings = settings_from_process()
    key = settings.pseudonym_key.reveal()
    with ProfileClient(settings.store_url, key, timeout_s=settings.store_timeout_s) as client:
        found = client.recommend(
            subject,
            k,
            kind="item" if kind == "item" else "category",
            exclude=exclude,
            new_only=new_only,
        )
    if as_json:
        listed = [{**msgspec.structs.asdict(one), "score": one.score} for one in found]
        show_json({"recommendations": listed})
    elif found:
        click.echo("\n".join(_lines(found, why=why)))
    if not found:
        tell("nothing can be recommended: no statistics yet; see PROFILER_STATISTICS_INTERVAL_S")
        return 1
    return 0


def _lines(found: list[Recommendation], *, why: bool) -> list[str]:
    width = max(len(one.name) for one in found) + 2
    lines = []
    for place, one in enumerate(found, 1):
        line = f"{place:>3}  {one.name:{width}}{100 * one.probability:5.1f} %"
        if why:
            most = sorted(one.clues.items(), key=lambda clue: -abs(clue[1]))[:WHY_CLUES]
            told = [f"{clue.replace('_', ' ')} {value:+.2f}" for clue, value in most]
            line = f"{line}  {'  '.join(told)}"
        lines.append(line)
    return lines
