"""Decay and prefix scans against slow references."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from profiler.columns import (
    DAY_MS,
    HOUR_MS,
    EventColumns,
    decayed_at,
    landmark_ms,
    landmark_weight,
    move_landmarks,
    segmented_max,
)
from profiler.scans import prefix_decayed
from tests.strategies import START_MS, times_ms

HALF_LIVES_MS = (HOUR_MS, DAY_MS)


def batch(times: list[list[int]], as_of_before: list[int]) -> EventColumns:
    """Events of several rows with only their times set."""
    row = np.repeat(np.arange(len(times)), [len(t) for t in times])
    ts = np.array([t for part in times for t in part], dtype=np.int64)
    starts = np.flatnonzero(np.diff(row, prepend=-1))
    n, none = len(row), np.zeros(len(row), dtype=np.uint64)
    before = np.array(as_of_before, dtype=np.int64)
    return EventColumns(
        row=row,
        starts=starts,
        ts=ts,
        type_code=np.zeros(n, dtype=np.intp),
        price=np.zeros(n),
        quantity=np.ones(n),
        id_hash=none,
        item=none,
        category=none,
        brand=none,
        content=np.zeros(n, dtype=np.intp),
        directions=np.zeros((1, 32)),
        interest=np.ones(n),
        guarded=np.ones(n, dtype=bool),
        as_of_before=before,
        as_of=np.maximum(before, np.maximum.reduceat(ts, starts)),
        done_before=before,
    )


# Batches of ten years, and of a few hours, which are summed in another way.
batches_of_times = st.sampled_from(
    [times_ms, st.integers(START_MS, START_MS + 10 * HOUR_MS)]
).flatmap(lambda t: st.lists(st.lists(t, min_size=1, max_size=30), min_size=1, max_size=4))


@given(times=batches_of_times, start=st.lists(times_ms | st.just(0), min_size=4, max_size=4))
@settings(deadline=None)
def test_prefix_sums_are_those_of_one_event_after_another(
    times: list[list[int]], start: list[int]
) -> None:
    as_of = start[: len(times)]
    events = batch(times, as_of)
    stored = np.array([[float(t > 0)] * 2 for t in as_of]) * np.column_stack(
        [
            landmark_weight(events.as_of_before, landmark_ms(events.as_of_before, h), h)
            for h in HALF_LIVES_MS
        ]
    )

    found = prefix_decayed(events, stored, np.ones((len(events), 2)), HALF_LIVES_MS)

    expected = []
    for row, row_times in enumerate(times):
        for k, half_life_ms in enumerate(HALF_LIVES_MS):
            value, latest = float(as_of[row] > 0), as_of[row]
            for i, ts in enumerate(row_times):
                now = max(latest, ts)
                value *= 2.0 ** (-(now - latest) / half_life_ms)
                expected.append(((row, i, k), value))
                value += 2.0 ** (-(now - ts) / half_life_ms)
                latest = now
    for (row, i, k), value in expected:
        at = int(events.starts[row]) + i
        # Models read these as float32; rows of a batch share one running sum.
        assert np.isclose(found[at, k], value, rtol=1e-9, atol=1e-10)


@given(times=st.lists(times_ms, min_size=1), later_ms=st.integers(0, 10**12))
@settings(deadline=None)
def test_moving_a_landmark_does_not_change_a_value(times: list[int], later_ms: int) -> None:
    before = np.array(times, dtype=np.int64)
    after = np.minimum(before + later_ms, 4 * 10**12)
    stored = landmark_weight(before, landmark_ms(before, DAY_MS), DAY_MS)
    value = decayed_at(stored, before, DAY_MS, after)

    move_landmarks([stored], before, after, DAY_MS)

    assert np.allclose(decayed_at(stored, after, DAY_MS, after), value, rtol=1e-12, atol=1e-300)


@given(ts=times_ms, spans=st.integers(0, 50))
def test_a_weight_under_another_landmark_differs_by_exactly_a_power_of_two(
    ts: int, spans: int
) -> None:
    times = np.array([ts], dtype=np.int64)
    landmark = landmark_ms(times, DAY_MS)

    here = landmark_weight(times, landmark, DAY_MS)
    there = landmark_weight(times, landmark - spans * DAY_MS, DAY_MS)

    assert there[0] == np.ldexp(here[0], spans)


@given(parts=st.lists(st.lists(st.integers(0, 2**42 - 1), min_size=1), min_size=1, max_size=5))
def test_running_maxima_stay_within_their_row(parts: list[list[int]]) -> None:
    row = np.repeat(np.arange(len(parts)), [len(p) for p in parts])

    found = segmented_max(np.array([v for p in parts for v in p], dtype=np.int64), row)

    expected = [max(p[: i + 1]) for p in parts for i in range(len(p))]
    assert found.tolist() == expected
