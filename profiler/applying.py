"""The update of one batch: facets, scores, and what all people together are counted for."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from profiler.behaviour.crowd import Crowd, crowd_of
from profiler.facets.quarantine import held
from profiler.models.bank import ModelBank
from profiler.models.labels import Labels
from profiler.prepared import Prepared, event_columns
from profiler.recommendation.seen import Seen, seen_of
from profiler.spec import Spec
from profiler.state import Stored


@dataclass(slots=True)
class Run:
    """The update of one batch, which may have to be halved."""

    spec: Spec
    prepared: Prepared
    stored: Stored
    bank: ModelBank | None
    labels: list[Labels] = field(default_factory=list)
    seen: list[Seen] = field(default_factory=list)
    crowds: list[Crowd] = field(default_factory=list)

    def apply(self, index: NDArray[np.intp]) -> list[int]:
        """Apply these events; return those that cannot be, alone among the others."""
        if not len(index):
            return []
        order = index[np.argsort(self.prepared.row[index], kind="stable")]
        of_event = self.prepared.row[order]
        is_first = np.diff(of_event, prepend=-1) > 0
        place, row = of_event[is_first], np.cumsum(is_first) - 1
        rows = self.stored.rows[place]
        events = event_columns(self.prepared, order, row, rows)
        where, own = events.own
        labels: list[Labels] = []
        try:
            mine = rows[where]
            is_scored = len(own) > 0 and self.bank is not None
            known = self.spec.features(mine, own) if is_scored else None
            crowds = [crowd_of(mine, own)] if is_scored else []
            self.spec.update(rows, events)
            if known is not None and self.bank is not None:
                # Last, as what is learnt depends on who is held by now; no facet writes what it
                # reads.
                mine = rows[where]
                labels = [self.bank.predict(known, mine, own)]
                if own is not events:
                    rows[where] = mine
            seen = seen_of(own, place[where], held(rows[where]) > 0)
        except (ArithmeticError, AssertionError, LookupError, TypeError, ValueError):
            return self._halve(index)
        if len(place) == len(self.stored.rows):
            self.stored.rows = rows
        else:
            self.stored.rows[place] = rows
        # A poisoned event's fence moves too: it is a dead letter, and must not come again.
        self.raise_fences(order)
        self.labels += labels
        self.seen.append(seen)
        self.crowds += crowds
        return []

    def _halve(self, index: NDArray[np.intp]) -> list[int]:
        if len(index) == 1:
            self.raise_fences(index)
            return [int(index[0])]
        middle = len(index) // 2
        return self.apply(index[:middle]) + self.apply(index[middle:])

    def raise_fences(self, index: NDArray[np.intp]) -> None:
        """Note that these events, whatever became of them, must not be looked at again."""
        p = self.prepared
        self.stored.fences.raise_to(p.row[index], p.partition[index], p.offset[index])
