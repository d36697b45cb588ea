"""Observations as hypothesis strategies: few actions, times that are far apart or the same."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st

from profiler.optimisation.evidence import Evidence, Observed

START_MS = 1_700_000_000_000
HALF_LIFE_MS = 3_600_000
DIMS = 2
SUMS = ("gram", "moment", "impressions", "reward", "squares")

Row = tuple[str, float, float, bool, int]


def rows(max_size: int = 30) -> st.SearchStrategy[list[Row]]:
    """Lists of observations: action, feature, reward, whether it is new, time."""
    one = st.tuples(
        st.sampled_from(["tea", "mug", "lamp"]),
        st.floats(-3, 3, width=32),
        st.sampled_from([0.0, 0.2, 1.0]),
        st.booleans(),
        st.integers(0, 200).map(lambda hours: START_MS + hours * HALF_LIFE_MS),
    )
    return st.lists(one, max_size=max_size)


def observed(found: list[Row]) -> Observed:
    """These observations as columns."""
    reward = np.array([row[2] for row in found])
    return Observed(
        actions=[row[0] for row in found],
        context=np.array([[1.0, row[1]] for row in found]).reshape(-1, DIMS),
        is_first=np.array([row[3] for row in found], dtype=bool),
        reward=reward,
        squares=reward**2,
        weight=np.ones(len(found)),
        at_ms=np.array([row[4] for row in found], dtype=np.int64),
    )


def evidence_of(*batches: list[Row]) -> Evidence:
    """Evidence of these batches, one after another."""
    evidence = Evidence(DIMS, HALF_LIFE_MS)
    for batch in batches:
        evidence.add(observed(batch))
    return evidence


def assert_same(a: Evidence, b: Evidence, tolerance: float = 1e-9) -> None:
    """Both hold the same sums, whatever the places of their actions."""
    assert a.places.keys() == b.places.keys()
    assert a.as_of_ms == b.as_of_ms
    order = [b.places[action] for action in a.places]
    for name in SUMS:
        ours, theirs = getattr(a, name), getattr(b, name)[order]
        np.testing.assert_allclose(ours, theirs, rtol=tolerance, atol=tolerance)
