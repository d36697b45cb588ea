"""What waits for the store's disk is bounded too."""

from __future__ import annotations

import asyncio

import pytest

from streams import acknowledgements
from streams.acknowledgements import Acknowledgements
from streams.metrics import Metrics
from streams.patience import Patience
from streams.store import MemoryStore


class SlowDisk(MemoryStore):
    """Has nothing on disk until it is told."""

    def __init__(self) -> None:
        super().__init__(spec_hash="")
        self.synced = asyncio.Event()

    async def until_durable(self) -> bool:
        await self.synced.wait()
        return True


def test_the_worker_waits_for_a_disk_that_does_not_keep_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(acknowledgements, "DELIVERIES_MAX", 3)
    acknowledged: list[int] = []

    async def scenario() -> tuple[bool, bool]:
        store = SlowDisk()
        waiting = Acknowledgements(store, Patience(Metrics()), durable_after_s=0.0)
        running = asyncio.create_task(waiting.run())
        await waiting.wait_for_room()
        waiting.add([lambda k=k: acknowledged.append(k) for k in range(3)])  # type: ignore[misc]
        room = asyncio.create_task(waiting.wait_for_room())
        await asyncio.sleep(0.01)
        had_room = room.done()
        store.synced.set()
        await room
        running.cancel()
        return had_room, room.done()

    assert asyncio.run(scenario()) == (False, True)
    assert acknowledged == [0, 1, 2]
