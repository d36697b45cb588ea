"""Retrained trees: they see no label before its time, and learn what there is to learn."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count

import numpy as np
import pytest

from profiler.errors import UsageError
from profiler.evaluation.baselines.boosting import Labelled, retrained

MOMENTS = np.arange(200, 2_000, 200)


def clock() -> Callable[[], float]:
    """Advance by one at each look."""
    ticks = count()
    return lambda: float(next(ticks))


def some_rows(seed: int = 1, n: int = 2_000, delay: int = 50) -> Labelled:
    chance = np.random.default_rng(seed)
    x = chance.normal(size=(n, 4))
    y = (x[:, 0] + 0.5 * x[:, 1] > 0).astype(float)
    return Labelled(x, y, np.arange(n), np.arange(n) + delay)


@pytest.fixture(autouse=True)
def _installed() -> None:
    pytest.importorskip("lightgbm", reason="the extra `evaluate` is not installed")


def test_trees_find_the_rule() -> None:
    rows = some_rows()

    found = retrained(rows, MOMENTS, "classification", clock())

    late = rows.predicted_at >= 1_000
    assert ((found.predictions > 0.5) == (rows.y > 0.5))[late].mean() > 0.9
    assert (found.trained, found.cpu_s) == (len(MOMENTS), 1.0)


def test_what_was_asked_before_the_first_training_is_not_predicted() -> None:
    found = retrained(some_rows(), MOMENTS, "classification", clock())

    assert np.isnan(found.predictions[:200]).all()
    assert not np.isnan(found.predictions[200:]).any()


@pytest.mark.parametrize("task", ["classification", "regression"])
def test_labels_count_only_from_the_moment_they_are_known(task: str) -> None:
    rows = some_rows()
    # All labels that become known from 1,000 on are turned round.
    turned = np.where(rows.known_at >= 1_000, 1.0 - rows.y, rows.y)
    other = Labelled(rows.x, turned, rows.predicted_at, rows.known_at)

    one = retrained(rows, MOMENTS, task, clock()).predictions  # type: ignore[arg-type]
    two = retrained(other, MOMENTS, task, clock()).predictions  # type: ignore[arg-type]

    # The model of moment 1,000 has seen what was known before, and serves until 1,200.
    assert np.array_equal(one[:1_200], two[:1_200], equal_nan=True)
    assert not np.array_equal(one[1_200:], two[1_200:])


def test_a_label_that_never_comes_is_never_learnt() -> None:
    rows = some_rows(delay=10**9)

    assert np.isnan(retrained(rows, MOMENTS, "regression", clock()).predictions).all()


def test_one_kind_of_label_is_answered_by_its_share() -> None:
    rows = some_rows()
    always = Labelled(rows.x, np.ones(len(rows.y)), rows.predicted_at, rows.known_at)

    found = retrained(always, MOMENTS, "classification", clock())

    assert (found.predictions[200:] == 1.0).all()
    assert found.trained == 0


def test_heavy_tails_choose_the_absolute_error() -> None:
    rows = some_rows()
    amounts = np.exp(3.0 * np.random.default_rng(4).normal(size=len(rows.y)))
    found = retrained(
        Labelled(rows.x, amounts, rows.predicted_at, rows.known_at), MOMENTS, "regression", clock()
    )

    assert found.settings.startswith("regression_l1")


def test_a_missing_library_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(name: str) -> None:
        raise ModuleNotFoundError(name=name)

    monkeypatch.setattr("profiler.extras.import_module", absent)

    with pytest.raises(UsageError, match="lightgbm is not installed"):
        retrained(some_rows(), MOMENTS, "classification", clock())
