"""Interest: what a person looks at and buys, as vectors and as lists of names."""

from __future__ import annotations

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from profiler.columns import DAY_MS, MONTH_MS, EventColumns, Floats, Rows, Snapshot
from profiler.events import BEHAVIOUR_TYPES
from profiler.facets.contract import Column, Description, Slice, described
from profiler.listing import json_objects
from profiler.tokens import DIMENSIONS
from profiler.toplist import SIZE, merge_top, update_top

KINDS = ("category", "brand", "item")
DESCRIBED = 5
"""Entries of each list that a summary shows; the state keeps 16."""

_WEIGHTS = {"click": 1.0, "browse": 1.0, "cart": 3.0, "purchase": 5.0, "search": 1.0}
WEIGHT_BY_TYPE = np.array([_WEIGHTS.get(name, 0.0) for name in BEHAVIOUR_TYPES])


class Interest(Struct, frozen=True):
    """Short and long interest vectors; the 16 heaviest categories, brands and items."""

    name: str = "interest"
    columns: tuple[Column, ...] = (
        Column("interest.short", "<f4", "sum", (DIMENSIONS,), DAY_MS),
        Column("interest.long", "<f4", "sum", (DIMENSIONS,), MONTH_MS),
        *(Column(f"interest.{kind}_id", "<u8", "sequential", (SIZE,)) for kind in KINDS),
        *(
            Column(f"interest.{kind}_weight", "<f8", "sequential", (SIZE,), MONTH_MS)
            for kind in KINDS
        ),
    )
    slices: tuple[Slice, ...] = (
        Slice("interest_short", DIMENSIONS, "interest", DAY_MS, "identity"),
        Slice("interest_long", DIMENSIONS, "interest", MONTH_MS, "identity"),
        Slice(
            "interest_focus",
            2 * len(KINDS),
            "share of the greatest weight, normalised entropy",
            labels=tuple(f"{kind}_{what}" for kind in KINDS for what in ("share", "entropy")),
        ),
    )
    feature_names: tuple[str, ...] = ()

    def features(self, rows: Rows, events: EventColumns) -> Floats:
        """No features yet: directions are for similarity, not for a linear model."""
        return np.empty((len(events), 0))

    def update(self, rows: Rows, events: EventColumns) -> None:
        """Add directions to the vectors, and tokens to the lists."""
        direction = events.directions[events.content]
        for name, half_life_ms in (("short", DAY_MS), ("long", MONTH_MS)):
            scale = events.interest * events.weight(half_life_ms)
            added = np.add.reduceat(direction * scale[:, None], events.starts, axis=0)
            rows[f"interest.{name}"] += added.astype(np.float32)
        contribution = events.interest * events.weight(MONTH_MS)
        # The three kinds as one set of lists: a third of the array operations.
        token = np.concatenate([events.category, events.brand, events.item])
        row = np.concatenate([events.row + k * events.n_rows for k in range(len(KINDS))])
        counts = np.flatnonzero((token != 0) & np.tile(events.interest > 0, len(KINDS)))
        if len(counts):
            ids = np.concatenate([rows[f"interest.{kind}_id"] for kind in KINDS])
            weights = np.concatenate([rows[f"interest.{kind}_weight"] for kind in KINDS])
            update_top(
                ids, weights, row[counts], token[counts], np.tile(contribution, len(KINDS))[counts]
            )
            for k, kind in enumerate(KINDS):
                part = slice(k * events.n_rows, (k + 1) * events.n_rows)
                rows[f"interest.{kind}_id"] = ids[part]
                rows[f"interest.{kind}_weight"] = weights[part]

    def merge(self, a: Rows, b: Rows, out: Rows) -> None:
        """Merge the lists, person by person."""
        for kind in KINDS:
            ids, weights = f"interest.{kind}_id", f"interest.{kind}_weight"
            for r in range(len(out)):
                out[ids][r], out[weights][r] = merge_top(
                    a[ids][r], a[weights][r], b[ids][r], b[weights][r]
                )

    def project(self, now: Snapshot, out: NDArray[np.float32]) -> None:
        """Vectors at `as_of`, and how concentrated each list is."""
        out[:, :DIMENSIONS] = now.decayed("interest.short", DAY_MS)
        out[:, DIMENSIONS : 2 * DIMENSIONS] = now.decayed("interest.long", MONTH_MS)
        for k, kind in enumerate(KINDS):
            weights = now[f"interest.{kind}_weight"]
            total = weights.sum(axis=1, keepdims=True)
            shares = weights / np.where(total > 0, total, 1.0)
            logs = np.log(np.where(shares > 0, shares, 1.0))
            out[:, 2 * DIMENSIONS + 2 * k] = shares.max(axis=1)
            out[:, 2 * DIMENSIONS + 2 * k + 1] = -(shares * logs).sum(axis=1) / np.log(SIZE)

    def describe(self, now: Snapshot) -> list[Description]:
        """The heaviest tokens of each kind, heaviest first: weight by hash as 16 hex digits."""
        weights = np.concatenate([now[f"interest.{kind}_weight"] for kind in KINDS])
        ids = np.concatenate([now[f"interest.{kind}_id"] for kind in KINDS])
        order = np.argsort(-weights, axis=1)[:, :DESCRIBED]
        factor = np.tile(now.factor(MONTH_MS), len(KINDS))[:, None]
        top = np.take_along_axis(weights, order, axis=1) * factor
        listed = json_objects(np.take_along_axis(ids, order, axis=1), top)
        n = len(now)
        return described(category=listed[:n], brand=listed[n : 2 * n], item=listed[2 * n :])
