"""Who is waited for until when: people whose kept predictions fall due, by partition.

Where not everybody can be waited for, a share is drawn by each person's lot, and halved when it is
still too many. Of those left out no label is learnt, whether they come back or not: negatives are
shown by waiting alone, so that to learn only what is not waited for would teach that all return.
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from typing import Final, NamedTuple

LOTS: Final = 65_535
"""Lots are numbers from 1 to this."""


class Waiting:
    """Deadlines of people, of all partitions together at most `n_max`.

    Attributes
    ----------
    lot_max
        Only people whose lot is at most this are waited for.
    told_ms
        Whatever was due before has been told, in all partitions alike.

    Examples
    --------
    >>> waiting = Waiting(2)
    >>> waiting.add(0, ["a", "b", "c"], [10, 20, 30], [1, 60_000, 2])
    >>> waiting.lot_max, [due.pid for due in waiting.due(0, 100)]
    (32767, ['a', 'c'])
    """

    def __init__(self, n_max: int) -> None:
        self.lot_max = LOTS
        self._n_max = n_max
        self._due: dict[int, DueIndex] = {}
        self._told_ms: dict[int, int] = {}

    @property
    def told_ms(self) -> int:  # noqa: D102  # see Attributes
        return min(self._told_ms.values(), default=0)

    def add(
        self, partition: int, pids: Sequence[str], due_ms: Sequence[int], lots: Sequence[int]
    ) -> None:
        """Note when these people's next label is due, by the time of this partition."""
        self._due.setdefault(partition, DueIndex()).add(pids, due_ms, lots)
        while sum(map(len, self._due.values())) > self._n_max and self.lot_max > 1:
            self.lot_max //= 2
            for index in self._due.values():
                index.keep(self.lot_max)

    def again(self, partition: int, people: Sequence[Due]) -> None:
        """Wait on for people who were given out, and whose rows were not at hand."""
        pids, due_ms, lots = ([one[k] for one in people] for k in range(3))
        self.add(partition, pids, due_ms, lots)  # type: ignore[arg-type]  # columns of tuples

    def due(self, partition: int, watermark_ms: int) -> list[Due]:
        """People of a partition whose time is before its watermark; waited for no longer."""
        self._told_ms[partition] = max(watermark_ms, self._told_ms.get(partition, 0))
        index = self._due.get(partition)
        return index.pop(watermark_ms) if index is not None else []

    def forget(self, partition: int) -> None:
        """Drop what is waited for in a partition that this worker no longer has."""
        self._due.pop(partition, None)
        self._told_ms.pop(partition, None)


class Due(NamedTuple):
    """Somebody who is waited for, until when, and the lot that was drawn."""

    pid: str
    due_ms: int
    lot: int


class DueIndex:
    """Who is waited for until when: a heap with lazy updates.

    Each has one place in the heap, at or before the time that is waited for.

    Examples
    --------
    >>> index = DueIndex()
    >>> index.add(["a", "b", "a"], [10, 20, 30], [1, 1, 1])
    >>> index.pop(25), index.pop(31)
    ([Due(pid='b', due_ms=20, lot=1)], [Due(pid='a', due_ms=30, lot=1)])
    """

    def __init__(self) -> None:
        # Plain tuples, which the garbage collector need not look at: there are many.
        self._due: dict[str, tuple[int, int]] = {}
        self._heap: list[tuple[int, str]] = []

    def __len__(self) -> int:
        return len(self._due)

    def add(self, pids: Sequence[str], due_ms: Sequence[int], lots: Sequence[int]) -> None:
        """Wait for these people; another time replaces the one before."""
        due, heap = self._due, self._heap
        for pid, time, lot in zip(pids, due_ms, lots, strict=True):
            known = due.get(pid)
            # An earlier time needs a place of its own; that of the later one is then passed over.
            if known is None or time < known[0]:
                heapq.heappush(heap, (time, pid))
            due[pid] = (time, lot)

    def pop(self, watermark_ms: int) -> list[Due]:
        """People whose time is before the watermark; they are waited for no longer."""
        found = []
        while self._heap and self._heap[0][0] < watermark_ms:
            noted_ms, pid = self._heap[0]
            one = self._due.get(pid)
            if one is not None and one[0] > noted_ms:
                heapq.heapreplace(self._heap, (one[0], pid))
                continue
            heapq.heappop(self._heap)
            if one is not None:
                found.append(Due(pid, *self._due.pop(pid)))
        return found

    def keep(self, lot_max: int) -> None:
        """Wait no longer for people with greater lots."""
        self._due = {pid: one for pid, one in self._due.items() if one[1] <= lot_max}
        self._heap = [(one[0], pid) for pid, one in self._due.items()]
        heapq.heapify(self._heap)
