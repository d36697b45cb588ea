"""What outlives any worker: the log, the consumer group, the store, all from one seed."""

from __future__ import annotations

import asyncio
import contextvars
import random
from collections.abc import Coroutine, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, Literal

from profiler.records import RawRecord
from profiler.spec import DEFAULT_SPEC
from profiler.state import is_tombstone
from profiler.updates import Update
from streams.deadletter import DeadLetter
from streams.memory_store import MemoryStore
from streams.store import Write

if TYPE_CHECKING:
    from tests.simulation.member import Member

EVENTS: Final = "profiler.events"
FORWARDED: Final = "profiler.forwarded"
STEP_S: Final = 0.01
SYNC_S: Final = 0.6
"""Longest time between two syncs of the store to its disk."""

SLOW_S: Final = (0.3, 2.0)
"""Shortest and longest exchange with a slow store: a sync or three may come in between."""

Place = tuple[str, int]
"""A topic and a partition."""

Syncs = Literal["told", "untold", "never"]
"""Whether the store tells when it has synced; one that never does never loses anything either."""


class SharedStore(MemoryStore):
    """The store of a world, which notes how much had been told when a profile last changed.

    Parameters
    ----------
    updates
        All that was told so far.

    Attributes
    ----------
    changed, shifted
        By pid, number of updates when it was last written, and when its owner last became another.
    """

    def __init__(self, updates: Sequence[Update]) -> None:
        super().__init__(spec_hash=DEFAULT_SPEC.hash)
        self.changed: dict[str, int] = {}
        self.shifted: dict[str, int] = {}
        self._updates = updates

    def fate(self, pid: str) -> tuple[str, str | None]:
        """What an update must say of somebody's owner: the change, and to whom."""
        if is_tombstone(self.states.get(pid, b"")):
            return "erased", None
        moved_to = self.profiles.get(pid, {}).get("moved_to")
        return ("moved", moved_to.decode()) if moved_to else ("returned", None)

    def _commit(self, write: Write) -> bool:
        before = self.fate(write.pid)
        is_written = super()._commit(write)
        if is_written:
            self.changed[write.pid] = len(self._updates)
            if self.fate(write.pid) != before:
                self.shifted[write.pid] = len(self._updates)
        return is_written


class World:
    """Everything that the workers share.

    Parameters
    ----------
    logs
        Records of the topic of events by partition.
    chance
        Decides everything that is left to chance.

    Attributes
    ----------
    logs
        Records by place; those of forwarded events are appended by the workers.
    committed
        Next offset, and the text beside it, by place, as the group has it.
    owner
        Member by place, as the group sees it.
    letters, updates
        All dead letters and updates that were sent.
    store_fails, broker_fails
        Share of exchanges that fail.
    store_is_slow
        Whether the store takes `SLOW_S` for an exchange.
    keeps_texts
        Whether the broker keeps the text beside an offset; not all do.
    incarnation
        How often the store has restarted.
    n_syncs
        How often it has synced.
    """

    def __init__(self, logs: Mapping[int, Sequence[RawRecord]], chance: random.Random) -> None:
        self.logs: dict[Place, list[RawRecord]] = {
            (topic, p): list(log) if topic == EVENTS else []
            for topic in (EVENTS, FORWARDED)
            for p, log in logs.items()
        }
        self.chance = chance
        self.updates: list[Update] = []
        self.store = SharedStore(self.updates)
        self.syncs: Syncs = chance.choices(("told", "untold", "never"), (6, 3, 1))[0]
        self.keeps_texts = chance.random() < 0.8
        self.n_syncs = 0
        self.incarnation = 0
        self.committed: dict[Place, tuple[int, str]] = dict.fromkeys(self.logs, (0, ""))
        self.owner: dict[Place, Member] = {}
        self.members: list[Member] = []
        self.letters: list[DeadLetter] = []
        self.store_fails = self.broker_fails = 0.0
        self.store_is_slow = False
        self._rebalance = asyncio.Lock()
        self._outside = contextvars.copy_context()
        self._tasks: set[asyncio.Task[None]] = set()
        self._sync()
        self._run_apart(self._sync_now_and_then())

    @property
    def partitions(self) -> list[int]:
        """Numbers of the partitions, the same for both topics."""
        return [p for topic, p in self.logs if topic == EVENTS]

    def ask_for_rebalance(self) -> None:
        """Rebalance soon, whatever becomes of who asks."""
        self._run_apart(self.rebalance())

    async def rebalance(self) -> None:
        """Take all partitions from the members, and give them out anew, in a random order."""
        async with self._rebalance:
            self.owner.clear()
            # Members that are frozen or dead take no notice, and nobody waits for them.
            await asyncio.gather(*(m.give_up() for m in self.members if m.is_awake))
            there = [member for member in self.members if member.is_in_group]
            self.chance.shuffle(there)
            if not there:
                return
            for k, member in enumerate(there):
                mine = [(t, p) for t, p in self.logs if p % len(there) == k]
                for place in mine:
                    self.owner[place] = member
                member.take_over({place: self.committed[place] for place in mine})

    def lose_unsynced_writes(self) -> None:
        """Restart the store with what it has on disk."""
        if self.syncs != "never":
            states, profiles, traits = self._disk
            self.store.states, self.store.profiles = dict(states), dict(profiles)
            self.store.person_traits = dict(traits)
        self.incarnation += 1

    def is_done(self) -> bool:
        """Whether every record is committed."""
        return all(self.committed[place][0] == len(log) for place, log in self.logs.items())

    def raise_faults(self) -> None:
        """Raise what ended a worker or something of our own, if something did."""
        for member in self.members:
            member.raise_fault()
        for task in self._tasks:
            if task.done():
                task.result()

    def _sync(self) -> None:
        store = self.store
        self._disk = dict(store.states), dict(store.profiles), dict(store.person_traits)
        self.n_syncs += 1

    async def _sync_now_and_then(self) -> None:
        while True:
            await asyncio.sleep(self.chance.random() * SYNC_S)
            self._sync()

    def _run_apart(self, what: Coroutine[Any, Any, None]) -> None:
        self._tasks.add(asyncio.create_task(what, context=self._outside.copy()))
