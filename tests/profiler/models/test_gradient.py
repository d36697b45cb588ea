"""The linear candidate is River's, driven in batches."""

from __future__ import annotations

from unittest import mock

import numpy as np
import pytest
from river import linear_model, optim, preprocessing

from profiler.models.basis import Scale
from profiler.models.candidates.contract import Question
from profiler.models.candidates.gradient import ByGradient

NAMES = tuple(f"f{k}" for k in range(6))
BINARY = Question("binary", NAMES, 0.5)


def named(row: np.ndarray) -> dict[str, float]:
    return dict(zip(NAMES, row.tolist(), strict=True))


def test_probabilities_are_those_of_rivers_pipeline() -> None:
    candidate = ByGradient(BINARY)
    rng = np.random.default_rng(5)
    x = rng.normal(size=(50, len(NAMES))).astype(np.float32)
    y = (x[:, 0] > 0).astype(float)
    candidate.learn(x, y, np.ones(50))

    pipeline = candidate.scale.scaler | candidate.model
    expected = [pipeline.predict_proba_one(named(row))[True] for row in x]

    assert np.allclose(candidate.predict(x), expected, atol=1e-5)


def test_the_scale_is_as_after_rivers_learn_one() -> None:
    scale, scaler = Scale(NAMES), preprocessing.StandardScaler()
    x = np.random.default_rng(7).normal(3.0, 2.0, size=(40, len(NAMES)))
    x[:, 3] = 1.0

    for part in (x[:1], x[1:9], x[9:]):
        scale.learn(part)
    for row in x:
        scaler.learn_one(named(row))

    assert dict(scale.scaler.counts) == dict(scaler.counts)
    expected = [list(scaler.transform_one(named(row)).values()) for row in x]
    assert np.allclose(scale.transform(x.astype(np.float32)), expected, atol=1e-5)


@pytest.mark.parametrize("kind", ["binary", "amount"])
def test_a_single_label_is_learnt_as_river_learns_it(kind: str) -> None:
    candidate = ByGradient(Question(kind, NAMES, 0.5))  # type: ignore[arg-type]
    river = (
        linear_model.LogisticRegression(optim.AdaGrad(0.1), intercept_lr=0.05)
        if kind == "binary"
        else linear_model.LinearRegression(
            optim.AdaGrad(0.1), loss=optim.losses.Quantile(0.5), intercept_lr=0.05
        )
    )
    rng = np.random.default_rng(11)

    for _ in range(30):
        x, weight = rng.normal(size=len(NAMES)), float(rng.integers(1, 16))
        candidate._step(x[None], np.array([float(x[2] > 0)]), np.array([weight]))
        y = bool(x[2] > 0) if kind == "binary" else float(x[2] > 0)
        river.learn_one(named(x), y, w=weight)

    found = [candidate.model.weights[name] for name in NAMES]
    assert np.allclose(found, [river.weights[name] for name in NAMES], atol=1e-12)
    assert np.isclose(candidate.model.intercept, river.intercept, atol=1e-12)


def test_several_labels_are_one_step_along_their_mean_gradient() -> None:
    candidate = ByGradient(BINARY)
    rng = np.random.default_rng(13)
    x, y = rng.normal(size=(8, len(NAMES))), rng.integers(0, 2, 8).astype(float)
    weight = rng.integers(1, 5, 8).astype(float)

    candidate._step(x, y, weight)

    # At weights of zero every prediction is 0.5, and AdaGrad's first step has one size.
    gradient = ((0.5 - y) * weight) @ x / len(x)
    found = [candidate.model.weights[name] for name in NAMES]
    assert np.allclose(found, -0.1 * np.sign(gradient), atol=1e-6)


def test_every_label_is_learnt_whatever_the_size_of_the_mini_batches() -> None:
    candidate = ByGradient(BINARY)
    rng = np.random.default_rng(17)
    sizes = [1, 400, 20_000, 7]

    with mock.patch.object(candidate, "_step", wraps=candidate._step) as step:
        for n in sizes:
            x = rng.normal(size=(n, len(NAMES))).astype(np.float32)
            candidate.learn(x, (x[:, 0] > 0).astype(float), np.ones(n))

    learnt = [len(call.args[0]) for call in step.call_args_list]
    assert sum(learnt) == sum(sizes)
    assert learnt[:250] == [1] * 250
    assert max(learnt) == 64
