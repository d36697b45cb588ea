"""Social: how many and how strong the ties are that lead from a person and to them.

Who they lead to is in `profiler.ties`.
"""

from __future__ import annotations

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from profiler.columns import MONTH_MS, EventColumns, Floats, Rows, Snapshot
from profiler.facets.contract import Column, Description, Slice, described

_NAMES = ("out", "out_strength", "reach", "reach_strength", "ended")


class Social(Struct, frozen=True):
    """Decayed number and weight of ties that a person stated, and that others did (reach)."""

    name: str = "social"
    columns: tuple[Column, ...] = tuple(
        Column(f"social.{name}", "<f8", "sum", (), MONTH_MS) for name in _NAMES
    )
    slices: tuple[Slice, ...] = (
        Slice("social", len(_NAMES), "ties; weights", MONTH_MS, "log1p", _NAMES),
    )
    feature_names: tuple[str, ...] = ()

    def features(self, rows: Rows, events: EventColumns) -> Floats:
        """No features yet."""
        return np.empty((len(events), 0))

    def update(self, rows: Rows, events: EventColumns) -> None:
        """Nothing: what others do counts here, too."""

    def hear(self, rows: Rows, events: EventColumns) -> None:
        """Add what a batch says of ties, in both directions."""
        if events.ties is None:
            return
        is_received, weight, is_end = events.ties
        by_time = events.weight(MONTH_MS)
        is_added = (weight > 0) * by_time
        for name, added in (
            ("out", is_added * ~is_received),
            ("out_strength", weight * by_time * ~is_received),
            ("reach", is_added * is_received),
            ("reach_strength", weight * by_time * is_received),
            ("ended", is_end * by_time),
        ):
            rows[f"social.{name}"] += events.sum_by_row(added)

    def merge(self, a: Rows, b: Rows, out: Rows) -> None:
        """Nothing: all columns are linear."""

    def project(self, now: Snapshot, out: NDArray[np.float32]) -> None:
        """log1p of the decayed sums."""
        for k, name in enumerate(_NAMES):
            out[:, k] = np.log1p(now.decayed(f"social.{name}", MONTH_MS))

    def describe(self, now: Snapshot) -> list[Description]:
        """The decayed sums."""
        sums = {name: now.decayed(f"social.{name}", MONTH_MS).round(4) for name in _NAMES}
        return described(**{name: values.tolist() for name, values in sums.items()})
