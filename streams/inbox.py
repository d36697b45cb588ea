"""What waits for the worker: deliveries, in a queue that is bounded in records and their size."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from typing import Final

from msgspec import Struct

from profiler.records import Record

KIB: Final = 1_024
"""Longer records count for several: a queue of the longest would need a hundred GB."""


class Delivery(Struct, frozen=True):
    """Records of one partition that were fetched together.

    Parameters
    ----------
    topic, partition
        Where they came from.
    records
        In order of offset.
    acknowledge
        To be called, in the loop's thread, once every record's effect is durable, with the text
        that is to be kept beside the offset when it is committed.
    is_current
        Whether the assignment in which they were fetched still holds. If not, they come again, or
        go to another worker.
    """

    topic: str
    partition: int
    records: Sequence[Record]
    acknowledge: Callable[[str], None]
    is_current: Callable[[], bool]


class Inbox:
    """A queue of deliveries.

    Parameters
    ----------
    events_max
        Records that may wait, or KiB of them; beyond it `put` waits.

    Attributes
    ----------
    n_events
        Records that wait.
    arrived
        Set by every delivery; whoever waits for one clears it.
    """

    def __init__(self, events_max: int) -> None:
        self.n_events = 0
        self.arrived = asyncio.Event()
        self._events_max = events_max
        self._waiting: deque[tuple[int, Delivery]] = deque()
        self._weight = 0
        self._has_room = asyncio.Event()

    def __len__(self) -> int:
        return len(self._waiting)

    async def put(self, delivery: Delivery) -> None:
        """Queue a delivery; waits while the queue is full."""
        while self._weight >= self._events_max:
            self._has_room.clear()
            await self._has_room.wait()
        weight = _weight(delivery)
        self._waiting.append((weight, delivery))
        self._weight += weight
        self.n_events += len(delivery.records)
        self.arrived.set()

    def take(self, events_max: int) -> list[Delivery]:
        """Take what waits, about so many records, or KiB of them.

        What is no longer current is dropped. All later deliveries of its partition are as old, so
        that what is forwarded of a partition never skips something that comes again.
        """
        taken: list[Delivery] = []
        taken_weight = 0
        while self._waiting and taken_weight < events_max:
            weight, delivery = self._waiting.popleft()
            self._weight -= weight
            self.n_events -= len(delivery.records)
            if delivery.is_current():
                taken_weight += weight
                taken.append(delivery)
        self._has_room.set()
        return taken

    def clear(self) -> None:
        """Drop all that waits."""
        self._waiting.clear()
        self.n_events = self._weight = 0
        self._has_room.set()


def _weight(delivery: Delivery) -> int:
    """As many as its records, or as its KiB if they are more."""
    records = delivery.records
    n_bytes = sum([len(r.value or b"") + len(r.key or b"") for r in records])
    n_bytes += sum([len(value or b"") for r in records if r.headers for _, value in r.headers])
    return max(len(records), n_bytes // KIB)
