"""Events of interest as statistics see them: what was touched, after what, and what it is about."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from profiler.columns import EventColumns, Hashes, Ints
from profiler.facets.trail import CATEGORIES, ITEMS
from profiler.tokens import DIMENSIONS, directions


class Seen(Struct, frozen=True):
    """N events of interest, and what their people had touched before.

    Parameters
    ----------
    ts
        (N,) event times, ms.
    person
        (N,) places of the people in their batch.
    item, category
        (N,) hashes, 0 where there is none.
    items_before, categories_before
        (N, 16) and (N, 4) trails, latest first.
    content
        (N, 32) direction of what each is about, but for the item's own name.
    """

    ts: Ints
    person: NDArray[np.intp]
    item: Hashes
    category: Hashes
    items_before: Hashes
    categories_before: Hashes
    content: NDArray[np.float16]

    def __len__(self) -> int:
        return len(self.ts)

    def only(self, index: NDArray[np.intp] | slice) -> Seen:
        """Some of these events, in this order."""
        return Seen(*(getattr(self, name)[index] for name in self.__struct_fields__))

    @staticmethod
    def joined(parts: Sequence[Seen]) -> Seen:
        """Events of all parts, one after another."""
        if len(parts) == 1:
            return parts[0]
        parts = parts or [_NOTHING]
        names = Seen.__struct_fields__
        return Seen(*(np.concatenate([getattr(part, name) for part in parts]) for name in names))


def seen_of(events: EventColumns, place: NDArray[np.intp], held: NDArray[np.bool_]) -> Seen:
    """Events of interest among those that facets have been updated with.

    Parameters
    ----------
    place, held
        (R,) places of their people in the batch, and whether each is taken for a machine: nobody
        shall be recommended what machines touch.
    """
    trails = events.trails
    if trails is None:
        return _NOTHING
    names_something = (events.item | events.category) != 0
    index = np.flatnonzero((events.interest > 0) & names_something & ~held[events.row])
    item = events.item[index]
    own = np.where((item != 0)[:, None], directions(item), np.float32(0))
    return Seen(
        ts=events.ts[index],
        person=place[events.row[index]],
        item=item,
        category=events.category[index],
        items_before=trails.item[index],
        categories_before=trails.category[index],
        content=(events.directions[events.content[index]] - own).astype(np.float16),
    )


_NOTHING = Seen(
    ts=np.zeros(0, dtype=np.int64),
    person=np.zeros(0, dtype=np.intp),
    item=np.zeros(0, dtype=np.uint64),
    category=np.zeros(0, dtype=np.uint64),
    items_before=np.zeros((0, ITEMS), dtype=np.uint64),
    categories_before=np.zeros((0, CATEGORIES), dtype=np.uint64),
    content=np.zeros((0, DIMENSIONS), dtype=np.float16),
)
