"""Spend in the next 30 days: asked at every event, answered when the time is over.

The prediction of a session's last event is kept where none is pending. What is bought in later
sessions adds up in the row, refunds are taken off, until the deadline: then the sum, if it is not
negative, is the label. An event after the deadline may be the first to show it; its session then
keeps a prediction of its own.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from profiler.columns import MONTH_MS, EventColumns, Floats, Ints, Rows
from profiler.events import BEHAVIOUR_TYPES
from profiler.models.labels import Labels
from profiler.models.task import (
    Asked,
    Batch,
    Kept,
    Kind,
    Outcome,
    asked_at,
    column,
    drop,
    either,
    is_due,
    keep,
    kept,
    labelled,
    latest,
)
from profiler.openings import session_opens

_SIGN: Final = np.array(
    [(name == "purchase") - (name == "refund") for name in BEHAVIOUR_TYPES], dtype=np.float64
)
_TIME_BITS: Final = 42


class SpendWithin(Struct, frozen=True):
    """How much the person spends within the horizon, after this session."""

    name: str = "spend_in_30_days"
    key: str = "spend"
    horizon_ms: int = MONTH_MS
    kind: Kind = "amount"
    prior: float = 0.5
    more: tuple[tuple[str, str], ...] = (("sum", "<f8"),)

    def observe(self, rows: Rows, batch: Batch, said: NDArray[np.float32]) -> Labels:
        """See `Task.observe`.

        A row's events fall into spans: a session whose last prediction is kept, and what follows
        until its deadline. Spans of all rows are walked at once, the next of each in every round.
        """
        events = batch.events
        _, done = events.last_done
        money = _SIGN[events.type_code] * events.price * events.quantity
        before = np.concatenate([[0.0], np.cumsum(money)])
        last_of_session, end = _ends_of_sessions(events), latest(batch)
        row = np.arange(len(rows))
        due, begun = rows[column(self, "due")].copy(), rows[column(self, "sum")].copy()
        # The session goes on if nothing has been done since the kept prediction was made.
        goes_on = (due == events.done_before + self.horizon_ms) & ~session_opens(events)[
            events.starts
        ]
        due[goes_on] = 0
        k = np.where(due > 0, events.starts - 1, last_of_session[events.starts])
        is_in_row = due > 0
        due = np.where(is_in_row, due, done[k] + self.horizon_ms)
        begun[~is_in_row] = 0.0
        parts = []
        key = (events.row << _TIME_BITS) + done
        while True:
            # The first event after the deadline is where the greatest time first exceeds it.
            late = np.searchsorted(key, (row << _TIME_BITS) + due, side="right")
            is_over = late <= end[row]
            stop = np.where(is_over, late, end[row] + 1)
            total = begun + before[stop] - before[k + 1]
            asked = either(
                is_in_row,
                kept(self, rows, row, self.horizon_ms),
                asked_at(batch, said, np.maximum(k, 0), due),
            )
            known = np.flatnonzero(is_over & ~batch.is_held[row] & (due >= batch.told_ms))
            parts.append(self._labels(rows, row, asked, total).only(known))
            self._keep(rows, row[~is_over], _only(asked, ~is_over), total[~is_over])
            if not is_over.any():
                break
            row, k = row[is_over], last_of_session[late[is_over]]
            due, begun = done[k] + self.horizon_ms, np.zeros(len(row))
            is_in_row = np.zeros(len(row), dtype=bool)
        drop(self, rows, batch.is_held)
        return Labels.joined(parts)

    def expire(self, rows: Kept, now_ms: Ints | int) -> Labels:
        """Labels of those whose time is over; see `Task.expire`."""
        due = is_due(self, rows, now_ms)
        asked = kept(self, rows, due, self.horizon_ms)
        labels = self._labels(rows, due, asked, rows[column(self, "sum")][due])
        drop(self, rows, due)
        return labels

    def _labels(self, rows: Kept, row: NDArray[np.intp], asked: Asked, total: Floats) -> Labels:
        outcome = Outcome(np.maximum(total, 0.0), np.ones(len(row)), asked.due_ms)
        return labelled(self, rows, row, asked, outcome)

    def _keep(self, rows: Rows, row: NDArray[np.intp], asked: Asked, total: Floats) -> None:
        keep(self, rows, row, asked)
        rows[column(self, "sum")][row] = total


def _ends_of_sessions(events: EventColumns) -> NDArray[np.intp]:
    """(N,) index of the last event, in the row's part of the batch, of each event's session."""
    begins = session_opens(events)
    begins[events.starts] = True
    start = np.flatnonzero(begins)
    return np.asarray((np.append(start[1:], len(events)) - 1)[np.cumsum(begins) - 1])


def _only(asked: Asked, chosen: NDArray[np.bool_]) -> Asked:
    return Asked(asked.x[chosen], asked.said[chosen], asked.asked_ms[chosen], asked.due_ms[chosen])
