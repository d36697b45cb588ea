"""A seeded simulation of a shop: what `profiler demo` streams and the tests replay.

One seed gives the same records, byte for byte. The people and their behaviour are in
`profiler.shop`, broken records in `profiler.faults`; here they meet the network: records arrive a
little after they happened, some much later, some twice, and some are broken.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from typing import Annotated, Final

import msgspec
import numpy as np
from msgspec import Meta, Struct

from profiler.events import AnyEvent, Erase
from profiler.faults import FAULTS
from profiler.privacy.pseudonym import subject_of
from profiler.shop import DAY_MS, HOUR_MS, MINUTE_MS, SESSION_GAP_MS, Catalogue, Session, Shopper
from profiler.zipf import zipf_events, zipf_ranks

__all__ = [
    "DUPLICATE",
    "LATE",
    "SimulatedRecord",
    "SimulationParams",
    "simulate",
    "zipf_events",
    "zipf_ranks",
]

DUPLICATE: Final = "duplicate"
LATE: Final = "late"

Share = Annotated[float, Meta(ge=0.0, le=1.0)]


class SimulationParams(Struct, frozen=True, kw_only=True):
    """What is simulated.

    Parameters
    ----------
    start_ms, span_ms
        Time of the first and length of the whole; records arrive within it.
    users
        Number of people.
    sessions_per_day
        Mean over all people; some come often, most seldom.
    drift, jump
        Probability, at each session, that a new taste comes first, and that all tastes are new.
    duplicates, late, broken
        Shares of records that arrive a second time (at most a minute later), that arrive 5 minutes
        to 2 days after they happened, and that follow a good one and are broken.
    erasures
        Probability, at the end of each session, that the person asks to be forgotten.
    """

    start_ms: int
    span_ms: int = 14 * DAY_MS
    users: int = 500
    sessions_per_day: float = 1.0
    drift: Share = 0.08
    jump: Share = 0.01
    duplicates: Share = 0.01
    late: Share = 0.01
    broken: Share = 0.005
    erasures: Share = 0.0


class SimulatedRecord(Struct, frozen=True, gc=False):
    """One record as it arrives at the broker.

    Parameters
    ----------
    key
        The subject's id, also of a broken record.
    value
        JSON of an event, or something broken.
    ts_ms
        When it arrives; events happened before that.
    fault
        None, `DUPLICATE`, `LATE`, or the reason of the dead letter that it must become (one of
        `profiler.events.REASONS`).
    """

    key: bytes
    value: bytes
    ts_ms: int
    fault: str | None = None


def simulate(params: SimulationParams, seed: int) -> Iterator[SimulatedRecord]:
    """Give the records of a shop in order of arrival; about 20,000 a second.

    Examples
    --------
    >>> records = list(simulate(SimulationParams(start_ms=1_700_000_000_000, users=20), seed=7))
    >>> records == list(simulate(SimulationParams(start_ms=1_700_000_000_000, users=20), seed=7))
    True
    """
    rng = np.random.default_rng(seed)
    catalogue = Catalogue(rng)
    end_ms = params.start_ms + params.span_ms
    shoppers = [Shopper(n, params.sessions_per_day, rng) for n in range(params.users)]
    for shopper, friend in zip(shoppers, rng.permutation(params.users).tolist(), strict=True):
        shopper.befriend(shoppers[friend])
    starts = [(s.next_session_ms(params.start_ms, rng), n) for n, s in enumerate(shoppers)]
    heapq.heapify(starts)
    network = _Network(params, seed, rng)
    while starts and starts[0][0] < end_ms:
        start_ms, number = starts[0]
        yield from network.arrived(start_ms)
        shopper = shoppers[number]
        shopper.change_taste(params.drift, params.jump, rng)
        session = Session(shopper, catalogue, start_ms, rng)
        for event in session.events:
            network.carry(event)
        if rng.random() < params.erasures:
            network.carry(Erase(ts=session.end_ms + MINUTE_MS, **shopper.subject))
            heapq.heappop(starts)  # who is forgotten does not come back
            continue
        again_ms = shopper.next_session_ms(session.end_ms + SESSION_GAP_MS, rng)
        heapq.heapreplace(starts, (again_ms, number))
    yield from network.arrived(end_ms)


class _Network:
    """What is under way, by time of arrival."""

    def __init__(self, params: SimulationParams, seed: int, rng: np.random.Generator) -> None:
        self._params = params
        self._seed = seed
        self._rng = rng
        self._n_events = 0
        self._n_sent = 0
        self._under_way: list[tuple[int, int, SimulatedRecord]] = []

    def arrived(self, until_ms: int) -> Iterator[SimulatedRecord]:
        """Take out what arrives before a time."""
        while self._under_way and self._under_way[0][0] < until_ms:
            yield heapq.heappop(self._under_way)[2]

    def carry(self, event: AnyEvent) -> None:
        """Let an event travel, alone or in bad company."""
        params, rng = self._params, self._rng
        self._n_events += 1
        event_id = f"sim-{self._seed}-{self._n_events}"
        event = msgspec.structs.replace(event, event_id=event_id)
        assert isinstance(event.ts, int)
        key, value = subject_of(event)[1].encode(), msgspec.json.encode(event)
        drawn = rng.random(3)
        is_late = drawn[0] < params.late
        delay_ms = rng.uniform(5 * MINUTE_MS, 48 * HOUR_MS) if is_late else rng.exponential(120.0)
        arrival_ms = event.ts + 1 + int(delay_ms)
        self._send(SimulatedRecord(key, value, arrival_ms, LATE if is_late else None))
        if drawn[1] < params.duplicates:
            again_ms = arrival_ms + 1 + int(rng.uniform(0, MINUTE_MS))
            self._send(SimulatedRecord(key, value, again_ms, DUPLICATE))
        if drawn[2] < params.broken:
            reason, broken = FAULTS[int(rng.integers(len(FAULTS)))]
            fields = msgspec.to_builtins(event)
            fields["event_id"] = f"{event_id}-broken"
            self._send(SimulatedRecord(key, broken(fields), arrival_ms + 1, reason))

    def _send(self, record: SimulatedRecord) -> None:
        self._n_sent += 1  # among equal times, what was sent first arrives first
        heapq.heappush(self._under_way, (record.ts_ms, self._n_sent, record))
