"""The competition: the best serves, not by luck, and only after it has shown itself."""

from __future__ import annotations

import numpy as np
import pytest

from profiler.models import PurchaseInSession, SpendWithin
from profiler.models.calibration import Calibration
from profiler.models.candidates import CANDIDATES
from profiler.models.competition import SHADOW_MIN, Competition, lots_of
from profiler.models.labels import Labels
from profiler.models.lead import Lead
from profiler.models.posterior import Posterior
from profiler.models.scoring import Amounts, Probabilities
from profiler.models.selection import LABELS_MIN, Selection
from tests.profiler.models.labelling import labels_of

NAMES = ("a", "b", "c")


def some(n: int, seed: int, strength: float = 2.0, base: float = 0.0) -> Labels:
    """Labels of which feature `a` tells."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, len(NAMES))).astype(np.float32)
    p = 1 / (1 + np.exp(-(base + strength * x[:, 0])))
    return labels_of(x, rng.random(n) < p)


def asked(competition: Competition, labels: Labels) -> Labels:
    """The same, with what the competition says of them."""
    said = competition.predict(labels.x)
    return labels_of(labels.x, labels.label, prediction=said[:, 0], rivals=said[:, 1:])


def run(competition: Competition, n_batches: int = 40, **how: float) -> None:
    for k in range(n_batches):
        competition.learn(asked(competition, some(100, k, **how)))


def test_a_challenger_serves_once_it_has_shown_itself() -> None:
    competition = Competition(PurchaseInSession(), NAMES)
    competition.serving = "prior"

    competition.learn(asked(competition, some(SHADOW_MIN - 1, 1)))
    competition.flush()
    early = competition.serving
    run(competition)

    assert early == "prior"
    assert competition.serving in ("bayesian", "linear", "naive_bayes")


def test_nobody_takes_over_where_nothing_can_be_known() -> None:
    competition = Competition(PurchaseInSession(), NAMES)
    competition.serving = "prior"

    run(competition, strength=0.0, base=-3.0)

    assert competition.serving == "prior"


def test_a_few_lucky_labels_are_no_lead() -> None:
    rng = np.random.default_rng(3)
    one, other = rng.exponential(size=300), rng.exponential(size=300)
    lead = Lead()

    lead.update(one, other, np.ones(300))

    error = np.std(other - one) / np.sqrt(300)
    print("mean", lead.mean(), "error", error)
    assert lead.mean() == pytest.approx((other - one).mean())
    assert lead.surely(1.0) == pytest.approx(lead.mean() - error, abs=0.01)


def test_candidates_are_scored_by_what_they_had_said() -> None:
    competition = Competition(PurchaseInSession(), NAMES, ["prior", "bayesian"])
    labels = some(400, 5)
    wrong = labels_of(labels.x, labels.label)
    wrong.rivals[:, 0] = np.where(labels.label > 0, 0.01, 0.99)

    competition.learn(wrong)
    competition.flush()

    figures = competition.entries["bayesian"].figures
    assert isinstance(figures, Probabilities)
    assert figures.roc_auc() == 0.0


def test_rare_yes_are_all_learnt_and_no_as_often_as_it_counts() -> None:
    competition = Competition(PurchaseInSession(), NAMES, ["prior", "bayesian"])

    run(competition, 200, strength=1.0, base=-5.0)

    entry = competition.entries["bayesian"]
    n = competition.served.n
    fresh = some(20_000, 999, strength=1.0, base=-5.0)
    said = entry.calibrated(entry.candidate.predict(fresh.x))
    print("learnt", entry.n_learnt, "of", n, "mean", said.mean(), "truth", fresh.label.mean())
    assert entry.n_learnt < n / 3
    assert said.mean() == pytest.approx(fresh.label.mean(), rel=0.25)


def test_the_costly_see_a_sample_that_depends_on_the_label_alone() -> None:
    labels = some(20_000, 7)
    order = np.random.default_rng(8).permutation(len(labels))

    lots = lots_of(labels)

    assert np.array_equal(lots_of(labels.only(order)), lots[order])
    # Four standard deviations of a share of a tenth.
    assert abs((lots < 0.1).mean() - 0.1) < 4 * np.sqrt(0.09 / len(labels))


def test_a_candidate_that_is_off_can_be_asked_for() -> None:
    off = [c.name for c in CANDIDATES if not c.is_default]

    competition = Competition(PurchaseInSession(), NAMES, ["prior", *off])

    assert list(competition.entries) == ["prior", "tree", "forest"]
    run(competition, 2)


def test_amounts_are_judged_by_their_absolute_error() -> None:
    competition = Competition(SpendWithin(), NAMES)
    for k in range(30):
        labels = some(100, k)
        amounts = np.where(labels.label > 0, np.exp(2 + labels.x[:, 1]), 0.0)
        competition.learn(asked(competition, labels_of(labels.x, amounts)))

    figures = competition.entries["two_part"].figures
    assert isinstance(figures, Amounts)
    assert competition.serving == "two_part"
    assert figures.loss() < competition.entries["prior"].figures.loss()


def test_calibration_puts_a_wrong_slope_and_a_wrong_level_right() -> None:
    rng = np.random.default_rng(9)
    odds = rng.normal(size=8_000)
    y = (rng.random(8_000) < 1 / (1 + np.exp(-(0.5 * odds - 1.0)))).astype(float)
    claimed = 1 / (1 + np.exp(-odds))
    calibration = Calibration()
    for part in np.split(np.arange(8_000), 200):
        calibration.learn(claimed[part], y[part], np.ones(len(part)))

    found = calibration.of(np.array([0.5, 1 / (1 + np.exp(-2.0))]))

    truth = 1 / (1 + np.exp(-np.array([-1.0, 0.0])))
    assert np.allclose(found, truth, atol=0.05)


def test_features_that_say_nothing_are_left_out_and_those_that_do_are_not() -> None:
    names = ("tells", *(f"noise {k}" for k in range(9)))
    rng = np.random.default_rng(10)
    x = rng.normal(size=(LABELS_MIN, 10)).astype(np.float32)
    posterior, selection = Posterior((*names, "")), Selection(names)
    columns = np.column_stack([x, np.ones(len(x))]).astype(np.float32)
    posterior.learn(columns, x[:, 0] + rng.normal(size=len(x)), np.ones(len(x)))

    kept = selection.columns(posterior, LABELS_MIN)

    report = selection.report()
    print(report)
    assert report[0].feature == "tells"
    assert report[0].statistic > 100
    assert kept[0]
    # Under chance a statistic exceeds half a standard deviation for about a quarter.
    assert kept[1:-1].sum() <= 6


def test_figures_fade() -> None:
    lasting, fading = Probabilities(), Probabilities(half_life=100.0)
    for figures in (lasting, fading):
        figures.update(np.zeros(1_000), np.full(1_000, 0.9), np.ones(1_000))
        figures.update(np.ones(1_000), np.full(1_000, 0.9), np.ones(1_000))

    # A thousand labels are ten half-lives.
    assert lasting.base_rate() == 0.5
    assert fading.base_rate() == pytest.approx(1 / (1 + 2**-10))
    assert fading.calibration_error() == pytest.approx(0.1, abs=0.001)
