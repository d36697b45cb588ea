"""Top lists against a slow Space-Saving, and the laws of merging them."""

from __future__ import annotations

import itertools

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from profiler.toplist import SIZE, merge_top, update_top

Lists = tuple[dict[int, float], ...]
arrivals = st.lists(
    st.tuples(st.integers(0, 3), st.integers(1, 40), st.sampled_from([0.25, 1.0, 3.0, 5.0])),
    max_size=200,
)


def slow(events: list[tuple[int, int, float]]) -> Lists:
    """Space-Saving as the paper has it: one event after another, ties to the smaller hash."""
    lists: Lists = tuple({} for _ in range(4))
    for row, token, weight in events:
        counters = lists[row]
        if token in counters or len(counters) < SIZE:
            counters[token] = counters.get(token, 0.0) + weight
        else:
            least = min(counters, key=lambda t: (counters[t], t))
            counters[token] = counters.pop(least) + weight
    return lists


def fast(events: list[tuple[int, int, float]], cuts: list[int]) -> Lists:
    ids, weights = np.zeros((4, SIZE), np.uint64), np.zeros((4, SIZE))
    places = sorted({0, len(events), *(c for c in cuts if c < len(events))})
    for start, end in itertools.pairwise(places):
        part = sorted(events[start:end], key=lambda e: e[0])
        row, token, weight = (np.array(c) for c in zip(*part, strict=True))
        update_top(ids, weights, row, token.astype(np.uint64), weight)
    return tuple(
        {int(i): float(w) for i, w in zip(ids[r], weights[r], strict=True) if i} for r in range(4)
    )


@given(events=arrivals, cuts=st.lists(st.integers(1, 199), max_size=5))
@settings(deadline=None)
def test_batches_give_exactly_what_single_events_give(
    events: list[tuple[int, int, float]], cuts: list[int]
) -> None:
    assert fast(events, cuts) == slow(events)


@given(events=arrivals)
@settings(deadline=None)
def test_weights_are_within_the_total_mass_over_16(events: list[tuple[int, int, float]]) -> None:
    lists = fast(events, [])

    for row, counters in enumerate(lists):
        mass = sum(w for r, _, w in events if r == row)
        for token, estimate in counters.items():
            true = sum(w for r, t, w in events if (r, t) == (row, token))
            assert true <= estimate <= true + mass / SIZE + 1e-9


@given(a=arrivals, b=arrivals)
@settings(deadline=None)
def test_merging_is_commutative_and_never_underestimates_what_it_keeps(
    a: list[tuple[int, int, float]], b: list[tuple[int, int, float]]
) -> None:
    def arrays(events: list[tuple[int, int, float]]) -> tuple[np.ndarray, np.ndarray]:
        counters = slow([(0, t, w) for _, t, w in events])[0]
        ids, weights = np.zeros(SIZE, np.uint64), np.zeros(SIZE)
        ids[: len(counters)] = list(counters)
        weights[: len(counters)] = list(counters.values())
        return ids, weights

    ids, weights = merge_top(*arrays(a), *arrays(b))
    other_ids, other_weights = merge_top(*arrays(b), *arrays(a))

    assert ids.tolist() == other_ids.tolist()
    assert weights.tolist() == other_weights.tolist()
    mass = sum(w for _, _, w in a + b)
    for token, estimate in zip(ids.tolist(), weights.tolist(), strict=True):
        if token:
            true = sum(w for _, t, w in a + b if t == token)
            assert true - 1e-9 <= estimate <= true + 2 * mass / SIZE + 1e-9
