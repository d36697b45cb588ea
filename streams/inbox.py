"""What waits for the worker: deliveries, in a queue that is bounded in records."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence

from msgspec import Struct

from profiler.records import Record


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
        Records that may wait; beyond it `put` waits.

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
        self._waiting: deque[Delivery] = deque()
        self._has_room = asyncio.Event()

    def __len__(self) -> int:
        return len(self._waiting)

    async def put(self, delivery: Delivery) -> None:
        """Queue a delivery; waits while the queue is full."""
        while self.n_events >= self._events_max:
            self._has_room.clear()
            await self._has_room.wait()
        self._waiting.append(delivery)
        self.n_events += len(delivery.records)
        self.arrived.set()

    def take(self, events_max: int) -> list[Delivery]:
        """Take what waits, about so many records.

        What is no longer current is dropped. All later deliveries of its partition are as old, so
        that what is forwarded of a partition never skips something that comes again.
        """
        taken: list[Delivery] = []
        n_events = 0
        while self._waiting and n_events < events_max:
            delivery = self._waiting.popleft()
            self.n_events -= len(delivery.records)
            if delivery.is_current():
                n_events += len(delivery.records)
                taken.append(delivery)
        self._has_room.set()
        return taken

    def clear(self) -> None:
        """Drop all that waits."""
        self._waiting.clear()
        self.n_events = 0
        self._has_room.set()
