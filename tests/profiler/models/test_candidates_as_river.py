"""Candidates that compute what River's models do, held against River's own methods."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from river import facto, linear_model, naive_bayes, optim

from profiler.models.candidates.bayesian import Bayesian
from profiler.models.candidates.contract import Question
from profiler.models.candidates.factorisation import FACTORS, SEED, STEP, Factorisation
from profiler.models.candidates.naive_bayes import NaiveBayes
from profiler.models.posterior import Posterior

NAMES = tuple(f"f{k}" for k in range(5))
BINARY = Question("binary", NAMES, 0.5)


def named(row: np.ndarray) -> dict[str, float]:
    return dict(zip(NAMES, row.tolist(), strict=True))


def test_a_posterior_is_rivers_bayesian_regression() -> None:
    posterior, river = Posterior(NAMES), linear_model.BayesianLinearRegression()
    rng = np.random.default_rng(3)
    x = rng.normal(size=(60, len(NAMES))).astype(np.float32)
    y = x[:, 0] - 2.0 * x[:, 1] + rng.normal(size=60)

    for part in (slice(0, 7), slice(7, 60)):
        posterior.learn(x[part], y[part], np.ones(len(y[part])))
    for row, target in zip(x, y.tolist(), strict=True):
        river.learn_one(named(row), target)

    expected = [river.predict_one(named(row)) for row in x]
    assert np.allclose(x @ posterior.weights(), expected, atol=1e-4)


def test_columns_that_are_left_out_have_never_been_there() -> None:
    whole, part = Posterior(NAMES), Posterior(NAMES[:3])
    rng = np.random.default_rng(4)
    x, y = rng.normal(size=(50, len(NAMES))).astype(np.float32), rng.normal(size=50)

    whole.learn(x, y, np.ones(50))
    part.learn(x[:, :3], y, np.ones(50))
    whole.keep(np.array([True, True, True, False, False]))

    assert np.allclose(whole.weights()[:3], part.weights(), atol=1e-6)
    assert whole.weights()[3:].tolist() == [0.0, 0.0]


def test_naive_bayes_is_rivers() -> None:
    candidate, river = NaiveBayes(BINARY), naive_bayes.GaussianNB()
    rng = np.random.default_rng(5)
    y = (rng.random(80) < 0.3).astype(float)
    x = (rng.normal(size=(80, len(NAMES))) + y[:, None]).astype(np.float32)

    for part in (slice(0, 9), slice(9, 80)):
        candidate.learn(x[part], y[part], np.ones(len(y[part])))
    for row, label in zip(x, y > 0.5, strict=True):
        river.learn_one(named(row), bool(label))

    expected = [river.predict_proba_one(named(row))[True] for row in x]
    assert np.allclose(candidate.predict(x), expected, atol=1e-4)


@pytest.mark.parametrize("kind", ["binary", "amount"])
def test_a_factorisation_machine_learns_a_single_label_as_rivers(kind: str) -> None:
    candidate = Factorisation(Question(kind, NAMES, 0.5))  # type: ignore[arg-type]
    make: Any = facto.FMClassifier if kind == "binary" else facto.FMRegressor
    more = {} if kind == "binary" else {"loss": optim.losses.Quantile(0.5)}
    river: Any = make(
        n_factors=FACTORS,
        weight_optimizer=optim.SGD(STEP),
        latent_optimizer=optim.SGD(STEP),
        intercept_lr=STEP,
        seed=SEED,
        **more,
    )
    rng = np.random.default_rng(6)

    for _ in range(40):
        x = rng.normal(size=len(NAMES))
        y = float(x[0] * x[1] > 0)
        weight = float(rng.integers(1, 4))
        candidate._step(x[None], np.array([y]), np.array([weight]))
        river.learn_one(named(x), bool(y) if kind == "binary" else y, w=weight)

    z = rng.normal(size=(20, len(NAMES)))
    expected = [river._raw_dot(named(row)) for row in z]
    assert np.allclose(candidate._raw(z), expected, atol=1e-9)


def test_bayesian_log_odds_find_the_true_coefficients() -> None:
    candidate = Bayesian(BINARY)
    rng = np.random.default_rng(7)
    x = rng.normal(size=(20_000, len(NAMES))).astype(np.float32)
    odds = 1.0 * x[:, 0] - 0.5 * x[:, 1] - 1.0
    y = (rng.random(len(x)) < 1 / (1 + np.exp(-odds))).astype(float)

    for part in np.split(np.arange(len(x)), 100):
        candidate.learn(x[part], y[part], np.ones(len(part)))

    # What it says of new people, against the truth: the error of 20,000 labels on 21 columns.
    found = candidate.contributions(x).sum(axis=1) + candidate.intercept()
    inner = np.abs(x).max(axis=1) < 2
    print("rms", np.sqrt(np.mean((found - odds)[inner] ** 2)))
    assert np.sqrt(np.mean((found - odds)[inner] ** 2)) < 0.1
