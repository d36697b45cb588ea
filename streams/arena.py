"""The arena: hot rows in contiguous memory, so that a batch gathers and scatters them by index.

A cache of the store with a fixed number of places. A row that is used by the current batch or the
one before it, whose write may still be on the wire, is never evicted.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from profiler.columns import Rows
from profiler.dedupe import NO_PARTITION, Fences, partition_number
from profiler.errors import ConfigurationError
from profiler.identity import Links
from profiler.spec import Spec
from profiler.state import Stored

EVICTED_SHARE: Final = 8
"""An eighth of the places is freed at once, so that choosing the oldest is paid for rarely."""


class Arena:
    """Rows, revisions and fences by pid.

    Parameters
    ----------
    spec
        Of the rows.
    capacity
        Number of places; memory is `capacity` times the size of a row, taken as it fills.

    Raises
    ------
    ConfigurationError
        If the machine cannot have that much.
    """

    def __init__(self, spec: Spec, capacity: int) -> None:
        self.capacity = capacity
        try:
            self._rows = spec.empty(capacity)
        except MemoryError:
            problem = f"asks for {capacity * spec.dtype.itemsize / 1e9:,.0f} GB, more than there is"
            raise ConfigurationError("PROFILER_ARENA_ROWS", problem) from None
        self._rev = np.zeros(capacity, dtype=np.int64)
        self._fences = Fences.empty(capacity)
        self._erased = np.zeros(capacity, dtype=bool)
        self._links: dict[int, Links] = {}
        self._used = np.full(capacity, -1, dtype=np.int64)
        self._tick = 0
        self._slot: dict[str, int] = {}
        self._pid: list[str | None] = [None] * capacity
        self._free = list(range(capacity - 1, -1, -1))

    def __len__(self) -> int:
        return len(self._slot)

    def __contains__(self, pid: str) -> bool:
        return pid in self._slot

    def begin(self, pids: Sequence[str]) -> None:
        """Begin a batch: the rows of these people, where they are here, are not evicted for it."""
        self._tick += 1
        slot = self._slot
        self._used[[slot[pid] for pid in pids if pid in slot]] = self._tick

    def missing(self, pids: Sequence[str]) -> list[str]:
        """Those of these people whose rows must be loaded."""
        slot = self._slot
        return [pid for pid in pids if pid not in slot]

    def put(self, pids: Sequence[str], stored: Stored) -> None:
        """Take in loaded states of people who are missing."""
        if len(pids) > len(self._free):
            self._evict(len(pids))
        slots = [self._free.pop() for _ in pids]
        for pid, slot in zip(pids, slots, strict=True):
            self._slot[pid] = slot
            self._pid[slot] = pid
        at = np.array(slots, dtype=np.intp)
        self._used[at] = self._tick
        self._rev[at] = stored.rev
        self._erased[at] = stored.erased
        self._set(at, stored.rows, stored.fences, stored.links)

    def slots(self, pids: Sequence[str]) -> NDArray[np.intp]:
        """(R,) places of people who are all here."""
        slot = self._slot
        return np.array([slot[pid] for pid in pids], dtype=np.intp)

    def gather(self, slots: NDArray[np.intp]) -> Stored:
        """Copy the states at these places."""
        fences = Fences(self._fences.partition[slots], self._fences.offset[slots])
        if self._fences.more:
            more = self._fences.more
            fences.more = {
                r: dict(more[slot]) for r, slot in enumerate(slots.tolist()) if slot in more
            }
        return Stored(
            self._rows[slots], self._rev[slots], fences, self._erased[slots], self.links(slots)
        )

    def scatter(
        self, slots: NDArray[np.intp], rows: Rows, fences: Fences, links: Mapping[int, Links]
    ) -> None:
        """Put computed rows back, as the next revision."""
        self._rev[slots] += 1
        self._set(slots, rows, fences, links)

    def erase(self, slots: NDArray[np.intp]) -> None:
        """Turn these places into tombstones, as the next revision."""
        self._rev[slots] += 1
        self._erased[slots] = True
        self._rows[slots] = np.zeros((), dtype=self._rows.dtype)
        for slot in self._links.keys() & set(slots.tolist()):
            self._links[slot] = self._links[slot].of_the_erased()

    def links(self, slots: NDArray[np.intp]) -> dict[int, Links]:
        """Links of the people at these places, by row, where there are any."""
        known = self._links
        if not known:
            return {}
        return {r: known[slot] for r, slot in enumerate(slots.tolist()) if slot in known}

    def revision(self, pid: str) -> int:
        """Revision of somebody who is here."""
        return int(self._rev[self._slot[pid]])

    def revisions(self, slots: NDArray[np.intp]) -> NDArray[np.int64]:
        """(R,) revisions at these places."""
        return self._rev[slots]

    def columns(self, slots: NDArray[np.intp], names: Sequence[str]) -> dict[str, NDArray[Any]]:
        """Copies of some columns at these places."""
        return {name: self._rows[name][slots] for name in names}

    def annotate(self, slots: NDArray[np.intp], columns: Mapping[str, NDArray[Any]]) -> None:
        """Set derived columns of these rows: kept with the next commit, not worth their own."""
        for name, values in columns.items():
            self._rows[name][slots] = values

    def drop(self, pids: Collection[str]) -> None:
        """Forget these people; what the store has counts."""
        for pid in pids:
            slot = self._slot.pop(pid, None)
            if slot is not None:
                self._pid[slot] = None
                self._used[slot] = -1
                self._free.append(slot)
                self._fences.more.pop(slot, None)
                self._links.pop(slot, None)

    def clear(self) -> None:
        """Forget everybody."""
        self.drop(list(self._slot))

    def drop_partitions(self, numbers: Collection[int]) -> None:
        """Forget everybody whose home is one of these partitions."""
        fence = self._fences.partition
        at_home = np.isin(partition_number(fence), list(numbers)) | (fence == NO_PARTITION)
        found = np.flatnonzero(at_home & (self._used >= 0)).tolist()
        self.drop([pid for pid in (self._pid[slot] for slot in found) if pid is not None])

    def _set(
        self, slots: NDArray[np.intp], rows: Rows, fences: Fences, links: Mapping[int, Links]
    ) -> None:
        self._rows[slots] = rows
        self._fences.partition[slots] = fences.partition
        self._fences.offset[slots] = fences.offset
        for r, others in fences.more.items():
            self._fences.more[int(slots[r])] = dict(others)
        for r, known in links.items():
            self._links[int(slots[r])] = known

    def _evict(self, n: int) -> None:
        """Free the least recently used places, at least n."""
        evictable = np.flatnonzero((self._used >= 0) & (self._used < self._tick - 1))
        wanted = max(n - len(self._free), self.capacity // EVICTED_SHARE)
        if len(self._free) + len(evictable) < n:
            raise AssertionError("an arena holds two batches and more: settings are checked for it")
        if len(evictable) > wanted:
            oldest = np.argpartition(self._used[evictable], wanted - 1)[:wanted]
            evictable = evictable[oldest]
        self.drop([pid for pid in (self._pid[s] for s in evictable.tolist()) if pid is not None])
