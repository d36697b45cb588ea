"""Back within days, and spend within days: labels of a slow reader of the same events."""

from __future__ import annotations

import itertools
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from profiler.columns import DAY_MS
from profiler.models import TASKS
from profiler.models.labels import Labels
from profiler.openings import GAP_MS
from profiler.records import RawRecord
from tests.folding import Fold
from tests.strategies import START_MS, record

MINUTE_MS = 60_000
WEEK_MS, MONTH_MS = 7 * DAY_MS, 30 * DAY_MS
BACK, SPEND = 1, 2


class Happened(NamedTuple):
    """An event of a test's person."""

    kind: str
    ts: int
    money: float


STEPS = st.tuples(
    st.sampled_from(["click", "purchase", "refund"]),
    st.sampled_from([0, 1, 30, 31, 600, 7 * 1_440 - 1, 7 * 1_440, 7 * 1_440 + 1, 30 * 1_440, -5]),
    st.sampled_from([0.0, 1.25, 7.0, 100.5]),
)
HISTORIES = st.lists(STEPS, min_size=1, max_size=30)
CUTS = st.lists(st.integers(1, 29), max_size=5)


def happened(steps: list[tuple[str, int, float]]) -> list[Happened]:
    minutes = np.cumsum([gap for _, gap, _ in steps]).tolist()
    return [
        Happened(kind, START_MS + minute * MINUTE_MS, money)
        for (kind, _, money), minute in zip(steps, minutes, strict=True)
    ]


def records(events: list[Happened], user: str = "u") -> list[RawRecord]:
    return [
        record({"type": e.kind, "ts": e.ts, "user_id": user, "item_id": "i", "price": e.money}, k)
        for k, e in enumerate(events)
    ]


Told = list[tuple[int, float, int]]


def found_labels(events: list[Happened], cuts: list[int], task: int) -> Told:
    """When asked, what came of it, and when it was known."""
    fold, parts = Fold(), []
    made = records(events)
    places = sorted({0, len(made), *(c for c in cuts if c < len(made))})
    for start, end in itertools.pairwise(places):
        parts += fold.apply(made[start:end])[1].labels
    labels = Labels.joined(parts).of(task)
    order = np.argsort(labels.due_ms, kind="stable")
    columns = (labels.due_ms, labels.label.round(6), labels.known_ms)
    return list(zip(*(c[order].tolist() for c in columns), strict=True))


def slow_back(events: list[Happened]) -> Told:
    found: Told = []
    last: int | None = None
    for event in events:
        if last is not None and event.ts - last > GAP_MS:
            due = last + WEEK_MS
            found.append((due, float(event.ts <= due), min(event.ts, due)))
        last = event.ts if last is None else max(last, event.ts)
    return found


def slow_spend(events: list[Happened]) -> Told:
    found: Told = []
    last: int | None = None
    due: int | None = None
    total, is_fresh = 0.0, False
    for event in events:
        opens = last is None or event.ts - last > GAP_MS
        last = event.ts if last is None else max(last, event.ts)
        if opens:
            is_fresh = False
        if due is not None and event.ts > due:
            found.append((due, max(total, 0.0), due))
            due = None
        if due is None or is_fresh:
            due, total, is_fresh = last + MONTH_MS, 0.0, True
        else:
            total += event.money * {"purchase": 1.0, "refund": -1.0}.get(event.kind, 0.0)
    return found


@given(steps=HISTORIES, cuts=CUTS)
@settings(deadline=None, max_examples=200)
def test_back_is_told_by_the_next_session_whatever_the_cuts(
    steps: list[tuple[str, int, float]], cuts: list[int]
) -> None:
    events = happened(steps)

    assert found_labels(events, cuts, BACK) == slow_back(events)


@given(steps=HISTORIES, cuts=CUTS)
@settings(deadline=None, max_examples=200)
def test_spend_adds_up_until_the_deadline_whatever_the_cuts(
    steps: list[tuple[str, int, float]], cuts: list[int]
) -> None:
    events = happened(steps)

    assert found_labels(events, cuts, SPEND) == slow_spend(events)


def test_people_of_one_batch_do_not_mix() -> None:
    rng = np.random.default_rng(3)
    all_steps = [
        [
            (str(rng.choice(["click", "purchase"])), int(rng.choice([1, 45, 50_000])), 2.0)
            for _ in range(12)
        ]
        for _ in range(8)
    ]
    histories = [happened(steps) for steps in all_steps]
    mixed = [r for k, events in enumerate(histories) for r in records(events, f"u{k}")]
    fold = Fold()

    _, processed = fold.apply([r._replace(offset=k) for k, r in enumerate(mixed)])

    labels = Labels.joined(processed.labels)
    for task, slow in ((BACK, slow_back), (SPEND, slow_spend)):
        of_task = labels.of(task)
        found = sorted(zip(of_task.due_ms.tolist(), of_task.label.tolist(), strict=True))
        assert found == sorted((d, y) for events in histories for d, y, _ in slow(events))


def test_the_prediction_of_a_sessions_last_event_is_kept() -> None:
    events = happened([("click", 0, 1.0), ("click", 1, 2.0), ("purchase", 2, 5.0)])
    fold = Fold()

    fold.apply_in_parts(records(events), [2])

    row = fold.row("user", "u")
    for key, horizon_ms in (("back", WEEK_MS), ("spend", MONTH_MS)):
        amount = float(np.expm1(row[f"intent.{key}_x"][0, -1]))
        assert amount == pytest.approx(5.0, rel=1e-3)
        assert row[f"intent.{key}_due"][0] == events[-1].ts + horizon_ms


@pytest.mark.parametrize(
    ("task", "horizon_ms", "label"), [(BACK, WEEK_MS, 0.0), (SPEND, MONTH_MS, 7.0)]
)
def test_a_deadline_that_passed_is_told_once(task: int, horizon_ms: int, label: float) -> None:
    fold = Fold()
    events = happened([("click", 0, 1.0), ("purchase", 100, 7.0)])
    fold.apply(records(events))
    rows = fold.row("user", "u").copy()
    due = int(rows[f"intent.{TASKS[task].key}_due"][0])

    early = TASKS[task].expire(rows, due)
    told = TASKS[task].expire(rows, due + 1)
    again = TASKS[task].expire(rows, due + horizon_ms)

    assert (len(early), told.label.tolist(), len(again)) == (0, [label], 0)


def test_what_a_deadline_has_told_a_late_return_does_not_tell_again() -> None:
    """The row of somebody who was away may have left memory before it was noted in it."""
    fold = Fold()
    fold.apply([record({"type": "click", "ts": START_MS, "user_id": "u"}, 0)])
    fold.bank.due(0, START_MS + 8 * DAY_MS)

    back = {"type": "click", "ts": START_MS + 9 * DAY_MS, "user_id": "u"}
    _, processed = fold.apply([record(back, 1)])

    assert len(Labels.joined(processed.labels).of(BACK)) == 0


def test_refunds_do_not_make_spending_negative() -> None:
    minutes = [("click", 0, 0.0), ("refund", 100, 9.0), ("click", 31 * 1_440, 0.0)]

    assert [y for _, y, _ in found_labels(happened(minutes), [], SPEND)] == [0.0]
