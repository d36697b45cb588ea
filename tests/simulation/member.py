"""A worker process: the production worker, fed from the log as Faust would feed it."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
from collections import deque
from collections.abc import Coroutine, Mapping
from functools import partial
from typing import Any, Final

from profiler.batch import Preparer, Screen
from profiler.models.bank import ModelBank
from profiler.privacy.pseudonym import Pseudonymiser
from profiler.spec import DEFAULT_SPEC
from profiler.traits import TraitRules
from streams.inbox import Delivery
from streams.metrics import Metrics
from streams.worker import Limits, Worker
from tests.folding import KEY
from tests.simulation.clock import before_step
from tests.simulation.edges import ForwardsHandle, Letters, StoreHandle, UpdatesHandle
from tests.simulation.world import STEP_S, SYNC_S, Place, World

LIMITS: Final = Limits(
    batch_events_max=40, queue_events_max=120, arena_rows=120, durable_after_s=1.5 * SYNC_S
)
RULES: Final = TraitRules(
    {"plan": "recent", "since": "first", "city": "trusted", "tags": "union"}, trusted=("crm",)
)
FETCH_S: Final = 0.03
IDLE_S: Final = 0.2
COMMIT_S: Final = 0.4
DRAIN_TIMEOUT_S: Final = 0.5


class Entry:
    """A delivery as the consumer knows it: its end, and the text to commit, once acknowledged."""

    def __init__(self, end: int) -> None:
        self.end = end
        self.text: str | None = None

    def acknowledge(self, text: str) -> None:
        """Note that it is durable."""
        self.text = text


class Member:
    """A member of the consumer group.

    Attributes
    ----------
    dies_in
        Number of steps, each from one `await` of the worker to the next, until it crashes.
    """

    def __init__(self, world: World) -> None:
        self.world = world
        self.is_dead = False
        self.is_in_group = True
        self.dies_in: int | None = None
        self._awake = asyncio.Event()
        self._awake.set()
        self._flows = False
        self._taking_over: asyncio.Task[None] | None = None
        self._feeders: list[asyncio.Task[None]] = []
        self._delivered: dict[Place, deque[Entry]] = {}
        self._context = contextvars.copy_context()
        self._context.run(before_step.set, self._goes_on)
        self.worker = Worker(
            spec=DEFAULT_SPEC,
            preparer=Preparer(
                Pseudonymiser(KEY), Screen(), homes=len(world.partitions), rules=RULES
            ),
            bank=ModelBank(DEFAULT_SPEC),
            store=StoreHandle(self),
            dead_letters=Letters(self),
            forwards=ForwardsHandle(self),
            metrics=Metrics(),
            limits=LIMITS,
            updates=UpdatesHandle(self),
        )
        self._tasks = [
            self._start(self.worker.run(self._rewind)),
            self._start(self._commit_now_and_then()),
        ]

    @property
    def is_awake(self) -> bool:
        """Whether it does anything."""
        return self._awake.is_set() and not self.is_dead

    def raise_fault(self) -> None:
        """Raise what ended the worker, if something did."""
        for task in (*self._tasks, *self._feeders):
            if task.done() and not task.cancelled():
                task.result()
        self._feeders = [task for task in self._feeders if not task.done()]

    def crash(self) -> None:
        """Stop at once: nothing that is under way has an effect from here on."""
        self.is_dead = True
        self.is_in_group = False
        for task in (*self._tasks, *self._feeders):
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
        await self.give_up()
        self.is_in_group = not self.is_dead

    def take_over(self, places: Mapping[Place, tuple[int, str]]) -> None:
        """Be given partitions; the group does not wait until they are read."""
        self._taking_over = self._start(self._take_over(places))

    async def _take_over(self, places: Mapping[Place, tuple[int, str]]) -> None:
        """Be given partitions, all that it has from now on, to be read from these offsets."""
        await self.worker.assigned(places)
        self._delivered = {place: deque() for place in places}
        self._flows = True
        self._feeders += [
            self._start(self._feed(place, offset, self._delivered[place]))
            for place, (offset, _) in places.items()
        ]

    async def give_up(self) -> None:
        """Finish what is in flight, commit it, and drop all partitions."""
        self._flows = False
        if self._taking_over is not None:
            self._taking_over.cancel()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(DRAIN_TIMEOUT_S):
                await self.worker.revoked(sorted(self._delivered))
        for place in self._delivered:
            self._commit(place)
        self._delivered = {}

    async def pass_gate(self, within_s: float = STEP_S) -> None:
        """Wait a moment, for as long as the process stands still; for ever if it is dead."""
        await asyncio.sleep(self.world.chance.random() * within_s)
        await self._awake.wait()
        if self.is_dead:
            await asyncio.Event().wait()

    async def _rewind(self) -> None:
        self._flows = False
        self._delivered = {place: deque() for place in self._delivered}
        self.world.ask_for_rebalance()

    async def _feed(self, place: Place, offset: int, delivered: deque[Entry]) -> None:
        log = self.world.logs[place]
        is_current = partial(self._is_current, place, delivered)
        while is_current():
            records = log[offset : offset + self.world.chance.randint(1, 12)]
            if records and self._flows:
                offset += len(records)
                entry = Entry(offset)
                delivered.append(entry)
                # What is in the agent's hand stays there, whatever happens to the assignment.
                await self.worker.submit(Delivery(*place, records, entry.acknowledge, is_current))
            await self.pass_gate(FETCH_S if records else IDLE_S)

    def _is_current(self, place: Place, delivered: deque[Entry]) -> bool:
        return self._delivered.get(place) is delivered

    async def _commit_now_and_then(self) -> None:
        while True:
            await self.pass_gate(COMMIT_S)
            for place in self._delivered:
                self._commit(place)

    def _commit(self, place: Place) -> None:
        world, delivered = self.world, self._delivered[place]
        # The group refuses a commit of somebody who is no longer the owner.
        is_leaving = place not in world.owner and self.is_in_group
        if self.is_dead or not (world.owner.get(place) is self or is_leaving):
            return
        if world.chance.random() < world.broker_fails:
            return
        while delivered and (text := delivered[0].text) is not None:
            world.committed[place] = (delivered.popleft().end, text * world.keeps_texts)

    def _goes_on(self) -> bool:
        if self.dies_in is not None and not self.is_dead:
            self.dies_in -= 1
            if self.dies_in < 0:
                self.crash()
                self.world.ask_for_rebalance()
                return False
        return True

    def _start(self, what: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        return asyncio.create_task(what, context=self._context.copy())

    def _forget_ownership(self) -> None:
        for place in [place for place, owner in self.world.owner.items() if owner is self]:
            del self.world.owner[place]
