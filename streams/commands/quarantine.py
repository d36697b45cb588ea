"""``profiler quarantine``: who is taken for a machine, and what an operator says to it."""

from __future__ import annotations

import asyncio
from typing import Final

import click
import msgspec

from profiler.errors import UsageError
from profiler.events import REASON_MAX
from streams.assembly import open_store
from streams.console import json_option, show_json, tell
from streams.portrait import HELD, moment
from streams.quarantine import (
    Held,
    field_of,
    now_ms,
    quarantine_of,
    send_verdict,
    verdict_ms,
)
from streams.reader import ProfileReader
from streams.settings import Settings, settings_from_process

SHOW_EPILOG: Final = """\b
Examples:
  profiler quarantine show alice
  profiler quarantine show device:till-4 --json"""

RELEASE_EPILOG: Final = """\b
Examples:
  profiler quarantine release user:alice --reason "a reseller, we know them\""""

HOLD_EPILOG: Final = """\b
Examples:
  profiler quarantine hold anonymous:9f86d08 --reason "scrapes prices\""""

reason_option = click.option(
    "--reason", help="Why, for whoever reads the log; at most 256 characters. Name nobody."
)


@click.group(
    name="quarantine", short_help="Show who is taken for a machine; release or hold somebody."
)
def command() -> None:
    """Show who is taken for a machine; release or hold somebody."""


@command.command(name="show", epilog=SHOW_EPILOG)
@click.argument("subject")
@json_option
def show(subject: str, as_json: bool) -> int:
    """Show whether the profile of SUBJECT is held, and why, for each of the person's subjects."""
    found = _found(settings_from_process(), subject)
    if as_json:
        show_json({"subjects": [msgspec.to_builtins(one) for one in found]})
    elif not found:
        tell(f"nothing is known of {subject}")
    for one in [] if as_json else found:
        click.echo("\n".join(_lines(one)))
    return 0 if found else 1


@command.command(name="release", epilog=RELEASE_EPILOG)
@click.argument("subject")
@reason_option
def release(subject: str, reason: str | None) -> None:
    """Release SUBJECT: whatever was implausible until now is forgiven, a later burst holds again.

    No event was lost meanwhile. It counts for the profile and for SUBJECT itself: of a person who
    has several, release those that `show` calls held.
    """
    _say(subject, reason, automated=False)


@command.command(name="hold", epilog=HOLD_EPILOG)
@click.argument("subject")
@reason_option
def hold(subject: str, reason: str | None) -> None:
    """Hold SUBJECT until it is released, whatever it does."""
    _say(subject, reason, automated=True)


def _say(subject: str, reason: str | None, *, automated: bool) -> None:
    settings = settings_from_process()
    field_of(subject)
    if reason is not None and len(reason) > REASON_MAX:
        raise UsageError(f"--reason: at most {REASON_MAX} characters")
    ts_ms = verdict_ms(_found(settings, subject), now_ms())
    send_verdict(settings, subject, ts_ms, automated=automated, reason=reason)
    tell("sent: the profile changes within seconds")


def _found(settings: Settings, subject: str) -> list[Held]:
    pid = ProfileReader(settings.pseudonym_key.reveal()).pid(subject)
    return asyncio.run(_quarantine(settings, pid))


def _lines(one: Held) -> list[str]:
    state = f"{HELD[one.reason]} (since {moment(one.since_ms)})" if one.reason else "not held"
    lines = [f"{one.pid}  {one.events:,} events, {state}"]
    if one.implausible_ms:
        lines.append(f"    implausible: last {moment(one.implausible_ms)}")
    if one.verdict_ms:
        said = "held" if one.automated else "released"
        lines.append(f"    verdict: {said} {moment(one.verdict_ms)}")
    return lines


async def _quarantine(settings: Settings, pid: str) -> list[Held]:
    store = open_store(settings)
    try:
        return await quarantine_of(store, pid)
    finally:
        await store.close()
