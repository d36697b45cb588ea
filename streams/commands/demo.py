"""``profiler demo``: see it all work."""

from __future__ import annotations

import signal
import time
from pathlib import Path
from typing import Any, Final

import click
import msgspec

from profiler.sources import SOURCE_NAMES, source_named
from streams.console import end_on_sigterm, json_option, require_files, show_json, tell
from streams.demo import DemoOptions, DemoReport, run_demo
from streams.programme import programme
from streams.stage import Stage

EPILOG: Final = """\b
Examples:
  profiler demo
  profiler demo --users 5000 --events 200000 --json
  profiler demo --file taobao.csv.gz --source taobao --events 20000
  profiler demo --serve                            leave it running, for the other commands

Needs the extra `embedded`, and nothing that runs already."""


@click.command(name="demo", short_help="See it all work, on servers of its own.", epilog=EPILOG)
@click.option("--users", type=click.IntRange(min=1), default=2_000, show_default=True)
@click.option("--events", type=click.IntRange(min=1), default=60_000, show_default=True)
@click.option("--seed", type=int, default=0, show_default=True, help="The same gives the same.")
@click.option("--file", type=click.Path(path_type=Path), help="Send this instead of a simulation.")
@click.option(
    "--source",
    type=click.Choice(SOURCE_NAMES),
    default="native",
    show_default=True,
    help="Format of the file.",
)
@click.option("--serve", is_flag=True, help="Leave everything running until Ctrl-C.")
@json_option
def command(
    users: int,
    events: int,
    seed: int,
    file: Path | None,
    source: str,
    serve: bool,
    as_json: bool,
) -> int:
    """Start a broker, a store and a worker, stream people's events through, and show the result.

    Nothing is left behind: all runs in memory, on loopback ports, and is stopped at the end.
    """
    if file is not None:
        require_files([file])
    end_on_sigterm()
    options = DemoOptions(
        users=users, events=events, seed=seed, file=file, source=source_named(source)
    )
    tell("starting a broker and a store")
    with Stage() as stage:
        report = run_demo(stage, options, tell)
        if as_json:
            show_json(_as_dict(report))
        else:
            click.echo("\n".join(programme(report, time.time_ns() // 1_000_000)))
        if serve:
            _serve(stage)
        tell("stopping")
    return 0 if report.audit.passed else 1


def _serve(stage: Stage) -> None:
    settings = stage.settings
    tell(
        f"\nbroker   {settings.brokers}\nstore    {settings.store_url}\n"
        f"metrics  http://{settings.web_host}:{settings.web_port}/metrics\n\n"
        f"In another shell:\n  . {stage.write_environment()}\n"
        "  profiler simulate --events 10000 --rate 500\n  profiler get user-00042\n"
        "\nCtrl-C stops it all."
    )
    try:
        signal.pause()
    except KeyboardInterrupt:
        tell("")


def _as_dict(report: DemoReport) -> dict[str, Any]:
    found: dict[str, Any] = {
        name: getattr(report, name) for name in report.__struct_fields__ if name != "shown"
    }
    found["audit"] = msgspec.to_builtins(report.audit)
    found["shown"] = {subject: profile.summary for subject, profile in report.shown.items()}
    return found
