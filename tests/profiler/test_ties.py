"""Ties: in whatever order and wherever events come, the same people are tied as strongly."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from profiler.audit_ties import compare_ties
from profiler.columns import DAY_MS, MONTH_MS
from profiler.events import Consent, Follow
from profiler.identity import NO_LINKS
from profiler.records import RawRecord
from profiler.reference_ties import ReferenceTies
from profiler.spec import DEFAULT_SPEC
from profiler.state import decode_states
from profiler.ties import NO_TIES, TIES_MAX, Stated, Ties
from tests.folding import Fold, assert_equal
from tests.strategies import START_MS, record

Event = dict[str, Any]
SPAN_MS = 20 * 365 * DAY_MS
"""Beyond the 64 half-lives after which landmarks move."""
times = st.one_of(st.integers(0, 60).map(lambda d: d * DAY_MS), st.integers(0, SPAN_MS))


def stated(n_others: int) -> st.SearchStrategy[Stated]:
    return st.builds(
        Stated,
        st.sampled_from([f"p{k}" for k in range(n_others)]),
        st.sampled_from(["follow", "friend"]),
        st.one_of(st.none(), st.sampled_from([0.5, 1.0, 3.0])),
        times.map(lambda ms: START_MS + ms),
    )


few = st.lists(stated(TIES_MAX // 2), max_size=40)
many = st.lists(stated(30), max_size=120)


def told(said: Sequence[Stated]) -> ReferenceTies:
    """The definition once more."""
    found = ReferenceTies()
    for pid, relation, weight, ts in said:
        action = "remove" if weight is None else "add"
        fields = {"relation": relation, "action": action, "weight": weight or 1.0}
        event = {"ts": ts, "user_id": "u", "target_id": pid, **fields}
        found.say(msgspec.convert({**event, "type": "follow"}, Follow), pid)
    return found


def equal(a: Ties, b: Ties) -> bool:
    return (a.as_of_ms, len(a.entries)) == (b.as_of_ms, len(b.entries)) and all(
        (x.key, x.last_ms, x.cut_ms) == (y.key, y.last_ms, y.cut_ms)
        and math.isclose(x.strength, y.strength, rel_tol=1e-9, abs_tol=1e-290)
        for x, y in zip(a.entries, b.entries, strict=True)
    )


@given(said=few, order=st.randoms(use_true_random=False))
def test_ties_do_not_depend_on_the_order_while_none_is_crowded_out(
    said: list[Stated], order: Any
) -> None:
    shuffled = list(said)
    order.shuffle(shuffled)

    assert equal(NO_TIES.stating(said), NO_TIES.stating(shuffled))


@given(said=many, cut=st.integers(0, 120))
def test_ties_do_not_depend_on_batches(said: list[Stated], cut: int) -> None:
    assert NO_TIES.stating(said[:cut]).stating(said[cut:]) == NO_TIES.stating(said)


@given(said=few)
def test_ties_are_as_strong_as_all_that_was_said_of_them(said: list[Stated]) -> None:
    assert list(compare_ties(told(said), NO_TIES.stating(said))) == []


@given(said=many)
def test_of_too_many_ties_the_strong_ones_stay_and_the_error_is_bounded(
    said: list[Stated],
) -> None:
    assert list(compare_ties(told(said), NO_TIES.stating(said))) == []


@given(a=many, b=many)
def test_merging_is_commutative(a: list[Stated], b: list[Stated]) -> None:
    x, y = NO_TIES.stating(a), NO_TIES.stating(b)

    assert equal(x.merged(y), y.merged(x))


@given(said=few, cut=st.integers(0, 40))
def test_merged_ties_are_those_of_all_that_was_said(said: list[Stated], cut: int) -> None:
    merged = NO_TIES.stating(said[:cut]).merged(NO_TIES.stating(said[cut:]))

    assert equal(merged, NO_TIES.stating(said))


def test_a_tie_halves_in_a_month_and_ends_with_the_latest_word() -> None:
    ties = NO_TIES.stating([Stated("bob", "friend", 4.0, START_MS)])

    (tie,) = ties.strongest(START_MS + MONTH_MS)
    gone = ties.stating([Stated("bob", "friend", None, START_MS + 2)])
    again = gone.stating([Stated("bob", "friend", 1.0, START_MS + 3)])

    assert tie.strength == pytest.approx(2.0)
    assert gone.strongest(START_MS) == []
    assert gone.stating([Stated("bob", "friend", 1.0, START_MS + 1)]).strongest(START_MS) == []
    assert len(again.strongest(START_MS)) == 1


@pytest.mark.parametrize("order", [*itertools.permutations([(True, 1), (False, 5), (True, 3)])])
def test_the_latest_word_on_consent_counts_and_no_is_the_answer_in_doubt(order: Any) -> None:
    ties = NO_TIES
    for answer, ms in order:
        ties = ties.consenting(answer, ms)

    assert NO_TIES.consents is None
    assert ties.consents is False
    assert ties.consenting(True, 5).consents is False
    assert ties.consenting(True, 6).consents is True


# What batches do with events.

SUBJECTS = ({"user_id": "ann"}, {"user_id": "bob"}, {"device_id": "phone"}, {"anonymous_id": "a"})
TARGETS = (("user", "ann"), ("user", "bob"), ("device", "phone"), ("anonymous", "x"))


@st.composite
def histories(draw: st.DrawFn) -> list[Event]:
    events: list[Event] = []
    for k in range(draw(st.integers(1, 24))):
        subject = draw(st.sampled_from(SUBJECTS))
        event: Event = {"ts": START_MS + draw(times), "event_id": f"e{k}", **subject}
        kind = draw(st.sampled_from(["follow", "follow", "click", "consent"]))
        if kind == "follow":
            (name, own), (target_kind, target) = *subject.items(), draw(st.sampled_from(TARGETS))
            if (name, own) == (f"{target_kind}_id", target):
                target_kind, target = "user", "zoe"
            event |= {"target_kind": target_kind, "target_id": target}
            event |= {"action": draw(st.sampled_from(["add", "add", "remove"])), "weight": 2.0}
        elif kind == "consent":
            event["purposes"] = {"ties": draw(st.booleans()), "ads": False}
        events.append({**event, "type": kind})
    return events


def records_of(events: Sequence[Event], partition: Sequence[int] = ()) -> list[RawRecord]:
    several = zip(events, partition or [0] * len(events), strict=True)
    return [record(e, k)._replace(partition=p) for k, (e, p) in enumerate(several)]


def ties_of(found: Fold) -> dict[str, Ties]:
    states = {p: decode_states([value], DEFAULT_SPEC, {}) for p, value in found.states.items()}
    return {p: stored.links.get(0, NO_LINKS).ties for p, stored in states.items()}


@settings(max_examples=100, deadline=None)
@given(
    events=histories(),
    chance=st.randoms(use_true_random=False),
    cuts=st.lists(st.integers(1, 24), max_size=6),
)
def test_any_order_any_cut_and_any_partitions_end_in_the_same_ties_and_sums(
    events: list[Event], chance: Any, cuts: list[int]
) -> None:
    shuffled = list(events)
    chance.shuffle(shuffled)
    partition = [chance.randrange(3) for _ in shuffled]

    straight = Fold().apply_in_parts(records_of(events), [])
    other = Fold().apply_in_parts(records_of(shuffled, partition), cuts)

    rows, other_rows = straight.rows(), other.rows()
    assert rows.keys() == other_rows.keys()
    for pid in rows:
        assert_equal(rows[pid], other_rows[pid], linear_only=True)
    ties, other_ties = ties_of(straight), ties_of(other)
    assert all(equal(ties[pid], other_ties[pid]) for pid in rows)
    assert all(ties[pid].consents == other_ties[pid].consents for pid in rows)


def follow(subject: Event, target: str, ms: int = 0, **fields: Any) -> Event:
    return {"type": "follow", "ts": START_MS + ms, "target_id": target, **subject, **fields}


def test_a_follow_counts_once_for_each_of_both_however_often_it_comes() -> None:
    event = follow(SUBJECTS[0], "bob", event_id="f1", weight=3.0)

    found = Fold()
    _, processed = found.apply(records_of([event, event]))
    found.apply(records_of([event, event]))

    row, target = found.row("user", "ann"), found.row("user", "bob")
    weight = row["social.out"]
    assert processed.outcomes["applied"] == processed.outcomes["duplicate"] == 2
    np.testing.assert_array_equal(row["social.reach"], 0.0)
    np.testing.assert_array_equal(target["social.out"], 0.0)
    np.testing.assert_allclose(row["social.out_strength"], 3 * weight)
    np.testing.assert_allclose(target["social.reach"], weight)
    np.testing.assert_allclose(target["social.reach_strength"], 3 * weight)


def test_to_be_followed_is_not_activity() -> None:
    ann, bob = SUBJECTS[:2]
    clicks = [{"type": "click", "ts": START_MS + k * 60_000, **bob} for k in range(4)]
    follows = [follow(ann, "bob", k * 50_000) for k in range(90)]
    mixed = [event for pair in itertools.zip_longest(clicks, follows) for event in pair if event]

    alone = Fold().apply_in_parts(records_of(clicks), []).row("user", "bob")
    followed = Fold().apply_in_parts(records_of(mixed), [3, 17]).row("user", "bob")

    assert followed["core.n_accepted"] == 94
    for name in ("activity.count", "sessions.n_sessions", "sessions.depth", "sessions.last"):
        np.testing.assert_array_equal(alone[name], followed[name])
    # Relative to the same landmark.
    np.testing.assert_allclose(alone["rhythm.mass"], followed["rhythm.mass"])


def test_of_the_erased_no_tie_is_kept_and_none_begins() -> None:
    ann = SUBJECTS[0]
    no = {"type": "consent", "ts": START_MS, **ann, "purposes": {"ties": False}}
    before = [follow(ann, "bob"), no]
    erase = {"type": "erase", "ts": START_MS + 1, **ann}
    after = [follow(ann, "cid", 2), follow(SUBJECTS[1], "ann", 3)]

    found = Fold().apply_in_parts(records_of([*before, erase, *after]), range(1, 9))

    pid = found.pseudonymiser.pid
    states = decode_states([found.states[pid("user", "ann")]], DEFAULT_SPEC, {})
    assert states.erased[0]
    assert not states.links
    # Others keep what they said, and what was said of them.
    assert found.row("user", "cid")["social.reach"] > 0
    assert [t.pid for t in ties_of(found)[pid("user", "bob")].entries] == [pid("user", "ann")]


def test_a_profile_shows_the_ties_of_all_who_belong_to_it_but_those_among_them() -> None:
    ann, phone = SUBJECTS[0], SUBJECTS[2]
    link = {"type": "identify", "ts": START_MS, **ann, **phone}
    events = [
        follow(phone, "bob", weight=2.0),
        follow(ann, "bob", weight=1.0),
        follow(ann, "phone", target_kind="device"),
        {"type": "consent", "ts": START_MS, **phone, "purposes": {"ties": False}},
        link,
    ]

    found = Fold().apply_in_parts(records_of(events), []).settle()

    summary = msgspec.json.decode(found.summaries[found.pseudonymiser.pid("user", "ann")])
    bob = found.pseudonymiser.pid("user", "bob")
    assert summary["ties"] == [[bob, "follow", 3.0]]
    assert summary["consent"] == {"ties": False}


def test_only_the_purpose_ties_says_anything_about_ties() -> None:
    found = ReferenceTies()
    found.agree(Consent(ts=1, user_id="u", purposes={"ads": False}))

    assert found.consent() == (-1, -1)
