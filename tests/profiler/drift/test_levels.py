from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from profiler.columns import Floats
from profiler.drift.blocks import Blocking, moments
from profiler.drift.levels import (
    BEFORE_MIN,
    Block,
    Level,
    Span,
    change_point,
    effect,
    level,
    p_value,
)

MEANS = st.lists(st.floats(-100, 100), min_size=BEFORE_MIN + 2, max_size=30)


def blocks(means: list[float] | Floats, weights: list[float] | None = None) -> list[Block]:
    weight = weights or [1.0] * len(means)
    return [
        Block(float(m), float(m) ** 2 + 1.0, float(m), Span(w, k, k, k, k))
        for k, (m, w) in enumerate(zip(means, weight, strict=True))
    ]


def test_a_level_has_the_mean_and_deviation_of_all_labels_together() -> None:
    values = np.random.default_rng(5).normal(3.0, 2.0, (10, 32, 1))
    mean, square = moments(values, np.ones((10, 32)))

    found = level(
        [
            Block(m, s, m, Span(32.0, 0, 0, 0, 0))
            for m, s in zip(mean[:, 0].tolist(), square[:, 0].tolist(), strict=True)
        ]
    )

    assert found.mean == pytest.approx(values.mean())
    assert found.deviation == pytest.approx(values.std())
    assert found.block_deviation == pytest.approx(values.mean(axis=1).std(ddof=1))
    assert found.n == pytest.approx(10)


def test_a_heavier_block_counts_as_so_many() -> None:
    heavy = level(blocks([1.0, 4.0], [2.0, 1.0]))

    assert heavy.mean == pytest.approx(2.0)
    assert heavy.n == pytest.approx(9 / 5)  # Kish: (2 + 1)² / (2² + 1²)


@given(MEANS)
def test_the_change_is_where_two_means_fit_best(means: list[float]) -> None:
    def squared_error(cut: int) -> float:
        return sum(len(p) * float(np.var(p)) for p in (means[:cut], means[cut:]))

    cut = change_point(blocks(means))

    best = min(map(squared_error, range(BEFORE_MIN, len(means))))
    assert squared_error(cut) == pytest.approx(best, rel=1e-6, abs=1e-6)


def test_the_p_value_is_that_of_a_t_test() -> None:
    chance = np.random.default_rng(2)
    a, b = chance.normal(0, 1, 12), chance.normal(1, 1, 5)
    before, after = level(blocks(a)), level(blocks(b))
    deviation = max(a.std(ddof=1), b.std(ddof=1))
    t = (b.mean() - a.mean()) / (deviation * math.sqrt(1 / 12 + 1 / 5))

    assert p_value(before, after, True) == pytest.approx(stats.t.sf(t, 11))
    assert p_value(before, after, False) == pytest.approx(2 * stats.t.sf(abs(t), 11))


@pytest.mark.parametrize("rate", [0.02, 0.1, 0.3])
@pytest.mark.parametrize("n_after", [4, 16, 64])
def test_chance_alone_is_rarely_taken_for_a_rise(rate: float, n_after: int) -> None:
    chance = np.random.default_rng(3)
    print("seed 3")
    n = 4_000
    means = chance.binomial(32, rate, (n, 40 + n_after)) / 32

    p = [p_value(level(blocks(m[:40])), level(blocks(m[40:])), True) for m in means]

    # Four standard errors of a share of n trials above the level, and what rare errors' lumps add.
    for alpha in (0.05, 0.01):
        allowed = alpha + 4 * math.sqrt(alpha / n) + (0.01 if rate < 0.05 else 0.0)
        assert np.mean(np.array(p) <= alpha) <= allowed


def test_what_never_varied_and_changes_is_certain() -> None:
    still, moved = level(blocks([1.0] * 8)), level(blocks([2.0] * 4))

    assert p_value(still, moved, True) == 0.0
    assert p_value(moved, still, True) == 1.0
    assert p_value(still, still, False) == 1.0


def test_an_effect_is_in_deviations_of_single_values() -> None:
    before = Level(mean=0.1, told=0.1, deviation=0.3, block_deviation=0.05, n=8.0)

    never = before._replace(deviation=0.0)

    assert effect(before, before._replace(mean=0.16)) == pytest.approx(0.2)
    assert effect(never, before._replace(mean=0.4)) == pytest.approx(0.3 / (0.3 / math.sqrt(2)))
    assert effect(never, never._replace(mean=0.2)) == math.inf
    assert effect(never, never) == 0.0


@given(st.lists(st.integers(0, 100), max_size=6), st.integers(1, 9))
def test_blocks_do_not_depend_on_how_labels_are_delivered(cuts: list[int], size: int) -> None:
    values = np.arange(200.0).reshape(100, 2)
    values[::7, 1] = np.nan
    weights = np.where(np.arange(100) % 5, 1.0, 0.0)
    numbers = np.arange(100)

    def blocked(bounds: list[int]) -> Floats:
        blocking = Blocking(size, 2)
        parts = [slice(a, b) for a, b in itertools.pairwise(bounds)]
        full = [
            blocking.add(values[p].copy(), weights[p], numbers[p], 10 * numbers[p]) for p in parts
        ]
        assert len(blocking.export()) < size
        return np.concatenate(full)

    whole = blocked([0, 100])

    assert np.array_equal(blocked([0, *sorted(cuts), 100]), whole)
    kept = [k for k in range(100) if k % 7 and k % 5]
    assert whole[:, :, 3].ravel().tolist() == kept[: len(kept) // size * size]
