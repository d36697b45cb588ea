"""When what was written may be acknowledged: once it would survive the death of the store.

A store that answers has the write in memory. Most lose up to a second of such writes when they lose
their power; so a Kafka offset is committed only when the store says that what it stands for is on
disk, or, if it cannot tell, after a while in which any store will have written it. A worker that
loses its store reads from there again, and the fence absorbs what had been kept.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterable
from typing import Final

from streams.patience import Patience
from streams.store import Durability, Store

Acknowledge = Callable[[], None]
DELIVERIES_MAX: Final = 65_536
"""About 1 KB each, and the store may take its time."""
DURABLE_AFTER_S: Final = 3.0
"""Default horizon of a store that cannot tell. A store that syncs every second may be one second
late before it says so by slowing down its writers (Redis 7, ``appendfsync everysec``)."""
INTERVAL_S: Final = 0.1
"""How often at most a store that cannot tell is asked whether it is still the one that it was."""
DURABILITY_KEPT_S: Final = 60.0
"""So long it may go unnoticed that somebody switched the append-only file of a store on."""


class Acknowledgements:
    """Acknowledges what was written, in order, once it is durable.

    Parameters
    ----------
    store
        Where it was written.
    patience
        For a store that is away.
    durable_after_s
        Age from which a write counts as durable in a store that cannot tell.
    """

    def __init__(self, store: Store, patience: Patience, durable_after_s: float) -> None:
        self._store = store
        self._patience = patience
        self._durable_after_s = durable_after_s
        self._durability: Durability | None = None
        self._durability_known_until_s = 0.0
        self._can_tell = True
        self._waiting: deque[tuple[float, Acknowledge]] = deque()
        self._arrived = asyncio.Event()
        self._none_left = asyncio.Event()
        self._none_left.set()
        self._has_room = asyncio.Event()
        self._has_room.set()

    async def wait_for_room(self) -> None:
        """Return once fewer than `DELIVERIES_MAX` wait."""
        await self._has_room.wait()

    def add(self, acknowledge: Iterable[Acknowledge]) -> None:
        """Take what was written just now: every write of it has been answered."""
        now_s = asyncio.get_running_loop().time()
        self._waiting.extend((now_s, a) for a in acknowledge)
        if self._waiting:
            self._none_left.clear()
            self._arrived.set()
        self._look_for_room()

    def clear(self) -> None:
        """Drop all: it must be done again."""
        self._waiting.clear()
        self._durability = None
        self._can_tell = True
        self._none_left.set()
        self._look_for_room()

    async def wait_until_none_left(self) -> None:
        """Return once everything that was added has been acknowledged or dropped."""
        await self._none_left.wait()

    async def run(self) -> None:
        """Work until cancelled.

        Raises
        ------
        StoreRestarted
            If writes that wait here may be lost.
        """
        while True:
            await self._arrived.wait()
            self._arrived.clear()
            while self._waiting:
                for _ in range(await self._n_durable()):
                    _, acknowledge = self._waiting.popleft()
                    acknowledge()
                self._look_for_room()
            self._none_left.set()

    def _look_for_room(self) -> None:
        if len(self._waiting) < DELIVERIES_MAX:
            self._has_room.set()
        else:
            self._has_room.clear()

    async def _n_durable(self) -> int:
        """Wait until something is durable; how many of those that wait are."""
        loop = asyncio.get_running_loop()
        if not self._can_tell:
            if await self._keeps_nothing():
                return len(self._waiting)
            due_s = self._waiting[0][0] + self._durable_after_s
            await asyncio.sleep(max(INTERVAL_S, due_s - loop.time()))
        n_written, asked_s = len(self._waiting), loop.time()
        # Of a store that cannot tell, this tells that it did not go away since it was written to.
        self._can_tell = await self._patience.until_done(self._store.until_durable)
        if self._can_tell:
            return n_written
        old_s = asked_s - self._durable_after_s
        return sum(written_s <= old_s for written_s, _ in self._waiting)

    async def _keeps_nothing(self) -> bool:
        """Whether the store has no disk to wait for."""
        now_s = asyncio.get_running_loop().time()
        if self._durability is None or now_s >= self._durability_known_until_s:
            self._durability = await self._patience.until_done(self._store.durability)
            self._durability_known_until_s = now_s + DURABILITY_KEPT_S
        return self._durability == "none"
