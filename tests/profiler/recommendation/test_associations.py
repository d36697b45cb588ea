"""Associations against a slow reference: two dictionaries and one event after another."""

from __future__ import annotations

import itertools
from collections import defaultdict

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from profiler.columns import DAY_MS
from profiler.errors import CorruptState
from profiler.recommendation.associations import (
    HALF_LIFE_MS,
    NEARNESS,
    NEIGHBOURS_MAX,
    SLOW_HALF_LIFE_MS,
    Associations,
    TokenRows,
    Touched,
)
from profiler.recommendation.stored import (
    HEAD_BYTES,
    decode_heads,
    decode_rows,
    encode_rows,
    revisions_of,
)

START_MS = 1_600_000_000_000
Events = list[tuple[int, int, list[int]]]
"""Time in days, token, and the trail before, latest first."""

events = st.lists(
    st.tuples(
        st.integers(0, 400), st.integers(1, 9), st.lists(st.integers(1, 9), unique=True, max_size=4)
    ),
    max_size=40,
)


def touched(batch: Events) -> Touched:
    before = np.zeros((len(batch), 4), dtype=np.uint64)
    for k, (_, _, trail) in enumerate(batch):
        before[k, : len(trail)] = trail
    token = np.array([token for _, token, _ in batch], dtype=np.uint64)
    ts = np.array([START_MS + day * DAY_MS for day, _, _ in batch], dtype=np.int64)
    return Touched(ts, token, before, token, np.zeros((len(batch), 32)))


def table_of(*batches: Events) -> Associations:
    table = Associations()
    for batch in batches:
        table.add(touched(batch))
    return table


def at(table: Associations, now_ms: int) -> tuple[dict[tuple[int, int], float], dict[int, float]]:
    """All weights and slow counts at a time."""
    tokens = table.tokens()
    rows = table.rows(tokens)
    weights, slow = {}, {}
    for k, token in enumerate(tokens):
        age_ms = now_ms - int(rows.heads["as_of"][k])
        slow[token] = float(rows.heads["slow"][k]) * 2 ** (-age_ms / SLOW_HALF_LIFE_MS)
        for other, weight in zip(
            rows.neighbours[k].tolist(), rows.weights[k].tolist(), strict=True
        ):
            if other:
                weights[token, other] = weight * 2 ** (-age_ms / HALF_LIFE_MS)
    return weights, slow


def slowly(batch: Events, now_ms: int) -> tuple[dict[tuple[int, int], float], dict[int, float]]:
    weights: dict[tuple[int, int], float] = defaultdict(float)
    slow: dict[int, float] = defaultdict(float)
    for day, token, trail in batch:
        age_ms = now_ms - (START_MS + day * DAY_MS)
        slow[token] += 2 ** (-age_ms / SLOW_HALF_LIFE_MS)
        for place, other in enumerate(trail):
            weight = NEARNESS**place * 2 ** (-age_ms / HALF_LIFE_MS)
            weights[other, token] += weight
            if other != token:
                weights[token, other] += weight
    return dict(weights), dict(slow)


def assert_alike(found: tuple[dict, dict], expected: tuple[dict, dict]) -> None:  # type: ignore[type-arg]
    for one, other in zip(found, expected, strict=True):
        keys = {key for part in (one, other) for key, value in part.items() if value > 1e-30}
        for key in keys:
            assert one.get(key, 0.0) == pytest.approx(other.get(key, 0.0), rel=1e-4, abs=1e-9)


@given(events, st.lists(st.integers(0, 40), max_size=3))
def test_weights_are_decayed_sums_however_the_stream_is_cut(batch: Events, cuts: list[int]) -> None:
    places = sorted({0, len(batch), *(cut for cut in cuts if cut < len(batch))})
    now_ms = START_MS + 500 * DAY_MS

    table = table_of(*(batch[a:b] for a, b in itertools.pairwise(places)))

    assert_alike(at(table, now_ms), slowly(batch, now_ms))


@given(events, events)
def test_tables_merge_by_adding_in_any_order(a: Events, b: Events) -> None:
    now_ms = START_MS + 500 * DAY_MS
    both = []
    for first, second in ((a, b), (b, a)):
        table, other = table_of(first), table_of(second)
        table.merge(other.rows(other.tokens()))
        both.append(at(table, now_ms))

    assert_alike(both[0], slowly(a + b, now_ms))
    assert_alike(both[1], both[0])


def test_a_full_row_drops_its_weakest_neighbour() -> None:
    table = Associations()
    often = 7
    for other in range(1_000, 1_000 + NEIGHBOURS_MAX):
        table.add(touched([(0, other, [often])] * 2))

    table.add(touched([(0, 5, [often])]))
    table.add(touched([(0, 6, [often])]))

    row = table.rows([often])
    assert np.count_nonzero(row.neighbours) == NEIGHBOURS_MAX
    kept = set(row.neighbours[0].tolist())
    assert 6 in kept and 5 not in kept
    assert len(kept & set(range(1_000, 1_000 + NEIGHBOURS_MAX))) == NEIGHBOURS_MAX - 1


def test_a_token_that_nobody_touched_has_an_empty_row() -> None:
    table = table_of([(0, 1, [2])])

    rows = table.rows([99, 1])

    assert not rows.heads["count"][0] and not rows.weights[0].any()
    assert rows.heads["count"][1] == 1
    assert table.heads([99])["id"].tolist() == [0]


def test_nothing_is_left_after_it_was_cleared() -> None:
    table = table_of([(0, 1, [2])])

    table.clear()
    table.add(touched([(3, 4, [])]))

    assert table.tokens() == [4]
    assert not table.rows([4]).weights.any()


@given(events, st.integers(1, 2**63))
def test_rows_come_back_from_bytes(batch: Events, revision: int) -> None:
    table = table_of(batch)
    tokens = table.tokens()
    rows = table.rows(tokens)

    values = encode_rows(rows, [revision] * len(tokens))
    back = decode_rows([*values, None, b""])

    assert revisions_of([*values, None]) == [revision] * len(tokens) + [0]
    again = Associations()
    again.merge(back.at(slice(len(tokens))))
    now_ms = START_MS + 500 * DAY_MS
    assert_alike(at(again, now_ms), at(table, now_ms))
    assert not back.heads["id"][len(tokens) :].any()
    assert (decode_heads([v[:HEAD_BYTES] for v in values]) == rows.heads).all()


@pytest.mark.parametrize(
    "broken", [b"x" * 20, b"\1" * 200, encode_rows(TokenRows.empty(1), [1])[0][:-1]]
)
def test_what_is_no_row_is_refused(broken: bytes) -> None:
    with pytest.raises(CorruptState):
        decode_rows([broken])
