"""Figures of the crowd reach the store from several workers, also when it was away."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

import numpy as np
import pytest

from profiler.behaviour.crowd import Crowd, crowd_from
from profiler.behaviour.layout import COHORTS, EPOCH_MS, WIDTH
from profiler.errors import StoreUnavailable
from profiler.spec import DEFAULT_SPEC
from streams.crowd import CrowdFigures
from streams.memory_store import MemoryStore

AS_OF_MS = 40 * EPOCH_MS + 1_000_000


class Away(MemoryStore):
    """A store that is away at first."""

    is_away = True

    async def add_behaviour(self, epoch: int, as_of_ms: int, counts: Mapping[str, float]) -> None:
        if self.is_away:
            raise StoreUnavailable("away")
        await super().add_behaviour(epoch, as_of_ms, counts)


def crowd(as_of_ms: int, seed: int) -> Crowd:
    counts = np.random.default_rng(seed).integers(0, 9, (len(COHORTS), WIDTH)).astype(float)
    return Crowd(as_of_ms, counts)


def read(store: MemoryStore) -> Crowd:
    as_of_ms, fields = asyncio.run(store.behaviour())
    return crowd_from(fields, as_of_ms)


def assert_same(a: Crowd, b: Crowd) -> None:
    assert a.as_of_ms == b.as_of_ms
    np.testing.assert_allclose(a.counts, b.counts, rtol=1e-12)


def test_workers_that_publish_in_turn_add_up_across_a_landmark() -> None:
    store = MemoryStore(spec_hash=DEFAULT_SPEC.hash)
    first, second = CrowdFigures(store), CrowdFigures(store)
    parts = [crowd(AS_OF_MS - EPOCH_MS, 1), crowd(AS_OF_MS - 5_000, 2), crowd(AS_OF_MS, 3)]
    expected = Crowd()
    for part in parts:
        expected.add(part)

    async def work() -> None:
        first.count(parts[:1])
        await first.publish()
        first.count(parts[2:])
        second.count(parts[1:2])
        await first.publish()
        await second.publish()
        await second.publish()

    asyncio.run(work())

    assert_same(read(store), expected)


def test_what_could_not_be_told_is_told_later_with_what_came_meanwhile() -> None:
    store = Away(spec_hash=DEFAULT_SPEC.hash)
    figures = CrowdFigures(store)
    expected = crowd(AS_OF_MS, 4)
    expected.add(crowd(AS_OF_MS + 1, 5))

    async def work() -> None:
        figures.count([crowd(AS_OF_MS, 4)])
        with pytest.raises(StoreUnavailable):
            await figures.publish()
        figures.count([crowd(AS_OF_MS + 1, 5)])
        store.is_away = False
        await figures.publish()

    asyncio.run(work())

    assert_same(read(store), expected)
