"""Stored states: round trips, migration, refusal, and the laws of merging."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from profiler.columns import Rows
from profiler.dedupe import Fences, partition_code
from profiler.errors import CorruptState, UnknownSpec
from profiler.facets import FACETS
from profiler.facets.activity import Activity
from profiler.spec import DEFAULT_SPEC, Spec
from profiler.state import (
    decode_states,
    encode_states,
    encode_tombstone,
    merge_rows,
    unknown_specs,
)
from tests.folding import Fold, assert_equal
from tests.strategies import event_lists, record

SMALLER = Spec(tuple(facet for facet in FACETS if facet.name != "rhythm"))
_MORE_TYPES = Activity(
    columns=tuple(
        msgspec.structs.replace(column, shape=(column.shape[0] + 1,))
        for column in Activity().columns
    )
)
WIDER = Spec(tuple(_MORE_TYPES if facet.name == "activity" else facet for facet in FACETS))


def fold_of(events: list[dict[str, object]], *, user: str = "u") -> Fold:
    """All events as those of one person, with ids that are theirs alone."""
    return Fold().apply_in_parts(
        [record({**e, "user_id": user, "event_id": f"e{k}"}, k) for k, e in enumerate(events)], []
    )


def row_of(events: list[dict[str, object]], *, user: str = "u") -> Rows:
    """The row of this person, without those whom they follow."""
    return fold_of(events, user=user).row("user", user)


@given(events=event_lists(min_size=1), partitions=st.lists(st.integers(0, 2**24 - 1), max_size=4))
@settings(deadline=None, max_examples=50)
def test_states_come_back_from_their_bytes(
    events: list[dict[str, object]], partitions: list[int]
) -> None:
    rows = row_of(events)
    fences = Fences.empty(len(rows))
    for p in partitions:
        fences.raise_to(np.array([0]), np.array([partition_code(0, p)]), np.array([p + 7]))

    values = encode_states(DEFAULT_SPEC, rows, np.array([3]), fences)
    stored = decode_states(values, DEFAULT_SPEC, {})

    assert stored.rows.tobytes() == rows.tobytes()
    assert stored.rev.tolist() == [3]
    assert stored.fences.partition.tolist() == fences.partition.tolist()
    assert stored.fences.offset.tolist() == fences.offset.tolist()
    assert stored.fences.more == fences.more


def test_a_row_keeps_a_fence_for_every_partition_its_events_came_from() -> None:
    fences = Fences.empty(1)
    for p in range(300):
        fences.raise_to(np.array([0]), np.array([partition_code(0, p)]), np.array([p + 7]))

    [value] = encode_states(DEFAULT_SPEC, DEFAULT_SPEC.empty(1), np.array([3]), fences)

    assert decode_states([value], DEFAULT_SPEC, {}).fences.more == fences.more


def test_people_of_whom_nothing_is_known_have_empty_rows_and_revision_zero() -> None:
    stored = decode_states([None, encode_tombstone(5, 1)], DEFAULT_SPEC, {})

    assert stored.rev.tolist() == [0, 5]
    assert stored.erased.tolist() == [False, True]
    assert not any(stored.rows.tobytes())


def test_a_row_of_a_known_other_spec_is_migrated_by_name_and_type() -> None:
    rows = np.concatenate(
        list(fold_of([{"type": "click", "ts": 1_700_000_000_000}]).rows().values())
    )
    old = SMALLER.empty(1)
    for name in SMALLER.dtype.names or ():
        old[name] = rows[name]
    (value,) = encode_states(SMALLER, old, np.array([9]), Fences.empty(1))

    assert unknown_specs([value, None], DEFAULT_SPEC, {}) == {SMALLER.hash}
    stored = decode_states([value], DEFAULT_SPEC, {SMALLER.hash: SMALLER.layout()})

    assert stored.rev.tolist() == [9]
    assert stored.rows["activity.count"].tolist() == rows["activity.count"].tolist()
    assert stored.rows["rhythm.mass"].tolist() == [0.0]


def test_a_wider_column_takes_over_what_the_narrower_one_held() -> None:
    rows = np.concatenate(
        list(fold_of([{"type": "click", "ts": 1_700_000_000_000}]).rows().values())
    )
    (value,) = encode_states(DEFAULT_SPEC, rows, np.array([9]), Fences.empty(1))

    stored = decode_states([value], WIDER, {DEFAULT_SPEC.hash: DEFAULT_SPEC.layout()})

    for name in ("activity.count", "activity.month"):
        assert stored.rows[name].tolist() == [[*rows[name][0].tolist(), 0]]
    assert stored.rows["interest.short"].tolist() == rows["interest.short"].tolist()


def test_a_row_of_an_unknown_spec_is_refused_by_name() -> None:
    (value,) = encode_states(SMALLER, SMALLER.empty(1), np.array([1]), Fences.empty(1))

    with pytest.raises(UnknownSpec, match=SMALLER.hash):
        decode_states([value], DEFAULT_SPEC, {})


@given(data=st.binary(max_size=64) | st.binary(min_size=1_880, max_size=1_930))
@settings(deadline=None)
def test_bytes_that_are_no_state_are_refused(data: bytes) -> None:
    if data[:1] == b"\x02" and len(data) >= 18 and data[16] < 128:
        return  # any such bytes are a tombstone

    with pytest.raises((CorruptState, UnknownSpec)):
        decode_states([data], DEFAULT_SPEC, {})


@given(a=event_lists(min_size=1, max_size=40), b=event_lists(min_size=1, max_size=40))
@settings(deadline=None, max_examples=80)
def test_merging_is_commutative(a: list[dict[str, object]], b: list[dict[str, object]]) -> None:
    x, y = row_of(a), row_of(b, user="v")

    assert_equal(merge_rows(DEFAULT_SPEC, x, y), merge_rows(DEFAULT_SPEC, y, x))


@given(
    a=event_lists(min_size=1, max_size=25),
    b=event_lists(min_size=1, max_size=25),
    c=event_lists(min_size=1, max_size=25),
)
@settings(deadline=None, max_examples=60)
def test_merging_is_associative_on_linear_columns(
    a: list[dict[str, object]], b: list[dict[str, object]], c: list[dict[str, object]]
) -> None:
    x, y, z = map(row_of, (a, b, c))

    left = merge_rows(DEFAULT_SPEC, merge_rows(DEFAULT_SPEC, x, y), z)
    right = merge_rows(DEFAULT_SPEC, x, merge_rows(DEFAULT_SPEC, y, z))

    assert_equal(left, right, linear_only=True)


@given(events=event_lists(min_size=2), cut=st.integers(1, 79))
@settings(deadline=None, max_examples=100)
def test_merging_two_parts_of_a_history_equals_the_whole(
    events: list[dict[str, object]], cut: int
) -> None:
    cut = min(cut, len(events) - 1)
    whole = row_of(events)
    first, second = row_of(events[:cut]), row_of(events[cut:])

    merged = merge_rows(DEFAULT_SPEC, first, second)

    assert_equal(merged, whole, linear_only=True)
    n_parts = first["sessions.n_sessions"][0] + second["sessions.n_sessions"][0]
    assert whole["sessions.n_sessions"][0] <= merged["sessions.n_sessions"][0] <= n_parts


def test_merging_with_an_empty_row_changes_nothing() -> None:
    (row,) = fold_of([{"type": "click", "ts": 1_700_000_000_000, "item_id": "i"}]).rows().values()

    merged = merge_rows(DEFAULT_SPEC, row, DEFAULT_SPEC.empty(1))

    assert_equal(merged, row)
