"""When things happened, in which order they come, and how long after they were recorded."""

from __future__ import annotations

from collections import Counter
from typing import Final

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from profiler.columns import DAY_MS, HOUR_MS, Floats, Ints
from profiler.events import TS_MAX_MS
from profiler.quality.problems import YEAR_1990_MS

DELAY_EDGES_MS: Final = (
    ("ahead by more than a minute", -60_000),
    ("ahead", -1),
    ("up to 1 s", 1_000),
    ("up to 1 min", 60_000),
    ("up to 1 h", HOUR_MS),
    ("up to 1 day", DAY_MS),
    ("up to 30 days", 30 * DAY_MS),
    ("more", 2**62),
)
"""Delays of records after their events, each with where it ends."""

GAPS_SHOWN: Final = 5


class Gap(Struct, frozen=True):
    """Days in a row on which nothing happened."""

    first_day_ms: int
    days: int


class TimesReport(Struct, frozen=True, kw_only=True):
    """What is known of the times of all events.

    Parameters
    ----------
    first_ms, last_ms
        Least and greatest event time from 1990 to 2100; None where there is none.
    days, days_without
        Days (UTC) from the first to the last, and those on which nothing happened.
    gaps
        The longest runs of the latter, longest first.
    out_of_order, late_max_ms
        Events with an event before them, in the same file or partition, that is later; and by how
        much at most.
    delays
        Events by the time from the event to its record's timestamp; empty for files.
    """

    first_ms: int | None
    last_ms: int | None
    days: int
    days_without: int
    gaps: tuple[Gap, ...]
    out_of_order: int
    late_max_ms: int
    delays: dict[str, int]


class Times:
    """Follows the times of events, each file and partition in its own order."""

    def __init__(self) -> None:
        self._latest_ms: dict[tuple[str, int], int] = {}
        self._days: Counter[int] = Counter()
        self._first_ms = TS_MAX_MS
        self._last_ms = 0
        self._late_max_ms = 0
        self._n_late = 0
        self._delays = np.zeros(len(DELAY_EDGES_MS), dtype=np.int64)

    def add(self, log: tuple[str, int], times_ms: Floats, stamped_ms: Ints) -> NDArray[np.bool_]:
        """Add events of one file or partition, in their order.

        Parameters
        ----------
        times_ms
            (M,) NaN where unknown.
        stamped_ms
            (M,) timestamps of their records; 0 where there is none.

        Returns
        -------
        NDArray[np.bool_]
            (M,) which come after one that is later.
        """
        known = (times_ms >= YEAR_1990_MS) & (times_ms <= TS_MAX_MS)
        late = np.zeros(len(times_ms), dtype=bool)
        ts = times_ms[known].astype(np.int64)
        if not len(ts):
            return late
        self._add_days(ts)
        running = np.maximum.accumulate(np.append(self._latest_ms.get(log, 0), ts))
        behind = running[:-1] - ts
        self._latest_ms[log] = int(running[-1])
        self._late_max_ms = max(self._late_max_ms, int(behind.max()))
        self._n_late += int((behind > 0).sum())
        late[known] = behind > 0
        self._add_delays(ts, stamped_ms[known])
        return late

    def _add_days(self, ts: Ints) -> None:
        self._first_ms = min(self._first_ms, int(ts.min()))
        self._last_ms = max(self._last_ms, int(ts.max()))
        days, counts = np.unique(ts // DAY_MS, return_counts=True)
        self._days.update(dict(zip(days.tolist(), counts.tolist(), strict=True)))

    def _add_delays(self, ts: Ints, stamped_ms: Ints) -> None:
        stamped = stamped_ms > 0
        if stamped.any():
            ends = np.array([end for _, end in DELAY_EDGES_MS])
            place = np.searchsorted(ends, (stamped_ms - ts)[stamped])
            self._delays += np.bincount(place, minlength=len(ends))

    def report(self) -> TimesReport:
        """Say what was found."""
        days = np.array(sorted(self._days), dtype=np.int64)
        span = int(days[-1] - days[0]) + 1 if len(days) else 0
        steps = np.diff(days)
        longest = np.argsort(-steps, kind="stable")[:GAPS_SHOWN].tolist()
        return TimesReport(
            first_ms=self._first_ms if len(days) else None,
            last_ms=self._last_ms if len(days) else None,
            days=span,
            days_without=span - len(days),
            gaps=tuple(
                Gap((int(days[k]) + 1) * DAY_MS, int(steps[k]) - 1) for k in longest if steps[k] > 1
            ),
            out_of_order=self._n_late,
            late_max_ms=self._late_max_ms,
            delays={
                name: n
                for (name, _), n in zip(DELAY_EDGES_MS, self._delays.tolist(), strict=True)
                if n
            },
        )
