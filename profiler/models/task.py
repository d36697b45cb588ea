"""What a task is: a question that is asked at every event, and the rule by which it is answered.

Of each person at most one prediction per task is kept to be learnt, its features among the columns
of the row. Tasks know nothing of models: they say which prediction is kept, and what its label is.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Literal, Protocol

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from profiler.columns import EventColumns, Floats, Ints, Rows
from profiler.models.labels import Labels

Kind = Literal["binary", "amount"]
Kept = Rows | Mapping[str, NDArray[Any]]
"""(R,) rows, or what a task keeps in them, column by column."""

STORED: Final = "<f2"
"""Type of kept features. Their logarithms are below 20, so that half precision tells two amounts
apart that differ by a hundredth; scores are computed on what would be kept."""

RIVALS: Final = 5
"""Candidates whose predictions are kept beside the one that is served, so that each is scored by
what it said when it was asked; further ones are scored by what they say when the label is known."""

COMMON: Final = (
    *(("x", STORED), ("said", STORED), ("due", "<i8")),
    *(("score", "<f4"), ("own", "<f4"), ("evidence", "<f4")),
)
"""What every task has in the row: name and type. The kept features; what was predicted (amounts as
logarithms), the served prediction first, then each rival's; when the label is due (0: nothing is
kept); the latest score; the person's own part of the model."""


class Batch(Struct, frozen=True):
    """A batch as tasks see it.

    Parameters
    ----------
    events
        N events on R rows.
    x
        (N, F) features, rounded as rows keep them.
    is_held
        (R,) whose rows nothing is kept in, nor known of: a machine must not teach what people do.
    told_ms
        Labels that were due before have been told by `Task.expire`, or were left out.
    """

    events: EventColumns
    x: NDArray[np.float32]
    is_held: NDArray[np.bool_]
    told_ms: int


class Task(Protocol):
    """A question with a delayed answer.

    Attributes
    ----------
    name
        For readers.
    key
        Prefix of its columns in the row: ``intent.<key>_…``.
    kind
        Whether it is answered by yes or no, or by an amount that is not negative.
    prior
        Share of yes, or of amounts above zero, that is expected before anything is known.
    more
        Name and type of columns that it has beside the common ones.
    """

    @property
    def name(self) -> str: ...  # noqa: D102  # see Attributes
    @property
    def key(self) -> str: ...  # noqa: D102
    @property
    def kind(self) -> Kind: ...  # noqa: D102
    @property
    def prior(self) -> float: ...  # noqa: D102
    @property
    def more(self) -> tuple[tuple[str, str], ...]: ...  # noqa: D102

    def observe(self, rows: Rows, batch: Batch, said: NDArray[np.float32]) -> Labels:
        """Write what is kept into the rows, in place, and return what has become known.

        Parameters
        ----------
        rows
            (R,) rows after the batch. Only the task's own columns are read and written.
        said
            (N, 1 + S) what is predicted at each event: by the serving candidate, and by rivals.
        """
        ...

    def expire(self, rows: Kept, now_ms: Ints | int) -> Labels:
        """Labels that were due before `now_ms`, one time or one per row; cleared in the rows."""
        ...


def column(task: Task, name: str) -> str:
    """Name of a task's column in the row."""
    return f"intent.{task.key}_{name}"


def columns_of(task: Task) -> tuple[str, ...]:
    """Names of all its columns in the row."""
    return tuple(column(task, name) for name, _ in (*COMMON, *task.more))


class Asked(Struct, frozen=True):
    """L predictions that were kept, from rows or from the events of a batch."""

    x: NDArray[np.float32]
    said: NDArray[np.float32]
    asked_ms: Ints
    due_ms: Ints


def kept(task: Task, rows: Kept, index: NDArray[np.intp], horizon_ms: int | None = None) -> Asked:
    """Predictions that these rows keep.

    Parameters
    ----------
    horizon_ms
        Time from asking until the label is due; None if the row has a column for the former.
    """

    def of(name: str) -> NDArray[Any]:
        values: NDArray[Any] = rows[column(task, name)][index]
        return values

    said, due_ms = of("said").astype(np.float32), of("due")
    asked_ms = of("asked") if horizon_ms is None else due_ms - horizon_ms
    if task.kind == "amount":
        said = np.expm1(said)
    return Asked(of("x").astype(np.float32), said, asked_ms, due_ms)


def keep(task: Task, rows: Kept, index: NDArray[np.intp], asked: Asked) -> None:
    """Write predictions into these rows, in place of what they kept."""
    rows[column(task, "x")][index] = asked.x
    is_amount = task.kind == "amount"
    rows[column(task, "said")][index] = np.log1p(asked.said) if is_amount else asked.said
    rows[column(task, "due")][index] = asked.due_ms


def drop(task: Task, rows: Kept, index: NDArray[np.intp] | NDArray[np.bool_]) -> None:
    """Keep nothing in these rows any more."""
    rows[column(task, "due")][index] = 0


def asked_at(batch: Batch, said: NDArray[np.float32], k: NDArray[np.intp], due_ms: Ints) -> Asked:
    """Predictions made at these events."""
    return Asked(batch.x[k], said[k], batch.events.ts[k], due_ms)


def either(use_first: NDArray[np.bool_], first: Asked, second: Asked) -> Asked:
    """Of two predictions each the first or the second."""
    return Asked(
        np.where(use_first[:, None], first.x, second.x),
        np.where(use_first[:, None], first.said, second.said),
        np.where(use_first, first.asked_ms, second.asked_ms),
        np.where(use_first, first.due_ms, second.due_ms),
    )


def labelled(
    task: Task, rows: Kept, row: NDArray[np.intp], asked: Asked, outcome: Outcome
) -> Labels:
    """Join what was asked with what came of it."""
    return Labels(
        task=np.zeros(len(row), dtype=np.intp),
        x=asked.x,
        prediction=asked.said[:, 0],
        rivals=asked.said[:, 1:],
        own=rows[column(task, "own")][row],
        evidence=rows[column(task, "evidence")][row],
        weight=outcome.weight,
        label=outcome.label,
        asked_ms=asked.asked_ms,
        known_ms=outcome.known_ms,
        due_ms=asked.due_ms,
        row=row,
    )


class Outcome(Struct, frozen=True):
    """What came of L predictions, by how much each counts, and when it was known."""

    label: Floats
    weight: Floats
    known_ms: Ints


def is_due(task: Task, rows: Kept, now_ms: Ints | int) -> NDArray[np.intp]:
    """Index of rows whose kept prediction was due before a time."""
    due = rows[column(task, "due")]
    return np.flatnonzero((due > 0) & (due < now_ms))


def latest(batch: Batch) -> NDArray[np.intp]:
    """(R,) index of each row's last event."""
    events = batch.events
    return np.append(events.starts[1:], len(events)) - 1
