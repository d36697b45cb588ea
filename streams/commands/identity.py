"""``profiler identity``: who belongs to whom, and taking that back."""

from __future__ import annotations

import asyncio
from typing import Final

import click

from profiler.identity import MEMBERS_MAX
from streams.assembly import open_store
from streams.console import json_option, show_json, tell
from streams.links import Subject, graph, known, unlink
from streams.portrait import moment
from streams.reader import ProfileReader
from streams.settings import Settings, settings_from_process

SHOW_EPILOG: Final = """\b
Examples:
  profiler identity show alice
  profiler identity show anonymous:9f86d08 --json"""

UNMERGE_EPILOG: Final = """\b
Examples:
  profiler identity unmerge device:kitchen-tablet user:alice"""


@click.group(name="identity", short_help="Show who belongs to whom, or take that back.")
def command() -> None:
    """Show who belongs to whom, or take that back."""


@command.command(name="show", epilog=SHOW_EPILOG)
@click.argument("subject")
@json_option
def show(subject: str, as_json: bool) -> int:
    """Show all subjects of the person behind SUBJECT, with the evidence.

    Subjects are named by profile ids: nobody can tell from the store who they are. A claim is all
    that was said of two subjects; of those that hold, the first one decides. What was
    unlinked is known of the anonymous or device subject alone: ask for that.
    """
    settings = settings_from_process()
    pid = ProfileReader(settings.pseudonym_key.reveal()).pid(subject)
    found = asyncio.run(_graph(settings, pid))
    if as_json:
        show_json({"subjects": found})
    elif not found:
        tell(f"nothing is known of {subject}: no event of theirs was applied, and no link names it")
    for one in [] if as_json else found:
        click.echo("\n".join(_lines(one, is_asked=one.pid == pid)))
    return 0 if found else 1


@command.command(name="unmerge", epilog=UNMERGE_EPILOG)
@click.argument("member")
@click.argument("owner")
def unmerge(member: str, owner: str) -> None:
    """Take back that MEMBER belongs to OWNER: both are then what they were without it.

    Name them user:<id>, device:<id> or anonymous:<id>. If they are linked again later, that counts.
    """
    settings = settings_from_process()
    pid = ProfileReader(settings.pseudonym_key.reveal()).pid
    # Before it is sent: a worker may be as fast as we are.
    is_linked = asyncio.run(_is_linked(settings, pid(member), pid(owner)))
    unlink(settings, member, owner)
    if is_linked:
        tell("sent: the profiles change within seconds")
    else:
        tell("sent, but the store knows no link of these two: was it undone before, or misspelt?")


def _lines(one: Subject, *, is_asked: bool) -> list[str]:
    mark = "  <- asked for" if is_asked else ""
    state = "erased" if one.erased else f"{one.events:,} events"
    lines = [f"{one.pid}  {state}{mark}"]
    for claim in one.claims:
        verb = "belongs to" if claim.owner == one.shown_by else "might belong to"
        if not claim.holds:
            verb = "was unlinked from"
        kind = "user" if claim.is_user else "device"
        since = f"linked {moment(claim.first_ms)}" if claim.last_ms >= 0 else "never linked"
        if claim.last_ms > claim.first_ms:
            since += f", last {moment(claim.last_ms)}"
        cut = f", unlinked {moment(claim.cut_ms)}" if claim.cut_ms >= 0 else ""
        lines.append(f"    {verb} {kind} {claim.owner}: {since}{cut}")
    lines += [f"    shows {member}" for member in one.members]
    if len(one.members) >= MEMBERS_MAX:
        lines.append(f"    shows no more than {MEMBERS_MAX}: others may belong to it")
    return lines


async def _is_linked(settings: Settings, member: str, owner: str) -> bool:
    store = open_store(settings)
    try:
        claims = (await known(store, [member])).links(member).claims
    finally:
        await store.close()
    return any(claim.owner == owner and claim.holds for claim in claims)


async def _graph(settings: Settings, pid: str) -> list[Subject]:
    store = open_store(settings)
    try:
        return await graph(store, pid)
    finally:
        await store.close()
