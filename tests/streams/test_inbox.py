"""The queue in front of the worker is bounded, in records and in bytes."""

from __future__ import annotations

import asyncio

from profiler.records import RawRecord
from streams.inbox import Delivery, Inbox


def delivery(n_records: int, n_bytes: int = 100, *, is_current: bool = True) -> Delivery:
    records = [RawRecord("events", 0, k, 0, None, bytes(n_bytes)) for k in range(n_records)]
    return Delivery("events", 0, records, lambda text: None, lambda: is_current)


async def has_room(inbox: Inbox) -> bool:
    try:
        async with asyncio.timeout(0.01):
            await inbox.put(delivery(1))
    except TimeoutError:
        return False
    return True


def test_a_full_queue_waits_until_something_is_taken() -> None:
    async def scenario() -> list[bool]:
        inbox = Inbox(events_max=10)
        await inbox.put(delivery(9))
        found = [await has_room(inbox), await has_room(inbox)]
        inbox.take(9)
        return [*found, await has_room(inbox)]

    assert asyncio.run(scenario()) == [True, False, True]


def test_long_records_count_for_several() -> None:
    async def scenario() -> tuple[bool, list[int], bool]:
        inbox = Inbox(events_max=500)
        for _ in range(2):
            await inbox.put(delivery(1, n_bytes=256 * 1024))
        was_full = not await has_room(inbox)
        taken = [len(inbox.take(100)), len(inbox.take(100)), len(inbox.take(100))]
        return was_full, taken, await has_room(inbox)

    assert asyncio.run(scenario()) == (True, [1, 1, 0], True)


def test_what_is_dropped_leaves_room() -> None:
    async def scenario() -> bool:
        inbox = Inbox(events_max=10)
        await inbox.put(delivery(10))
        inbox.clear()
        return await has_room(inbox)

    assert asyncio.run(scenario())


def test_what_is_stale_is_dropped() -> None:
    async def scenario() -> tuple[int, int]:
        inbox = Inbox(100)
        for is_current in (False, True, False):
            await inbox.put(delivery(5, is_current=is_current))
        return len(inbox.take(100)), inbox.n_events

    assert asyncio.run(scenario()) == (1, 0)
