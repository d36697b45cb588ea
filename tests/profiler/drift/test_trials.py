from __future__ import annotations

import numpy as np
import pytest

from benchmarks.drift import cost_lines
from profiler.drift.table import lines
from profiler.drift.trials import AS_USUAL, Calm, gains, trial
from profiler.drift.worlds import (
    DRIFTS,
    abrupt,
    calm_amounts,
    calm_log_losses,
    features_only,
    flipped,
)


@pytest.mark.parametrize("make", DRIFTS)
def test_the_same_seed_gives_the_same_world(make: type) -> None:
    first, again, other = make(4), make(4), make(5)

    assert np.array_equal(first.losses, again.losses)
    assert np.array_equal(first.x, again.x)
    assert len(first.losses) != len(other.losses) or (first.losses != other.losses).any()


def test_worlds_have_the_rates_that_they_claim() -> None:
    world = abrupt(9)
    [change] = world.changes

    # Four standard errors of a share.
    assert world.losses[:change].mean() == pytest.approx(0.1, abs=4 * np.sqrt(0.09 / change))
    assert world.losses[change:].mean() == pytest.approx(0.3, abs=4 * np.sqrt(0.21 / 3_000))


def test_the_feature_moves_and_the_errors_do_not() -> None:
    world = features_only(9)
    [change] = world.changes
    shift = world.x[change:].mean(axis=0) - world.x[:change].mean(axis=0)

    assert shift[0] == pytest.approx(0.5, abs=0.07)
    assert np.abs(shift[1:]).max() < 0.07


def test_calm_losses_are_those_of_calibrated_predictions_and_amounts_have_weights() -> None:
    losses = calm_log_losses(50_000, 1).losses
    p = np.linspace(0.0, 1.0, 20_001)[1:-1]
    density = 9 * (1 - p) ** 8
    entropy = -(p * np.log(p) + (1 - p) * np.log(1 - p))

    assert losses.mean() == pytest.approx((entropy * density).mean(), rel=0.03)
    weights = calm_amounts(1_000, 1).weights
    assert weights.min() == 1
    assert weights.max() <= 16


def test_what_was_learnt_before_the_flip_is_wrong_after_it() -> None:
    world = flipped(2, share=1.0)

    def slope(part: slice) -> float:
        return float(np.cov(world.x[part, 0], world.y[part])[0, 1])

    assert slope(slice(0, world.change)) * slope(slice(world.change, None)) < 0


def test_the_reaction_is_worth_something() -> None:
    usual, *_, both = gains(range(2), 1.0)

    print("seeds 0, 1", usual, both)
    assert usual.name == AS_USUAL
    assert usual.after == usual.usual
    assert both.n_found == both.n_helped == 2
    assert both.after < 0.8 * usual.after
    assert both.before < both.after < both.frozen


def test_alarms_are_told_per_100_000_labels() -> None:
    assert Calm("x", 400_000, 2).per_100_000 == 0.5


def test_the_tables_name_all_that_was_tried() -> None:
    text = "\n".join(lines(trial(n_seeds=2, n_calm=4_000, n_gain=1)))

    assert "seeds 0 to 1" in text
    for name in (*(make.__name__ for make in DRIFTS), "ADWIN", "log losses", AS_USUAL, "both"):
        assert name in text


def test_the_benchmark_tells_the_cost() -> None:
    text = "\n".join(cost_lines(2_000))

    assert "KSWIN alone" in text
    assert "16 features, by 256" in text
