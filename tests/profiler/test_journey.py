"""Steps and stages of sessions, against numbers that follow from the definition."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from profiler.columns import MONTH_MS, Floats, Rows, Snapshot
from profiler.facets.journey import STEPS, Journey
from profiler.spec import DEFAULT_SPEC
from profiler.state import merge_rows
from tests.folding import Fold
from tests.strategies import START_MS, event_lists, record

MINUTE_MS = 60_000
END = len(STEPS)
LOOK, SEARCH, CART, PURCHASE = range(4)
EXTRA = {"search": {"query": "tea"}, "message": {"text": "hello"}}


def events_of(*steps: tuple[str, float], user: str = "u") -> list[dict[str, object]]:
    """Events by type and minute."""
    return [
        {"type": name, "ts": START_MS + round(minute * MINUTE_MS), "user_id": user}
        | EXTRA.get(name, {})
        for name, minute in steps
    ]


def row_after(*steps: tuple[str, float], cuts: list[int] | None = None) -> Rows:
    records = [record(event, k) for k, event in enumerate(events_of(*steps))]
    return Fold().apply_in_parts(records, cuts or []).row("user", "u")


def now(row: Rows, column: str) -> Floats:
    """Decayed values at the row's own moment."""
    return np.asarray(Snapshot(row).decayed(f"journey.{column}", MONTH_MS)[0])


def described(row: Rows) -> dict[str, Any]:
    (found,) = Journey().describe(Snapshot(row))
    return dict(msgspec.to_builtins(found))


def test_a_purchase_after_look_and_cart_passes_every_stage_and_takes_their_times() -> None:
    row = row_after(("browse", 0), ("cart", 5), ("purchase", 7))

    assert now(row, "reached") == pytest.approx([1, 1, 1], rel=1e-3)
    assert now(row, "passed") == pytest.approx([1, 1], rel=1e-3)
    assert described(row)["mean_s"] == [300.0, 120.0]
    assert described(row)["stage"] == described(row)["step"] == "purchase"
    assert described(row)["entered"] == START_MS + 7 * MINUTE_MS


def test_whoever_buys_without_a_cart_has_passed_it_in_no_time_that_is_known() -> None:
    row = row_after(("click", 0), ("purchase", 7))

    assert now(row, "reached") == pytest.approx([1, 1, 1], rel=1e-3)
    assert now(row, "passed").tolist() == [0, 0]


def test_a_session_counts_once_at_each_stage_however_often_it_is_there() -> None:
    row = row_after(("cart", 0), ("cart", 1), ("click", 2), ("cart", 3), ("click", 4))

    assert now(row, "reached") == pytest.approx([1, 1, 0], rel=1e-3)
    assert described(row)["entered"] == START_MS


def test_what_follows_each_step_is_counted_and_what_is_no_step_is_passed_over() -> None:
    row = row_after(("search", 0), ("click", 1), ("message", 2), ("click", 3), ("cart", 4))

    expected = np.zeros((4, 5))
    expected[SEARCH, LOOK] = expected[LOOK, LOOK] = expected[LOOK, CART] = 1
    assert now(row, "next") == pytest.approx(expected, rel=1e-3)


def test_a_session_ends_at_its_last_step_and_at_its_own_time() -> None:
    row = row_after(("click", 0), ("message", 10), ("search", 43_200))

    assert now(row, "next")[LOOK, END] == pytest.approx(2 ** -((43_200 - 10) / 43_200))
    assert now(row, "next").sum() == now(row, "next")[LOOK, END]
    assert described(row)["stage"] == "none"
    assert described(row)["step"] == "search"
    assert described(row)["entered"] == 0


def test_a_session_without_a_step_ends_nowhere() -> None:
    row = row_after(("message", 0), ("message", 50), ("click", 120))

    assert now(row, "next").sum() == 0


def test_passages_count_half_after_30_days() -> None:
    row = row_after(("browse", 0), ("cart", 1), ("message", 43_201))

    assert now(row, "reached")[1] == pytest.approx(0.5)
    assert described(row)["mean_s"][0] == 60.0


def test_a_late_cart_takes_no_negative_time() -> None:
    row = row_after(("browse", 10), ("cart", 5))

    assert now(row, "passed")[0] == pytest.approx(1, rel=1e-3)
    assert now(row, "passed_s")[0] == 0


def test_conversion_and_next_steps_of_a_stranger_are_the_prior() -> None:
    out = np.zeros((1, 8), dtype=np.float32)

    Journey().project(Snapshot(DEFAULT_SPEC.empty(1)), out)

    assert out[0].tolist() == pytest.approx([0, 0, 0, *[0.2] * 5])


def test_the_vector_has_conversion_and_the_next_step_from_the_current_one() -> None:
    row = row_after(("browse", 0), ("click", 1), ("cart", 2), ("click", 3))
    out = np.zeros((1, 8), dtype=np.float32)

    Journey().project(Snapshot(row), out)

    # Of two steps that followed a look one was a look and one a cart; one more is spread evenly.
    assert out[0] == pytest.approx(
        [1 / 2, 0, 0, 1.2 / 3, 0.2 / 3, 1.2 / 3, 0.2 / 3, 0.2 / 3], rel=1e-3
    )


def test_conversion_counts_the_carts_that_were_seen() -> None:
    sessions = (("click", 0), ("cart", 1), ("purchase", 2)), (("click", 0), ("purchase", 1))
    row = row_after(*((name, 60 * k + m) for k, way in enumerate(sessions) for name, m in way))
    out = np.zeros((1, 8), dtype=np.float32)

    Journey().project(Snapshot(row), out)

    # Two sessions looked and bought, one of them through the cart; one more is the prior.
    assert out[0, :3] == pytest.approx([1 / 3, 1 / 2, 2 / 3], rel=1e-2)
    assert described(row)["carts"] == pytest.approx(1, rel=1e-2)


@given(events=event_lists(min_size=1), cuts=st.lists(st.integers(0, 80), max_size=6))
@settings(deadline=None, max_examples=100)
def test_batch_cuts_do_not_change_a_bit(events: list[dict[str, object]], cuts: list[int]) -> None:
    records = [record(event, k) for k, event in enumerate(events)]

    whole = Fold().apply_in_parts(records, []).rows()
    parts = Fold().apply_in_parts(records, cuts).rows()

    for column in Journey().columns:
        for pid, row in whole.items():
            assert row[column.name].tobytes() == parts[pid][column.name].tobytes(), column.name


@given(a=event_lists(min_size=1, max_size=40), b=event_lists(min_size=1, max_size=40))
@settings(deadline=None, max_examples=60)
def test_merging_is_commutative_to_the_bit(
    a: list[dict[str, object]], b: list[dict[str, object]]
) -> None:
    rows = [
        Fold().apply_in_parts([record({**e, "user_id": "u"}, k) for k, e in enumerate(part)], [])
        for part in (a, b)
    ]
    x, y = (fold.row("user", "u") for fold in rows)

    there, back = merge_rows(DEFAULT_SPEC, x, y), merge_rows(DEFAULT_SPEC, y, x)

    for column in Journey().columns:
        assert there[column.name].tobytes() == back[column.name].tobytes(), column.name


def test_merging_sessions_that_lie_apart_equals_one_pass() -> None:
    first = (("browse", 0), ("cart", 1), ("message", 2))
    second = (("click", 60), ("search", 61))

    merged = merge_rows(DEFAULT_SPEC, row_after(*second), row_after(*first))

    whole = row_after(*first, *second)
    for column in Journey().columns:
        assert merged[column.name].tolist() == whole[column.name].tolist(), column.name


def test_current_sessions_that_touch_are_one_as_deep_as_the_deeper() -> None:
    merged = merge_rows(
        DEFAULT_SPEC, row_after(("click", 0), ("cart", 5)), row_after(("search", 20))
    )

    assert described(merged)["step"] == "search"
    assert described(merged)["stage"] == "cart"
    assert described(merged)["entered"] == START_MS + 5 * MINUTE_MS
    assert now(merged, "next")[:, END].sum() == 0
