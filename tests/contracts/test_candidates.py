"""Every candidate passes these by being listed, for each kind of task that it can answer."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from profiler.models.candidates import CANDIDATES
from profiler.models.candidates.contract import Candidate, Linear, Listed, Question, State
from profiler.models.numbers import log_odds

NAMES = tuple(f"f{k}" for k in range(4))
EACH = [(listed, kind) for listed in CANDIDATES for kind in listed.kinds]
each_candidate = pytest.mark.parametrize(
    ("listed", "kind"), EACH, ids=[f"{listed.name}-{kind}" for listed, kind in EACH]
)


def data(kind: str, n: int = 400, seed: int = 1) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, len(NAMES))).astype(np.float32)
    strength = x[:, 0] - 0.5 * x[:, 1] + rng.normal(size=n)
    y = (strength > 0).astype(float)
    if kind == "amount":
        y *= np.exp(1.0 + x[:, 0])
    return x, y, rng.integers(1, 4, n).astype(float)


def made(listed: Listed, kind: str, names: tuple[str, ...] = NAMES) -> Candidate:
    return listed.make(Question(kind, names, 0.5))  # type: ignore[arg-type]


def taught(listed: Listed, kind: str, seed: int = 1) -> Candidate:
    candidate = made(listed, kind)
    x, y, w = data(kind, seed=seed)
    for part in np.split(np.arange(len(x)), 8):
        candidate.learn(x[part], y[part], w[part])
    return candidate


@each_candidate
def test_it_answers_before_it_has_learnt_anything(listed: Listed, kind: str) -> None:
    x, _, _ = data(kind)

    answers = made(listed, kind).predict(x)

    assert answers.shape == (len(x),)
    assert np.isfinite(answers).all()
    assert (answers >= 0).all()


@each_candidate
def test_answers_are_probabilities_or_amounts(listed: Listed, kind: str) -> None:
    x, _, _ = data(kind, seed=2)

    answers = taught(listed, kind).predict(np.concatenate([x, 1e4 * x]))

    assert np.isfinite(answers).all()
    assert (answers >= 0).all()
    assert kind == "amount" or (answers <= 1).all()


@each_candidate
def test_it_learns_more_than_the_prior_knows(listed: Listed, kind: str) -> None:
    x, y, _ = data(kind, seed=3)
    answers = taught(listed, kind).predict(x)
    if listed.name == "prior":
        assert np.ptp(answers) == 0
    else:
        assert np.corrcoef(answers, y)[0, 1] > 0.2


@each_candidate
def test_predicting_teaches_nothing(listed: Listed, kind: str) -> None:
    candidate = taught(listed, kind)
    before = candidate.export()

    candidate.predict(data(kind, seed=4)[0])

    assert candidate.export() == before


@each_candidate
def test_what_was_learnt_survives_as_json(listed: Listed, kind: str) -> None:
    candidate, successor = taught(listed, kind), made(listed, kind)
    state = msgspec.json.decode(msgspec.json.encode(candidate.export()))

    successor.restore(state)

    x, y, w = data(kind, seed=5)
    assert np.allclose(successor.predict(x), candidate.predict(x), atol=1e-5)
    if "tree" not in listed.name and listed.name != "forest":
        # A tree is that of the labels it kept: it goes on, but not as the one that was.
        candidate.learn(x, y, w)
        successor.learn(x, y, w)
        assert np.allclose(successor.predict(x), candidate.predict(x), atol=0.02, rtol=0.02)


@each_candidate
def test_features_that_are_gone_are_left_out_and_new_ones_unknown(
    listed: Listed, kind: str
) -> None:
    names = (*NAMES[:3], "new")
    candidate = made(listed, kind, names)

    candidate.restore(taught(listed, kind).export())

    x, y, w = data(kind, seed=6)
    candidate.learn(x, y, w)
    assert np.isfinite(candidate.predict(x)).all()


@each_candidate
def test_merging_equal_states_changes_nothing(listed: Listed, kind: str) -> None:
    state = taught(listed, kind).export()

    merged = listed.make.merge([state, state, state], np.full(3, 1 / 3))

    assert close(merged, state)


@each_candidate
@given(order=st.permutations(range(3)))
@settings(max_examples=5, deadline=None)
def test_the_order_of_merging_does_not_matter(listed: Listed, kind: str, order: list[int]) -> None:
    states = STATES[listed.name, kind]
    shares = np.array([0.5, 0.3, 0.2])

    merged = listed.make.merge(states, shares)
    other = listed.make.merge([states[k] for k in order], shares[list(order)])

    assert merged == other


STATES: dict[tuple[str, str], list[State]] = {
    (listed.name, kind): [taught(listed, kind, seed).export() for seed in (1, 2, 3)]
    for listed, kind in EACH
}


@each_candidate
def test_a_merged_state_answers_like_those_it_came_from(listed: Listed, kind: str) -> None:
    candidate = made(listed, kind)

    candidate.restore(listed.make.merge(STATES[listed.name, kind], np.full(3, 1 / 3)))

    x, y, _ = data(kind, seed=7)
    if listed.name != "prior":
        assert np.corrcoef(candidate.predict(x), y)[0, 1] > 0.2


@each_candidate
def test_contributions_sum_to_the_score(listed: Listed, kind: str) -> None:
    candidate = taught(listed, kind)
    if not isinstance(candidate, Linear):
        pytest.skip("not a sum over features")
    x, _, _ = data(kind, seed=8)

    raw = candidate.contributions(x).sum(axis=1) + candidate.intercept()

    said = candidate.predict(x)
    if kind == "binary":
        assert np.allclose(raw, log_odds(said), atol=1e-3)
    elif listed.name == "linear":
        assert np.allclose(np.clip(raw, 0, None), np.log1p(said), atol=1e-4)
    else:
        # Of amounts in two parts: the log-odds that it is anything, at all.
        assert (raw[said > 0] > 0).all()


def close(a: object, b: object) -> bool:
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(close(a[k], b[k]) for k in a)
    if isinstance(a, list) and isinstance(b, list) and a and isinstance(a[0], str):
        return a == b
    return bool(np.allclose(np.array(a, dtype=float), np.array(b, dtype=float), rtol=1e-12))
