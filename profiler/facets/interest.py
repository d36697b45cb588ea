"""Interest: what a person looks at and buys, as vectors and as lists of names."""

from __future__ import annotations

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from profiler.columns import DAY_MS, MONTH_MS, EventColumns, Floats, Rows, decayed_at
from profiler.events import BEHAVIOUR_TYPES
from profiler.facets.contract import Column, Description, Slice
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
        for name, half_life_ms in (("short", DAY_MS), ("long", MONTH_MS)):
            scale = events.interest * events.weight(half_life_ms)
            added = np.add.reduceat(events.direction * scale[:, None], events.starts, axis=0)
            rows[f"interest.{name}"] += added.astype(np.float32)
        contribution = events.interest * events.weight(MONTH_MS)
        for kind, token in (
            ("category", events.category),
            ("brand", events.brand),
            ("item", events.item),
        ):
            counts = np.flatnonzero((token != 0) & (events.interest > 0))
            if len(counts):
                update_top(
                    rows[f"interest.{kind}_id"],
                    rows[f"interest.{kind}_weight"],
                    events.row[counts],
                    token[counts],
                    contribution[counts],
                )

    def merge(self, a: Rows, b: Rows, out: Rows) -> None:
        """Merge the lists, person by person."""
        for kind in KINDS:
            ids, weights = f"interest.{kind}_id", f"interest.{kind}_weight"
            for r in range(len(out)):
                out[ids][r], out[weights][r] = merge_top(
                    a[ids][r], a[weights][r], b[ids][r], b[weights][r]
                )

    def project(self, rows: Rows, out: NDArray[np.float32]) -> None:
        """Vectors at `as_of`, and how concentrated each list is."""
        as_of = rows["core.as_of"]
        out[:, :DIMENSIONS] = decayed_at(rows["interest.short"], as_of, DAY_MS, as_of)
        out[:, DIMENSIONS : 2 * DIMENSIONS] = decayed_at(
            rows["interest.long"], as_of, MONTH_MS, as_of
        )
        for k, kind in enumerate(KINDS):
            weights = rows[f"interest.{kind}_weight"]
            total = weights.sum(axis=1, keepdims=True)
            shares = weights / np.where(total > 0, total, 1.0)
            logs = np.log(np.where(shares > 0, shares, 1.0))
            out[:, 2 * DIMENSIONS + 2 * k] = shares.max(axis=1)
            out[:, 2 * DIMENSIONS + 2 * k + 1] = -(shares * logs).sum(axis=1) / np.log(SIZE)

    def describe(self, rows: Rows) -> list[Description]:
        """The heaviest tokens of each kind, heaviest first: weight by hash as 16 hex digits."""
        lists = [_heaviest(rows, kind) for kind in KINDS]
        return [dict(zip(KINDS, entry, strict=True)) for entry in zip(*lists, strict=True)]


def _heaviest(rows: Rows, kind: str) -> list[dict[str, float]]:
    """Weight by hash of each row's heaviest tokens; cut from flat lists, which is cheapest."""
    as_of = rows["core.as_of"]
    weights = np.ascontiguousarray(rows[f"interest.{kind}_weight"])
    order = np.argsort(-weights, axis=1)[:, :DESCRIBED]
    top = decayed_at(np.take_along_axis(weights, order, axis=1), as_of, MONTH_MS, as_of)
    ids = np.take_along_axis(rows[f"interest.{kind}_id"], order, axis=1)
    digits = ids.astype(">u8").tobytes().hex()
    tokens = [digits[i : i + 16] for i in range(0, len(digits), 16)]
    values = top.round(3).ravel().tolist()
    starts = range(0, len(tokens), DESCRIBED)
    used = np.count_nonzero(ids, axis=1).tolist()
    return [
        dict(zip(tokens[start : start + n], values[start : start + n], strict=True))
        for start, n in zip(starts, used, strict=True)
    ]
