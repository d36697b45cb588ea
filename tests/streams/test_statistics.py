"""Statistics on their way into a store that several workers share."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import numpy as np
import pytest

from profiler.recommendation.statistics import Statistics
from profiler.recommendation.stored import decode_rows, decode_shelf
from streams import statistics as module
from streams.memory_store import MemoryStore
from streams.statistics import SHELF, StatisticsWriter
from streams.store import RowWrite, name_field
from tests.profiler.recommendation.test_recommender import seen


def store() -> MemoryStore:
    return MemoryStore(spec_hash="0" * 16)


def weight(store: MemoryStore, token: int, other: int) -> float:
    rows = decode_rows(asyncio.run(store.rows("item", [name_field(token)])))
    return float(rows.weights[0][rows.neighbours[0] == other].sum())


def test_two_workers_that_write_at_once_lose_nothing() -> None:
    shared = store()
    workers = [StatisticsWriter(shared) for _ in range(3)]
    for worker in workers:
        worker.add(seen(*[(20, 1, [10], [1])] * 5))

    async def flush() -> None:
        await asyncio.gather(*(worker.flush() for worker in workers))

    asyncio.run(flush())

    assert weight(shared, 10, 20) == pytest.approx(15)
    assert sum(worker.n_given_up for worker in workers) == 0
    shelf = decode_shelf(asyncio.run(shared.rows(SHELF, ["item"]))[0])
    assert dict(zip(shelf["id"].tolist(), shelf["count"].tolist(), strict=True))[
        20
    ] == pytest.approx(15)


class RacedStore(MemoryStore):
    """Somebody else always writes between the read and the first tries to write."""

    races = 3

    async def put_rows(self, writes: Sequence[RowWrite]) -> list[bool]:
        if self.races:
            self.races -= 1
            await super().put_rows(writes)
        return await super().put_rows(writes)


def test_a_row_that_another_worker_wrote_meanwhile_is_read_again() -> None:
    shared = RacedStore(spec_hash="0" * 16)
    writer = StatisticsWriter(shared)
    writer.add(seen((20, 0, [10], [])))

    asyncio.run(writer.flush())

    # What the other wrote thrice is ours, too.
    assert weight(shared, 10, 20) == pytest.approx(4)
    assert writer.n_given_up == 0


def test_more_events_than_there_is_room_for_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "ROOM_ROWS", 2)
    monkeypatch.setattr(module, "BATCH_EVENTS_MAX", 4)
    writer = StatisticsWriter(store())

    writer.add(seen(*[(k, 0, [], []) for k in range(1, 9)]))
    writer.add(seen((99, 0, [], [])))

    assert writer.n_left_out == 4 + 1


def test_a_row_that_nobody_can_read_begins_anew_and_others_stay() -> None:
    shared = store()
    writer = StatisticsWriter(shared)
    writer.add(seen((20, 0, [10], [])))
    asyncio.run(writer.flush())
    broken = RowWrite("item", name_field(20), (2).to_bytes(8, "little") + b"?" * 9)
    assert asyncio.run(shared.put_rows([broken])) == [True]

    writer.add(seen((20, 0, [10], [])))
    asyncio.run(writer.flush())

    assert weight(shared, 10, 20) == pytest.approx(2)
    assert weight(shared, 20, 10) == pytest.approx(1)


def test_what_the_store_has_is_what_memory_has() -> None:
    shared, memory = store(), Statistics()
    writer = StatisticsWriter(shared)
    chance = np.random.default_rng(1)
    for _ in range(5):
        rows = [
            (int(a), int(a) % 3 + 1, [int(b) for b in {*chance.integers(1, 30, 3)}], [1])
            for a in chance.integers(1, 30, 20)
        ]
        batch = seen(*rows)
        writer.add(batch)
        memory.add(batch)
        asyncio.run(writer.flush())

    for token in memory.items.tokens():
        row = memory.items.rows([token])
        for other, expected in zip(
            row.neighbours[0].tolist(), row.weights[0].tolist(), strict=True
        ):
            if other:
                assert weight(shared, token, other) == pytest.approx(expected, rel=1e-5)
