"""Nothing is acknowledged that a store might still lose."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial

import pytest

from profiler.errors import StoreRestarted, StoreUnavailable
from profiler.spec import DEFAULT_SPEC
from streams import acknowledgements as module
from streams.acknowledgements import Acknowledgements
from streams.memory_store import MemoryStore
from streams.metrics import Metrics
from streams.patience import Patience
from streams.store import Durability
from tests.simulation.clock import run_simulated

DURABLE_AFTER_S = 3.0


class Disk(MemoryStore):
    """A store whose disk follows a script; it says only what it is told to."""

    def __init__(self, kind: Durability, *, tells: bool) -> None:
        super().__init__(spec_hash=DEFAULT_SPEC.hash)
        self.kind = kind
        self.tells = tells
        self.synced = asyncio.Event()
        self.fault: Exception | None = None

    async def durability(self) -> Durability:
        return self.kind

    async def until_durable(self) -> bool:
        if self.fault is not None:
            fault, self.fault = self.fault, None
            raise fault
        if self.tells:
            await self.synced.wait()
        return self.tells


def play(store: Disk, body: Callable[[Acknowledgements, list[str]], Awaitable[None]]) -> list[str]:
    done: list[str] = []

    async def main() -> None:
        patience = Patience(Metrics())
        acknowledgements = Acknowledgements(store, patience, DURABLE_AFTER_S)
        running = asyncio.create_task(acknowledgements.run())
        try:
            await body(acknowledgements, done)
            if running.done():
                running.result()
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)

    run_simulated(main())
    return done


def test_a_store_that_tells_is_waited_for() -> None:
    store = Disk("aof", tells=True)

    async def body(acknowledgements: Acknowledgements, done: list[str]) -> None:
        acknowledgements.add([partial(done.append, "a")])
        await asyncio.sleep(60)
        assert done == []
        store.synced.set()
        await acknowledgements.wait_until_none_left()

    assert play(store, body) == ["a"]


def test_what_comes_while_it_is_waited_for_waits_for_the_next_time() -> None:
    store = Disk("aof", tells=True)

    async def body(acknowledgements: Acknowledgements, done: list[str]) -> None:
        acknowledgements.add([partial(done.append, "a")])
        await asyncio.sleep(1)
        acknowledgements.add([partial(done.append, "b")])
        store.synced.set()
        store.synced.clear()
        await asyncio.sleep(1)
        assert done == ["a"]
        store.synced.set()
        await acknowledgements.wait_until_none_left()

    assert play(store, body) == ["a", "b"]


def test_a_store_that_cannot_tell_is_believed_after_a_while() -> None:
    async def body(acknowledgements: Acknowledgements, done: list[str]) -> None:
        acknowledgements.add([partial(done.append, "a")])
        await asyncio.sleep(DURABLE_AFTER_S / 2)
        acknowledgements.add([partial(done.append, "b")])
        await asyncio.sleep(DURABLE_AFTER_S / 2 - 0.1)
        assert done == []
        await asyncio.sleep(0.2)
        assert done == ["a"]
        await acknowledgements.wait_until_none_left()

    assert play(Disk("unknown", tells=False), body) == ["a", "b"]


def test_a_store_that_keeps_nothing_is_not_waited_for() -> None:
    async def body(acknowledgements: Acknowledgements, done: list[str]) -> None:
        acknowledgements.add([partial(done.append, "a")])
        await asyncio.sleep(0.1)
        assert done == ["a"]

    play(Disk("none", tells=False), body)


def test_a_store_that_is_away_is_asked_again() -> None:
    store = Disk("aof", tells=True)
    store.fault = StoreUnavailable("away")
    store.synced.set()

    async def body(acknowledgements: Acknowledgements, done: list[str]) -> None:
        acknowledgements.add([partial(done.append, "a")])
        await acknowledgements.wait_until_none_left()

    assert play(store, body) == ["a"]


def test_a_restart_is_passed_on_and_nothing_is_acknowledged() -> None:
    store = Disk("aof", tells=True)
    store.fault = StoreRestarted("another")

    async def body(acknowledgements: Acknowledgements, done: list[str]) -> None:
        acknowledgements.add([partial(done.append, "a")])
        await asyncio.sleep(0.1)
        assert done == []

    with pytest.raises(StoreRestarted):
        play(store, body)


def test_what_is_dropped_is_never_acknowledged() -> None:
    store = Disk("aof", tells=True)

    async def body(acknowledgements: Acknowledgements, done: list[str]) -> None:
        acknowledgements.add([partial(done.append, "a")])
        acknowledgements.clear()
        await acknowledgements.wait_until_none_left()
        acknowledgements.add([partial(done.append, "b")])
        store.synced.set()
        await acknowledgements.wait_until_none_left()

    assert play(store, body) == ["b"]


def test_the_worker_waits_for_a_disk_that_does_not_keep_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "DELIVERIES_MAX", 3)
    acknowledged: list[int] = []

    async def scenario() -> tuple[bool, bool]:
        store = Disk("aof", tells=True)
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
