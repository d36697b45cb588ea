"""``profiler bench``: events per second end to end, beside a plain Faust agent."""

from __future__ import annotations

from importlib import import_module
from types import ModuleType
from typing import Any, Final

import click
import msgspec

from profiler.errors import UsageError
from streams.console import json_option, show_json, tell

SHARES_SHOWN: Final = 10

EPILOG: Final = """\b
Examples:
  profiler bench                                   about 5 minutes, on a machine left alone
  profiler bench --quick --json

Starts a broker, a store, workers and plain agents by itself. benchmarks/README.md says what each
figure is."""


@click.command(name="bench", epilog=EPILOG)
@click.option("--events", type=click.IntRange(min=20_000), help="Backlog of a run.")
@click.option("--runs", type=click.IntRange(min=1), help="Runs; medians are reported.")
@click.option("--quick", is_flag=True, help="One run at one skew, in less than a minute.")
@json_option
def command(events: int | None, runs: int | None, quick: bool, as_json: bool) -> None:
    """Measure events per second and freshness of one worker, beside a plain Faust agent."""
    end_to_end = _end_to_end()
    given = {"n_events": events, "runs": runs}
    plan = msgspec.structs.replace(
        end_to_end.QUICK if quick else end_to_end.Plan(),
        **{name: value for name, value in given.items() if value is not None},
    )
    report = end_to_end.run(plan, tell)
    if as_json:
        show_json(msgspec.to_builtins(report))
    else:
        click.echo("\n".join(report_lines(report)))


def report_lines(report: Any) -> list[str]:
    """Lines that tell what was found."""
    skews = ", ".join(f"{e}: {n:,.0f}" for e, n in report.events_per_s_by_exponent.items())
    steps = sorted(report.step_us_per_event.items(), key=lambda entry: -entry[1])[:SHARES_SHOWN]
    fresh = report.freshness
    return [
        f"worker       {report.events_per_s:10,.0f} events/s   by exponent: {skews}",
        f"plain agent  {report.plain_events_per_s:10,.0f} events/s",
        f"ratio        {report.ratio:10.1f}",
        f"CPU per event: worker {report.cpu_us_per_event:.1f} µs, "
        f"plain agent {report.plain_cpu_us_per_event:.0f} µs, "
        f"broker {report.broker_cpu_us_per_event:.1f} µs, "
        f"store {report.store_cpu_us_per_event:.1f} µs",
        "time of a batch by step, µs per event (the write is overlapped): "
        + ", ".join(f"{step} {us:.1f}" for step, us in steps),
        f"event to readable at {fresh.rate:,.0f} events/s: "
        f"p50 {report.fresh_ms_p50:.1f} ms, p99 {report.fresh_ms_p99:.1f} ms; "
        f"seen by {fresh.n_probes} probes: p50 {fresh.probe_p50_ms:.1f} ms, "
        f"p99 {fresh.probe_p99_ms:.1f} ms",
    ]


def _end_to_end() -> ModuleType:
    try:
        return import_module("benchmarks.end_to_end")
    except ModuleNotFoundError as absent:
        if absent.name is None or absent.name.partition(".")[0] != "benchmarks":
            raise
        raise UsageError(
            "`bench` is part of the repository, not of the installed package: run it in a checkout"
        ) from absent
