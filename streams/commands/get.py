"""``profiler get``: one person's profile."""

from __future__ import annotations

import time
from importlib import import_module
from typing import Any, Final

import click

from profiler.errors import UsageError
from streams.client import ProfileClient
from streams.console import json_option, show_json, tell
from streams.past_options import PastOptions, past_options
from streams.portrait import KINDS, portrait, slices
from streams.reader import Profile
from streams.settings import Settings, settings_from_process

EPILOG: Final = """\b
Examples:
  profiler get alice                     user id alice
  profiler get device:4f2a --vector      user:, device:, anonymous: or pid: name the kind of id
  profiler get alice --now --json
  profiler get alice --ties              what those are interested in whom alice is tied to
  profiler get alice --as-of 2026-03-01T09:00:00Z
  profiler get 17850 --as-of 1304208000000 --file online_retail.csv.gz --source online-retail

Historical data end long ago: everything is shown as of the person's latest event, unless --now.
With --as-of the profile is computed from the topic of events, or from files, and nothing is asked
of the store: see docs/training.md for what counts at a time."""


@click.command(name="get", epilog=EPILOG)
@click.argument("subject")
@click.option("--vector", "with_vector", is_flag=True, help="Show the vector, slice by slice.")
@click.option("--now", "is_now", is_flag=True, help="Let interests and vector decay until now.")
@click.option(
    "--ties", "with_ties", is_flag=True, help="Mix in the interests of those they are tied to."
)
@click.option(
    "--as-of",
    "as_of",
    metavar="TIME",
    help="Show what was known before this time (ms since 1970, or RFC 3339), from the log.",
)
@past_options
@json_option
def command(
    subject: str,
    with_vector: bool,
    is_now: bool,
    with_ties: bool,
    as_of: str | None,
    as_json: bool,
    **past: Any,
) -> int:
    """Show what is known of SUBJECT, or was known at a time."""
    if not subject:
        raise UsageError("whose profile? SUBJECT is empty")
    options = PastOptions(**past)
    if as_of is None and options != PastOptions():
        raise UsageError("--file, --force: only with --as-of")
    if as_of is not None and (is_now or with_ties):
        raise UsageError("--now and --ties ask the store, --as-of the log: give one of them")
    settings = settings_from_process()
    if as_of is None:
        key = settings.pseudonym_key.reveal()
        with ProfileClient(settings.store_url, key, timeout_s=settings.store_timeout_s) as client:
            profile = client.get(subject, ties=with_ties, traits=True)
    else:
        profile = _at(settings, subject, as_of, options)
    if profile is None:
        why = (
            f"no event of theirs was known before {as_of}, or they asked to be forgotten"
            if as_of is not None
            else "no event of theirs was applied, they asked to be forgotten, or "
            "PROFILER_PSEUDONYM_KEY is not the workers' key"
        )
        tell(f"nothing is known of {subject}: {why}")
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


def _at(settings: Settings, subject: str, as_of: str, options: PastOptions) -> Profile | None:
    # Not imported above: River takes a second, and profiles of the store do not need it.
    looking = import_module("streams.asof")
    try:
        at_ms = looking.parse_time(as_of)
    except ValueError as fault:
        raise UsageError(f"--as-of: {fault}") from None
    past = import_module("streams.past").open_past(settings, options)
    profile: Profile | None = looking.profile_at(settings, past, subject, at_ms)
    return profile


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
    if profile.ties:
        found["ties"] = [tie._asdict() for tie in profile.ties]
    if profile.tie_vector is not None:
        found["tie_interests"] = profile.tie_interests
    if with_vector:
        assert profile.layout is not None
        found["vector"] = {
            part.name: profile.vector_slice(part.name).tolist() for part in profile.layout.slices
        }
    return found
