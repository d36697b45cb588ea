"""``profiler get``: one person's profile."""

from __future__ import annotations

import time
from typing import Any, Final

import click

from streams.client import ProfileClient
from streams.console import json_option, show_json, tell
from streams.portrait import KINDS, portrait, slices
from streams.reader import Profile
from streams.settings import settings_from_process

EPILOG: Final = """\b
Examples:
  profiler get alice                     user id alice
  profiler get device:4f2a --vector      user:, device:, anonymous: or pid: name the kind of id
  profiler get alice --now --json

Historical data end long ago: everything is shown as of the person's latest event, unless --now."""


@click.command(name="get", epilog=EPILOG)
@click.argument("subject")
@click.option("--vector", "with_vector", is_flag=True, help="Show the vector, slice by slice.")
@click.option("--now", "is_now", is_flag=True, help="Let interests and vector decay until now.")
@json_option
def command(subject: str, with_vector: bool, is_now: bool, as_json: bool) -> int:
    """Show what is known of SUBJECT."""
    settings = settings_from_process()
    key = settings.pseudonym_key.reveal()
    with ProfileClient(settings.store_url, key, timeout_s=settings.store_timeout_s) as client:
        profile = client.get(subject, traits=True)
    if profile is None:
        tell(
            f"nothing is known of {subject}: no event of theirs was applied, they asked to be "
            "forgotten, or PROFILER_PSEUDONYM_KEY is not the workers' key"
        )
        return 1
    now_ms = time.time_ns() // 1_000_000
    if is_now:
        profile = profile.at(now_ms)
    if as_json:
        show_json(_as_dict(profile, now_ms, with_vector))
    else:
        click.echo("\n".join(portrait(profile, now_ms)))
        if with_vector:
            click.echo("\n".join(["", *slices(profile)]))
    return 0


def _as_dict(profile: Profile, now_ms: int, with_vector: bool) -> dict[str, Any]:
    found: dict[str, Any] = {
        "pid": profile.pid,
        "as_of_ms": profile.as_of_ms,
        "age_ms": now_ms - profile.as_of_ms,
        "rev": profile.rev,
        "spec": profile.spec,
        "interests": {kind: profile.top(kind) for kind in KINDS},
        "summary": profile.summary,
        "traits": {name: [v._asdict() for v in told] for name, told in profile.traits.items()},
    }
    if with_vector:
        assert profile.layout is not None
        found["vector"] = {
            part.name: profile.vector_slice(part.name).tolist() for part in profile.layout.slices
        }
    return found
