"""Links: in whatever order they come, the same people end in the same profiles."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from profiler.pipeline import visible
from profiler.privacy.pseudonym import Pseudonymiser
from profiler.records import RawRecord
from profiler.spec import DEFAULT_SPEC
from profiler.state import merge_rows
from profiler.tokens import hash_text
from tests.folding import KEY, Fold, assert_equal
from tests.strategies import START_MS, record

SUBJECTS = (
    *({"user_id": u} for u in ("ann", "bob", "cid")),
    *({"device_id": d} for d in ("phone", "tablet")),
    *({"anonymous_id": a} for a in ("a1", "a2", "a3")),
)
KINDS = {"user_id": "user", "device_id": "device", "anonymous_id": "anonymous"}
SEQUENTIAL = ("interest_focus", "sessions", "intent")
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
    """The definition once more: who belongs to whom, by all links together."""
    order = ("user_id", "device_id", "anonymous_id")
    pairs: dict[tuple[str, str], list[Event]] = {}
    for event in events:
        present = [{name: event[name]} for name in order if name in event]
        if event["type"] == "identify":
            for other in present[1:]:
                pairs.setdefault((pid(other), pid(present[0])), []).append(event)
    found: dict[str, list[tuple[bool, int, int, str]]] = {}
    for (member, owner), said in pairs.items():
        links = [e for e in said if not e.get("unlink")]
        last = max((e["ts"] for e in links), default=-1)
        cut = max((e["ts"] for e in said if e.get("unlink")), default=-1)
        if last > cut:
            first = min((e["ts"], hash_text(e["event_id"])) for e in links)
            is_user = "user_id" in said[0]
            found.setdefault(member, []).append((not is_user, *first, owner))
    return {member: min(claims)[3] for member, claims in found.items()}


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
