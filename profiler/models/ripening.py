"""Labels that wait until any outcome would be known.

Somebody who comes back says so at once; that somebody does not is known a week later. Whoever
learns each label when it is known learns, of all that was asked lately, only the yes, and takes
everybody for faithful whenever more is asked than before (delayed feedback: Chapelle, KDD 2014). So
a yes is learnt when a no would be.
"""

from __future__ import annotations

import heapq
from typing import Final

import numpy as np

from profiler.models.labels import Labels

RIPENING_MAX: Final = 200_000


class Ripening:
    """Labels by the time from which they may be learnt.

    Parameters
    ----------
    n_max
        How many may wait; beyond it those that are due first are given out early.
    """

    def __init__(self, n_max: int = RIPENING_MAX) -> None:
        self._n_max = n_max
        self._heap: list[tuple[int, int]] = []
        self._free: list[int] = []
        self._kept: Labels | None = None

    def __len__(self) -> int:
        return len(self._heap)

    def ripe(self, labels: Labels, now_ms: int) -> Labels:
        """Take in labels; give out those, new or old, that were due by now."""
        waits = labels.due_ms > now_ms
        ripe = labels
        if waits.any():
            self._put(labels.only(waits))
            ripe = labels.only(~waits)
        out = []
        while self._heap and (self._heap[0][0] <= now_ms or len(self._heap) > self._n_max):
            out.append(heapq.heappop(self._heap)[1])
        if not out:
            return ripe
        assert self._kept is not None
        self._free += out
        return Labels.joined([ripe, self._kept.only(np.array(out))])

    def _put(self, labels: Labels) -> None:
        if len(self._free) < len(labels):
            self._grow(labels)
        slots = [self._free.pop() for _ in range(len(labels))]
        assert self._kept is not None
        for name in Labels.__struct_fields__:
            getattr(self._kept, name)[slots] = getattr(labels, name)
        for due_ms, slot in zip(labels.due_ms.tolist(), slots, strict=True):
            heapq.heappush(self._heap, (due_ms, slot))

    def _grow(self, labels: Labels) -> None:
        """Make at least as much room again."""
        before = 0 if self._kept is None else len(self._kept)
        more = max(len(labels), before)
        room = labels.only(np.zeros(more, dtype=np.intp))
        self._kept = room if self._kept is None else Labels.joined([self._kept, room])
        self._free += range(before, before + more)
