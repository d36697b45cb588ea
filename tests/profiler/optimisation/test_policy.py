from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from profiler.errors import ConfigurationError, CorruptState, UsageError
from profiler.optimisation.decision import Decision, Lesson
from profiler.optimisation.policy import Policy, PolicyRecord, PolicySettings, merge

DAY_MS = 86_400_000
START_MS = 1_700_000_000_000
ACTIONS = ["mug", "lamp", "tea"]
SETTINGS = PolicySettings(features=2)


def lessons(n: int, seed: int, better: str = "lamp") -> list[Lesson]:
    """Feedback on even choices; one action earns 0.6, the others 0.1."""
    chance = np.random.default_rng(seed)
    found = []
    for k in range(n):
        chosen = ACTIONS[int(chance.integers(3))]
        decision = Decision(
            f"{seed}-{k}",
            START_MS + 1_000 * k,
            tuple(chance.normal(size=2).tolist()),
            tuple(ACTIONS),
            (1 / 3,) * 3,
            chosen,
            tuple(ACTIONS),
            "v",
        )
        reward = float(chance.random() < (0.6 if chosen == better else 0.1))
        found.append(Lesson(decision, 0.0, reward, is_first=True))
    return found


def taught(n: int = 300, seed: int = 1, settings: PolicySettings = SETTINGS) -> Policy:
    policy = Policy(settings)
    policy.learn(lessons(n, seed))
    return policy


CONTEXT = np.array([0.3, -0.2])


def test_before_anything_is_known_all_actions_are_alike() -> None:
    found = Policy(SETTINGS).decide(CONTEXT, ACTIONS, "d1", START_MS)

    assert found.propensities == pytest.approx((1 / 3,) * 3)


def test_what_earned_more_is_chosen_more_and_nothing_never() -> None:
    decision = taught().decide(CONTEXT, ACTIONS, "d1", START_MS)

    propensity = dict(zip(decision.actions, decision.propensities, strict=True))
    assert propensity["lamp"] > 0.9
    assert min(propensity.values()) >= SETTINGS.floor / 3


@given(st.integers(0, 60), st.integers(2, 8), st.floats(0.01, 0.3), st.floats(0.3, 1.0))
def test_every_decision_keeps_the_bounds_of_exploration(
    n: int, n_actions: int, floor: float, ceiling: float
) -> None:
    policy = taught(n, settings=PolicySettings(features=2, floor=floor, ceiling=ceiling))
    actions = [*ACTIONS, *(f"new-{k}" for k in range(6))][:n_actions]
    contexts = np.random.default_rng(n).normal(size=(9, 2))

    found = policy.propensities(contexts, actions, START_MS)
    mean, _ = policy.beliefs(contexts, actions, START_MS)

    best = mean >= mean.max(axis=1, keepdims=True) - 1e-12
    np.testing.assert_allclose(found.sum(axis=1), 1.0)
    assert found.min() >= floor / n_actions - 1e-12
    assert np.where(best, 0.0, found).sum(axis=1).max() <= ceiling + 1e-9


def test_a_replay_decides_the_same_whatever_was_decided_between() -> None:
    one, other = taught(), taught()
    for k in range(50):
        other.decide(CONTEXT, ACTIONS, f"between-{k}", START_MS + k * DAY_MS)

    assert one.decide(CONTEXT, ACTIONS, "d1", START_MS) == other.decide(
        CONTEXT, ACTIONS, "d1", START_MS
    )


def test_the_logged_propensity_is_how_often_the_action_is_chosen() -> None:
    policy = taught(40)

    found = [policy.decide(CONTEXT, ACTIONS, f"d{k}", START_MS) for k in range(4_000)]

    for place, action in enumerate(ACTIONS):
        expected = found[0].propensities[place]
        share = np.mean([decision.chosen == action for decision in found])
        assert share == pytest.approx(expected, abs=4 * np.sqrt(expected * (1 - expected) / 4_000))


def test_a_decision_travels_as_json_and_teaches_the_same() -> None:
    policy, other = taught(), taught()
    decision = policy.decide(CONTEXT, ACTIONS, "d1", START_MS)

    travelled = msgspec.json.decode(msgspec.json.encode(decision), type=Decision)
    policy.learn([Lesson(decision, 0.0, 1.0, is_first=True)])
    other.learn([Lesson(travelled, 0.0, 1.0, is_first=True)])

    assert travelled == decision
    assert (policy.evidence.gram == other.evidence.gram).all()


def test_what_was_learnt_survives_json() -> None:
    policy, restored = taught(), Policy(SETTINGS)

    said = msgspec.json.encode(policy.export())
    restored.restore(msgspec.json.decode(said, type=PolicyRecord))

    assert restored.version == policy.version
    assert restored.decide(CONTEXT, ACTIONS, "d1", START_MS) == policy.decide(
        CONTEXT, ACTIONS, "d1", START_MS
    )


def test_evidence_with_other_features_is_not_restored() -> None:
    with pytest.raises(CorruptState, match="other features"):
        Policy(PolicySettings(features=3)).restore(taught().export())


@given(st.integers(0, 40), st.integers(0, 40))
def test_two_workers_together_decide_as_one_that_saw_it_all(n_a: int, n_b: int) -> None:
    alone = Policy(SETTINGS)
    alone.learn([*lessons(n_a, 1), *lessons(n_b, 2)])
    a, b = taught(n_a, 1), taught(n_b, 2)

    together, turned = merge(a, b), merge(b, a)

    x = np.random.default_rng(n_a).normal(size=(5, 2))
    expected = alone.propensities(x, ACTIONS, START_MS)
    np.testing.assert_allclose(together.propensities(x, ACTIONS, START_MS), expected, atol=1e-9)
    assert (together.evidence.gram == turned.evidence.gram).all()
    assert together.version == turned.version == alone.version


def test_a_new_action_is_tried_more_than_those_known_to_be_as_good_but_never_takes_over() -> None:
    policy = Policy(SETTINGS)
    alike = lessons(3_000, seed=1, better="none of them")
    policy.learn(alike)

    *known, new = policy.propensities(CONTEXT[None], [*ACTIONS, "new"], START_MS)[0]

    assert new > 2 * np.median(known)
    assert new <= SETTINGS.ceiling


def test_a_policy_follows_when_another_action_becomes_better() -> None:
    settings = PolicySettings(features=2, half_life_ms=60_000)
    policy = taught(300, settings=settings)
    later = [
        msgspec.structs.replace(
            one,
            decision=msgspec.structs.replace(
                one.decision, at_ms=one.decision.at_ms + 1_000_000, decision_id=f"later-{k}"
            ),
        )
        for k, one in enumerate(lessons(300, seed=5, better="tea"))
    ]

    policy.learn(later)

    assert policy.figures(START_MS + 1_300_000)[0].action == "tea"


def test_beliefs_fade_while_nothing_is_learnt() -> None:
    policy = taught()

    _, now = policy.beliefs(CONTEXT[None], ACTIONS, START_MS)
    _, later = policy.beliefs(CONTEXT[None], ACTIONS, START_MS + 300 * DAY_MS)

    assert (later > 2 * now).all()


def test_a_retired_action_is_as_unknown_as_a_new_one() -> None:
    policy = taught()
    policy.retire(["lamp"])

    mean, spread = policy.beliefs(CONTEXT[None], ["lamp", "new"], START_MS)

    assert (mean[0, 0], spread[0, 0]) == (mean[0, 1], spread[0, 1])
    assert {found.action for found in policy.figures(START_MS)} == {"mug", "tea"}


def test_memory_is_bounded_by_the_number_of_actions() -> None:
    policy = taught(settings=PolicySettings(features=2, actions_max=2))

    assert len(policy.evidence) == 2


def test_choices_that_the_context_does_not_explain_are_weighed_by_their_propensity() -> None:
    settings = PolicySettings(features=2, weight_max=4.0)
    policy = Policy(settings)
    [one] = lessons(1, seed=1)
    seldom = msgspec.structs.replace(one.decision, propensities=(1 / 6,) * 3)
    hardly = msgspec.structs.replace(one.decision, propensities=(1e-6,) * 3)

    for decision in (one.decision, seldom, hardly):
        policy.learn([Lesson(decision, 0.0, 0.0, is_first=True)])

    factor = policy.evidence.factor(START_MS)
    assert (factor * policy.evidence.impressions).sum() == pytest.approx(1.0 + 2.0 + 4.0)


def test_features_that_are_wild_or_no_numbers_cannot_swing_it() -> None:
    policy = taught()

    decision = policy.decide(np.array([np.nan, 1e300]), ACTIONS, "d1", START_MS)

    assert decision.context == (0.0, 10.0)
    assert np.isfinite(decision.propensities).all()


def test_an_offers_own_context_is_logged_with_it() -> None:
    each = np.array([[1.0, 0.0], [2.0, 0.0], [3.0, 0.0]])

    decision = taught().decide(each, ACTIONS, "d1", START_MS)

    assert decision.context == tuple(each[ACTIONS.index(decision.chosen)])


def test_lessons_of_a_policy_with_other_features_are_left_out() -> None:
    policy = Policy(PolicySettings(features=3))

    policy.learn(lessons(5, seed=1))

    assert (policy.n_learnt, len(policy.evidence)) == (0, 0)


@pytest.mark.parametrize(
    ("context", "actions", "problem"),
    [
        (np.zeros(3), ACTIONS, "2 features"),
        (np.zeros((2, 2)), ACTIONS, "2 features"),
        (CONTEXT, [], "0 actions"),
        (CONTEXT, ["mug", "mug"], "a name of its own"),
        (CONTEXT, [f"a{k}" for k in range(2_000)], "2000 actions"),
    ],
)
def test_what_cannot_be_decided_is_said(context: Any, actions: list[str], problem: str) -> None:
    with pytest.raises(UsageError, match=problem):
        Policy(SETTINGS).decide(context, actions, "d1", START_MS)


@pytest.mark.parametrize(
    ("field", "value"),
    [("floor", 0.0), ("floor", 0.5), ("ceiling", 1.5), ("half_life_ms", 5), ("features", -1)],
)
def test_a_setting_out_of_bounds_is_named(field: str, value: float) -> None:
    with pytest.raises(ConfigurationError, match=field):
        Policy(msgspec.structs.replace(SETTINGS, **{field: value}))


def test_policies_with_different_settings_are_not_joined() -> None:
    with pytest.raises(ValueError, match="different settings"):
        merge(taught(), Policy(PolicySettings(features=2, floor=0.1)))
