"""The simulation finds bugs: each of these is planted, and some seed must fail."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import numpy as np
import pytest

from profiler.dedupe import Fences
from streams.store import MemoryStore
from streams.worker import Delivery, Worker
from tests.simulation.campaign import fails, faults_of

SEEDS: Final = 60

Plant = Callable[[pytest.MonkeyPatch], None]


def acknowledge_before_the_commit(patch: pytest.MonkeyPatch) -> None:
    submit = Worker.submit

    async def hasty(worker: Worker, delivery: Delivery) -> None:
        delivery.acknowledge()
        await submit(worker, delivery)

    patch.setattr(Worker, "submit", hasty)


def drop_the_fence(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Fences, "fenced", lambda self, row, partition, offset: np.zeros(len(row), bool))


def let_a_zombie_write(patch: pytest.MonkeyPatch) -> None:
    commit = MemoryStore._commit

    def reckless(store: MemoryStore, write: Any) -> bool:
        if not commit(store, write):
            store.states[write.pid] = write.state
        return True

    patch.setattr(MemoryStore, "_commit", reckless)


def keep_what_was_computed_on_refused_rows(patch: pytest.MonkeyPatch) -> None:
    async def careless(*_: object) -> None:
        return

    patch.setattr(Worker, "_settle", careless)


PLANTS: Final = (
    acknowledge_before_the_commit,
    drop_the_fence,
    let_a_zombie_write,
    keep_what_was_computed_on_refused_rows,
)


@pytest.mark.parametrize("plant", PLANTS, ids=lambda plant: plant.__name__)
def test_a_planted_bug_is_found(plant: Plant, monkeypatch: pytest.MonkeyPatch) -> None:
    plant(monkeypatch)

    found = next((seed for seed in range(SEEDS) if fails(seed, faults_of(seed))), None)

    print("found by seed", found)
    assert found is not None
