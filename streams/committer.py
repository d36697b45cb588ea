"""The way out of a batch: dead letters and forwards, names, profiles, and what was refused."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Sequence
from typing import Protocol

from profiler.errors import StoreRestarted
from profiler.forwarding import look_record
from profiler.guard import Alert, alerts_of
from profiler.records import Chunk, Forward, Record
from profiler.updates import Told, Update
from streams.deadletter import DeadLetter
from streams.log import get_logger
from streams.patience import Patience
from streams.store import Store, Write
from streams.tasks import together
from streams.updater import Updater, Work, rejected_records

Compute = Callable[[Sequence[Chunk], Collection[str] | None], Awaitable[Work]]

_log = get_logger(component="worker")


class DeadLetters(Protocol):
    """Where records go that cannot be applied."""

    async def send(self, letters: Sequence[DeadLetter]) -> None:
        """Return once they are kept."""


class Forwards(Protocol):
    """Where records go that belong to another partition."""

    async def send(self, forwards: Sequence[Forward]) -> None:
        """Return once they are kept, those to one home in this order.

        After a failure the next call begins with what failed: nothing of an origin partition may
        reach a home before something older of it.
        """

    def history(self, home: int, end: int) -> AsyncIterator[Sequence[Record]]:
        """Give what a home partition holds before an offset: all of it, or its last million."""


class Updates(Protocol):
    """Where it is told that profiles changed."""

    @property
    def told(self) -> Told:
        """Which changes are."""

    async def send(self, updates: Sequence[Update]) -> None:
        """Return once they are kept, those of one profile in this order."""


class Alerts(Protocol):
    """Where it is told whom somebody should look at."""

    async def send(self, alerts: Sequence[Alert]) -> None:
        """Return once they are kept."""


class Committer:
    """Writes computed batches, one after another.

    Parameters
    ----------
    store, dead_letters, forwards, updates, alerts
        The edges.
    patience
        For edges that are away.
    updater
        Holds the rows that are dropped when a write is refused.
    compute
        Applies records again.
    topic
        Full name of the topic of events.
    """

    def __init__(
        self,
        *,
        store: Store,
        dead_letters: DeadLetters,
        forwards: Forwards,
        patience: Patience,
        updater: Updater,
        compute: Compute,
        topic: str,
        updates: Updates | None = None,
        alerts: Alerts | None = None,
    ) -> None:
        self._store = store
        self._dead_letters = dead_letters
        self._forwards = forwards
        self._patience = patience
        self._updater = updater
        self._compute = compute
        self._topic = topic
        self._updates = updates
        self._alerts = alerts

    async def write(self, work: Work) -> set[str]:
        """Send a batch; give the people whose write was refused.

        Raises
        ------
        StoreRestarted
            See `Store`.
        """
        started = time.perf_counter()
        # Letters before profiles: the fence would keep the record from ever coming again.
        await together(
            self._send_letters(work),
            self._send_alerts(work),
            self._send_forwards(work),
            self._put_reached(work),
        )
        refused: set[str]
        refused, _ = await together(self._commit(work.writes), self._put_names(work))
        await self._tell(work, refused)
        work.seconds["write"] = time.perf_counter() - started
        return refused

    async def settle(self, refused: set[str], work: Work, following: Work | None) -> None:
        """Apply again, on what the store has, the events of people whose write was refused.

        Raises
        ------
        StoreRestarted
            If the store has an older revision of somebody than it had acknowledged.
        """
        chunks = work.records_of(refused)
        if following is not None:
            chunks += following.records_of(refused)
            following.retract(refused)
        _log.warning("commit_refused", profiles=len(refused))
        attempted = work.writes
        while refused:
            self._updater.arena.drop(refused)
            again = await self._compute(chunks, refused)
            self._check_revisions(refused, attempted, again)
            # What fails on the row as it is now may not have failed before.
            await together(self._send_letters(again), self._send_alerts(again))
            refused = await self._commit(again.writes)
            await self._tell(again, refused)
            chunks = again.records_of(refused)
            attempted = again.writes

    def _check_revisions(self, refused: set[str], attempted: dict[str, Write], again: Work) -> None:
        for pid in refused:
            loaded_rev = self._updater.arena.revision(pid) - (pid in again.writes)
            if loaded_rev < attempted[pid].rev - 1:
                raise StoreRestarted("it has an older revision of a profile than it had before")

    async def _send_letters(self, work: Work) -> None:
        letters = [DeadLetter(record, reason) for record, reason in rejected_records(work)]
        if letters:
            await self._patience.until_done(lambda: self._dead_letters.send(letters))

    async def _send_alerts(self, work: Work) -> None:
        """Before profiles too: once they are written nobody can tell what they were before."""
        edge, alerts = self._alerts, alerts_of(work.prepared.pids, work.processed.guarded)
        if edge is not None and alerts:
            await self._patience.until_done(lambda: edge.send(alerts))

    async def _send_forwards(self, work: Work) -> None:
        if forwards := work.prepared.forwards:
            await self._patience.until_done(lambda: self._forwards.send(forwards))

    async def _tell(self, work: Work, refused: set[str]) -> None:
        """After the profiles that others are to look at, and before what led to it is done with."""
        if work.updates:
            await together(self._send_looks(work, refused), self._send_updates(work, refused))
        else:
            await self._send_looks(work, refused)

    async def _send_updates(self, work: Work, refused: set[str]) -> None:
        edge, updates = self._updates, [u for p, u in work.updates.items() if p not in refused]
        if edge is not None and updates:
            await self._patience.until_done(lambda: edge.send(updates))

    async def _send_looks(self, work: Work, refused: set[str]) -> None:
        looks = [look for look in work.processed.relinked.looks if look.peer.pid not in refused]
        if looks:
            forwards = [Forward(look.at.home, None, look_record(look)) for look in looks]
            await self._patience.until_done(lambda: self._forwards.send(forwards))

    async def _put_reached(self, work: Work) -> None:
        """Before profiles too: no fence may stand where nobody knows that it does."""
        reached = work.reached() if work.writes else {}
        if reached:
            await self._patience.until_done(lambda: self._store.put_reached(self._topic, reached))

    async def _commit(self, writes: dict[str, Write]) -> set[str]:
        """Write profiles. A repetition of what had arrived is refused, and so reloaded."""
        if not writes:
            return set()
        answers = await self._patience.until_done(lambda: self._store.commit(list(writes.values())))
        return {pid for pid, is_written in zip(writes, answers, strict=True) if not is_written}

    async def _put_names(self, work: Work) -> None:
        if work.names:
            await self._patience.until_done(lambda: self._store.put_names(work.names))
