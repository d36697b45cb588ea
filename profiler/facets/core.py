"""Core: what every row has, whatever its other facets: its times and its recent event ids."""

from __future__ import annotations

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from profiler.columns import DAY_MS, EventColumns, Floats, Rows, Snapshot
from profiler.dedupe import RING, merge_recent, push_recent
from profiler.facets.contract import Column, Description, Slice, described


class Core(Struct, frozen=True):
    """Greatest and least event time, events applied, and the ring of recent event ids."""

    name: str = "core"
    columns: tuple[Column, ...] = (
        Column("core.as_of", "<i8", "max"),
        Column("core.first_ts", "<i8", "min"),
        Column("core.n_accepted", "<u8", "sum"),
        Column("core.recent", "<u8", "sequential", (RING,)),
    )
    slices: tuple[Slice, ...] = (
        Slice("tenure", 2, "log1p of days known and of events", labels=("days", "events")),
    )
    feature_names: tuple[str, ...] = ()

    def features(self, rows: Rows, events: EventColumns) -> Floats:
        """No features: other facets know the same in finer grain."""
        return np.empty((len(events), 0))

    def update(self, rows: Rows, events: EventColumns) -> None:
        """Nothing: what others do counts here, too."""

    def hear(self, rows: Rows, events: EventColumns) -> None:
        """Count and remember events; `core.as_of` has moved with the landmarks."""
        push_recent(
            rows["core.recent"],
            rows["core.n_accepted"],
            events.row,
            events.rank,
            events.id_hash,
        )
        rows["core.n_accepted"] += events.counts.astype(np.uint64)
        first = np.minimum.reduceat(events.ts, events.starts)
        known = rows["core.first_ts"]
        rows["core.first_ts"] = np.where(known == 0, first, np.minimum(known, first))

    def merge(self, a: Rows, b: Rows, out: Rows) -> None:
        """Rings that remember about half of each."""
        out["core.recent"] = merge_recent(a["core.recent"], b["core.recent"])

    def project(self, now: Snapshot, out: NDArray[np.float32]) -> None:
        """Tenure: log1p of days known and of events."""
        out[:, 0] = np.log1p((now.as_of - now["core.first_ts"]) / DAY_MS)
        out[:, 1] = np.log1p(now["core.n_accepted"].astype(np.float64))

    def describe(self, now: Snapshot) -> list[Description]:
        """First and latest event time, and the number of events."""
        return described(
            first_ts=now["core.first_ts"].tolist(),
            last_ts=now.as_of.tolist(),
            events=now["core.n_accepted"].tolist(),
        )
