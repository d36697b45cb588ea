"""Figures of rankings against sums by hand, and their laws."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from profiler.evaluation.ranking import Rankings, curve, difference

SEEDS = st.integers(0, 2**32 - 1)


def some_rankings(seed: int, n: int = 60, k: int = 5, n_items: int = 9) -> Rankings:
    chance = np.random.default_rng(seed)
    lists = np.array([chance.permutation(n_items)[:k] for _ in range(n)])
    for row, length in enumerate(chance.integers(0, k + 1, n)):
        lists[row, length:] = -1
    return Rankings(lists, chance.integers(0, n_items, n), chance.integers(0, 7, n))


@given(SEEDS)
def test_figures_are_what_one_sums_up_by_hand(seed: int) -> None:
    ranked = some_rankings(seed)
    recall = mrr = ndcg = hit_1 = hit_3 = 0.0
    for row, item in zip(ranked.lists.tolist(), ranked.item.tolist(), strict=True):
        if item in row:
            place = row.index(item) + 1
            recall += 1
            mrr += 1 / place
            ndcg += math.log(2) / math.log(place + 1)
            hit_1 += place == 1
            hit_3 += place <= 3
    n = len(ranked)

    figures = ranked.figures(n_items=12)

    assert (figures.events, figures.recall, figures.hit_1) == (n, recall / n, hit_1 / n)
    assert figures.hit_3 == hit_3 / n
    assert figures.mrr == pytest.approx(mrr / n)
    assert figures.ndcg == pytest.approx(ndcg / n)
    assert figures.coverage == len(set(ranked.lists.ravel().tolist()) - {-1}) / 12


@given(SEEDS)
def test_a_hit_counts_more_the_higher_it_stands(seed: int) -> None:
    figures = some_rankings(seed).figures(9)

    assert figures.hit_1 <= figures.mrr <= figures.ndcg <= figures.recall <= 1.0


def test_no_rankings_have_no_figures() -> None:
    nothing = Rankings(np.zeros((0, 5), dtype=int), np.zeros(0, dtype=int), np.zeros(0, dtype=int))

    assert math.isnan(nothing.figures(9).recall)
    assert math.isnan(difference(nothing.hits(1), nothing.hits(1), nothing.person, 0).mean)


@given(SEEDS, st.integers(0, 300), st.integers(1, 12))
def test_the_parts_of_a_curve_make_up_the_whole(seed: int, n: int, n_parts: int) -> None:
    values = np.random.default_rng(seed).random(n)
    parts = np.array_split(np.arange(n), n_parts)

    found = curve(values, n_parts)

    lengths = np.diff(np.arange(n_parts + 1) * n // n_parts)
    assert np.isnan(found).sum() == (lengths == 0).sum()
    assert np.nansum(found * lengths) == pytest.approx(values.sum())
    assert max(lengths) - min(lengths) <= 1 and len(parts) == len(found)


@given(SEEDS)
def test_swapping_the_rankers_turns_the_interval_round(seed: int) -> None:
    a, b = some_rankings(seed), some_rankings(seed + 1)

    one = difference(a.hits(5), b.hits(5), a.person, seed, n_draws=100)
    other = difference(b.hits(5), a.hits(5), a.person, seed, n_draws=100)

    assert one.mean == pytest.approx(-other.mean)
    assert one.low == pytest.approx(-other.high)
    assert one.low - 1e-12 <= one.mean <= one.high + 1e-12 or one.low == one.high


def test_one_event_each_gives_the_textbook_interval() -> None:
    n = 2_000
    values = np.random.default_rng(5).normal(0.3, 1.0, n)

    found = difference(values, np.zeros(n), np.arange(n), seed=1)

    half_width = 1.96 * values.std() / n**0.5
    assert found.mean == pytest.approx(values.mean())
    assert found.high - found.low == pytest.approx(2 * half_width, rel=0.08)


def test_saying_everything_nine_times_makes_nothing_more_certain() -> None:
    values = np.random.default_rng(6).normal(0.3, 1.0, 300)
    once = difference(values, 0 * values, np.arange(300), seed=2)

    repeated = np.repeat(values, 9)
    often = difference(repeated, 0 * repeated, np.repeat(np.arange(300), 9), seed=2)

    assert often.high - often.low == pytest.approx(once.high - once.low, rel=1e-9)


def test_the_same_seed_gives_the_same_interval() -> None:
    ranked = some_rankings(3)
    zero = np.zeros(len(ranked))

    def bounds(seed: int) -> tuple[float, float]:
        found = difference(ranked.hits(5), zero, ranked.person, seed)
        return found.low, found.high

    assert bounds(1) == bounds(1)
    assert bounds(1) != bounds(2)
