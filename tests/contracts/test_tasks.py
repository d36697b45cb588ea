"""Every task passes these by being listed in `profiler.models.TASKS`."""

from __future__ import annotations

import numpy as np
import pytest

from profiler.columns import DAY_MS
from profiler.models import TASKS
from profiler.models.bank import ModelBank
from profiler.models.labels import Labels
from profiler.models.task import Task, column, columns_of
from profiler.spec import DEFAULT_SPEC
from tests.folding import Fold
from tests.strategies import START_MS, record

each_task = pytest.mark.parametrize("task", TASKS, ids=lambda task: task.name)
NEVER = np.iinfo(np.int64).max


def fold_of_some_people() -> tuple[Fold, Labels]:
    """People who come every few days for a quarter of a year, each in their own step."""
    events = sorted(
        (START_MS + day * DAY_MS + u * 60_000 + k * 60_000, u, kind)
        for u in range(12)
        for day in range(0, 90, 2 + u)
        for k, kind in enumerate(("click", "cart", "purchase")[: 1 + (day + u) % 3])
    )
    records = [
        record({"type": kind, "ts": ts, "user_id": f"u{u}", "price": 4.0, "item_id": "i"}, k)
        for k, (ts, u, kind) in enumerate(events)
    ]
    fold, parts = Fold(), []
    for start in range(0, len(records), 50):
        parts += fold.apply(records[start : start + 50])[1].labels
    return fold, Labels.joined(parts)


FOLD, LABELS = fold_of_some_people()
ROWS = np.concatenate(list(FOLD.rows().values()))


def labels_of(task: Task) -> Labels:
    return LABELS.of(TASKS.index(task))


@each_task
def test_names_and_keys_are_its_own(task: Task) -> None:
    assert [other.key for other in TASKS].count(task.key) == 1
    assert [other.name for other in TASKS].count(task.name) == 1


@each_task
def test_the_row_has_its_columns(task: Task) -> None:
    names = {c.name for c in DEFAULT_SPEC.columns if c.kind == "derived"}

    assert set(columns_of(task)) <= names
    assert set(columns_of(task)) <= set(ModelBank(DEFAULT_SPEC).kept_columns) | {
        column(task, "score")
    }


@each_task
def test_labels_are_answers_to_what_was_asked_before(task: Task) -> None:
    labels = labels_of(task)

    assert len(labels) > 0
    assert (labels.asked_ms < labels.known_ms).all()
    assert (labels.known_ms <= labels.due_ms).all()
    assert (labels.weight >= 1).all()
    assert np.isfinite(labels.x).all()
    assert (labels.label >= 0).all()
    assert task.kind == "amount" or set(labels.label.tolist()) <= {0.0, 1.0}


@each_task
def test_a_prediction_is_told_once(task: Task) -> None:
    rows = ROWS.copy()

    told, again = task.expire(rows, NEVER), task.expire(rows, NEVER)

    assert len(told) > 0
    assert len(again) == 0
    assert (rows[column(task, "due")] == 0).all()


@each_task
def test_a_deadline_in_the_future_tells_nothing(task: Task) -> None:
    rows = ROWS.copy()

    assert len(task.expire(rows, START_MS)) == 0
    assert rows.tobytes() == ROWS.tobytes()


@each_task
def test_it_touches_no_columns_but_its_own(task: Task) -> None:
    rows = ROWS.copy()

    task.expire(rows, NEVER)

    for name in rows.dtype.names or ():
        if name not in columns_of(task):
            assert rows[name].tobytes() == ROWS[name].tobytes(), name


@each_task
def test_columns_by_name_do_as_well_as_rows(task: Task) -> None:
    columns = {name: ROWS[name].copy() for name in columns_of(task)}

    found, expected = task.expire(columns, NEVER), task.expire(ROWS.copy(), NEVER)

    assert np.array_equal(found.label, expected.label)
    assert np.array_equal(found.x, expected.x)


@each_task
def test_the_summary_shows_its_latest_answer(task: Task) -> None:
    for summary in FOLD.summaries.values():
        assert f'"{task.name}":'.encode() in summary
