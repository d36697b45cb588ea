"""Factorisations against their definitions in plain loops and linear algebra."""

from __future__ import annotations

from importlib.util import find_spec

import numpy as np
import pytest
from numpy.typing import NDArray

from profiler.evaluation.baselines.als import Als
from profiler.evaluation.baselines.bpr import Bpr
from profiler.evaluation.baselines.isgd import Isgd
from profiler.evaluation.log import Log

DIMS, STEP, SHRINK, PASSES = 5, 0.2, 0.1, 3

needs_implicit = pytest.mark.skipif(
    find_spec("implicit") is None, reason="the extra `evaluate` is not installed"
)


def two_tastes(n: int = 400) -> Log:
    """Even persons turn to even items, odd ones to odd ones."""
    chance = np.random.default_rng(8)
    person = chance.integers(0, 20, n)
    item = chance.integers(0, 10, n) // 2 * 2 + person % 2
    return Log(person, item, np.arange(n))


def steps_in_loops(log: Log, negatives: int) -> tuple[dict[int, list[float]], ...]:
    """The papers' steps with one number at a time."""
    chance = np.random.default_rng(0)
    persons: dict[int, list[float]] = {}
    items: dict[int, list[float]] = {}
    queue: list[int] = []

    def approach(a: list[float], b: list[float], target: float) -> None:
        for _ in range(PASSES):
            error = target - sum(x * y for x, y in zip(a, b, strict=True))
            before = list(a)
            for d in range(DIMS):
                a[d] += STEP * (error * b[d] - SHRINK * a[d])
                b[d] += STEP * (error * before[d] - SHRINK * b[d])

    for person, item in zip(log.person.tolist(), log.item.tolist(), strict=True):
        for rows, row in ((persons, person), (items, item)):
            if row not in rows:
                rows[row] = chance.normal(0.0, 0.1, DIMS).tolist()
        for _ in range(min(negatives, len(queue))):
            oldest = queue.pop(0)
            if oldest != item:
                approach(persons[person], items[oldest], 0.0)
            queue.append(oldest)
        if item in queue:
            queue.remove(item)
        queue.append(item)
        approach(persons[person], items[item], 1.0)
    return persons, items


@pytest.mark.parametrize("negatives", [0, 2])
def test_incremental_steps_are_those_of_the_papers(negatives: int) -> None:
    log = two_tastes(60)
    persons, items = steps_in_loops(log, negatives)
    isgd = Isgd(
        1.0, dims=DIMS, step=STEP, regularisation=SHRINK, passes=PASSES, negatives=negatives
    )

    for person, item in zip(log.person.tolist(), log.item.tolist(), strict=True):
        isgd.learn(person, item, 0)

    for person, a in persons.items():
        ranked = isgd.rank(person, len(items), (), 0)
        distance = [abs(1.0 - float(np.dot(a, items[item]))) for item in ranked]
        assert len(ranked) == len(items)
        assert (np.diff(distance) > -1e-4).all()


def test_a_product_above_one_is_as_far_off_as_one_below() -> None:
    isgd = Isgd(1.0, dims=2)
    for item in range(3):
        isgd.learn(0, item, 0)
    isgd._persons.values[0] = (1.0, 0.0)
    isgd._items.values[:3, 0] = (1.4, 0.7, 0.5)

    assert isgd.rank(0, 3, (), 0) == [1, 0, 2]


def test_incremental_factors_part_two_tastes() -> None:
    log = two_tastes(2_000)
    isgd = Isgd(1.0, dims=10, step=0.1, negatives=2)
    for person, item in zip(log.person.tolist(), log.item.tolist(), strict=True):
        isgd.learn(person, item, 0)

    own = [item % 2 == person % 2 for person in range(20) for item in isgd.rank(person, 5, (), 0)]

    assert np.mean(own) > 0.95


@needs_implicit
def test_pairwise_ranking_parts_two_tastes() -> None:
    bpr = Bpr(1.0, dims=8)
    bpr.retrain(two_tastes())

    own = [item % 2 == person % 2 for person in range(20) for item in bpr.rank(person, 5, (), 0)]

    assert np.mean(own) > 0.95


@needs_implicit
def test_a_new_person_is_folded_in_as_least_squares_say(monkeypatch: pytest.MonkeyPatch) -> None:
    log, regularisation, confidence = two_tastes(), 0.5, 4.0
    als = Als(1.0, dims=6, regularisation=regularisation, confidence=confidence)
    for person, item in zip(log.person.tolist(), log.item.tolist(), strict=True):
        als.learn(person, item, 0)
    als.retrain(log)
    own = [4, 6, 6]
    for item in own:
        als.learn(99, item, 0)

    y: NDArray[np.float64] = als._model.item_factors.astype(np.float64)
    weight = confidence * np.bincount(own, minlength=len(y))
    # `implicit` takes what a pair weighs beyond one as c − 1, and c itself on the right-hand side.
    left = y.T @ y + (y.T * np.maximum(weight - 1.0, 0.0)) @ y + regularisation * np.eye(6)
    expected = np.linalg.solve(left, y.T @ weight)
    found: list[NDArray[np.float32]] = []
    recalculate = als._model.recalculate_user

    def noted(person: int, row: object) -> NDArray[np.float32]:
        found.append(recalculate(person, row))
        return found[-1]

    monkeypatch.setattr(als._model, "recalculate_user", noted)

    assert als.rank(99, 10, (), 0) == np.argsort(-(y @ expected)).tolist()
    assert found[0] == pytest.approx(expected, rel=1e-3, abs=1e-4)


@needs_implicit
def test_who_came_after_the_training_gets_what_is_popular() -> None:
    log = two_tastes()
    bpr = Bpr(float("inf"), dims=4)
    for person, item in zip(log.person.tolist(), log.item.tolist(), strict=True):
        bpr.learn(person, item, 0)
    bpr.retrain(log)

    n_events = np.bincount(log.item)
    assert n_events[bpr.rank(77, 3, (), 0)].tolist() == sorted(n_events.tolist())[::-1][:3]
