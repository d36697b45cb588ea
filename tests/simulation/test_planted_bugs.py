"""The simulation finds bugs: each of these is planted, and some seed must fail."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

import numpy as np
import pytest

from profiler.dedupe import Fences
from profiler.forwarding import Admitted, Seen
from profiler.records import Record
from streams.acknowledgements import Acknowledgements
from streams.committer import Committer
from streams.homes import Homes
from streams.inbox import Delivery
from streams.store import MemoryStore
from streams.worker import Worker
from tests.simulation.campaign import fails, faults_of
from tests.simulation.member import Member

SEEDS: Final = 200

Plant = Callable[[pytest.MonkeyPatch], None]


def acknowledge_before_the_commit(patch: pytest.MonkeyPatch) -> None:
    submit = Worker.submit

    async def hasty(worker: Worker, delivery: Delivery) -> None:
        delivery.acknowledge("")
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

    patch.setattr(Committer, "settle", careless)


def do_not_seek_back_after_lost_writes(patch: pytest.MonkeyPatch) -> None:
    async def carry_on(worker: Worker, rewind: object, fault: object) -> None:
        worker._store.rejoin()

    patch.setattr(Worker, "_start_over", carry_on)


def commit_what_is_not_durable(patch: pytest.MonkeyPatch) -> None:
    async def at_once(acknowledgements: Acknowledgements) -> int:
        return len(acknowledgements._waiting)

    patch.setattr(Acknowledgements, "_n_durable", at_once)


def take_forwards_twice(patch: pytest.MonkeyPatch) -> None:
    def admit(seen: Seen, records: Sequence[Record]) -> Admitted:
        seen.highest.clear()
        return real(seen, records)

    real = Seen.admit
    patch.setattr(Seen, "admit", admit)


def forget_which_forwards_were_seen(patch: pytest.MonkeyPatch) -> None:
    async def remember(homes: Homes, *_: object) -> Seen:
        return Seen(homes.topics.events)

    patch.setattr(Homes, "_remember", remember)


def take_what_is_stale(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Member, "_is_current", lambda *_: True)


PLANTS: Final = (
    acknowledge_before_the_commit,
    drop_the_fence,
    let_a_zombie_write,
    keep_what_was_computed_on_refused_rows,
    do_not_seek_back_after_lost_writes,
    commit_what_is_not_durable,
    take_forwards_twice,
    forget_which_forwards_were_seen,
    take_what_is_stale,
)


@pytest.mark.parametrize("plant", PLANTS, ids=lambda plant: plant.__name__)
def test_a_planted_bug_is_found(plant: Plant, monkeypatch: pytest.MonkeyPatch) -> None:
    plant(monkeypatch)

    found = next((seed for seed in range(SEEDS) if fails(seed, faults_of(seed))), None)

    print("found by seed", found)
    assert found is not None
