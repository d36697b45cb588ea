from __future__ import annotations

import msgspec
import numpy as np
import pytest

from profiler.optimisation.impressions import Impressions, joined
from profiler.optimisation.logged_trial import (
    KNOWLEDGE,
    Knowledge,
    contexts,
    judged,
    logged_lines,
    logged_trials,
)
from profiler.optimisation.offpolicy import Method, estimate
from profiler.optimisation.policy import PolicySettings

SEED = 21
SETTINGS = PolicySettings(features=0)


def log(n: int, best: int = 2, seed: int = SEED, n_actions: int = 4) -> Impressions:
    """Even choices between four items, of which one is clicked at 0.5, the others at 0.1."""
    chance = np.random.default_rng(seed)
    item = chance.integers(0, n_actions, n)
    reward = chance.random(n) < np.where(item == best, 0.5, 0.1)
    return Impressions(
        actions=[f"item-{k}" for k in range(n_actions)],
        at_us=1_574_553_600_000_000 + 1_000_000 * np.arange(n),
        item=item,
        position=chance.integers(0, 3, n),
        propensity=np.full(n, 1 / n_actions),
        reward=reward.astype(np.float64),
        person=chance.integers(0, 2, (n, 2)),
        affinity=np.zeros((n, n_actions)),
    )


@pytest.mark.parametrize("knowledge", KNOWLEDGE)
def test_a_policy_that_learns_from_an_even_log_is_worth_more_than_it(knowledge: Knowledge) -> None:
    found = judged(log(6_000), knowledge, SETTINGS)

    methods: tuple[Method, ...] = ("snips", "dr")
    for method in methods:
        value = estimate(method, found)
        # Near 0.5 at the end; the ceiling of exploration and the beginning take some off.
        assert value.low > 0.2 * 1.5
        assert value.high < 0.55


def test_nothing_is_judged_by_what_was_learnt_of_it_or_after_it() -> None:
    whole = log(1_000)
    # Another truth from the middle on must not change what was done until there.
    later = whole.reward.copy()
    later[500:] = 1.0 - later[500:]

    one = judged(whole, "item", SETTINGS)
    other = judged(msgspec.structs.replace(whole, reward=later), "item", SETTINGS)

    np.testing.assert_array_equal(one.target[:750], other.target[:750])
    assert (one.target[750:] != other.target[750:]).any()


def test_impressions_of_one_moment_are_judged_together() -> None:
    whole = log(600)
    at_once = msgspec.structs.replace(whole, at_us=np.full(600, whole.at_us[0]))

    found = judged(at_once, "item", SETTINGS)

    np.testing.assert_allclose(found.target, 0.25)


def test_contexts_hold_what_the_policy_is_told() -> None:
    some = log(5)
    some = msgspec.structs.replace(some, affinity=np.arange(20.0).reshape(5, 4))

    few, more, most = (contexts(some, knowledge, [2, 2]) for knowledge in KNOWLEDGE)

    assert (few.shape, more.shape, most.shape) == ((5, 4, 2), (5, 4, 3), (5, 4, 7))
    np.testing.assert_allclose(more[:, :, -1], np.log1p(some.affinity))
    np.testing.assert_array_equal(few[:, 0, 0], some.position == 1)


def test_logs_of_one_campaign_are_also_judged_together_in_the_order_of_time() -> None:
    a, b = log(300), log(300, seed=22)
    b = msgspec.structs.replace(b, at_us=b.at_us + 500_000)

    both = joined(a, b)
    trials = logged_trials({("random", "all"): a, ("bts", "all"): b}, SETTINGS)

    assert (np.diff(both.at_us) > 0).all()
    assert {t.log for t in trials} == {"random, all", "bts, all", "both, all"}
    assert trials[-1].clicks == int(a.reward.sum() + b.reward.sum())
    with pytest.raises(ValueError, match="different campaigns"):
        joined(a, log(10, n_actions=3))


def test_the_table_says_that_few_clicks_make_wide_intervals() -> None:
    trials = logged_trials({("random", "all"): log(400)}, SETTINGS)

    lines = logged_lines(trials)

    assert len(lines) == 2 + len(KNOWLEDGE)
    assert f"{trials[0].clicks} clicks" in lines[-1]
    assert "wide" in lines[-1]
