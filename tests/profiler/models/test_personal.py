"""People's own parts: nothing at first, what the evidence says after much of it."""

from __future__ import annotations

import numpy as np
import pytest

from profiler.models.labels import Labels
from profiler.models.numbers import log_odds
from profiler.models.personal import Personal
from tests.profiler.models.labelling import labels_of


def lived(variance: float, n_people: int, n_labels: int, seed: int) -> Personal:
    """What was found of people whose true intercepts have a variance, around a crowd of 0.3."""
    rng = np.random.default_rng(seed)
    intercept = rng.normal(scale=np.sqrt(variance), size=n_people)
    crowd = np.full(n_people, 0.3, dtype=np.float32)
    personal = Personal("binary")
    own, evidence = np.zeros(n_people), np.zeros(n_people)
    for _ in range(n_labels):
        p = 1 / (1 + np.exp(-(np.log(0.3 / 0.7) + intercept)))
        labels = labels_of(
            np.zeros((n_people, 1)),
            rng.random(n_people) < p,
            prediction=crowd,
            own=own.astype(np.float32),
            evidence=evidence.astype(np.float32),
        )
        personal.learn(labels)
        wrong, information = personal.evidence(labels)
        own, evidence = own + wrong, evidence + information
    return personal


def test_they_are_used_where_people_differ() -> None:
    personal = lived(variance=1.0, n_people=500, n_labels=12, seed=1)

    print("variance", personal.variance, "gain", personal.gain())
    assert personal.is_used
    assert 0.4 < personal.variance < 1.5


def test_they_are_not_where_people_are_alike() -> None:
    personal = lived(variance=0.0, n_people=500, n_labels=12, seed=2)

    print("variance", personal.variance, "gain", personal.gain())
    assert not personal.is_used
    assert personal.variance < 0.1


def test_evidence_moves_somebody_from_the_crowd_to_themselves() -> None:
    personal = Personal("binary")
    personal.variance, personal.is_used = 1.0, True
    crowd = np.full(4, 0.5)
    evidence = np.array([0.0, 0.25, 25.0, 2_500.0])
    # Each time half of the information is a surprise upwards.
    own = 0.5 * evidence

    said = log_odds(personal.served(crowd, own, evidence))

    # E / (H + 1/v) with v = 1.
    assert said == pytest.approx([0.0, 0.1, 12.5 / 26, 1_250 / 2_501])


def test_what_people_have_of_their_own_does_not_depend_on_the_order_of_labels() -> None:
    personal = Personal("binary")
    rng = np.random.default_rng(3)
    p = rng.random(50).astype(np.float32)
    labels = labels_of(np.zeros((50, 1)), rng.random(50) < p, prediction=p)

    forward = [part.sum() for part in personal.evidence(labels)]
    backward = [part.sum() for part in personal.evidence(labels.only(np.arange(50)[::-1]))]

    assert np.allclose(forward, backward)


def test_it_survives_an_export() -> None:
    personal, successor = lived(1.0, 200, 10, seed=4), Personal("binary")

    successor.restore(personal.export())

    assert (successor.variance, successor.is_used) == (personal.variance, personal.is_used)


def test_no_labels_are_nothing() -> None:
    Personal("amount").learn(Labels.none(1, 1))
