from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from profiler.errors import CorruptState
from profiler.optimisation.evidence import Evidence, EvidenceRecord, merge
from tests.profiler.optimisation.observations import (
    HALF_LIFE_MS,
    START_MS,
    SUMS,
    Row,
    assert_same,
    evidence_of,
    rows,
)


def row(action: str, at_ms: int = START_MS, reward: float = 1.0, is_first: bool = True) -> Row:
    return action, 0.5, reward, is_first, at_ms


@given(rows(), rows())
def test_it_does_not_matter_whose_evidence_comes_first(a: list[Row], b: list[Row]) -> None:
    one, other = merge(evidence_of(a), evidence_of(b)), merge(evidence_of(b), evidence_of(a))

    assert one.places == other.places
    assert all((getattr(one, name) == getattr(other, name)).all() for name in SUMS)


@given(rows(), rows(), rows())
def test_nor_in_what_pairs_three_workers_are_joined(
    a: list[Row], b: list[Row], c: list[Row]
) -> None:
    x, y, z = map(evidence_of, (a, b, c))

    assert_same(merge(merge(x, y), z), merge(x, merge(y, z)))


@given(rows(), st.integers(0, 30), st.randoms(use_true_random=False))
def test_order_and_cuts_of_the_stream_do_not_matter(found: list[Row], cut: int, order: Any) -> None:
    shuffled = order.sample(found, len(found))

    assert_same(evidence_of(found), evidence_of(shuffled[:cut], shuffled[cut:]))


@given(rows(), st.integers(0, 30))
def test_two_workers_together_know_what_one_would_have_known(found: list[Row], cut: int) -> None:
    assert_same(evidence_of(found), merge(evidence_of(found[:cut]), evidence_of(found[cut:])))


def test_an_impression_counts_half_after_the_half_life() -> None:
    evidence = evidence_of([row("tea"), row("tea", START_MS + HALF_LIFE_MS)])

    now = evidence.factor(START_MS + HALF_LIFE_MS) * evidence.impressions
    later = evidence.factor(START_MS + 3 * HALF_LIFE_MS) * evidence.impressions

    assert now == pytest.approx([1.5])
    assert later == pytest.approx([1.5 / 4])


def test_a_click_that_comes_later_adds_to_the_reward_but_is_no_second_impression() -> None:
    together = evidence_of([row("tea", reward=1.0)])
    apart = evidence_of([row("tea", reward=0.0)], [row("tea", reward=1.0, is_first=False)])

    assert_same(together, apart)


def test_evidence_survives_json_to_the_last_bit() -> None:
    evidence = evidence_of([row("tea", START_MS + 7), row("mug", START_MS + 12_345, 0.2)])

    said = msgspec.json.encode(evidence.export())
    restored = Evidence.restored(msgspec.json.decode(said, type=EvidenceRecord))

    assert restored.places == evidence.places
    assert restored.as_of_ms == evidence.as_of_ms
    assert all((getattr(restored, name) == getattr(evidence, name)).all() for name in SUMS)


@pytest.mark.parametrize(
    "damage",
    [
        {"dims": 0},
        {"half_life_ms": 0},
        {"as_of_ms": -1},
        {"gram": []},
        {"moment": [[1.0]]},
        {"impressions": [-1.0]},
        {"reward": [float("nan")]},
        {"actions": ["tea", "mug"]},
    ],
    ids=lambda damage: next(iter(damage)),
)
def test_damaged_evidence_is_refused(damage: dict[str, Any]) -> None:
    record = msgspec.structs.replace(evidence_of([row("tea")]).export(), **damage)

    with pytest.raises(CorruptState, match="polic"):
        Evidence.restored(record)


def test_only_the_actions_with_most_impressions_are_kept() -> None:
    evidence = evidence_of([row("tea"), row("tea"), row("mug"), row("mug"), row("lamp")])
    before = evidence_of([row("tea"), row("tea"), row("mug"), row("mug")])

    dropped = evidence.keep(2)

    assert dropped == ["lamp"]
    assert_same(evidence, before)


def test_a_forgotten_action_leaves_the_others_as_they_were() -> None:
    evidence = evidence_of([row("tea"), row("mug", reward=0.2)])

    evidence.forget(["tea", "never seen"])

    assert_same(evidence, evidence_of([row("mug", reward=0.2)]))


def test_evidence_with_another_half_life_cannot_be_joined() -> None:
    with pytest.raises(ValueError, match="half-lives"):
        merge(Evidence(2, 1_000), Evidence(2, 2_000))


def test_time_never_runs_back_for_a_late_observation() -> None:
    evidence = evidence_of([row("tea", START_MS + 10 * HALF_LIFE_MS)], [row("tea")])

    assert evidence.as_of_ms == START_MS + 10 * HALF_LIFE_MS
    known = evidence.factor(evidence.as_of_ms) * evidence.impressions
    assert known == pytest.approx([1.0 + 2.0**-10])
    assert np.isfinite(evidence.gram).all()
