from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from profiler.events import Feedback
from profiler.optimisation.decision import Decision, Rewards
from profiler.optimisation.pending import Pending, Waiting
from profiler.optimisation.policy import Policy, PolicySettings

START_MS = 1_700_000_000_000
RESULTS = ("shown", "clicked", "bought", "dismissed")


def decision(name: str = "d1", chosen: str = "mug") -> Decision:
    actions = ("mug", "lamp")
    return Decision(name, START_MS, (0.5,), actions, (0.75, 0.25), chosen, actions, "v1")


def feedback(result: Any, of: str | None = "d1", after_ms: int = 1_000, **more: Any) -> Feedback:
    return Feedback(
        ts=START_MS + after_ms, user_id="u", action=result, recommendation_id=of, **more
    )


@given(st.lists(st.sampled_from(RESULTS), min_size=1, max_size=8), st.integers(0, 8))
def test_neither_order_nor_repetition_of_feedback_changes_what_is_learnt(
    results: list[str], cut: int
) -> None:
    pending, policy = Pending(Rewards()), Policy(PolicySettings(features=1))
    pending.add(decision())

    for part in (results[:cut], results[cut:]):
        policy.learn(pending.join([feedback(result) for result in part]))

    best = max(Rewards().of(result) for result in results)  # type: ignore[arg-type]  # drawn
    assert policy.evidence.impressions * policy.evidence.factor(START_MS) == pytest.approx([1.0])
    assert policy.figures(START_MS)[0].reward == pytest.approx(best)
    factor = policy.evidence.factor(START_MS)
    assert policy.evidence.squares * factor == pytest.approx([best**2])


def test_what_was_shown_and_led_to_nothing_is_learnt_as_nothing() -> None:
    pending = Pending(Rewards())
    pending.add(decision())

    [lesson] = pending.join([feedback("shown")])

    assert (lesson.is_first, lesson.before, lesson.after) == (True, 0.0, 0.0)


@pytest.mark.parametrize(
    ("event", "outcome"),
    [
        (feedback("clicked", of="another"), "unknown"),
        (feedback("clicked", of=None), "unknown"),
        (feedback("clicked", after_ms=10_001), "late"),
        (feedback("clicked", item_id="lamp"), "other_item"),
        (feedback("clicked", item_id="mug"), "learnt"),
        (feedback("clicked", after_ms=10_000), "learnt"),
    ],
)
def test_feedback_counts_only_for_the_decision_that_it_is_due_to(
    event: Feedback, outcome: str
) -> None:
    pending = Pending(Rewards(), horizon_ms=10_000)
    pending.add(decision())

    lessons = pending.join([event])

    assert pending.counts == {outcome: 1}
    assert len(lessons) == (outcome == "learnt")


def test_the_buffer_is_bounded_and_drops_the_oldest() -> None:
    pending = Pending(Rewards(), decisions_max=2)
    for name in ("d1", "d2", "d3"):
        pending.add(decision(name))

    lessons = pending.join([feedback("clicked", of=name) for name in ("d1", "d2", "d3")])

    assert len(pending) == 2
    assert [lesson.decision.decision_id for lesson in lessons] == ["d2", "d3"]


def test_what_is_restored_is_bounded_too() -> None:
    smaller = Pending(Rewards(), decisions_max=2)

    smaller.restore([Waiting(decision(name)) for name in ("d1", "d2", "d3")])

    assert [one.decision.decision_id for one in smaller.export()] == ["d2", "d3"]


def test_a_decision_told_twice_keeps_what_was_heard_of_it() -> None:
    pending = Pending(Rewards())
    pending.add(decision())
    pending.join([feedback("clicked")])

    pending.add(decision())

    assert pending.join([feedback("clicked")]) == []


def test_what_waits_survives_json() -> None:
    pending = Pending(Rewards())
    pending.add(decision("d1"))
    pending.add(decision("d2"))
    pending.join([feedback("clicked", of="d1")])

    after = Pending(Rewards())
    said = msgspec.json.encode(pending.export())
    after.restore(msgspec.json.decode(said, type=list[Waiting]))

    [bought, shown] = after.join([feedback("bought", of="d1"), feedback("shown", of="d2")])
    assert (bought.before, bought.after, bought.is_first) == (0.2, 1.0, False)
    assert shown.is_first


def test_a_decision_whose_parts_do_not_fit_is_refused() -> None:
    said = msgspec.to_builtins(decision())

    for damage in ({"chosen": "tea"}, {"propensities": [1.0]}, {"propensities": [0.0, 1.0]}):
        with pytest.raises(msgspec.ValidationError):
            msgspec.convert(said | damage, Decision)
    assert msgspec.convert(said, Decision).propensity == 0.75
    assert np.isclose(sum(decision().propensities), 1.0)
