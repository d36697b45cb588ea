"""Links: in whatever order they come, the same people end in the same profiles."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from profiler.events import Identify, event_of
from profiler.identity import CLAIMS_MAX, NO_LINKS, Claim, Links
from profiler.pipeline import visible
from profiler.privacy.pseudonym import Pseudonymiser
from profiler.records import RawRecord
from profiler.reference_links import ReferenceLinks
from profiler.spec import DEFAULT_SPEC
from profiler.state import decode_states, merge_rows
from tests.folding import KEY, Fold, assert_equal
from tests.strategies import START_MS, record

SUBJECTS = (
    *({"user_id": u} for u in ("ann", "bob", "cid")),
    *({"device_id": d} for d in ("phone", "tablet")),
    *({"anonymous_id": a} for a in ("a1", "a2", "a3")),
)
KINDS = {"user_id": "user", "device_id": "device", "anonymous_id": "anonymous"}
SEQUENTIAL = ("interest_focus", "sessions", "intent", "journey")
LINEAR = np.concatenate(
    [
        np.arange(s.offset, s.offset + s.length)
        for s in DEFAULT_SPEC.slices
        if s.name not in SEQUENTIAL
    ]
)
"""Places of the vector that do not depend on any order, that of merging included."""
PSEUDONYMISER = Pseudonymiser(KEY)
Event = dict[str, Any]


@st.composite
def histories(draw: st.DrawFn) -> list[Event]:
    events: list[Event] = []
    for k in range(draw(st.integers(1, 24))):
        event: Event = {"ts": START_MS + draw(st.integers(0, 60)) * 60_000, "event_id": f"e{k}"}
        if draw(st.booleans()):
            chosen = draw(st.sampled_from(SUBJECTS))
            events.append({**event, **chosen, "type": "click", "item_id": f"i{k % 5}"})
        else:
            several = draw(st.lists(st.sampled_from(SUBJECTS), min_size=2, max_size=3))
            ids = {name: value for one in several for name, value in one.items()}
            unlink = {"unlink": True} if draw(st.integers(0, 3)) == 0 else {}
            events.append({**event, **ids, **unlink, "type": "identify"})
    return events


def records_of(events: Sequence[Event]) -> list[RawRecord]:
    return [record(event, offset) for offset, event in enumerate(events)]


def fold(events: Sequence[Event], cuts: Sequence[int] = ()) -> Fold:
    return Fold().apply_in_parts(records_of(events), cuts).settle()


def pid(subject: Event) -> str:
    ((name, value),) = subject.items()
    return PSEUDONYMISER.pid(KINDS[name], value)


def owners(events: Sequence[Event]) -> dict[str, str]:
    """The definition once more."""
    links = ReferenceLinks(PSEUDONYMISER.pid)
    for fields in events:
        event = event_of(dict(fields))
        if isinstance(event, Identify):
            links.say(event, fields["event_id"])
    return links.owners()


@settings(max_examples=100, deadline=None)
@given(
    events=histories(),
    order=st.randoms(use_true_random=False),
    cuts=st.lists(st.integers(1, 24), max_size=6),
)
def test_any_order_and_any_cut_end_in_the_same_profiles(
    events: list[Event], order: Any, cuts: list[int]
) -> None:
    shuffled = list(events)
    order.shuffle(shuffled)

    straight, other = fold(events), fold(shuffled, cuts)

    expected = owners(events)
    moved = {p: o for p, o in expected.items() if p in straight.states}
    assert straight.moved == other.moved == moved
    assert straight.vectors.keys() == other.vectors.keys()
    rows, other_rows = straight.rows(), other.rows()
    assert rows.keys() == other_rows.keys()
    for one in rows:
        assert_equal(rows[one], other_rows[one], linear_only=True)
    for one, vector in straight.vectors.items():
        np.testing.assert_allclose(
            vector[LINEAR], expected_vector(straight, one, expected)[LINEAR], rtol=1e-5, atol=1e-5
        )
        np.testing.assert_allclose(vector[LINEAR], other.vectors[one][LINEAR], rtol=1e-5, atol=1e-5)


def expected_vector(found: Fold, one: str, owner: dict[str, str]) -> Any:
    """Project the merge of all rows that belong to somebody."""
    family = [one]
    for _ in range(2):
        family += [p for p in sorted(owner) if owner[p] in family and p not in family]
    rows = found.rows()
    merged = rows[one]
    for p in family[1:]:
        if p in rows:
            merged = merge_rows(DEFAULT_SPEC, merged, rows[p])
    return visible(DEFAULT_SPEC, merged)[0][0]


@settings(max_examples=100, deadline=None)
@given(
    events=histories(),
    cuts=st.lists(st.integers(1, 24), max_size=6),
    chance=st.randoms(use_true_random=False),
)
def test_looks_may_come_late_twice_and_in_any_order(
    events: list[Event], cuts: list[int], chance: Any
) -> None:
    straight, other = fold(events), Fold()
    places = sorted({0, len(events), *(c for c in cuts if c < len(events))})
    records = records_of(events)
    for start, end in itertools.pairwise(places):
        waiting, other.looks = other.looks, []
        chance.shuffle(waiting)
        now = [look for look in waiting if chance.random() < 0.5]
        other.apply(records[start:end], [*now, *now])
        other.looks += [look for look in waiting if look not in now or chance.random() < 0.5]
    other.settle()

    assert other.moved == straight.moved
    assert known(other) == known(straight)
    for one, vector in straight.vectors.items():
        np.testing.assert_allclose(vector[LINEAR], other.vectors[one][LINEAR], rtol=1e-5, atol=1e-5)


@given(events=histories(), chance=st.randoms(use_true_random=False))
def test_a_repetition_changes_nothing_and_tells_everybody_again(
    events: list[Event], chance: Any
) -> None:
    """A worker may die between a write and its looks; another reads the same records again."""
    straight, other = fold(events), Fold()
    records = records_of(events)
    cut = chance.randrange(len(records) + 1)
    other.apply(records[:cut])
    other.looks.clear()

    other.apply(records)
    other.settle()

    assert other.moved == straight.moved
    for one, vector in straight.vectors.items():
        np.testing.assert_allclose(vector[LINEAR], other.vectors[one][LINEAR], rtol=1e-5, atol=1e-5)


def known(found: Fold) -> dict[str, Links]:
    """Links of all of whom anything is known; an owner for a moment may leave an empty state."""
    links = {p: decoded(value) for p, value in found.states.items()}
    return {p: some for p, some in links.items() if some != NO_LINKS}


def decoded(value: bytes) -> Links:
    return decode_states([value], DEFAULT_SPEC, {}).links.get(0, NO_LINKS)


@pytest.mark.parametrize("linked_first", [True, False])
def test_whoever_belongs_to_somebody_who_is_erased_is_erased_too(linked_first: bool) -> None:
    links: list[Event] = [
        {"type": "identify", "ts": START_MS, "user_id": "ann", "device_id": "phone"},
        {"type": "identify", "ts": START_MS, "device_id": "phone", "anonymous_id": "a1"},
    ]
    clicks: list[Event] = [
        {"type": "click", "ts": START_MS, **subject} for subject in (SUBJECTS[0], SUBJECTS[3])
    ]
    erase: list[Event] = [{"type": "erase", "ts": START_MS + 1, "user_id": "ann"}]
    events = [*clicks, *links, *erase] if linked_first else [*clicks, *erase, *links]

    found = fold(events, range(1, 9))

    rows = {p: decode_states([v], DEFAULT_SPEC, {}) for p, v in found.states.items()}
    gone = [pid(s) for s in (SUBJECTS[0], SUBJECTS[3], SUBJECTS[5])]
    assert all(rows[p].erased[0] for p in gone)
    assert not found.moved
    assert not found.vectors


def test_storms_of_links_are_bounded() -> None:
    events: list[Event] = [
        {
            "type": "identify",
            "ts": START_MS + k,
            "user_id": f"u{k % 90}",
            "anonymous_id": f"a{k // 90}",
        }
        for k in range(900)
    ]

    found = fold(events)

    assert max(len(decoded(v).claims) for v in found.states.values()) == CLAIMS_MAX
    assert set(found.moved.values()) == {Fold().pseudonymiser.pid("user", "u0")}


claims = st.builds(
    lambda owner, first, last, cut: Claim(
        owner, 0, owner != "c", first, first % 3, max(first, last), cut
    ),
    st.sampled_from("abc"),
    st.integers(0, 9),
    st.integers(0, 9),
    st.integers(-1, 9),
)


@given(said=st.lists(claims, max_size=8), order=st.randoms(use_true_random=False))
def test_claims_are_a_semilattice(said: list[Claim], order: Any) -> None:
    """Any order, any repetition (CRDTs: Shapiro et al. 2011)."""
    again = [*said, *said]
    order.shuffle(again)

    def all_of(several: Sequence[Claim]) -> Links:
        links = NO_LINKS
        for claim in several:
            links = links.with_claim(claim)
        return links

    assert all_of(said) == all_of(again)
