"""The suite of every drift detector that is listed, and detectors that must not pass it."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from river import drift
from river.drift.binary import EDDM

from profiler.columns import Floats
from profiler.drift.detectors import ADWIN, DETECTORS, KSWIN, PAGE_HINKLEY, Kind
from profiler.drift.trials import calm_under_detector, found_by_detector
from profiler.drift.worlds import abrupt

DELAY_MAX = 500
ALARMS_MAX = 5.0

TOO_HIGH = [
    Kind("sleepy ADWIN", lambda: drift.ADWIN(delta=1e-300, clock=1, grace_period=8)),
    Kind("sleepy Page-Hinkley", lambda: drift.PageHinkley(delta=10.0, threshold=500.0)),
]
TOO_LOW = [
    Kind("jumpy ADWIN", lambda: drift.ADWIN(delta=0.99, clock=1, min_window_length=2)),
    Kind("Page-Hinkley that tolerates nothing", lambda: drift.PageHinkley(threshold=10.0)),
    Kind("EDDM", EDDM, block=1),
]


def is_soon(kind: Kind, n_seeds: int) -> bool:
    found = found_by_detector(kind, range(n_seeds))
    print(kind.name, "seeds 0 to", n_seeds - 1, found)
    return found.median <= DELAY_MAX and found.missed <= n_seeds // 20


def is_quiet(kind: Kind, n: int) -> bool:
    calm = calm_under_detector(kind, n, seed=11)
    print(kind.name, "seed 11", calm, calm.per_100_000)
    return calm.per_100_000 <= ALARMS_MAX


def errors(seed: int) -> Floats:
    return abrupt(seed).losses


@pytest.mark.parametrize("kind", DETECTORS, ids=lambda kind: kind.name)
@given(cuts=st.lists(st.integers(0, 1_500), max_size=6))
def test_what_is_found_does_not_depend_on_how_the_stream_is_cut(
    kind: Kind, cuts: list[int]
) -> None:
    values = np.concatenate([np.zeros(700), errors(1)[:100], np.ones(700)])
    if kind is KSWIN:
        values = values[:300]  # it is slow, and finds nothing in so few

    whole, cut = kind.detector(), kind.detector()
    bounds = [0, *sorted(min(c, len(values)) for c in cuts), len(values)]
    found = [
        start + position
        for start, end in itertools.pairwise(bounds)
        for position in cut.update(values[start:end])
    ]

    assert found == whole.update(values)
    assert found or kind is KSWIN


@pytest.mark.parametrize("kind", DETECTORS, ids=lambda kind: kind.name)
def test_a_rise_from_a_tenth_to_three_tenths_is_found_soon(kind: Kind) -> None:
    assert is_soon(kind, n_seeds=8 if kind is KSWIN else 50)


@pytest.mark.parametrize("kind", DETECTORS, ids=lambda kind: kind.name)
def test_a_steady_stream_raises_few_alarms(kind: Kind) -> None:
    assert is_quiet(kind, n=10_000 if kind is KSWIN else 100_000)


@pytest.mark.parametrize("kind", TOO_HIGH, ids=lambda kind: kind.name)
def test_a_threshold_that_is_too_high_fails_the_suite(kind: Kind) -> None:
    assert not is_soon(kind, n_seeds=20)


@pytest.mark.parametrize("kind", TOO_LOW, ids=lambda kind: kind.name)
def test_a_threshold_that_is_too_low_fails_the_suite(kind: Kind) -> None:
    assert not is_quiet(kind, n=100_000)


@pytest.mark.parametrize("kind", [ADWIN, PAGE_HINKLEY], ids=lambda kind: kind.name)
def test_a_found_drift_is_the_end_of_a_block(kind: Kind) -> None:
    first = kind.detector().update(errors(3))[0]

    assert (first + 1) % kind.block == 0


def test_blocks_cost_adwin_no_power() -> None:
    """Sums of blocks against single values, both looked at every 32 values, by the same bound."""
    single = Kind("one by one", lambda: drift.ADWIN(delta=0.05, clock=32), block=1)

    in_blocks, one_by_one = (found_by_detector(kind, range(30)) for kind in (ADWIN, single))

    print(in_blocks, one_by_one)
    assert in_blocks.median <= one_by_one.median + ADWIN.block
