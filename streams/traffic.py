"""Simulated traffic whose event times end at the present: for `demo` and `simulate`."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from typing import Final

import msgspec

from profiler.events import Consent, Identify
from profiler.simulate import SimulatedRecord, SimulationParams, simulate
from profiler.sources import Converted

DAY_MS: Final = 86_400_000
EVENTS_PER_SESSION: Final = 6.5
"""What `profiler.shop` gives on the average, late events and repetitions included."""

SPAN_MS: Final = 14 * DAY_MS
PAST_MS: Final = 365 * DAY_MS
FOREVER_MS: Final = 3_650 * DAY_MS
MARGIN: Final = 1.1
INTRODUCED: Final = 10
"""One person in so many says who they are, and what they allow, before they do anything."""


def ending_at(now_ms: int, *, events: int, users: int, seed: int) -> list[Converted]:
    """Give `events` records of two weeks, of which the last arrives about `now_ms`."""
    margin = MARGIN
    while True:
        params = SimulationParams(
            start_ms=now_ms - SPAN_MS,
            span_ms=SPAN_MS,
            users=users,
            sessions_per_day=margin * events / (users * EVENTS_PER_SESSION * SPAN_MS / DAY_MS),
        )
        records = list(_introduced(simulate(params, seed)))
        if len(records) >= events or margin > MARGIN**8:
            return records[-events:]
        margin *= MARGIN  # a few people may happen to do very little


def without_end(now_ms: int, *, users: int, seed: int) -> Iterator[Converted]:
    """Give records that arrive from a year before `now_ms` on; none before its time has come.

    Sent faster than people act, they catch up with the present some day, and go on at its pace.
    """
    params = SimulationParams(start_ms=now_ms - PAST_MS, span_ms=FOREVER_MS, users=users)
    for record in _introduced(simulate(params, seed)):
        ahead_s = (record.ts_ms or 0) / 1_000 - time.time()
        if ahead_s > 0:
            time.sleep(ahead_s)
        yield record


def _introduced(records: Iterable[SimulatedRecord]) -> Iterator[Converted]:
    seen: set[bytes] = set()
    for record in records:
        if record.key not in seen and record.key.startswith(b"user-"):
            seen.add(record.key)
            if len(seen) % INTRODUCED == 0:
                user_id = record.key.decode()
                about = (
                    Identify(ts=record.ts_ms, user_id=user_id, traits={"plan": "free"}),
                    Consent(ts=record.ts_ms, user_id=user_id, purposes={"personalisation": True}),
                )
                for event in about:
                    yield Converted(record.key, msgspec.json.encode(event), record.ts_ms)
        yield Converted(record.key, record.value, record.ts_ms)
