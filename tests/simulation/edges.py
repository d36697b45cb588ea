"""A member's way to the store and to the broker: slow, failing before or after the fact, or cut."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, TypeVar

from profiler.errors import BrokerUnavailable, StoreRestarted, StoreUnavailable
from profiler.forwarding import headers_of
from profiler.records import Forward, RawRecord, Record
from profiler.spec import DEFAULT_SPEC
from profiler.updates import Told, Update
from streams.deadletter import DeadLetter
from streams.memory_store import MemoryStore
from streams.store import Durability, Write
from tests.simulation.world import FORWARDED, SLOW_S, STEP_S, SYNC_S

if TYPE_CHECKING:
    from tests.simulation.member import Member

_Result = TypeVar("_Result")


class StoreHandle(MemoryStore):
    """One member's way to the store that all share."""

    def __init__(self, member: Member) -> None:
        super().__init__(spec_hash=DEFAULT_SPEC.hash)
        self._member = member
        self._world = member.world
        self._incarnation = member.world.incarnation

    async def load(self, pids: Sequence[str]) -> list[bytes | None]:
        return await self._exchange(lambda: self._world.store.load(pids))

    async def commit(self, writes: Sequence[Write]) -> list[bool]:
        chance, shared = self._world.chance, self._world.store
        # Parts arrive one after another, and anything may happen between them.
        cut = chance.randrange(len(writes)) if chance.random() < 0.5 else 0
        first = await self._exchange(lambda: shared.commit(writes[:cut])) if cut else []
        return first + await self._exchange(lambda: shared.commit(writes[cut:]))

    async def durability(self) -> Durability:
        await self._member.pass_gate()
        return "none" if self._world.syncs == "never" else "aof"

    async def until_durable(self) -> bool:
        """Like that of servers: one that cannot tell is asked too, so that a restart shows."""
        world = self._world
        await self._pass()
        if world.syncs == "told":
            before = world.n_syncs
            while world.n_syncs == before:
                await self._pass(within_s=SYNC_S / 5)
        return world.syncs == "told"

    def rejoin(self) -> None:
        self._incarnation = self._world.incarnation

    async def _exchange(self, action: Callable[[], Awaitable[_Result]]) -> _Result:
        await self._pass()
        result = await action()
        await self._pass()
        return result

    async def _pass(self, within_s: float = STEP_S) -> None:
        if self._world.store_is_slow:
            # Half of an exchange: there, or back.
            await asyncio.sleep(self._world.chance.uniform(*SLOW_S) / 2)
        await self._member.pass_gate(within_s)
        if self._world.incarnation != self._incarnation:
            raise StoreRestarted("another incarnation")
        if self._world.chance.random() < self._world.store_fails:
            raise StoreUnavailable("away")


class Letters:
    """One member's way to the topic of dead letters."""

    def __init__(self, member: Member) -> None:
        self._member = member

    async def send(self, letters: Sequence[DeadLetter]) -> None:
        await pass_broker(self._member)
        self._member.world.letters += letters
        await pass_broker(self._member)


class UpdatesHandle:
    """One member's way to the topic of updates."""

    told: Told = "all"

    def __init__(self, member: Member) -> None:
        self._member = member

    async def send(self, updates: Sequence[Update]) -> None:
        await pass_broker(self._member)
        self._member.world.updates += updates
        await pass_broker(self._member)


class ForwardsHandle:
    """One member's way to the topic of forwarded events."""

    def __init__(self, member: Member) -> None:
        self._member = member

    async def send(self, forwards: Sequence[Forward]) -> None:
        by_home: defaultdict[int, list[Forward]] = defaultdict(list)
        for forward in forwards:
            by_home[forward.home].append(forward)
        await asyncio.gather(*(self._send(home, some) for home, some in by_home.items()))

    async def history(self, home: int, end: int) -> AsyncIterator[Sequence[Record]]:
        log = self._member.world.logs[FORWARDED, home]
        for start in range(0, end, 10):
            await pass_broker(self._member)
            yield log[start : min(start + 10, end)]

    async def _send(self, home: int, forwards: list[Forward]) -> None:
        log = self._member.world.logs[FORWARDED, home]
        while forwards:
            n = self._member.world.chance.randint(1, 5)
            await pass_broker(self._member)
            for forward in forwards[:n]:
                record = forward.record
                headers = headers_of(forward)
                log.append(
                    RawRecord(FORWARDED, home, len(log), 1, record.key, record.value, headers)
                )
            await pass_broker(self._member)
            forwards = forwards[n:]


async def pass_broker(member: Member) -> None:
    """Wait a moment; the broker may not answer."""
    await member.pass_gate(STEP_S)
    if member.world.chance.random() < member.world.broker_fails:
        raise BrokerUnavailable("away")
