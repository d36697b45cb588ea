"""``profiler simulate``: a simulated shop's events into the topic, at a steady rate."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Final

import click
from tqdm import tqdm

from profiler.sources import Converted
from streams.console import end_on_sigterm, json_option, show_json
from streams.producer import EventProducer
from streams.replay import Speed, paced
from streams.settings import settings_from_process
from streams.traffic import ending_at, without_end

EPILOG: Final = """\b
Examples:
  profiler simulate --rate 500
  profiler simulate --rate 5000 --users 10000 --events 100000 --seed 7 --json

One record in a hundred arrives twice, one in a hundred late, one in two hundred is broken. Event
times end at the present with --events; else they begin a year ago, and time passes as fast as the
rate makes it, until it has caught up with the present."""


@click.command(name="simulate", epilog=EPILOG)
@click.option(
    "--rate",
    type=click.FloatRange(min=0, min_open=True),
    default=200,
    show_default=True,
    help="Events a second.",
)
@click.option("--users", type=click.IntRange(min=1), default=2_000, show_default=True)
@click.option("--events", type=click.IntRange(min=1), help="Stop after so many; else on Ctrl-C.")
@click.option("--seed", type=int, default=0, show_default=True, help="The same gives the same.")
@json_option
def command(rate: float, users: int, events: int | None, seed: int, as_json: bool) -> None:
    """Send the events of a simulated shop, at a steady rate."""
    settings = settings_from_process()
    end_on_sigterm()
    now_ms = time.time_ns() // 1_000_000
    records: Iterable[Converted] = (
        without_end(now_ms, users=users, seed=seed)
        if events is None
        else ending_at(now_ms, events=events, users=users, seed=seed)
    )
    started_s = time.monotonic()
    producer = EventProducer.of(settings)
    try:
        with producer, tqdm(total=events, unit=" events", unit_scale=True, disable=None) as bar:
            for record in paced(records, Speed(events_per_s=rate)):
                producer.send_raw(record.key, record.value)
                bar.update()
    except KeyboardInterrupt:
        pass  # the way to end it; what was sent is acknowledged by now
    seconds = time.monotonic() - started_s
    n_events = producer.n_acknowledged
    if as_json:
        show_json({"events": n_events, "seconds": seconds, "events_per_s": n_events / seconds})
    else:
        click.echo(f"{n_events:,} events in {seconds:.1f} s: {n_events / seconds:,.0f} a second")
