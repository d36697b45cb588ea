"""Which events are taken, by themselves and their records: a replay must decide the same."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from profiler.columns import DAY_MS, HOUR_MS, Ints
from profiler.events import TS_MAX_MS, AnyEvent, Erase, Rejected


class Screen(Struct, frozen=True):
    """What an event's time may be, measured against its record's timestamp, never the wall clock.

    Parameters
    ----------
    clock_skew_max_ms
        How far an event may lie after its record.
    event_age_max_ms
        How far before.
    historical_sources
        Values of `source` whose events may be older than that; the guard does not count them.
    exempt_sources
        Further ones that it does not count.
    from_ms, until_ms
        Events before the one, and at or after the other, are left to somebody else: history is
        loaded up to a moment, and the live stream goes on from it.
    """

    clock_skew_max_ms: int = HOUR_MS
    event_age_max_ms: int = 3_650 * DAY_MS
    historical_sources: frozenset[str] = frozenset()
    exempt_sources: frozenset[str] = frozenset()
    from_ms: int = 0
    until_ms: int = TS_MAX_MS + 1

    def refused(
        self,
        events: Sequence[AnyEvent],
        at: NDArray[np.intp],
        ts: Ints,
        stamped: Ints,
        strange: Collection[int] = frozenset(),
    ) -> list[Rejected]:
        """Find the records that must not be applied, in order.

        Parameters
        ----------
        events
            N of them.
        at, ts, stamped
            (N,) their records, their times, and the timestamps of their records (0: none).
        strange
            Places of events whose currency has no rates.
        """
        known = stamped > 0
        ahead = known & (ts > stamped + self.clock_skew_max_ms)
        behind = known & (ts < stamped - self.event_age_max_ms)
        rejected: dict[int, Rejected] = {}
        for i in sorted({*np.flatnonzero(ahead | behind).tolist(), *strange}):
            event, record = events[i], int(at[i])
            # Whoever asks to be forgotten is heard, whatever their clock says.
            if isinstance(event, Erase):
                continue
            if ahead[i]:
                rejected.setdefault(record, Rejected(record, "clock_skew"))
            elif behind[i] and event.source not in self.historical_sources:
                rejected.setdefault(record, Rejected(record, "too_old"))
            elif i in strange:
                rejected.setdefault(record, Rejected(record, "invalid:currency"))
        return list(rejected.values())

    def outside(self, events: Sequence[AnyEvent], ts: Ints) -> NDArray[np.bool_]:
        """(N,) which events are somebody else's; never one that asks for erasure."""
        found = (ts < self.from_ms) | (ts >= self.until_ms)
        for i in np.flatnonzero(found).tolist():
            found[i] = not isinstance(events[i], Erase)
        return found
