"""The worker on an in-memory store that fails on purpose: nothing is lost, nothing counts twice."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from functools import partial

import pytest

from profiler.batch import Preparer, Screen
from profiler.errors import (
    BrokerUnavailable,
    ConfigurationError,
    StoreRestarted,
    StoreUnavailable,
    UnknownSpec,
)
from profiler.models.bank import ModelBank
from profiler.partitioning import partition_of
from profiler.privacy.pseudonym import Pseudonymiser
from profiler.records import Forward, RawRecord, Record
from profiler.spec import DEFAULT_SPEC, Spec
from profiler.state import decode_states, is_tombstone
from streams.deadletter import DeadLetter
from streams.inbox import Delivery
from streams.memory_store import MemoryStore
from streams.metrics import Metrics
from streams.store import Write
from streams.worker import Limits, Worker
from tests.folding import KEY, Fold, assert_equal
from tests.strategies import START_MS, record

LIMITS = Limits(batch_events_max=50, queue_events_max=200, arena_rows=150)


class Letters:
    """Keeps dead letters."""

    def __init__(self) -> None:
        self.kept: list[DeadLetter] = []

    async def send(self, letters: Sequence[DeadLetter]) -> None:
        self.kept += letters


class Sent:
    """Keeps what was sent on."""

    def __init__(self) -> None:
        self.kept: list[Forward] = []
        self.is_away = False
        self.n_refused = 0

    async def send(self, forwards: Sequence[Forward]) -> None:
        if self.is_away:
            self.n_refused += 1
            raise BrokerUnavailable("away")
        self.kept += forwards

    async def history(self, home: int, end: int) -> AsyncIterator[Sequence[Record]]:
        yield []


class FaultyStore(MemoryStore):
    """A memory store that follows a script of faults, one per commit."""

    def __init__(self, faults: Iterable[str] = ()) -> None:
        super().__init__(spec_hash=DEFAULT_SPEC.hash)
        self.faults = list(faults)
        self.loads_refused = 0
        self.commits = 0

    async def load(self, pids: Sequence[str]) -> list[bytes | None]:
        if self.loads_refused:
            self.loads_refused -= 1
            raise StoreUnavailable("away")
        return await super().load(pids)

    async def commit(self, writes: Sequence[Write]) -> list[bool]:
        self.commits += 1
        await asyncio.sleep(0)
        fault = self.faults.pop(0) if self.faults else "none"
        if fault == "away before":
            raise StoreUnavailable("away")
        if fault == "half, then away":
            await super().commit(writes[::2])
            raise StoreUnavailable("away")
        if fault == "another writer":
            await self._interfere(writes)
        answers = await super().commit(writes)
        if fault == "away after":
            raise StoreUnavailable("away")
        return answers

    async def _interfere(self, writes: Sequence[Write]) -> None:
        """A zombie commits the same events first, for every other profile."""
        await super().commit(writes[::2])


class Bench:
    """A running worker and what it was given."""

    def __init__(
        self,
        store: MemoryStore,
        limits: Limits = LIMITS,
        spec: Spec = DEFAULT_SPEC,
        homes: int | None = None,
    ):
        self.letters, self.store, self.metrics = Letters(), store, Metrics()
        self.forwards = Sent()
        self.rewinds = 0
        self.acknowledged: list[int] = []
        self.worker = Worker(
            spec=spec,
            preparer=Preparer(Pseudonymiser(KEY), Screen(), homes),
            bank=ModelBank(spec),
            store=store,
            dead_letters=self.letters,
            forwards=self.forwards,
            metrics=self.metrics,
            limits=limits,
        )

    async def submit(self, records: Sequence[RawRecord], size: int = 20) -> None:
        for start in range(0, len(records), size):
            part = records[start : start + size]
            last = part[-1].offset
            acknowledge = partial(self._note, last)
            delivery = Delivery("profiler.events", 0, part, acknowledge, lambda: True)
            await self.worker.submit(delivery)

    async def rewind(self) -> None:
        self.rewinds += 1

    def _note(self, offset: int, text: str) -> None:
        self.acknowledged.append(offset)


def run(bench: Bench, body: Callable[[], Awaitable[None]]) -> None:
    async def main() -> None:
        async with asyncio.timeout(30):
            working = asyncio.create_task(bench.worker.run(bench.rewind))
            doing = asyncio.ensure_future(body())
            done, _ = await asyncio.wait({working, doing}, return_when=asyncio.FIRST_COMPLETED)
            for task in (working, doing):
                if task not in done:
                    task.cancel()
            await asyncio.gather(working, doing, return_exceptions=True)
            for task in done:
                task.result()

    asyncio.run(main())


def clicks(n: int, n_users: int = 17, start: int = 0) -> list[RawRecord]:
    return [
        record(
            {
                "type": ("click", "browse", "purchase", "cart")[k % 4],
                "ts": START_MS + k * 60_000,
                "user_id": f"u{k % n_users}",
                "event_id": f"e{k}",
                "item_id": f"i{k % 29}",
                "price": 2.0,
            },
            k,
        )
        for k in range(start, start + n)
    ]


def assert_same_profiles(store: MemoryStore, records: Sequence[RawRecord]) -> None:
    expected = Fold().apply_in_parts(records, []).rows()
    assert store.states.keys() == expected.keys() == store.profiles.keys()
    for pid, row in expected.items():
        assert_equal(decode_states([store.states[pid]], DEFAULT_SPEC, {}).rows, row)


FAULTS = ("none", "away before", "half, then away", "away after", "another writer")


@pytest.mark.parametrize("fault", FAULTS)
def test_every_event_counts_once_whatever_a_commit_meets(fault: str) -> None:
    bench = Bench(FaultyStore(["none", fault, "none", fault, fault]))
    records = clicks(400)

    async def body() -> None:
        await bench.submit(records)
        await bench.worker.drain()

    run(bench, body)
    assert_same_profiles(bench.store, records)
    assert bench.acknowledged == [*range(19, 400, 20)]


def test_a_store_that_cannot_be_read_pauses_the_worker_and_loses_nothing() -> None:
    store = FaultyStore()
    store.loads_refused = 3
    bench = Bench(store)

    async def body() -> None:
        await bench.submit(clicks(60))
        await bench.worker.drain()

    run(bench, body)
    assert_same_profiles(store, clicks(60))
    assert bench.metrics.value("profiler_pauses_total", waiting_for="store") == 1.0


def test_nothing_is_acknowledged_before_its_commit() -> None:
    store = FaultyStore(["away before"] * 1_000)
    bench = Bench(store)

    async def body() -> None:
        await bench.submit(clicks(40))
        while store.commits < 2:
            await asyncio.sleep(0)

    run(bench, body)
    assert bench.acknowledged == []


def test_a_full_queue_holds_the_sender_back() -> None:
    store = FaultyStore(["away before"] * 1_000)
    bench = Bench(store)

    async def body() -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.2):
                await bench.submit(clicks(2_000))

    run(bench, body)


def test_rows_that_were_evicted_are_loaded_again() -> None:
    bench = Bench(MemoryStore(spec_hash=DEFAULT_SPEC.hash))
    records = clicks(2_000, n_users=700)

    async def body() -> None:
        await bench.submit(records)
        await bench.worker.drain()

    run(bench, body)
    assert_same_profiles(bench.store, records)


def test_what_cannot_be_applied_becomes_a_dead_letter_and_the_rest_counts() -> None:
    bench = Bench(MemoryStore(spec_hash=DEFAULT_SPEC.hash))
    good = clicks(3)
    bad = [
        RawRecord("profiler.events", 0, 3 + k, None, b"k", v) for k, v in enumerate((b"{", None))
    ]

    async def body() -> None:
        await bench.submit([*good, *bad])
        await bench.worker.drain()

    run(bench, body)
    assert [(le.record.offset, le.reason) for le in bench.letters.kept] == [
        (3, "malformed"),
        (4, "malformed"),
    ]
    assert_same_profiles(bench.store, good)


def test_a_revoked_partition_is_finished_and_forgotten() -> None:
    bench = Bench(MemoryStore(spec_hash=DEFAULT_SPEC.hash))
    other = Bench(bench.store)

    async def body() -> None:
        await bench.submit(clicks(100))
        await bench.worker.revoked([("profiler.events", 0)])
        assert bench.acknowledged[-1] == 99

    async def elsewhere() -> None:
        await other.submit(clicks(100, start=100))
        await other.worker.drain()

    async def back_again() -> None:
        again = clicks(100, start=200)
        await bench.submit(again)
        await bench.worker.drain()

    run(bench, body)
    run(other, elsewhere)
    bench.worker = Bench(bench.store).worker
    run(bench, back_again)
    assert_same_profiles(bench.store, clicks(300))


def test_an_erased_person_stays_erased() -> None:
    bench = Bench(MemoryStore(spec_hash=DEFAULT_SPEC.hash))
    erase = record({"type": "erase", "ts": START_MS, "user_id": "u0"}, 40)

    async def body() -> None:
        await bench.submit([*clicks(40), erase])
        await bench.worker.drain()
        await bench.submit(clicks(40, start=41))
        await bench.worker.drain()

    run(bench, body)
    pid = Pseudonymiser(KEY).pid("user", "u0")
    assert is_tombstone(bench.store.states[pid])
    assert pid not in bench.store.profiles
    assert bench.metrics.value("profiler_events_total", outcome="erased") > 0


def test_a_row_of_an_unknown_spec_stops_the_worker() -> None:
    store = MemoryStore(spec_hash=DEFAULT_SPEC.hash)
    pid = Pseudonymiser(KEY).pid("user", "u0")
    store.states[pid] = b"\x01" + b"unknown!" + bytes(2_000)
    bench = Bench(store)

    async def body() -> None:
        await bench.submit(clicks(40))
        await bench.worker.drain()

    with pytest.raises(UnknownSpec):
        run(bench, body)
    assert store.states[pid][1:9] == b"unknown!"


def test_readable_names_of_catalogue_tokens_are_kept() -> None:
    bench = Bench(MemoryStore(spec_hash=DEFAULT_SPEC.hash))

    async def body() -> None:
        await bench.submit(clicks(40))
        await bench.worker.drain()

    run(bench, body)
    row = bench.store.states[Pseudonymiser(KEY).pid("user", "u0")]
    ids = decode_states([row], DEFAULT_SPEC, {}).rows["interest.item_id"][0]
    names = asyncio.run(bench.store.names("item", [int(i) for i in ids if i]))
    assert names and all(name and name.startswith("i") for name in names)


def test_an_arena_that_cannot_hold_three_batches_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="PROFILER_ARENA_ROWS"):
        Bench(MemoryStore(spec_hash=DEFAULT_SPEC.hash), Limits(batch_events_max=50, arena_rows=149))


class ForgetfulStore(MemoryStore):
    """A store that can lose what it was given, and may or may not notice."""

    def __init__(self) -> None:
        super().__init__(spec_hash=DEFAULT_SPEC.hash)
        self.has_restarted = False

    def forget(self, *, tells: bool) -> None:
        self.states.clear()
        self.profiles.clear()
        self.has_restarted = tells

    async def load(self, pids: Sequence[str]) -> list[bytes | None]:
        self._check()
        return await super().load(pids)

    async def commit(self, writes: Sequence[Write]) -> list[bool]:
        self._check()
        return await super().commit(writes)

    def rejoin(self) -> None:
        self.has_restarted = False

    def _check(self) -> None:
        if self.has_restarted:
            raise StoreRestarted("another")


@pytest.mark.parametrize("tells", [True, False])
def test_a_store_that_lost_writes_is_given_them_again(tells: bool) -> None:
    store = ForgetfulStore()
    bench = Bench(store)
    records = clicks(200)

    async def body() -> None:
        await bench.submit(records[:100])
        await bench.worker.drain()
        store.forget(tells=tells)
        await bench.submit(records[100:])
        while not bench.rewinds:
            await asyncio.sleep(0)
        await bench.worker.drain()
        # As the consumer does after a rewind.
        await bench.submit(records)
        await bench.worker.drain()

    run(bench, body)
    assert bench.rewinds == 1
    assert_same_profiles(store, records)
    assert bench.metrics.value("profiler_store_restarts_total") == 1.0


def test_what_belongs_elsewhere_is_sent_on_before_it_is_acknowledged() -> None:
    bench = Bench(FaultyStore(), homes=4)
    records = clicks(100)

    async def body() -> None:
        bench.forwards.is_away = True
        await bench.submit(records)
        while not bench.forwards.n_refused:
            await asyncio.sleep(0)
        assert bench.acknowledged == []
        bench.forwards.is_away = False
        await bench.worker.drain()

    run(bench, body)
    away = [r for r in records if partition_of(r.key or b"", 4) != 0]
    assert [forward.record for forward in bench.forwards.kept] == away
    assert_same_profiles(bench.store, [r for r in records if r not in away])
    assert bench.metrics.value("profiler_events_total", outcome="forwarded") == len(away)
