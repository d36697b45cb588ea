"""Quantiles of durations from few bins."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from profiler.behaviour.durations import BINS, duration_bin, quantile_s


@given(
    st.lists(st.floats(1, 2**16 - 1), min_size=1, max_size=200),
    st.sampled_from((0.25, 0.5, 0.75, 1.0)),
)
def test_a_quantile_is_off_by_a_quarter_of_a_doubling_at_most(
    seconds: list[float], share: float
) -> None:
    counts = np.bincount(duration_bin(np.array(seconds)), minlength=BINS).astype(float)

    exact = float(np.quantile(seconds, share, method="inverted_cdf"))

    assert quantile_s(counts, share) == pytest.approx(exact, rel=2**0.25 - 1 + 1e-9)


def test_even_logarithms_give_their_quantiles() -> None:
    seconds = np.exp2(np.arange(10_000) / 10_000 * 16)
    counts = np.bincount(duration_bin(seconds), minlength=BINS).astype(float)

    for share in (0.1, 0.5, 0.9):
        assert quantile_s(counts, share) == pytest.approx(2 ** (16 * share), rel=1e-3)
