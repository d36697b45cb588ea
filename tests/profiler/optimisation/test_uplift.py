from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
import pytest
from river import linear_model, optim
from scipy.stats import spearmanr

from profiler.errors import ConfigurationError, CorruptState, UsageError
from profiler.optimisation.outcome import OutcomeModel
from profiler.optimisation.simulated import UpliftWorld
from profiler.optimisation.treatment import Treatments
from profiler.optimisation.uplift import Uplift, UpliftRecord, UpliftSettings, merge
from profiler.optimisation.uplift_trial import uplift_lines, uplift_trial

SETTINGS = UpliftSettings(features=6)
N = 20_000


def taught(people: Treatments) -> Uplift:
    uplift = Uplift(SETTINGS)
    uplift.learn(people)
    return uplift


@pytest.mark.parametrize("is_targeted", [True, False])
@pytest.mark.parametrize("seed", [101, 102])
def test_the_ranking_recovers_the_true_effect(seed: int, is_targeted: bool) -> None:
    found = uplift_trial("effect", UpliftWorld(seed=seed, is_targeted=is_targeted), N, N)

    print(seed, found)
    assert found.rank_correlation > 0.9
    assert found.qini.coefficient > 0.9 * found.oracle.coefficient
    assert found.qini.low > 0.0


@pytest.mark.parametrize("seed", [101, 102, 103])
def test_no_effect_gives_no_qini(seed: int) -> None:
    found = uplift_trial("none", UpliftWorld(seed=seed, strength=0.0), N, N)

    print(seed, found)
    # The oracle's is 0.045 where there is an effect; these intervals are 0.003 to each side.
    assert abs(found.qini.coefficient) < 0.006
    assert np.isnan(found.rank_correlation)


def test_the_mean_effect_is_right_though_those_who_buy_anyway_are_treated_more() -> None:
    people, truth = UpliftWorld(seed=104).people(N)

    mean = taught(people).effect(people.context)[0].mean()

    naive = people.outcome[people.treated].mean() - people.outcome[~people.treated].mean()
    assert mean == pytest.approx(truth.mean(), abs=0.02)
    assert naive - truth.mean() > 0.04


def test_spread_shrinks_with_evidence() -> None:
    people, _ = UpliftWorld(seed=1).people(8_000)

    _, few = taught(people.part(slice(0, 500))).effect(people.context[:10])
    _, many = taught(people).effect(people.context[:10])

    assert (many < few / 2).all()


def test_amounts_are_learnt_as_well() -> None:
    chance = np.random.default_rng(5)
    x = chance.normal(size=(N, 2))
    treated = chance.random(N) < 0.5
    truth = 3.0 + 2.0 * x[:, 1]
    outcome = 10.0 + x[:, 0] + treated * truth + chance.normal(size=N)
    people = Treatments(x, treated, np.full(N, 0.5), outcome, np.arange(N))
    uplift = Uplift(UpliftSettings(features=2, outcome="amount"))

    uplift.learn(people)

    effect, _ = uplift.effect(np.array([[0.0, 0.0], [0.0, 1.0]]))
    assert effect == pytest.approx([3.0, 5.0], abs=0.3)


def test_known_propensities_put_right_what_both_regressions_get_wrong() -> None:
    """Outcomes go by |x|, of which lines in x know nothing, and so does the treatment."""
    chance = np.random.default_rng(10)
    x = chance.normal(size=(N, 1))
    is_far = np.abs(x[:, 0]) > 0.8
    propensity = np.where(is_far, 0.15, 0.85)
    treated = chance.random(N) < propensity
    outcome = 5.0 * np.abs(x[:, 0]) + 2.0 * treated
    uplift = Uplift(UpliftSettings(features=1, outcome="amount"))

    uplift.learn(Treatments(x, treated, propensity, outcome, np.arange(N)))

    naive = outcome[treated].mean() - outcome[~treated].mean()
    assert uplift.effect(x)[0].mean() == pytest.approx(2.0, abs=0.2)
    assert abs(naive - 2.0) > 1.0


def test_cuts_of_the_stream_change_the_ranking_by_noise_only() -> None:
    people, _ = UpliftWorld(seed=6).people(10_000)
    cut = Uplift(SETTINGS)
    for start in range(0, 10_000, 90):
        cut.learn(people.part(slice(start, start + 90)))

    one, other = taught(people).effect(people.context)[0], cut.effect(people.context)[0]

    assert spearmanr(one, other)[0] > 0.99


def test_what_was_learnt_survives_json_and_goes_on_alike() -> None:
    people, _ = UpliftWorld(seed=7).people(2_000)
    uplift, restored = taught(people), Uplift(SETTINGS)

    said = msgspec.json.encode(uplift.export())
    restored.restore(msgspec.json.decode(said, type=UpliftRecord))
    for one in (uplift, restored):
        one.learn(people)

    assert (restored.effect(people.context)[0] == uplift.effect(people.context)[0]).all()


def test_two_workers_together_rank_as_well_as_one_that_saw_it_all() -> None:
    people, truth = UpliftWorld(seed=8).people(N)
    a, b = taught(people.part(slice(0, N // 2))), taught(people.part(slice(N // 2, None)))

    one, other = merge(a, b), merge(b, a)

    assert (one.effect(people.context)[0] == other.effect(people.context)[0]).all()
    alone = spearmanr(taught(people).effect(people.context)[0], truth)[0]
    assert spearmanr(one.effect(people.context)[0], truth)[0] > alone - 0.01


def test_rivers_regression_learns_the_same_by_arrays_as_by_rows() -> None:
    """By its own `learn_one` where a mini-batch is one row; this pins what is called below it."""
    chance = np.random.default_rng(9)
    x, y = chance.normal(size=(50, 2)), (chance.random(50) < 0.4).astype(np.float64)
    ours = OutcomeModel(2, "binary")
    theirs = linear_model.LogisticRegression(optimizer=optim.AdaGrad(0.1), intercept_lr=0.05)
    for row, label in zip(x, y, strict=True):
        ours.learn(row[None], label[None])
        theirs.learn_one({"0": row[0], "1": row[1]}, label)

    expected = [theirs.predict_proba_one({"0": a, "1": b})[True] for a, b in x]
    assert ours.expected(x) == pytest.approx(expected)


def test_a_treatment_that_was_certain_teaches_nothing_and_is_refused() -> None:
    one = np.ones(1)

    with pytest.raises(ValueError, match="between 0 and 1"):
        Treatments(np.zeros((1, 1)), one > 0, one, one, np.arange(1))


@pytest.mark.parametrize("change", [{"features": 0}, {"half_life_ms": 1}, {"outcome": "colour"}])
def test_a_setting_out_of_bounds_is_named(change: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match=next(iter(change))):
        Uplift(msgspec.structs.replace(SETTINGS, **change))


def test_contexts_of_another_length_are_refused() -> None:
    with pytest.raises(UsageError, match="6 features"):
        Uplift(SETTINGS).effect(np.zeros((1, 5)))


def test_an_effect_with_other_settings_is_not_restored() -> None:
    with pytest.raises(CorruptState, match="other settings"):
        Uplift(UpliftSettings(features=5)).restore(Uplift(SETTINGS).export())
    with pytest.raises(ValueError, match="different settings"):
        merge(Uplift(SETTINGS), Uplift(UpliftSettings(features=5)))


def test_a_table_shows_a_line_for_each_world() -> None:
    trials = [
        uplift_trial(name, UpliftWorld(seed=1, strength=strength), 500, 500)
        for name, strength in (("some", 1.0), ("none", 0.0))
    ]

    header, some, none = uplift_lines(trials)

    assert "Qini" in header
    assert some.startswith("some")
    assert "–" in none
