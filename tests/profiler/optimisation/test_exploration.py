from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chisquare

from profiler.columns import Floats
from profiler.optimisation.exploration import bounded, chance_to_be_best, drawn_order

SEED = 11


def numbers(low: float, high: float) -> st.SearchStrategy[list[float]]:
    return st.lists(st.floats(low, high), min_size=1, max_size=12)


@given(
    numbers(-5, 5),
    st.floats(0.001, 1.0),
    st.floats(0.0, 1.0),
    st.integers(0, 2**32 - 1),
)
def test_no_action_is_below_the_floor_and_exploration_is_below_the_ceiling(
    mean: list[float], floor: float, more: float, seed: int
) -> None:
    ceiling = floor + more * (1.0 - floor)
    means = np.array([mean])
    matched = np.random.default_rng(seed).dirichlet(np.full(len(mean), 0.2))[None]

    found = bounded(means, matched, floor, ceiling)

    is_best = means >= means.max() - 1e-12
    assert found.sum() == pytest.approx(1.0)
    assert found.min() >= floor / len(mean) - 1e-12
    assert found[~is_best].sum() <= ceiling + 1e-9


def test_within_its_bounds_chance_stays_as_it_is_but_for_the_floor() -> None:
    matched = np.array([[0.7, 0.2, 0.1]])

    found = bounded(np.array([[3.0, 2.0, 1.0]]), matched, floor=0.3, ceiling=0.9)

    np.testing.assert_allclose(found, 0.1 + 0.7 * matched)


def test_equal_actions_are_all_the_best_known() -> None:
    even = np.full((1, 4), 0.25)

    np.testing.assert_allclose(bounded(np.zeros((1, 4)), even, floor=0.05, ceiling=0.1), even)


def by_sampling(mean: Floats, spread: Floats, n: int) -> Floats:
    draws = mean + spread * np.random.default_rng(SEED).normal(size=(n, len(mean)))
    return np.bincount(draws.argmax(axis=1), minlength=len(mean)) / n


@pytest.mark.parametrize(
    ("mean", "spread"),
    [
        ([0.0, 0.1, 0.2], [1.0, 1.0, 1.0]),
        ([0.0, 0.1, 0.2], [0.1, 0.2, 0.05]),
        ([0.10, 0.11, 0.10], [0.001, 0.001, 1.0]),
        ([0.01] * 40, [0.01] * 40),
    ],
    ids=["alike", "different", "narrow beside wide", "many"],
)
def test_the_chance_to_be_best_is_what_sampling_gives(
    mean: list[float], spread: list[float]
) -> None:
    m, s = np.array(mean), np.array(spread)

    [found] = chance_to_be_best(m[None], s[None])

    np.testing.assert_allclose(found, by_sampling(m, s, 200_000), atol=0.02)


def test_two_actions_are_told_apart_as_the_closed_form_says() -> None:
    # P(X > Y) of independent Gaussians is Φ((m₁ − m₂) / √(s₁² + s₂²)); here Φ(1) = 0.8413.
    [found] = chance_to_be_best(np.array([[0.5, 0.0]]), np.array([[0.3, 0.4]]))

    assert found == pytest.approx([0.8413, 0.1587], abs=2e-3)


def test_chances_do_not_depend_on_what_is_computed_beside_them() -> None:
    chance = np.random.default_rng(SEED)
    mean, spread = chance.normal(size=(40_000, 2)), 0.1 + chance.random((40_000, 2))

    all_together = chance_to_be_best(mean, spread)

    np.testing.assert_allclose(all_together[-3:], chance_to_be_best(mean[-3:], spread[-3:]))
    assert chance_to_be_best(mean[:0], spread[:0]).shape == (0, 2)


def test_actions_are_drawn_as_often_as_their_propensities_say() -> None:
    actions, propensities = ["a", "b", "c"], np.array([0.6, 0.3, 0.1])
    n = 20_000

    drawn = np.array([drawn_order(f"d{k}", actions, propensities) for k in range(n)])

    first = np.bincount(drawn[:, 0], minlength=3)
    assert chisquare(first, n * propensities).pvalue > 0.001
    # Once `a` has been taken, `b` is drawn with 0.3 / 0.4.
    after_a = np.bincount(drawn[drawn[:, 0] == 0, 1], minlength=3)[1:]
    assert chisquare(after_a, after_a.sum() * np.array([0.75, 0.25])).pvalue > 0.001


@given(st.text(max_size=20), st.permutations(["a", "b", "c", "d"]))
def test_a_draw_does_not_depend_on_the_order_of_the_actions(
    decision_id: str, actions: list[str]
) -> None:
    chance = {"a": 0.1, "b": 0.2, "c": 0.3, "d": 0.4}

    order = drawn_order(decision_id, actions, np.array([chance[name] for name in actions]))

    sorted_order = drawn_order(decision_id, list(chance), np.array(list(chance.values())))
    assert [actions[k] for k in order] == [list(chance)[k] for k in sorted_order]
