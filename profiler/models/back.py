"""Back within some days: asked at every event, answered by a new session or by the deadline.

The prediction of each session's last event is kept, that is, every event replaces what the one
before it in the session had left. The next session within the horizon makes it true, else the
deadline makes it false: told by the row where the return shows it first, by `expire` otherwise.
"""

from __future__ import annotations

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from profiler.columns import DAY_MS, Ints, Rows
from profiler.models.labels import Labels
from profiler.models.task import (
    Batch,
    Kept,
    Kind,
    Outcome,
    asked_at,
    drop,
    either,
    is_due,
    keep,
    kept,
    labelled,
    latest,
)
from profiler.openings import session_opens


class BackWithin(Struct, frozen=True):
    """Whether the person opens another session within the horizon."""

    name: str = "back_within_7_days"
    key: str = "back"
    horizon_ms: int = 7 * DAY_MS
    kind: Kind = "binary"
    prior: float = 0.5
    more: tuple[tuple[str, str], ...] = ()

    def observe(self, rows: Rows, batch: Batch, said: NDArray[np.float32]) -> Labels:
        """See `Task.observe`."""
        events = batch.events
        _, done = events.last_done
        opening = np.flatnonzero(session_opens(events) & ~batch.is_held[events.row])
        row = events.row[opening]
        is_first = opening == events.starts[row]
        before = np.maximum(opening - 1, 0)
        asked = either(
            is_first,
            kept(self, rows, row, self.horizon_ms),
            asked_at(batch, said, before, done[before] + self.horizon_ms),
        )
        returned = events.ts[opening] <= asked.due_ms
        known_ms = np.where(returned, events.ts[opening], asked.due_ms)
        # What was due before is told already: by the deadline, whoever came back after it.
        counts = np.flatnonzero((asked.due_ms > 0) & (asked.due_ms >= batch.told_ms))
        labels = labelled(
            self,
            rows,
            row,
            asked,
            Outcome(returned.astype(np.float64), np.ones(len(row)), known_ms),
        ).only(counts)
        end = latest(batch)
        due_ms = np.where(batch.is_held, 0, done[end] + self.horizon_ms)
        keep(self, rows, np.arange(len(rows)), asked_at(batch, said, end, due_ms))
        return labels

    def expire(self, rows: Kept, now_ms: Ints | int) -> Labels:
        """Labels of those who did not come back in time; see `Task.expire`."""
        due = is_due(self, rows, now_ms)
        asked = kept(self, rows, due, self.horizon_ms)
        outcome = Outcome(np.zeros(len(due)), np.ones(len(due)), asked.due_ms)
        labels = labelled(self, rows, due, asked, outcome)
        drop(self, rows, due)
        return labels
