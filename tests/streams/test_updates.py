"""Who moved, returned or was erased is told: after it is written, again if it may not have been."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Any

import msgspec
import pytest

from profiler.batch import Preparer, Screen
from profiler.errors import BrokerUnavailable
from profiler.models.bank import ModelBank
from profiler.privacy.pseudonym import Pseudonymiser
from profiler.records import Forward, Record
from profiler.spec import DEFAULT_SPEC
from profiler.updates import Told, Update, encode_update
from streams.deadletter import DeadLetter
from streams.inbox import Delivery
from streams.memory_store import MemoryStore
from streams.metrics import Metrics
from streams.worker import DEFAULT_TOPICS, Limits, Worker
from tests.folding import KEY
from tests.strategies import START_MS, record

PSEUDONYMISER = Pseudonymiser(KEY)
ANN, PHONE, COOKIE = (
    PSEUDONYMISER.pid(*subject)
    for subject in (("user", "ann"), ("device", "phone"), ("anonymous", "a1"))
)
Event = dict[str, Any]


class Nowhere:
    """Takes letters and forwards; nobody has any here."""

    async def send(self, records: Sequence[DeadLetter | Forward]) -> None:
        return

    async def history(self, home: int, end: int) -> AsyncIterator[Sequence[Record]]:
        yield []


class Heard:
    """Keeps updates, with what readers saw when each was sent."""

    def __init__(self, store: MemoryStore, told: Told) -> None:
        self.told = told
        self.is_away = False
        self.n_refused = 0
        self.kept: list[Update] = []
        self.seen: list[dict[str, bytes]] = []
        self._store = store

    async def send(self, updates: Sequence[Update]) -> None:
        if self.is_away:
            self.n_refused += 1
            raise BrokerUnavailable("away")
        self.kept += updates
        self.seen += [dict(self._store.profiles.get(update.pid, {})) for update in updates]

    def changes(self) -> list[tuple[str, str, str | None]]:
        return [(u.pid, u.change, u.moved_to) for u in self.kept]


class Bench:
    """A worker on a store, killed when its time is over."""

    def __init__(self, store: MemoryStore | None = None, told: Told = "links") -> None:
        self.store = store or MemoryStore(spec_hash=DEFAULT_SPEC.hash)
        self.heard = Heard(self.store, told)
        self.acknowledged: list[str] = []
        self.worker = Worker(
            spec=DEFAULT_SPEC,
            preparer=Preparer(PSEUDONYMISER, Screen()),
            bank=ModelBank(DEFAULT_SPEC),
            store=self.store,
            dead_letters=Nowhere(),
            forwards=Nowhere(),
            metrics=Metrics(),
            limits=Limits(batch_events_max=50, queue_events_max=200, arena_rows=150),
            updates=self.heard,
        )

    def apply(self, *batches: Sequence[Event]) -> Bench:
        """Work off batches, one after another."""

        async def body() -> None:
            offset = 0
            for events in batches:
                await self._submit(events, offset)
                await self.worker.drain()
                offset += len(events)

        asyncio.run(self._run(body()))
        return self

    def die_untold(self, events: Sequence[Event]) -> Bench:
        """Write a batch, and die when it is to be told."""
        self.heard.is_away = True

        async def body() -> None:
            await self._submit(events, 0)
            while not self.heard.n_refused:
                await asyncio.sleep(0)

        asyncio.run(self._run(body()))
        return self

    async def _submit(self, events: Sequence[Event], start: int) -> None:
        records = [record(event, start + k) for k, event in enumerate(events)]
        note = self.acknowledged.append
        await self.worker.submit(Delivery(DEFAULT_TOPICS.events, 0, records, note, lambda: True))

    async def _run(self, body: Any) -> None:
        async def rewind() -> None:
            return

        async with asyncio.timeout(30):
            working = asyncio.create_task(self.worker.run(rewind))
            await body
            working.cancel()
            await asyncio.gather(working, return_exceptions=True)


def click(ts: int, **subject: str) -> Event:
    return {"type": "click", "ts": START_MS + ts, "item_id": "lamp", **subject}


def link(ts: int, **subjects: Any) -> Event:
    return {"type": "identify", "ts": START_MS + ts, **subjects}


JOINS = link(5, user_id="ann", anonymous_id="a1")
PARTS = link(9, user_id="ann", anonymous_id="a1", unlink=True)
MOVED, RETURNED = (COOKIE, "moved", ANN), (COOKIE, "returned", None)


def test_who_moves_and_who_returns_is_told_once_it_is_written() -> None:
    bench = Bench().apply([click(1, anonymous_id="a1")], [JOINS], [PARTS])

    assert bench.heard.changes() == [MOVED, RETURNED]
    assert [update.ts - START_MS for update in bench.heard.kept] == [5, 9]
    assert bench.heard.seen[0]["moved_to"] == ANN.encode()
    assert "moved_to" not in bench.heard.seen[1]
    revs = [int(seen["rev"]) for seen in bench.heard.seen]
    assert [update.rev for update in bench.heard.kept] == revs


def test_what_changes_no_owner_is_not_told() -> None:
    bench = Bench().apply(
        [JOINS],
        [click(6, anonymous_id="a1"), click(7, user_id="ann")],
        [link(8 + k, user_id="ann", anonymous_id="a1") for k in range(5)],
    )

    assert bench.heard.changes() == [MOVED]


def test_a_chain_is_told_link_by_link() -> None:
    bench = Bench().apply(
        [link(1, device_id="phone", anonymous_id="a1")], [link(2, user_id="ann", device_id="phone")]
    )

    assert bench.heard.changes() == [(COOKIE, "moved", PHONE), (PHONE, "moved", ANN)]


def test_everybody_who_is_erased_is_told_of() -> None:
    erase = {"type": "erase", "ts": START_MS + 20, "user_id": "ann"}
    bench = Bench().apply([click(1, user_id="ann")], [erase])

    assert bench.heard.changes() == [(ANN, "erased", None)]
    assert bench.heard.kept[0].ts == START_MS + 20


@pytest.mark.parametrize(
    ("last", "expected"), [(JOINS, MOVED), (PARTS, RETURNED)], ids=["join", "part"]
)
def test_a_worker_that_dies_between_the_write_and_the_telling_leaves_it_to_the_next(
    last: Event, expected: tuple[str, str, str | None]
) -> None:
    events = [JOINS, last] if last is PARTS else [last]
    first = Bench().die_untold(events)

    second = Bench(first.store).apply(events)

    assert not first.acknowledged
    assert second.heard.changes() == [expected]
    assert len(second.acknowledged) == 1


def test_an_erasure_that_was_not_told_is_told_by_the_next() -> None:
    events = [{"type": "erase", "ts": START_MS, "user_id": "ann"}]
    first = Bench().die_untold(events)

    second = Bench(first.store).apply(events)

    assert second.heard.changes() == [(ANN, "erased", None)]


def test_nothing_is_acknowledged_while_it_cannot_be_told() -> None:
    assert not Bench().die_untold([JOINS]).acknowledged


def test_every_change_is_told_where_that_is_wanted() -> None:
    bench = Bench(told="all").apply(
        [click(1, anonymous_id="a1"), click(2, user_id="bob")], [JOINS], [click(6, user_id="ann")]
    )

    bob = PSEUDONYMISER.pid("user", "bob")
    told = bench.heard.changes()
    assert {told[0], told[1]} == {(COOKIE, "updated", None), (bob, "updated", None)}
    assert told[2] == MOVED
    assert told[-1] == (ANN, "updated", None)


def test_nothing_is_told_where_nothing_is_wanted() -> None:
    assert Bench(told="none").apply([JOINS], [PARTS]).heard.kept == []


def test_an_update_names_nobody() -> None:
    bench = Bench(told="all").apply([click(1, anonymous_id="a1")], [JOINS])

    written = b"".join(encode_update(update) for update in bench.heard.kept)

    assert not [raw for raw in (b'"ann"', b'"a1"', b"lamp") if raw in written]
    assert {len(u.pid) for u in bench.heard.kept} == {22}
    assert all(msgspec.json.decode(encode_update(u), type=Update) == u for u in bench.heard.kept)
