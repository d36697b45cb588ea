from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from profiler.columns import DAY_MS
from profiler.quality.timeliness import Gap, Times

START_MS = 20_000 * DAY_MS
LOG = ("events", 0)


def added(*batches: list[float], stamped: list[int] | None = None) -> Times:
    times = Times()
    for batch in batches:
        stamps = np.array(stamped or [0] * len(batch), dtype=np.int64)
        times.add(LOG, np.array(batch, dtype=float), stamps)
    return times


@given(st.lists(st.integers(0, 5 * DAY_MS)), st.integers(0, 10))
def test_late_events_are_those_behind_the_greatest_time_so_far(ages: list[int], cut: int) -> None:
    ts = [START_MS + age for age in ages]

    report = added([*ts[:cut]], [*ts[cut:]]).report()

    behind = [max(ts[:k], default=0) - t for k, t in enumerate(ts)]
    assert report.out_of_order == sum(b > 0 for b in behind)
    assert report.late_max_ms == max([0, *behind])
    days = {t // DAY_MS for t in ts}
    assert report.days_without == (max(days) - min(days) + 1 - len(days) if days else 0)


def test_partitions_are_in_an_order_of_their_own() -> None:
    times = Times()

    times.add(("events", 0), np.array([START_MS + 9.0]), np.zeros(1, dtype=np.int64))
    late = times.add(("events", 1), np.array([START_MS + 5.0]), np.zeros(1, dtype=np.int64))

    assert not late.any()


def test_days_on_which_nothing_happened_are_told_as_gaps() -> None:
    report = added([START_MS + day * DAY_MS for day in (0, 1, 5, 7)]).report()

    assert (report.days, report.days_without) == (8, 4)
    assert report.gaps == (Gap(START_MS + 2 * DAY_MS, 3), Gap(START_MS + 6 * DAY_MS, 1))


def test_times_that_are_none_or_impossible_say_nothing() -> None:
    report = added([float("nan"), 5.0, 9e15]).report()

    assert (report.first_ms, report.last_ms, report.days) == (None, None, 0)


def test_delays_are_counted_by_their_length() -> None:
    stamped = [START_MS - 120_000, START_MS, START_MS + 1_000, START_MS + 40 * DAY_MS, 0]

    report = added([START_MS] * 5, stamped=stamped).report()

    assert report.delays == {"ahead by more than a minute": 1, "up to 1 s": 2, "more": 1}
