"""The laws of the columnar core: cuts do not matter; for linear columns, order does not either."""

from __future__ import annotations

import random

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from profiler.batch import Screen
from profiler.columns import DAY_MS, HOUR_MS, Snapshot
from profiler.records import RawRecord
from profiler.spec import DEFAULT_SPEC
from profiler.state import decode_states, is_tombstone
from tests.folding import Fold, assert_equal
from tests.strategies import START_MS, event_lists, record


def click(offset: int, **fields: object) -> RawRecord:
    event = {"type": "click", "ts": START_MS, "user_id": "u", "event_id": f"e{offset}", **fields}
    return record(event, offset)


def test_a_duplicate_from_another_partition_is_not_applied_when_it_comes_again() -> None:
    fold = Fold()
    original, copy = click(0, event_id="x"), click(0, event_id="x")._replace(partition=1)
    fold.apply([original])
    fold.apply([copy])
    # Enough to push its id out of the ring.
    fold.apply([click(k) for k in range(1, 41)])

    _, processed = fold.apply([copy])

    assert processed.outcomes["fenced"] == 1
    assert int(fold.row("user", "u")["core.n_accepted"][0]) == 41


@given(events=event_lists(min_size=1), cuts=st.lists(st.integers(1, 79), max_size=6))
@settings(deadline=None, max_examples=150)
def test_any_split_into_batches_gives_the_same_rows(
    events: list[dict[str, object]], cuts: list[int]
) -> None:
    records = [record(event, k) for k, event in enumerate(events)]

    whole = Fold().apply_in_parts(records, [])
    parts = Fold().apply_in_parts(records, cuts)

    assert whole.states.keys() == parts.states.keys()
    for pid, row in whole.rows().items():
        assert_equal(row, parts.rows()[pid])


@given(events=event_lists(min_size=1, max_size=60))
@settings(deadline=None, max_examples=60)
def test_one_batch_gives_bit_for_bit_the_sequential_columns_of_single_events(
    events: list[dict[str, object]],
) -> None:
    records = [record(event, k) for k, event in enumerate(events)]

    whole = Fold().apply_in_parts(records, [])
    single = Fold().apply_in_parts(records, range(1, len(records)))

    for pid, row in whole.rows().items():
        for column in DEFAULT_SPEC.columns:
            if column.kind == "sequential":
                assert row[column.name].tobytes() == single.rows()[pid][column.name].tobytes()


@given(events=event_lists(min_size=2), seed=st.integers(0, 1_000))
@settings(deadline=None, max_examples=100)
def test_any_order_gives_the_same_linear_columns(
    events: list[dict[str, object]], seed: int
) -> None:
    distinct = [{**event, "event_id": f"distinct{k}"} for k, event in enumerate(events)]
    shuffled = random.Random(seed).sample(distinct, len(distinct))

    a = Fold().apply_in_parts([record(e, k) for k, e in enumerate(distinct)], [])
    b = Fold().apply_in_parts([record(e, k) for k, e in enumerate(shuffled)], [len(events) // 2])

    for pid, row in a.rows().items():
        assert_equal(row, b.rows()[pid], linear_only=True)


def test_records_at_or_below_the_fence_change_nothing() -> None:
    fold = Fold()
    records = [click(k) for k in range(5)]
    fold.apply(records)
    before = dict(fold.states)

    _, processed = fold.apply(records)

    assert fold.states == before
    assert processed.outcomes["fenced"] == 5


def test_partitions_have_fences_of_their_own() -> None:
    fold = Fold()
    fold.apply([click(7)])

    fold.apply([click(3, event_id="other")._replace(partition=1)])
    _, again = fold.apply([click(3, event_id="other")._replace(partition=1), click(7)])

    assert fold.row("user", "u")["core.n_accepted"][0] == 2
    assert again.outcomes["fenced"] == 2


def test_a_repeated_event_id_counts_once() -> None:
    fold = Fold()

    _, processed = fold.apply([click(0, event_id="same"), click(1, event_id="same")])
    _, later = fold.apply([click(2, event_id="same")])

    assert processed.outcomes["duplicate"] == later.outcomes["duplicate"] == 1
    assert fold.row("user", "u")["activity.count"].sum() == 1


def test_ids_are_remembered_for_32_accepted_events() -> None:
    ids = ["first", *(f"other{k}" for k in range(31)), "first", "last", "first"]
    fold = Fold()

    fold.apply([click(k, event_id=i) for k, i in enumerate(ids)])

    # The second "first" comes 31 events after it and is known; the third comes 33 after.
    assert fold.row("user", "u")["core.n_accepted"][0] == len(ids) - 1


def test_equal_records_without_an_id_are_different_events() -> None:
    fold = Fold()

    fold.apply([click(k, event_id=None) for k in range(3)])

    assert fold.row("user", "u")["activity.count"].sum() == 3


def test_a_decayed_count_halves_in_a_half_life() -> None:
    fold = Fold()

    fold.apply([click(0), click(1, ts=START_MS + HOUR_MS)])

    row = fold.row("user", "u")
    out = DEFAULT_SPEC.project(Snapshot(row))
    place = next(s.offset for s in DEFAULT_SPEC.slices if s.name == "activity_hour")
    assert np.isclose(np.expm1(out[0, place]), 1.5, rtol=1e-6)


def test_erasure_leaves_a_tombstone_that_later_events_cannot_undo() -> None:
    fold = Fold()
    fold.apply([click(0)])

    fold.apply([record({"type": "erase", "ts": START_MS, "user_id": "u"}, 1), click(2)])
    _, processed = fold.apply([click(3), click(4)])

    (value,) = fold.states.values()
    assert is_tombstone(value)
    assert decode_states([value], DEFAULT_SPEC, {}).rev[0] == 2
    assert processed.outcomes["erased"] == 2


def test_unused_types_are_accepted_and_change_nothing() -> None:
    fold = Fold()

    _, processed = fold.apply(
        [
            record({"type": "identify", "ts": START_MS, "user_id": "u"}, 0),
            record({"type": "consent", "ts": START_MS, "user_id": "u", "purposes": {}}, 1),
        ]
    )

    assert fold.states == {}
    assert processed.outcomes["accepted_unused"] == 2


def test_clock_skew_and_age_are_judged_by_the_records_timestamp() -> None:
    fold = Fold(screen=Screen(HOUR_MS, DAY_MS, frozenset({"archive"})))
    stamped = START_MS + 2 * DAY_MS
    future = click(0, ts=stamped + HOUR_MS + 1)._replace(timestamp=stamped)
    old = click(1)._replace(timestamp=stamped)
    archived = click(2, source="archive")._replace(timestamp=stamped)

    prepared, processed = fold.apply([future, old, archived])

    assert [(r.index, r.reason) for r in prepared.rejected] == [(0, "clock_skew"), (1, "too_old")]
    assert processed.outcomes["applied"] == 1


class _Poisoned:
    """The default spec, but one price makes it raise."""

    def __init__(self) -> None:
        self.__dict__.update(vars(DEFAULT_SPEC))

    def __getattr__(self, name: str) -> object:
        return getattr(DEFAULT_SPEC, name)

    def features(self, rows: object, events: object) -> object:
        if (events.price == 666.0).any():  # type: ignore[attr-defined]  # a test's own stand-in
            raise ValueError("poisoned")
        return DEFAULT_SPEC.features(rows, events)  # type: ignore[arg-type]


def test_a_batch_that_raises_is_halved_until_the_bad_event_stands_alone() -> None:
    fold = Fold(spec=_Poisoned())  # type: ignore[arg-type]
    records = [click(k, price=666.0 if k == 5 else 1.0) for k in range(11)]

    _prepared, processed = fold.apply(records)
    _, again = fold.apply(records)

    assert [(r.index, r.reason) for r in processed.rejected] == [(5, "update_failed")]
    assert processed.outcomes["applied"] == 10
    assert again.outcomes["applied"] == 0
    assert fold.row("user", "u")["activity.count"].sum() == 10
