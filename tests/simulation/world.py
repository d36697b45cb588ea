"""A world for the production worker: log, consumer group and store, all from one seed.

Nothing of the worker is replaced: it runs as it is, and only its edges are simulated. Members of
the group feed their workers from the log and commit what was acknowledged; the store is the one in
memory behind handles that can be slow, fail before or after the fact, write a half, and die.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import Final, TypeVar

from profiler.batch import Preparer, RawRecord, Screen
from profiler.errors import StoreUnavailable
from profiler.models.bank import ModelBank
from profiler.privacy.pseudonym import Pseudonymiser
from profiler.spec import DEFAULT_SPEC
from streams.deadletter import DeadLetter
from streams.metrics import Metrics
from streams.store import Erasure, MemoryStore, ProfileWrite
from streams.worker import Delivery, Limits, Worker
from tests.folding import KEY

TOPIC: Final = "profiler.events"
LIMITS: Final = Limits(batch_events_max=30, queue_events_max=60, arena_rows=90)
STEP_S: Final = 0.01
FETCH_S: Final = 0.03
COMMIT_S: Final = 0.1
DRAIN_TIMEOUT_S: Final = 5.0

_Result = TypeVar("_Result")


class World:
    """What outlives any worker.

    Parameters
    ----------
    logs
        Records by partition.
    chance
        Decides everything that is left to chance.

    Attributes
    ----------
    committed
        Next offset by partition, as the group has it.
    owner
        Member by partition, as the group sees it.
    letters
        All dead letters that were sent.
    store_fails
        Share of exchanges with the store that fail.
    """

    def __init__(self, logs: Mapping[int, Sequence[RawRecord]], chance: random.Random) -> None:
        self.logs = logs
        self.chance = chance
        self.store = MemoryStore(spec_hash=DEFAULT_SPEC.hash)
        self.committed = dict.fromkeys(logs, 0)
        self.owner: dict[int, Member] = {}
        self.members: list[Member] = []
        self.letters: list[DeadLetter] = []
        self.store_fails = 0.0

    def start_member(self) -> Member:
        """Add a worker; it gets partitions with the next rebalance."""
        member = Member(self)
        self.members.append(member)
        return member

    async def rebalance(self) -> None:
        """Give the partitions to the members, as evenly as can be, in a random order."""
        there = [member for member in self.members if member.is_in_group]
        if not there:
            return
        self.chance.shuffle(there)
        wanted = {p: there[k % len(there)] for k, p in enumerate(self.logs)}
        for p, member in list(self.owner.items()):
            if wanted[p] is not member:
                del self.owner[p]
        # Members that are frozen or dead take no notice, and nobody waits for them.
        leaving = [m for m in self.members if m.is_awake and m.partitions - _of(wanted, m)]
        await asyncio.gather(*(m.give_up(m.partitions - _of(wanted, m)) for m in leaving))
        for p, member in wanted.items():
            if self.owner.get(p) is not member and member.is_in_group:
                self.owner[p] = member
                member.take_over(p, self.committed[p])

    def is_done(self) -> bool:
        """Whether every record is committed."""
        return all(self.committed[p] == len(log) for p, log in self.logs.items())

    async def settle(self) -> None:
        """Heal everything, and wait until all is done."""
        self.store_fails = 0.0
        for member in list(self.members):
            await member.thaw()
        if not any(member.is_in_group for member in self.members):
            self.start_member()
        await self.rebalance()
        while not self.is_done():
            for member in self.members:
                member.raise_fault()
            await asyncio.sleep(STEP_S)
        for member in list(self.members):
            member.crash()


def _of(wanted: Mapping[int, Member], member: Member) -> set[int]:
    return {p for p, owner in wanted.items() if owner is member}


class Member:
    """A worker process: the production worker, fed from the log as Faust would feed it."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.is_dead = False
        self.is_in_group = True
        self._awake = asyncio.Event()
        self._awake.set()
        self.partitions: set[int] = set()
        self._feeders: dict[int, asyncio.Task[None]] = {}
        self._delivered: dict[int, deque[list[bool | int]]] = {}
        self.worker = Worker(
            spec=DEFAULT_SPEC,
            preparer=Preparer(Pseudonymiser(KEY), Screen()),
            bank=ModelBank(DEFAULT_SPEC),
            store=_Handle(self),
            dead_letters=_Letters(self),
            metrics=Metrics(),
            limits=LIMITS,
        )
        self._tasks = [
            asyncio.create_task(self.worker.run()),
            asyncio.create_task(self._commit_now_and_then()),
        ]

    @property
    def is_awake(self) -> bool:
        """Whether it does anything."""
        return self._awake.is_set() and not self.is_dead

    def raise_fault(self) -> None:
        """Raise what ended the worker, if something did."""
        for task in self._tasks:
            if task.done() and not task.cancelled():
                task.result()

    def crash(self) -> None:
        """Stop at once: nothing that is under way has an effect from here on."""
        self.is_dead = True
        self.is_in_group = False
        for task in (*self._tasks, *self._feeders.values()):
            task.cancel()
        self._forget_ownership()

    def freeze(self) -> None:
        """Stand still, as a process that was stopped; the group takes it for dead."""
        self._awake.clear()
        self.is_in_group = False
        self._forget_ownership()

    async def thaw(self) -> None:
        """Go on as if nothing had been; only then notice that the partitions are gone."""
        if self.is_dead or self.is_awake:
            return
        self._awake.set()
        for _ in range(self.world.chance.randrange(30)):
            await asyncio.sleep(STEP_S / 10)
        if not self.is_dead:
            await self.give_up(set(self.partitions))
            self.is_in_group = not self.is_dead

    def take_over(self, p: int, offset: int) -> None:
        """Be given a partition."""
        self.partitions.add(p)
        self._delivered[p] = deque()
        self._feeders[p] = asyncio.create_task(self._feed(p, offset))

    async def give_up(self, partitions: set[int]) -> None:
        """Finish what is in flight of these partitions, commit it, and drop them."""
        for p in partitions:
            self._feeders.pop(p).cancel()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(DRAIN_TIMEOUT_S):
                await self.worker.revoked([(TOPIC, p) for p in sorted(partitions)])
        for p in partitions:
            self._commit(p)
            self._delivered.pop(p)
        self.partitions -= partitions

    async def pass_gate(self, within_s: float = STEP_S) -> None:
        """Wait a moment, for as long as the process stands still; for ever if it is dead."""
        await asyncio.sleep(self.world.chance.random() * within_s)
        await self._awake.wait()
        if self.is_dead:
            await asyncio.Event().wait()

    async def _feed(self, p: int, offset: int) -> None:
        log = self.world.logs[p]
        while True:
            await self.pass_gate(FETCH_S)
            records = log[offset : offset + self.world.chance.randint(1, 8)]
            if not records:
                continue
            offset += len(records)
            entry: list[bool | int] = [False, offset]
            self._delivered[p].append(entry)
            await self.worker.submit(Delivery(TOPIC, p, records, partial(acknowledge, entry)))

    async def _commit_now_and_then(self) -> None:
        while True:
            await self.pass_gate(COMMIT_S)
            for p in list(self._delivered):
                self._commit(p)

    def _commit(self, p: int) -> None:
        delivered = self._delivered[p]
        # The group refuses a commit of somebody who is no longer the owner.
        leaving = p not in self.world.owner and self.is_in_group
        if self.is_dead or not (self.world.owner.get(p) is self or leaving):
            return
        while delivered and delivered[0][0]:
            self.world.committed[p] = int(delivered.popleft()[1])

    def _forget_ownership(self) -> None:
        for p in [p for p, owner in self.world.owner.items() if owner is self]:
            del self.world.owner[p]


def acknowledge(entry: list[bool | int]) -> None:
    """Note that a delivery is durable."""
    entry[0] = True


class _Letters:
    def __init__(self, member: Member) -> None:
        self._member = member

    async def send(self, letters: Sequence[DeadLetter]) -> None:
        await self._member.pass_gate()
        self._member.world.letters += letters


class _Handle(MemoryStore):
    """One member's way to the store that all share."""

    def __init__(self, member: Member) -> None:
        super().__init__(spec_hash=DEFAULT_SPEC.hash)
        self._member = member
        self._shared = member.world.store

    async def load(self, pids: Sequence[str]) -> list[bytes | None]:
        return await self._exchange(lambda: self._shared.load(pids))

    async def commit(self, writes: Sequence[ProfileWrite | Erasure]) -> list[bool]:
        chance = self._member.world.chance
        # Parts arrive one after another, and anything may happen between them.
        cut = chance.randrange(len(writes)) if chance.random() < 0.5 else 0
        first = await self._exchange(lambda: self._shared.commit(writes[:cut])) if cut else []
        return first + await self._exchange(lambda: self._shared.commit(writes[cut:]))

    async def _exchange(self, action: Callable[[], Awaitable[_Result]]) -> _Result:
        world = self._member.world
        await self._member.pass_gate()
        if world.chance.random() < world.store_fails:
            raise StoreUnavailable("away before")
        result = await action()
        await self._member.pass_gate()
        if world.chance.random() < world.store_fails:
            raise StoreUnavailable("away after")
        return result
