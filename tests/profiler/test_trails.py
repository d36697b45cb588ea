"""Trails against what they are: lists of the latest distinct tokens."""

from __future__ import annotations

import itertools

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from profiler.trails import follow, merged

K = 4
events = st.lists(st.tuples(st.integers(0, 40), st.integers(0, 7)), min_size=1, max_size=300)


def slow(batch: list[tuple[int, int]]) -> tuple[dict[int, list[int]], list[list[int]]]:
    """The trails after a batch, and the one before each event."""
    trails: dict[int, list[int]] = {}
    before = []
    for row, token in batch:
        trail = trails.setdefault(row, [])
        before.append(list(trail))
        if token:
            trails[row] = [token, *(t for t in trail if t != token)][:K]
    return trails, before


def run(trails: np.ndarray, batch: list[tuple[int, int]]) -> list[list[int]]:
    """Follow a batch in place; what each event found, in the batch's order."""
    order = sorted(range(len(batch)), key=lambda k: batch[k][0])
    rows, row = np.unique([batch[k][0] for k in order], return_inverse=True)
    mine = trails[rows]
    token = np.array([batch[k][1] for k in order], dtype=np.uint64)
    before = follow(mine, row.astype(np.intp), token)
    trails[rows] = mine
    found: list[list[int]] = [[]] * len(batch)
    for k, trail in zip(order, before.tolist(), strict=True):
        found[k] = [t for t in trail if t]
    return found


@given(events, st.lists(st.integers(0, 300), max_size=4))
def test_batches_give_what_one_event_after_another_gives(
    batch: list[tuple[int, int]], cuts: list[int]
) -> None:
    trails = np.zeros((41, K), dtype=np.uint64)
    places = sorted({0, len(batch), *(cut for cut in cuts if cut < len(batch))})

    found = [
        trail
        for first, end in itertools.pairwise(places)
        for trail in run(trails, batch[first:end])
    ]

    expected, before = slow(batch)
    assert found == before
    for row, trail in expected.items():
        assert trails[row].tolist() == trail + [0] * (K - len(trail))


lists = st.lists(st.integers(1, 9), unique=True, max_size=K)


@given(lists, lists)
def test_a_merged_trail_begins_with_the_later_one(later: list[int], earlier: list[int]) -> None:
    a, b = (np.array([t + [0] * (K - len(t))], dtype=np.uint64) for t in (later, earlier))

    (both,) = merged(a, b).tolist()

    assert both[: len(later)] == later
    assert {t for t in both if t} <= {*later, *earlier}
    assert np.count_nonzero(both) == min(K, len({*later, *earlier}))
