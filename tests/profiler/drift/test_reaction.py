from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import stats

from profiler.columns import Floats
from profiler.drift.logistic import Logistic, log_loss
from profiler.drift.reaction import PAIRED_BLOCK, Learner, Plan, Reaction, Response, paired
from profiler.drift.series import Drift
from profiler.drift.words import reaction_sentence, sentence
from profiler.drift.worlds import flipped

DRIFT = Drift("churn", "error", 4_000, 0, 4_256, 1_000, 0.1, 0.3, 2e-9)


class Level:
    """Predicts a number, which every label moves a little; notes what it is asked."""

    def __init__(self, level: float = 0.0, start: float = 0.0) -> None:
        self.level = level
        self.start = start
        self.n_learnt = 0
        self.factors: list[float] = []

    def predict(self, x: NDArray[np.floating]) -> Floats:
        return np.full(len(x), self.level)

    def learn(self, x: NDArray[np.floating], y: Floats, w: Floats) -> None:
        factor = self.factors[-1] if self.factors else 1.0
        self.level += 0.01 * factor * float(np.average(y, weights=w) - self.level)
        self.n_learnt += len(y)

    def fresh(self) -> Level:
        return Level(self.start, self.start)

    def hasten(self, factor: float) -> None:
        self.factors.append(factor)


def squared(prediction: Floats, y: Floats) -> Floats:
    return (prediction - y) ** 2


def responded(response: Response[Level], y: float, seed: int = 1) -> Reaction:
    """What comes of outcomes around `y`."""
    chance = np.random.default_rng(seed)
    while True:
        outcome = y + 0.1 * chance.normal(size=50)
        if (report := response.learn(np.zeros((50, 1)), outcome, np.ones(50))) is not None:
            return report


def test_a_fresh_model_that_is_better_is_promoted() -> None:
    response = Response(DRIFT, Level(level=0.0, start=1.0), squared)

    report = responded(response, y=1.0)

    assert report.promoted_after == 200
    assert report.helped
    assert response.serving.start == 1.0
    assert response.serving.level == pytest.approx(1.0, abs=0.02)


def test_a_fresh_model_that_is_worse_is_not() -> None:
    response = Response(DRIFT, Level(level=0.9, start=-9.0), squared)

    report = responded(response, y=1.0)

    assert report.promoted_after is None


def test_a_margin_is_asked_of_the_fresh_model() -> None:
    """Its loss is about a tenth lower: enough for a margin of 5 %, not for one of 20 %."""
    serving = Level(level=0.0, start=1 - math.sqrt(0.9))
    strict, lenient = (Plan(n_labels=400, faster=0.0, promote_margin=m) for m in (0.2, 0.05))

    assert responded(Response(DRIFT, serving, squared, strict), 1.0).promoted_after is None
    assert responded(Response(DRIFT, serving, squared, lenient), 1.0).promoted_after == 200


def test_the_frozen_model_learns_nothing() -> None:
    response = Response(DRIFT, Level(level=0.2), squared)

    report = responded(response, y=1.0)

    assert response.frozen.n_learnt == 0
    assert response.frozen.level == 0.2
    assert report.frozen == pytest.approx(0.8**2 + 0.1**2, rel=0.05)


def test_the_serving_model_is_hastened_and_comes_back_to_its_step() -> None:
    serving = Level(level=0.0, start=-9.0)

    responded(Response(DRIFT, serving, squared, Plan(faster=4.0, half_life=500.0)), y=1.0)

    *during, last = serving.factors
    assert during[0] == 4.0
    assert during[10] == pytest.approx(1.0 + 3.0 / 2)  # 10 steps of 50 labels: one half-life
    assert during == sorted(during, reverse=True)
    assert last == 1.0


def test_what_did_not_help_is_taken_back() -> None:
    """The world is as it was: the false alarm's faster steps and fresh model gain nothing."""
    serving = Level(level=1.0)
    response = Response(DRIFT, serving, squared)

    report = responded(response, y=1.0)

    assert not report.helped
    assert report.gain_low <= 0
    assert response.serving is response.frozen
    assert response.serving.level == 1.0


def test_a_model_that_went_astray_is_taken_back() -> None:
    serving = Level(level=0.0, start=-9.0)
    response = Response(DRIFT, serving, squared, Plan(faster=1e200))

    with np.errstate(invalid="ignore", over="ignore"):
        report = responded(response, y=1.0)

    assert not report.helped
    assert response.serving is response.frozen


def test_the_report_compares_the_same_labels() -> None:
    world = flipped(3)
    model = Logistic()
    model.learn(world.x[:4_000], world.y[:4_000], np.ones(4_000))
    response = Response(DRIFT, model, log_loss, Plan(n_labels=1_000))
    w = np.tile([1.0, 3.0], 500)
    frozen = log_loss(model.predict(world.x[4_000:5_000]), world.y[4_000:5_000])

    report = response.learn(world.x[4_000:5_000], world.y[4_000:5_000], w)

    assert report is not None
    assert (report.n_labels, report.before, report.at) == (1_000, DRIFT.before, DRIFT.after)
    assert report.frozen == pytest.approx(np.average(frozen, weights=w))
    assert report.gain == pytest.approx(report.frozen - report.after)
    assert report.gain_low < report.gain < report.gain_high
    assert report.helped


def test_reacting_beats_going_on_as_usual_when_the_world_flips() -> None:
    world = flipped(5)
    losses = []
    for plan in (Plan(faster=1.0, promote_margin=1.0), Plan()):
        model: Learner = Logistic()
        model.learn(world.x[:4_000], world.y[:4_000], np.ones(4_000))
        response = Response(DRIFT, model, log_loss, plan)
        report = response.learn(world.x[4_000:6_000], world.y[4_000:6_000], np.ones(2_000))
        assert report is not None
        losses.append(report.after)

    print("seed 5: as usual, reacting", losses)
    assert losses[1] < 0.75 * losses[0]


@given(st.lists(st.floats(-10, 10), min_size=2, max_size=20))
def test_the_interval_is_that_of_the_blocks_means(means: list[float]) -> None:
    mean, margin = paired(np.repeat(means, PAIRED_BLOCK), np.ones(len(means) * PAIRED_BLOCK))

    expected = stats.sem(means) * stats.t.ppf(0.975, len(means) - 1)
    assert mean == pytest.approx(np.mean(means), abs=1e-9)
    assert margin == pytest.approx(expected, rel=1e-6, abs=1e-9)


def test_the_interval_covers_the_truth_as_often_as_it_says() -> None:
    chance = np.random.default_rng(8)
    print("seed 8")
    n, covered = 1_000, 0
    for _ in range(n):
        weights = np.floor(1 + 15 * chance.random(640) ** 4)
        mean, margin = paired(chance.normal(0.5, 1.0, 640), weights)
        covered += abs(mean - 0.5) <= margin

    # Four standard errors of a share of 1,000.
    assert abs(covered / n - 0.95) <= 4 * math.sqrt(0.95 * 0.05 / n)


def test_a_handful_of_labels_proves_nothing() -> None:
    assert paired(np.ones(40), np.ones(40)) == (1.0, math.inf)


def test_people_are_told_what_drifted_and_what_came_of_it() -> None:
    feature = Drift("churn", "price", 9, 0, 900, 1_000, 1.0, 2.5, 0.001)
    report = Reaction(DRIFT, 2_000, 0.1, 0.3, 0.32, 0.31, -0.01, -0.02, 0.01, None, False)

    assert sentence(feature).startswith(
        "The feature price of churn has been 2.5 instead of 1 since"
    )
    assert "once in 1,000 times" in sentence(feature)
    assert "did not help" in reaction_sentence(report)
    assert reaction_sentence(report).endswith("the model from before serves again.")
    assert "faster" in reaction_sentence(
        Reaction(DRIFT, 2_000, 0.1, 0.3, 0.2, 0.3, 0.1, 0.05, 0.15, None, True)
    )
