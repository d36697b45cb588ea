"""Trail: what a person touched last, item by item and category by category."""

from __future__ import annotations

from typing import Final

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from profiler.columns import EventColumns, Floats, Rows, Snapshot, Trails
from profiler.facets.contract import Column, Description, Slice, described
from profiler.facets.sessions import is_later
from profiler.trails import follow, merged

ITEMS: Final = 16
CATEGORIES: Final = 4


class Trail(Struct, frozen=True):
    """The last 16 items and 4 categories that events of interest named, each once, latest first."""

    name: str = "trail"
    columns: tuple[Column, ...] = (
        Column("trail.item", "<u8", "sequential", (ITEMS,)),
        Column("trail.category", "<u8", "sequential", (CATEGORIES,)),
    )
    slices: tuple[Slice, ...] = ()
    feature_names: tuple[str, ...] = ()

    def features(self, rows: Rows, events: EventColumns) -> Floats:
        """No features: recommendations use the trail itself."""
        return np.empty((len(events), 0))

    def update(self, rows: Rows, events: EventColumns) -> None:
        """Move what events of interest name to the front; note what was there before each event."""
        counts = events.interest > 0
        before = []
        for name, token in (("item", events.item), ("category", events.category)):
            # Copies in one piece: fields of structured rows are strided.
            trails = np.ascontiguousarray(rows[f"trail.{name}"])
            before.append(follow(trails, events.row, np.where(counts, token, np.uint64(0))))
            rows[f"trail.{name}"] = trails
        events.trails = Trails(*before)

    def merge(self, a: Rows, b: Rows, out: Rows) -> None:
        """Put the trail of the later session first."""
        a_is_later = is_later(a, b)
        for r in np.flatnonzero(a_is_later & is_later(b, a)).tolist():
            a_is_later[r] = _tokens(a[r]) >= _tokens(b[r])
        for name in ("trail.item", "trail.category"):
            later = np.where(a_is_later[:, None], a[name], b[name])
            out[name] = merged(later, np.where(a_is_later[:, None], b[name], a[name]))

    def project(self, now: Snapshot, out: NDArray[np.float32]) -> None:
        """Nothing: items are no numbers."""

    def describe(self, now: Snapshot) -> list[Description]:
        """Items and categories, latest first, 16 hex digits each without anything between them."""
        return described(item=_texts(now["trail.item"]), category=_texts(now["trail.category"]))


def _tokens(row: np.void) -> list[int]:
    return [*row["trail.item"].tolist(), *row["trail.category"].tolist()]


def _texts(trails: NDArray[np.uint64]) -> list[str]:
    digits = np.ascontiguousarray(trails).astype(">u8").tobytes().hex()
    width = 16 * trails.shape[1]
    ends = (np.count_nonzero(trails, axis=1) * 16).tolist()
    return [digits[k * width : k * width + end] for k, end in enumerate(ends)]
