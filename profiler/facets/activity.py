"""Activity: how much of what a person does, counted plainly and with forgetting."""

from __future__ import annotations

import msgspec
import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from profiler.columns import (
    DAY_MS,
    HOUR_MS,
    MONTH_MS,
    EventColumns,
    Floats,
    Rows,
    Snapshot,
)
from profiler.events import BEHAVIOUR_TYPES
from profiler.facets.contract import Column, Description, Slice
from profiler.scans import prefix_decayed

TYPES = len(BEHAVIOUR_TYPES)
HALF_LIVES: tuple[tuple[str, int], ...] = (("hour", HOUR_MS), ("day", DAY_MS), ("month", MONTH_MS))

# Sums that models see: name, half-life, the types that count.
_FEATURES: tuple[tuple[str, int, tuple[str, ...]], ...] = (
    ("looks_hour", HOUR_MS, ("click", "browse")),
    ("carts_hour", HOUR_MS, ("cart",)),
    ("searches_hour", HOUR_MS, ("search",)),
    ("purchases_day", DAY_MS, ("purchase",)),
    ("events_day", DAY_MS, BEHAVIOUR_TYPES),
    ("purchases_month", MONTH_MS, ("purchase",)),
    ("events_month", MONTH_MS, BEHAVIOUR_TYPES),
)
_COUNTS = np.array(
    [[t in types for _, _, types in _FEATURES] for t in BEHAVIOUR_TYPES], dtype=float
)
_COLUMN = {half_life_ms: f"activity.{name}" for name, half_life_ms in HALF_LIVES}

_Counts = msgspec.defstruct(
    "Counts", [(t, int, 0) for t in BEHAVIOUR_TYPES], omit_defaults=True, frozen=True, gc=False
)


class Activity(Struct, frozen=True):
    """Plain counts and decayed counts by event type, at half-lives of an hour, a day, 30 days."""

    name: str = "activity"
    columns: tuple[Column, ...] = (
        Column("activity.count", "<u4", "sum", (TYPES,), grows=True),
        *(Column(f"activity.{n}", "<f8", "sum", (TYPES,), ms, grows=True) for n, ms in HALF_LIVES),
    )
    slices: tuple[Slice, ...] = tuple(
        Slice(f"activity_{n}", TYPES, "events", ms, "log1p", BEHAVIOUR_TYPES)
        for n, ms in HALF_LIVES
    )
    feature_names: tuple[str, ...] = tuple(name for name, _, _ in _FEATURES)

    def features(self, rows: Rows, events: EventColumns) -> Floats:
        """log1p of decayed counts just before each event."""
        stored = np.empty((events.n_rows, len(_FEATURES)))
        for k, (_, half_life_ms, _) in enumerate(_FEATURES):
            stored[:, k] = rows[_COLUMN[half_life_ms]] @ _COUNTS[:, k]
        half_lives = tuple(half_life_ms for _, half_life_ms, _ in _FEATURES)
        before = prefix_decayed(events, stored, _COUNTS[events.type_code], half_lives)
        return np.asarray(np.log1p(before))

    def update(self, rows: Rows, events: EventColumns) -> None:
        """Scatter-add the batch by row and type."""
        cell = events.row * TYPES + events.type_code
        shape = (events.n_rows, TYPES)
        size = events.n_rows * TYPES
        rows["activity.count"] += np.bincount(cell, minlength=size).reshape(shape).astype(np.uint32)
        for name, half_life_ms in HALF_LIVES:
            added = np.bincount(cell, events.weight(half_life_ms), size)
            rows[f"activity.{name}"] += added.reshape(shape)

    def merge(self, a: Rows, b: Rows, out: Rows) -> None:
        """Nothing: all columns are linear."""

    def project(self, now: Snapshot, out: NDArray[np.float32]) -> None:
        """log1p of the decayed counts."""
        for k, (name, half_life_ms) in enumerate(HALF_LIVES):
            value = now.decayed(f"activity.{name}", half_life_ms)
            out[:, k * TYPES : (k + 1) * TYPES] = np.log1p(value)

    def describe(self, now: Snapshot) -> list[Description]:
        """Plain counts by type, zeros left out."""
        return list(map(_Counts, *now["activity.count"].T.tolist()))
