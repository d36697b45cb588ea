from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from profiler.columns import Floats
from profiler.optimisation.qini import qini, qini_curve
from profiler.optimisation.simulated import UpliftWorld
from profiler.optimisation.treatment import Treatments


def people(treated: list[int], outcome: list[float], propensity: float = 0.5) -> Treatments:
    n = len(treated)
    return Treatments(
        np.zeros((n, 0)),
        np.array(treated, dtype=bool),
        np.full(n, propensity),
        np.array(outcome, dtype=np.float64),
        np.arange(n),
    )


def radcliffe(score: Floats, crowd: Treatments) -> list[float]:
    """Incremental outcomes R_T − R_C·N_T / N_C down the ranking, one person after another."""
    gains = [0.0]
    for last in range(1, len(score) + 1):
        chosen = np.argsort(-score, kind="stable")[:last]
        t, y = crowd.treated[chosen], crowd.outcome[chosen]
        n_control = int((~t).sum())
        off = y[~t].sum() * t.sum() / n_control if n_control else 0.0
        gains.append(float(y[t].sum() - off))
    return gains


@given(
    st.lists(st.tuples(st.booleans(), st.booleans()), min_size=2, max_size=30),
    st.integers(0, 2**32 - 1),
)
def test_for_one_propensity_the_curve_is_radcliffes_per_treated_person(
    crowd: list[tuple[bool, bool]], seed: int
) -> None:
    found = people([int(t) for t, _ in crowd], [float(y) for _, y in crowd])
    score = np.random.default_rng(seed).permutation(len(crowd)).astype(np.float64)

    curve = qini_curve(score, found)

    n_treated = max(1, int(found.treated.sum()))
    np.testing.assert_allclose(curve.gain * n_treated, radcliffe(score, found), atol=1e-9)
    np.testing.assert_allclose(curve.share, np.linspace(0, 1, len(crowd) + 1))


def test_the_area_of_a_ranking_that_finds_the_only_one_moved() -> None:
    # Down to half of the crowd all that is gained is gained: area 3/8 beneath, less 1/4.
    curve = qini_curve(np.array([2.0, 2.0, 1.0, 1.0]), people([1, 0, 1, 0], [1, 0, 0, 0]))

    assert curve.coefficient == pytest.approx(0.375 - 0.25)


def test_scores_that_are_all_the_same_rank_nobody() -> None:
    crowd, _ = UpliftWorld(seed=1).people(500)

    assert qini(np.zeros(500), crowd, seed=1).coefficient == pytest.approx(0.0, abs=1e-12)


def test_the_order_of_people_with_equal_scores_does_not_matter() -> None:
    crowd, _ = UpliftWorld(seed=1).people(500)
    score = np.random.default_rng(1).integers(0, 5, 500).astype(np.float64)
    turned = Treatments(*(getattr(crowd, f)[::-1] for f in Treatments.__struct_fields__))

    assert qini_curve(score, crowd).coefficient == pytest.approx(
        qini_curve(score[::-1], turned).coefficient
    )


def test_a_ranking_turned_round_loses_what_it_gained() -> None:
    crowd, truth = UpliftWorld(seed=2).people(20_000)

    best, worst = qini(truth, crowd, seed=1), qini(-truth, crowd, seed=1)

    assert best.low > 0.0
    assert worst.high < 0.0


def test_targeted_treatment_is_allowed_for_by_its_propensity() -> None:
    """Who buys anyway is treated more; a ranking by that alone must not look like a gain."""
    world = UpliftWorld(seed=3, strength=0.0)
    crowd, _ = world.people(20_000)

    found = qini(crowd.context[:, 0], crowd, seed=1)
    blind = Treatments(
        crowd.context, crowd.treated, np.full(20_000, 0.5), crowd.outcome, crowd.at_ms
    )

    assert found.low <= 0.0 <= found.high
    wrong = qini_curve(crowd.context[:, 0], blind).gain[-1]
    assert abs(wrong) > 5 * abs(qini_curve(crowd.context[:, 0], crowd).gain[-1])


def test_an_interval_is_the_same_for_the_same_seed() -> None:
    crowd, truth = UpliftWorld(seed=1).people(300)

    assert qini(truth, crowd, seed=1) == qini(truth, crowd, seed=1)
    assert qini(truth, crowd, seed=1) != qini(truth, crowd, seed=2)
