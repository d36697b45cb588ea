from __future__ import annotations

import asyncio

from streams.inbox import Delivery, Inbox
from tests.strategies import START_MS, record


def delivery(n: int, *, is_current: bool = True) -> Delivery:
    records = [record({"type": "click", "ts": START_MS, "user_id": "u"}, k) for k in range(n)]
    return Delivery("profiler.events", 0, records, lambda text: None, lambda: is_current)


def test_a_full_queue_makes_its_sender_wait() -> None:
    async def body() -> list[int]:
        inbox = Inbox(10)
        await inbox.put(delivery(6))
        await inbox.put(delivery(6))
        waiting = asyncio.create_task(inbox.put(delivery(1)))
        await asyncio.sleep(0)
        found = [inbox.n_events]
        taken = inbox.take(1)
        await waiting
        return [*found, len(taken), inbox.n_events]

    assert asyncio.run(body()) == [12, 1, 7]


def test_what_is_stale_is_dropped() -> None:
    async def body() -> tuple[int, int]:
        inbox = Inbox(100)
        for is_current in (False, True, False):
            await inbox.put(delivery(5, is_current=is_current))
        return len(inbox.take(100)), inbox.n_events

    assert asyncio.run(body()) == (1, 0)
