"""``profiler deadletter``: look at what could not be applied, and re-submit it."""

from __future__ import annotations

from typing import Any, Final

import click

from profiler.catalogue import DEAD_LETTER_REASONS
from streams.console import json_option, show_json
from streams.letterbox import KeptLetter, list_dead_letters, replay_dead_letters
from streams.settings import settings_from_process

SHOWN_BYTES: Final = 60

LIST_EPILOG: Final = """\b
Examples:
  profiler deadletter list
  profiler deadletter list --reason invalid:price --limit 5 --json"""

REPLAY_EPILOG: Final = """\b
Examples:
  profiler deadletter replay --reason clock_skew     after PROFILER_CLOCK_SKEW_MAX_S was raised
  profiler deadletter replay"""

reason_option = click.option(
    "--reason",
    type=click.Choice(DEAD_LETTER_REASONS),
    metavar="REASON",
    help="Only these, e.g. malformed, unknown_type, invalid:price, clock_skew.",
)


@click.group(name="deadletter", short_help="Show or re-submit what could not be applied.")
def command() -> None:
    """Show or re-submit records that could not be applied."""


@command.command(name="list", epilog=LIST_EPILOG)
@reason_option
@click.option("--limit", type=click.IntRange(min=1), default=20, show_default=True)
@json_option
def list_letters(reason: str | None, limit: int, as_json: bool) -> None:
    r"""Show the newest dead letters, newest first.

    In JSON, key and value are text where the bytes are UTF-8; other bytes stand as \xhh.
    """
    letters = list_dead_letters(settings_from_process(), limit, reason)
    if as_json:
        show_json({"dead_letters": [_as_dict(letter) for letter in letters]})
        return
    width = max((len(letter.reason) for letter in letters), default=0)
    for letter in letters:
        origin = f"{letter.topic}/{letter.partition}@{letter.offset}"
        shown = _text((letter.value or b"")[:SHOWN_BYTES])
        more = "…" if letter.n_bytes > SHOWN_BYTES else ""
        click.echo(f"{letter.reason:{width}}  {origin}  {letter.n_bytes:,} bytes  {shown}{more}")
    if not letters:
        click.echo("no dead letters")


@command.command(name="replay", epilog=REPLAY_EPILOG)
@reason_option
@click.option("--limit", type=click.IntRange(min=1), help="Send at most so many.")
@json_option
def replay_letters(reason: str | None, limit: int | None, as_json: bool) -> None:
    """Send dead letters to their original topic again, each once."""
    done = replay_dead_letters(settings_from_process(), reason, limit)
    if as_json:
        show_json({"sent": done.n_sent, "truncated": done.n_truncated, "empty": done.n_empty})
        return
    click.echo(f"{done.n_sent} sent")
    if done.n_truncated:
        click.echo(f"{done.n_truncated} left: only their beginning was kept")
    if done.n_empty:
        click.echo(f"{done.n_empty} left: without key and value, Kafka's clients cannot send them")


def _as_dict(letter: KeptLetter) -> dict[str, Any]:
    return {
        **{name: getattr(letter, name) for name in letter.__struct_fields__},
        "key": None if letter.key is None else _text(letter.key),
        "value": None if letter.value is None else _text(letter.value),
        "headers": {name: _text(value) for name, value in letter.headers},
    }


def _text(data: bytes) -> str:
    return data.decode("utf-8", "backslashreplace")
