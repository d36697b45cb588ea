from __future__ import annotations

import numpy as np
import pytest

from profiler.columns import Floats
from profiler.optimisation.offpolicy import METHODS, Log, Method, estimate, lift

SEED = 3
N = 400
N_LOGS = 600

LOGGING = np.array([0.5, 0.3, 0.2])
TARGET = np.array([0.1, 0.1, 0.8])
REWARD = np.array([0.1, 0.3, 0.5])
"""Probability of a reward of each of three actions; the target's value is 0.44."""

VALUE = float(TARGET @ REWARD)


def logs(
    n_logs: int = N_LOGS,
    n: int = N,
    model: Floats = REWARD,
    logging: Floats = LOGGING,
    target: Floats = TARGET,
    reward: Floats = REWARD,
) -> list[Log]:
    """Logs of a policy with known propensities, and a model of the rewards, right or wrong."""
    chance = np.random.default_rng(SEED)
    found = []
    for _ in range(n_logs):
        action = chance.choice(len(logging), size=n, p=logging)
        came = (chance.random(n) < reward[action]).astype(np.float64)
        expected = np.full(n, float(target @ model))
        found.append(Log(came, logging[action], target[action], model[action], expected))
    return found


@pytest.mark.parametrize("model", [REWARD, np.array([0.9, 0.0, 0.1])], ids=["right", "wrong"])
@pytest.mark.parametrize("method", METHODS)
def test_the_mean_over_many_logs_is_the_true_value(method: Method, model: Floats) -> None:
    values = np.array([estimate(method, log).value for log in logs(model=model)])

    error = values.std() / np.sqrt(len(values))
    # Self-normalised estimates are biased by the order of 1/n, which is far below this.
    assert values.mean() == pytest.approx(VALUE, abs=4 * error + 1.0 / N)


def test_ips_varies_as_its_closed_form_says() -> None:
    values = np.array([estimate("ips", log).value for log in logs(2_000)])

    weight = TARGET / LOGGING
    # Var(w·r) = Σ p·w²·q − V², as r² = r.
    variance = (LOGGING @ (weight**2 * REWARD) - VALUE**2) / N
    assert values.var() == pytest.approx(variance, rel=0.15)


@pytest.mark.parametrize("seed", [None, 5], ids=["asymptotic", "bootstrap"])
@pytest.mark.parametrize("method", METHODS)
def test_intervals_hold_the_truth_as_often_as_they_say(method: Method, seed: int | None) -> None:
    found = [estimate(method, log, seed=seed) for log in logs(150)]

    share = np.mean([e.low <= VALUE <= e.high for e in found])
    assert share >= 0.90


@pytest.mark.parametrize("method", METHODS)
def test_where_rewards_are_rare_intervals_do_not_shrink_to_what_happened_to_be_seen(
    method: Method,
) -> None:
    n_actions, reward = 40, np.full(40, 0.005)
    target = np.full(n_actions, 0.1 / (n_actions - 1))
    target[0] = 0.9
    even = np.full(n_actions, 1 / n_actions)
    some = logs(300, 10_000, np.full(n_actions, 0.005), even, target, reward)

    found = [estimate(method, log) for log in some]

    assert np.mean([e.low <= 0.005 <= e.high for e in found]) >= 0.93
    naive = [_naive_interval(log) for log in some]
    assert np.mean([low <= 0.005 <= high for low, high in naive]) < 0.9


def _naive_interval(log: Log) -> tuple[float, float]:
    """That of the textbook, of what is told by the spread of w·r alone."""
    terms = log.target / log.propensity * log.reward
    error = 1.96 * terms.std() / np.sqrt(len(terms))
    return terms.mean() - error, terms.mean() + error


@pytest.mark.parametrize("method", METHODS)
def test_the_logging_policy_itself_is_worth_the_plain_mean(method: Method) -> None:
    [log] = logs(1, target=LOGGING, model=np.zeros(3))

    found = estimate(method, log)
    difference = lift(method, log)

    assert found.value == pytest.approx(log.reward.mean())
    assert found.effective_n == pytest.approx(N)
    assert (difference.value, difference.low, difference.high) == pytest.approx((0.0, 0.0, 0.0))


def test_self_normalised_estimates_move_with_the_rewards() -> None:
    """Adding 1 to every reward adds 1 to the value, which plain IPS misses by the mean weight."""
    [log] = logs(1)
    more = Log(log.reward + 1.0, log.propensity, log.target)
    weight = log.target / log.propensity

    assert estimate("snips", more).value == pytest.approx(estimate("snips", log).value + 1.0)
    assert estimate("ips", more).value == pytest.approx(estimate("ips", log).value + weight.mean())
    assert abs(weight.mean() - 1.0) > 0.01


def test_doubly_robust_is_exact_where_the_model_is() -> None:
    action = np.random.default_rng(SEED).choice(3, size=50, p=LOGGING)
    # Rewards without noise, so that a right model leaves nothing to correct.
    log = Log(REWARD[action], LOGGING[action], TARGET[action], REWARD[action], np.full(50, VALUE))

    assert estimate("dr", log).value == pytest.approx(VALUE, abs=1e-12)


def test_a_right_model_makes_estimates_steadier() -> None:
    some = logs()
    spread = {method: np.std([estimate(method, log).value for log in some]) for method in METHODS}

    assert spread["dr"] < 0.8 * spread["ips"]


@pytest.mark.parametrize("method", METHODS)
def test_a_lift_is_the_difference_and_surer_than_two_intervals_apart(method: Method) -> None:
    some = logs(150)
    truth = VALUE - float(LOGGING @ REWARD)

    found = [lift(method, log) for log in some]

    assert found[0].value == pytest.approx(estimate(method, some[0]).value - some[0].reward.mean())
    assert np.mean([e.low <= truth <= e.high for e in found]) >= 0.90


def test_weights_are_bounded_where_it_is_asked_for() -> None:
    [log] = logs(1)
    weight = np.minimum(log.target / log.propensity, 2.0)

    found = estimate("ips", log, weight_max=2.0)

    assert found.value == pytest.approx((weight * log.reward).mean())
    assert found.clipped == pytest.approx((log.target / log.propensity > 2.0).mean())
    assert found.effective_n == pytest.approx(weight.sum() ** 2 / (weight**2).sum())


def test_a_bootstrap_is_the_same_for_the_same_seed() -> None:
    [log] = logs(1)

    assert estimate("snips", log, seed=1) == estimate("snips", log, seed=1)
    assert estimate("snips", log, seed=1) != estimate("snips", log, seed=2)


@pytest.mark.parametrize(
    ("log", "method", "problem"),
    [
        (Log(np.ones(1), np.ones(1), np.ones(1)), "ips", "fewer than two"),
        (Log(np.ones(2), np.array([0.5, 0.0]), np.ones(2)), "ips", "not positive"),
        (Log(np.ones(2), np.ones(2), np.zeros(2)), "snips", "never chooses"),
        (Log(np.ones(2), np.ones(2), np.ones(2)), "dr", "need a model"),
    ],
)
def test_logs_that_cannot_judge_are_refused(log: Log, method: Method, problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        estimate(method, log)
