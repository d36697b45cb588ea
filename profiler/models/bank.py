"""The model bank: River models that all profiles of a worker share, and when labels fall due."""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from typing import Final

import msgspec

from profiler.columns import EventColumns, Floats, Rows
from profiler.models.purchase import Labels, PurchaseInSession
from profiler.spec import Spec

WAITING_MAX: Final = 100_000
"""Default number of sessions that are waited for."""


class ModelBank:
    """Models, their figures, and the sessions whose end is waited for.

    Parameters
    ----------
    spec
        Provides the features.
    waiting_max
        Sessions whose end is waited for, of all partitions together; beyond it the earliest are
        left to their owner's return. More than the rows in memory are of no use: the label of a
        session is taken from its row.
    """

    def __init__(self, spec: Spec, waiting_max: int = WAITING_MAX) -> None:
        self.purchase = PurchaseInSession(spec.feature_names)
        self._waiting_max = waiting_max
        self._due: dict[int, DueIndex] = {}

    def predict(self, known: Floats, rows: Rows, events: EventColumns) -> Labels:
        """Score a batch; scores and kept predictions go into the rows' intent columns."""
        x = self.purchase.inputs(known, events)
        return self.purchase.keep(rows, events, x, self.purchase.score(x))

    def learn(self, labels: Sequence[Labels]) -> None:
        """Score kept predictions whose outcome is known, then learn from them."""
        if labels:
            self.purchase.learn(Labels.joined(labels))

    def wait_for(self, partition: int, pids: Sequence[str], due_ms: Sequence[int]) -> None:
        """Note when the sessions of these people end, by the time of this partition."""
        self._due.setdefault(partition, DueIndex()).add(pids, due_ms)
        while (n_excess := sum(map(len, self._due.values())) - self._waiting_max) > 0:
            max(self._due.values(), key=len).drop_earliest(n_excess)

    def due(self, partition: int, watermark_ms: int) -> list[str]:
        """People of a partition whose sessions have ended by its watermark."""
        index = self._due.get(partition)
        return index.pop(watermark_ms) if index is not None else []

    def forget(self, partition: int) -> None:
        """Drop what is waited for in a partition that this worker no longer has."""
        self._due.pop(partition, None)

    def export(self) -> bytes:
        """All that was learnt, as JSON for the store; never a pickle."""
        return msgspec.json.encode({self.purchase.name: self.purchase.export()})

    def restore(self, data: bytes) -> None:
        """Go on from what was exported.

        Raises
        ------
        msgspec.DecodeError
            If `data` is not what `export` gives.
        """
        learnt = msgspec.json.decode(data, type=dict[str, dict[str, dict[str, float]]])
        if self.purchase.name in learnt:
            self.purchase.restore(learnt[self.purchase.name])


class DueIndex:
    """Who is waited for until when: a heap with lazy updates.

    Each has one place in the heap, that of a time that it had once and may have outlived.

    Examples
    --------
    >>> index = DueIndex()
    >>> index.add(["a", "b"], [10, 20])
    >>> index.add(["a"], [30])
    >>> index.pop(25), index.pop(31)
    (['b'], ['a'])
    """

    def __init__(self) -> None:
        self._due: dict[str, int] = {}
        self._heap: list[tuple[int, str]] = []

    def __len__(self) -> int:
        return len(self._due)

    def add(self, pids: Sequence[str], due_ms: Sequence[int]) -> None:
        """Wait for these people; a later time replaces an earlier one."""
        due, heap = self._due, self._heap
        for pid, time in zip(pids, due_ms, strict=True):
            if pid not in due:
                heapq.heappush(heap, (time, pid))
            due[pid] = time

    def pop(self, watermark_ms: int) -> list[str]:
        """People whose time is before the watermark; they are waited for no longer."""
        found = []
        while self._heap and self._heap[0][0] < watermark_ms:
            if pid := self._pop_earliest():
                found.append(pid)
        return found

    def drop_earliest(self, n: int) -> None:
        """Wait no longer for the n people whose times are the earliest."""
        n_left = max(0, len(self) - n)
        while len(self) > n_left:
            self._pop_earliest()

    def _pop_earliest(self) -> str | None:
        """Take off the heap's first, or give it the place of the time that it has by now."""
        noted_ms, pid = self._heap[0]
        time = self._due[pid]
        if time > noted_ms:
            heapq.heapreplace(self._heap, (time, pid))
            return None
        heapq.heappop(self._heap)
        del self._due[pid]
        return pid
