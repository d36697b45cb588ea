"""Recommendation in memory: candidates, clues, and what the mix learns."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from profiler.facets.trail import CATEGORIES, ITEMS
from profiler.recommendation.clues import CATEGORY_CLUES, TRAIL_CLUES, Past
from profiler.recommendation.mix import Mix, MixState, merged
from profiler.recommendation.recommender import (
    Ranked,
    category_mix,
    item_mix,
    rank_categories,
    rank_items,
)
from profiler.recommendation.seen import Seen
from profiler.recommendation.shelf import NEW_MAX, POPULAR_MAX, TRENDING_MAX, Shelf
from profiler.recommendation.statistics import Statistics
from profiler.tokens import DIMENSIONS

START_MS = 1_600_000_000_000


def seen(*rows: tuple[int, int, list[int], list[int]], content: float = 0.0) -> Seen:
    """Events of (item, category, items before, categories before)."""
    n = len(rows)
    items, categories = (np.zeros((n, k), dtype=np.uint64) for k in (ITEMS, CATEGORIES))
    for k, (_, _, before, categories_before) in enumerate(rows):
        items[k, : len(before)] = before
        categories[k, : len(categories_before)] = categories_before
    return Seen(
        ts=np.arange(n) + START_MS,
        person=np.arange(n),
        item=np.array([row[0] for row in rows], dtype=np.uint64),
        category=np.array([row[1] for row in rows], dtype=np.uint64),
        items_before=items,
        categories_before=categories,
        content=np.full((n, DIMENSIONS), content, dtype=np.float16),
    )


def ranked_for(statistics: Statistics, past: Past, **options: object) -> Ranked:
    shelf = statistics.item_shelf()
    return statistics.rank(rank_items(past, shelf, START_MS, **options))  # type: ignore[arg-type]


def best(ranked: Ranked, k: int) -> list[int]:
    return [int(ranked.tokens[place]) for place in ranked.best(item_mix(), k)]


def test_what_goes_with_the_last_item_comes_before_what_is_merely_popular() -> None:
    statistics = Statistics()
    statistics.add(seen(*[(50, 1, [], [])] * 6, *[(20, 1, [10], [1])] * 5))

    found = best(ranked_for(statistics, Past((10,), (1,))), 3)

    assert found.index(20) < found.index(50)


def test_somebody_of_whom_nothing_is_known_gets_what_is_popular() -> None:
    statistics = Statistics()
    statistics.add(seen(*[(50, 0, [], [])] * 6, *[(20, 0, [10], [])] * 3, (30, 0, [], [])))

    assert best(ranked_for(statistics, Past((), ())), 2) == [50, 20]


def test_what_is_excluded_is_no_candidate() -> None:
    statistics = Statistics()
    statistics.add(seen(*[(20, 0, [10], [])] * 3))

    ranked = ranked_for(statistics, Past((10,), ()), exclude={20})

    assert ranked.place_of(20) is None
    assert ranked.place_of(10) is not None


def test_items_of_the_last_category_are_candidates_though_nothing_goes_with_them() -> None:
    statistics = Statistics()
    statistics.add(seen((70, 3, [], []), (10, 3, [], [])))

    statistics_without_shelf = statistics.rank(rank_items(Past((10,), (3,)), Shelf(), START_MS))

    assert statistics_without_shelf.place_of(70) is not None


def test_an_item_that_is_alike_is_a_candidate_though_nobody_went_from_one_to_the_other() -> None:
    statistics = Statistics()
    statistics.add(seen((10, 0, [], []), (11, 0, [], []), content=0.5))

    ranked = ranked_for(statistics, Past((10,), ()))

    alike = (TRAIL_CLUES + CATEGORY_CLUES).index("alike_last")
    place = ranked.place_of(11)
    assert place is not None and ranked.x[place, alike] == pytest.approx(1.0, abs=1e-3)


def test_the_next_category_is_one_that_others_went_on_to() -> None:
    statistics = Statistics()
    statistics.add(seen(*[(1, 5, [], [4])] * 4, *[(1, 6, [], [])] * 4))

    ranked = statistics.rank(rank_categories(Past((), (4,)), statistics.category_shelf(), START_MS))

    order = [int(ranked.tokens[place]) for place in ranked.best(category_mix(), 3)]
    assert order.index(5) < order.index(6)


def test_without_any_statistics_only_what_the_person_touched_is_a_candidate() -> None:
    ranked = ranked_for(Statistics(), Past((10, 11), ()))

    assert ranked.tokens.tolist() == [10, 11]
    assert np.isfinite(ranked.x).all()
    assert ranked_for(Statistics(), Past((), ())).tokens.tolist() == []


def test_the_shelf_is_bounded_and_keeps_the_popular_and_the_new() -> None:
    n = 4_000
    statistics = Statistics()
    rows: list[tuple[int, int, list[int], list[int]]] = [(k, 0, [], []) for k in range(1, n + 1)]
    statistics.add(seen(*rows, *[(77, 0, [], [])] * 3))

    shelf = statistics.item_shelf()

    assert len(shelf) <= POPULAR_MAX + TRENDING_MAX + NEW_MAX
    assert 77 in shelf.most(1, 0).tolist()
    assert n in shelf.ids.tolist()
    heads, found = shelf.heads_of(np.array([77, 123_456], dtype=np.uint64))
    assert found.tolist() == [True, False] and heads["id"].tolist() == [77, 0]


@given(st.integers(0, 2**32 - 1))
def test_the_mix_steps_down_the_gradient_of_its_log_loss(seed: int) -> None:
    chance = np.random.default_rng(seed)
    x = chance.normal(size=(6, 4))
    mix = Mix(("a", "b", "c", "d"), {"a": 1.0})
    before = mix.weights.copy()

    def loss(weights: np.ndarray) -> float:
        z = x @ weights
        return float(np.log(np.exp(z).sum()) - z[2])

    mix.learn(x, 2)

    for k in range(4):
        nudge = np.eye(4)[k] * 1e-6
        slope = (loss(before + nudge) - loss(before - nudge)) / 2e-6
        step = mix.weights[k] - before[k]
        assert step * slope <= 1e-9
        # AdaGrad's first step has one length whatever the slope.
        assert abs(step) == pytest.approx(0.2, rel=1e-2) or abs(slope) < 1e-3


states = st.lists(
    st.builds(
        MixState,
        st.fixed_dictionaries({"a": st.floats(-9, 9), "b": st.floats(-9, 9)}),
        st.fixed_dictionaries({"a": st.floats(0, 9), "b": st.floats(0, 9)}),
        st.integers(1, 1_000),
    ),
    min_size=1,
    max_size=5,
)


@given(states)
def test_mixes_merge_in_any_order_and_equal_ones_stay(several: list[MixState]) -> None:
    one, other = merged(several), merged(several[::-1])
    same = merged([several[0]] * 3)

    for name in ("a", "b"):
        assert one.weights[name] == pytest.approx(other.weights[name])
        assert same.weights[name] == pytest.approx(several[0].weights[name])
        assert min(s.weights[name] for s in several) - 1e-9 <= one.weights[name]
        assert one.weights[name] <= max(s.weights[name] for s in several) + 1e-9


def test_a_mix_goes_on_from_a_state_with_other_clues() -> None:
    mix = Mix(("old", "new"), {"new": 2.0})

    mix.restore(MixState({"old": 3.0, "gone": 9.0}, {"old": 1.0}, 7))

    assert mix.weights.tolist() == [3.0, 2.0]
    assert mix.state().n == 7
