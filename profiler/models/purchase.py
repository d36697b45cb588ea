"""Purchase in this session: asked at every event, answered when the session shows.

Of each window (from a session's start, or from a purchase, to the next purchase or the session's
end) one prediction is kept to be learnt, drawn by a reservoir of one (Vitter 1985) seeded by the
event ids, and weighted by the number it stands for.
"""

from __future__ import annotations

from typing import Final

import msgspec
import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from profiler.columns import EventColumns, Ints, Rows
from profiler.events import BEHAVIOUR_TYPES
from profiler.models.chance import uniform
from profiler.models.labels import Labels
from profiler.models.task import (
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
from profiler.openings import GAP_MS, session_opens

_PURCHASE: Final = BEHAVIOUR_TYPES.index("purchase")


class PurchaseInSession(Struct, frozen=True):
    """Whether a purchase follows in the same session."""

    name: str = "purchase_in_session"
    key: str = "purchase"
    kind: Kind = "binary"
    prior: float = 0.05
    more: tuple[tuple[str, str], ...] = (("n", "<u4"), ("asked", "<i8"))

    def observe(self, rows: Rows, batch: Batch, said: NDArray[np.float32]) -> Labels:
        """See `Task.observe`."""
        events = batch.events
        pending = rows[column(self, "n")].astype(np.int64)
        pending[rows[column(self, "due")] == 0] = 0
        windows = _windows(events)
        candidate = events.type_code != _PURCHASE
        # A window that goes on from before the batch counts on from what its row has kept.
        opens = session_opens(events)
        goes_on = windows.first_of_row & ~opens[windows.start]
        prior = np.where(goes_on, pending[windows.row], 0)
        so_far = np.cumsum(candidate)
        before_window = (so_far - candidate)[windows.start]
        rank = so_far - before_window[windows.of_event] + prior[windows.of_event]
        drawn = candidate & (uniform(events.id_hash) * rank < 1.0)
        k = np.maximum.reduceat(np.where(drawn, np.arange(len(events)), -1), windows.start)
        total = rank[windows.end]

        learns = ~batch.is_held[windows.row] & (total > 0)
        expired = opens[events.starts] & (pending > 0) & ~batch.is_held
        expired &= rows[column(self, "due")] >= batch.told_ms
        ended = np.flatnonzero((windows.bought | windows.closed) & learns)
        row = windows.row[ended]
        over_ms = events.last_done[1][windows.end[ended]] + GAP_MS
        asked = either(
            k[ended] >= 0,
            asked_at(batch, said, k[ended], over_ms),
            msgspec.structs.replace(kept(self, rows, row), due_ms=over_ms),
        )
        known_ms = np.where(windows.bought[ended], events.ts[windows.end[ended]], over_ms)
        outcome = Outcome(windows.bought[ended].astype(np.float64), total[ended] * 1.0, known_ms)
        labels = Labels.joined(
            [
                self._missed(rows, np.flatnonzero(expired)),
                labelled(self, rows, row, asked, outcome),
            ]
        )
        self._write(rows, batch, windows, k, total, said)
        return labels

    def expire(self, rows: Kept, now_ms: Ints | int) -> Labels:
        """Labels of sessions that ended without a purchase; see `Task.expire`."""
        due = is_due(self, rows, now_ms)
        labels = self._missed(rows, due)
        drop(self, rows, due)
        return labels

    def _missed(self, rows: Kept, index: NDArray[np.intp]) -> Labels:
        """Predictions kept in rows whose session ended without a purchase."""
        asked = kept(self, rows, index)
        weight = rows[column(self, "n")][index].astype(np.float64)
        outcome = Outcome(np.zeros(len(index)), weight, asked.due_ms)
        return labelled(self, rows, index, asked, outcome)

    def _write(
        self,
        rows: Rows,
        batch: Batch,
        windows: _Windows,
        k: NDArray[np.intp],
        total: NDArray[np.intp],
        said: NDArray[np.float32],
    ) -> None:
        """What the last window of each row keeps."""
        end = latest(batch)
        last = windows.of_event[end]
        n = np.where(windows.bought[last] | batch.is_held, 0, total[last])
        due = batch.events.last_done[1][end] + GAP_MS
        fresh = np.flatnonzero(k[last] >= 0)
        asked = asked_at(batch, said, k[last][fresh], due[fresh])
        keep(self, rows, fresh, asked)
        rows[column(self, "asked")][fresh] = asked.asked_ms
        rows[column(self, "n")] = n
        rows[column(self, "due")] = np.where(n > 0, due, 0)


class _Windows(Struct, frozen=True):
    """W windows of a batch: runs of events that one label decides."""

    of_event: NDArray[np.intp]
    start: NDArray[np.intp]
    end: NDArray[np.intp]
    row: NDArray[np.intp]
    first_of_row: NDArray[np.bool_]
    bought: NDArray[np.bool_]
    closed: NDArray[np.bool_]


def _windows(events: EventColumns) -> _Windows:
    opens = session_opens(events)
    is_purchase = events.type_code == _PURCHASE
    begins = opens.copy()
    begins[events.starts] = True
    begins[1:] |= is_purchase[:-1]
    start = np.flatnonzero(begins)
    end = np.append(start[1:], len(events)) - 1
    row = events.row[start]
    next_in_row = np.append(row[1:] == row[:-1], False)
    next_opens = np.append(opens[start[1:]], False)
    return _Windows(
        of_event=np.cumsum(begins) - 1,
        start=start,
        end=end,
        row=row,
        first_of_row=start == events.starts[row],
        bought=is_purchase[end],
        closed=~is_purchase[end] & next_in_row & next_opens,
    )
