from __future__ import annotations

import numpy as np
import pytest
from river import bandit, linear_model

from profiler.optimisation.evidence import Evidence, Observed
from profiler.optimisation.posterior import FIRST_VARIANCE, noise_variance, posterior

HOUR_MS = 3_600_000
SEED = 7
WEIGHT = 5.0


def seen(action: str, x: np.ndarray, reward: np.ndarray, at_ms: int = 0) -> Observed:
    n = len(x)
    ones = np.ones(n)
    at = np.full(n, at_ms)
    return Observed([action] * n, x, ones > 0, reward, reward**2, ones, at)


def named(x: np.ndarray) -> dict[int, float]:
    """A context for River, whose prior of one then weighs as much as ours.

    Its `alpha` is a precision to `learn_one`, and a variance to `learn_many`: only 1 is safe.
    """
    return dict(enumerate((x / np.sqrt(WEIGHT)).tolist()))


def common_belief(evidence: Evidence) -> np.ndarray:
    """River's prior mean is zero, so it is told what rewards are above this."""
    gram = WEIGHT * np.eye(evidence.dims) + evidence.gram.sum(axis=0)
    return np.linalg.solve(gram, evidence.moment.sum(axis=0))


def test_beliefs_are_those_of_rivers_bayesian_regression() -> None:
    chance = np.random.default_rng(SEED)
    x, reward = chance.normal(size=(40, 3)), chance.random(40)
    evidence = Evidence(3, HOUR_MS)
    evidence.add(seen("tea", x, reward))
    common = common_belief(evidence)
    river = linear_model.BayesianLinearRegression(alpha=1, beta=1)
    for features, above in zip(x, reward - x @ common, strict=True):
        river.learn_one(named(features), float(above))
    asked = chance.normal(size=(6, 3))

    mean, spread = posterior(evidence, ["tea"], WEIGHT, 0).scores(asked)

    sigma = np.sqrt(noise_variance(evidence, WEIGHT, 0))
    for k, features in enumerate(asked):
        theirs = river.predict_one(named(features), with_dist=True)
        assert mean[k, 0] == pytest.approx(theirs.mu + features @ common)
        assert (spread[k, 0] / sigma) ** 2 == pytest.approx(theirs.sigma**2 - 1.0)


def test_their_upper_bounds_choose_as_rivers_linucb_does() -> None:
    chance = np.random.default_rng(SEED)
    actions: list[int | str] = ["tea", "mug", "lamp"]
    told = {name: (chance.normal(size=(30, 2)), chance.random(30)) for name in actions}
    evidence = Evidence(2, HOUR_MS)
    for name, (x, reward) in told.items():
        evidence.add(seen(str(name), x, reward))
    common = common_belief(evidence)
    river = bandit.LinUCBDisjoint(alpha=1, beta=1, seed=1)
    for name, (x, reward) in told.items():
        for features, above in zip(x, reward - x @ common, strict=True):
            river.update(name, named(features), float(above))
    asked = chance.normal(size=(50, 2))

    mean, spread = posterior(evidence, list(map(str, actions)), WEIGHT, 0).scores(asked)
    in_noise = spread / np.sqrt(noise_variance(evidence, WEIGHT, 0))
    bound = mean + np.sqrt(1.0 + in_noise**2)

    pulled = [river.pull(actions, named(x)) for x in asked]
    assert [actions[k] for k in bound.argmax(axis=1)] == pulled
    assert len(set(pulled)) == 3


def test_a_new_action_is_believed_to_be_like_the_others_and_to_be_uncertain() -> None:
    evidence = Evidence(1, HOUR_MS)
    ones = np.ones((900, 1))
    evidence.add(seen("tea", ones, np.tile([1.0, 0.0, 0.0], 300)))

    mean, spread = posterior(evidence, ["tea", "new"], 20.0, 0).scores(np.ones((1, 1)))

    assert mean[0] == pytest.approx([1 / 3, 1 / 3], abs=0.02)
    variance = noise_variance(evidence, 20.0, 0)
    assert spread[0] ** 2 == pytest.approx([variance / 920, variance / 20])


def test_certainty_is_lost_as_evidence_decays() -> None:
    evidence = Evidence(1, HOUR_MS)
    evidence.add(seen("tea", np.ones((100, 1)), np.ones(100)))

    _, now = posterior(evidence, ["tea"], 10.0, 0).scores(np.ones((1, 1)))
    _, later = posterior(evidence, ["tea"], 10.0, 40 * HOUR_MS).scores(np.ones((1, 1)))

    assert now[0, 0] < 0.1
    assert later[0, 0] ** 2 == pytest.approx(FIRST_VARIANCE / 10.0)


def test_the_variance_of_rewards_is_that_of_a_coin_until_they_are_known() -> None:
    evidence = Evidence(1, HOUR_MS)
    assert noise_variance(evidence, 20.0, 0) == FIRST_VARIANCE

    evidence.add(seen("tea", np.ones((100_000, 1)), np.tile([1.0] + [0.0] * 99, 1_000)))

    assert noise_variance(evidence, 20.0, 0) == pytest.approx(0.01 * 0.99, rel=0.01)


def test_actions_may_have_contexts_of_their_own() -> None:
    evidence = Evidence(2, HOUR_MS)
    chance = np.random.default_rng(SEED)
    for action in ("tea", "mug"):
        evidence.add(seen(action, chance.normal(size=(9, 2)), chance.random(9)))
    found = posterior(evidence, ["tea", "mug"], 20.0, 0)
    x = chance.normal(size=(4, 2))

    shared, own = found.scores(x), found.scores(np.stack([x, x], axis=1))

    np.testing.assert_allclose(shared, own)
