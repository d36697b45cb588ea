"""Events per second of a consumer in its steady state: after its start and a warm-up."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

from msgspec import Struct

from benchmarks.consumers import Consumer, Progress

POLL_S: Final = 0.1
START_TIMEOUT_S: Final = 60.0
STALL_TIMEOUT_S: Final = 30.0


class Rate(Struct, frozen=True, kw_only=True):
    """How fast a consumer was between two observations.

    Parameters
    ----------
    n_events, seconds
        Events of the steady state, and how long they took.
    with_start_s, with_start_events
        From the start of the process, which imports, joins its group and warms up, to the end.
    cpu_s
        Processor time of the consumer for `n_events`.
    step_s
        Of the worker: time by step of a batch, for `n_events`.
    """

    n_events: int
    seconds: float
    with_start_events: int
    with_start_s: float
    cpu_s: float
    step_s: dict[str, float] = {}

    @property
    def events_per_s(self) -> float:
        """In the steady state."""
        return self.n_events / self.seconds

    @property
    def events_per_s_with_start(self) -> float:
        """Start-up included."""
        return self.with_start_events / self.with_start_s

    @property
    def cpu_us_per_event(self) -> float:
        """Processor time per event: steadier than the rate where others use the machine."""
        return 1e6 * self.cpu_s / self.n_events

    @property
    def step_us_per_event(self) -> dict[str, float]:
        """Time by step per event."""
        return {step: 1e6 * s / self.n_events for step, s in self.step_s.items()}


def reached(consumer: Consumer, is_there: Callable[[Progress], bool]) -> Progress:
    """Look until it is there.

    Raises
    ------
    TimeoutError
        If nothing moves.
    """
    n_before, deadline_s = 0, time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < deadline_s:
        found = consumer.progress()
        if found is not None:
            if is_there(found):
                return found
            if found.n_events > n_before:
                n_before, deadline_s = found.n_events, time.monotonic() + STALL_TIMEOUT_S
        time.sleep(POLL_S)
    raise TimeoutError(f"no progress after {n_before:,} events")


def measure_until(consumer: Consumer, n_warm_up: int, n_events: int) -> Rate:
    """Measure from `n_warm_up` events to `n_events`, the end of the topic."""
    first = reached(consumer, lambda p: p.n_events >= n_warm_up)
    last = reached(consumer, lambda p: p.n_events >= n_events)
    return _rate(consumer, first, last)


def measure_for(consumer: Consumer, n_warm_up: int, window_s: float) -> Rate:
    """Measure from `n_warm_up` events on, for some time."""
    first = reached(consumer, lambda p: p.n_events >= n_warm_up)
    last = reached(consumer, lambda p: p.at_s >= first.at_s + window_s)
    return _rate(consumer, first, last)


def _rate(consumer: Consumer, first: Progress, last: Progress) -> Rate:
    if last.n_events == first.n_events:
        raise RuntimeError("the backlog was done before it could be measured: it is too small")
    prefix, suffix = 'profiler_batch_seconds_sum{step="', '"}'
    return Rate(
        n_events=last.n_events - first.n_events,
        seconds=last.at_s - first.at_s,
        with_start_events=last.n_events,
        with_start_s=last.at_s - consumer.started_s,
        cpu_s=last.cpu_s - first.cpu_s,
        step_s={
            name.removeprefix(prefix).removesuffix(suffix): total - first.metrics.get(name, 0.0)
            for name, total in last.metrics.items()
            if name.startswith(prefix)
        },
    )
