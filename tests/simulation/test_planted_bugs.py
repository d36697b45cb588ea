"""The simulation finds bugs: each of these is planted, and profiles must be wrong."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

import numpy as np
import pytest

import profiler.batch
from profiler.dedupe import Fences, is_forwarded
from profiler.errors import StoreRestarted
from profiler.forwarding import Admitted, Seen
from profiler.homing import Homed, at_home
from profiler.identity import NO_LINKS
from profiler.linking import Linker
from profiler.records import Record
from profiler.state import REV_SLICE, revision_bytes
from profiler.traits import TraitRules, Traits
from streams.acknowledgements import Acknowledgements
from streams.committer import Committer
from streams.homes import Homes
from streams.inbox import Delivery, Inbox
from streams.memory_store import MemoryStore
from streams.store import Move
from streams.updater import Work
from streams.worker import Worker
from tests.simulation.campaign import failure, faults_of
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
            store.states[write.pid] = bytes(REV_SLICE.start) + revision_bytes(write.rev - 1)
            return commit(store, write)
        return True

    patch.setattr(MemoryStore, "_commit", reckless)


def keep_what_was_computed_on_refused_rows(patch: pytest.MonkeyPatch) -> None:
    async def careless(*_: object) -> None:
        return

    patch.setattr(Committer, "settle", careless)


def do_not_seek_back_after_lost_writes(patch: pytest.MonkeyPatch) -> None:
    """What waits for the disk is acknowledged all the same; what waits to be read stays as well.

    All else is as it must be. (If it were dropped, its offsets would never be acknowledged, and
    everything would come again with the next assignment.)
    """

    async def carry_on(worker: Worker, rewind: object, fault: StoreRestarted) -> None:
        await start_over(worker, nowhere, fault)

    async def nowhere() -> None:
        return

    start_over = Worker._start_over
    patch.setattr(Worker, "_start_over", carry_on)
    patch.setattr(Acknowledgements, "clear", lambda waiting: waiting._arrived.set())
    patch.setattr(Inbox, "clear", lambda waiting: None)


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


def leave_readers_behind(patch: pytest.MonkeyPatch) -> None:
    """Readers go on to see the first revision, though every state is right."""
    commit = MemoryStore._commit

    def forgetful(store: MemoryStore, write: Any) -> bool:
        seen = store.profiles.get(write.pid)
        is_written = commit(store, write)
        if seen is not None and write.pid in store.profiles:
            store.profiles[write.pid] = seen
        return is_written

    patch.setattr(MemoryStore, "_commit", forgetful)


def have_others_look_before_it_is_written(patch: pytest.MonkeyPatch) -> None:
    write, send = Committer.write, Committer._send_looks

    async def hasty(committer: Committer, work: Work) -> set[str]:
        await send(committer, work, set())
        return await write(committer, work)

    async def done_already(*_: object) -> None:
        return

    patch.setattr(Committer, "write", hasty)
    patch.setattr(Committer, "_send_looks", done_already)


def tell_only_what_is_new(patch: pytest.MonkeyPatch) -> None:
    """A repetition does not tell again what a worker wrote that died before it told."""
    relink = Linker.relink

    def forgetful(linker: Linker, *said: Any) -> Any:
        before = {p: links.owner for p, links in linker.result.links.items()}
        erased, result = relink(linker, *said), linker.result
        for place in set(result.shifted) - erased.keys():
            after = result.links.get(place, NO_LINKS).owner
            if (after and after.owner) == ((b := before.get(place)) and b.owner):
                del result.shifted[place]
        return erased

    patch.setattr(Linker, "relink", forgetful)


def tell_before_it_is_written(patch: pytest.MonkeyPatch) -> None:
    write, send = Committer.write, Committer._send_updates

    async def hasty(committer: Committer, work: Work) -> set[str]:
        await send(committer, work, set())
        return await write(committer, work)

    async def done_already(*_: object) -> None:
        return

    patch.setattr(Committer, "write", hasty)
    patch.setattr(Committer, "_send_updates", done_already)


def apply_all_of_a_forward_wherever_it_comes(patch: pytest.MonkeyPatch) -> None:
    """A tie's record comes to two homes, and each applies what belongs to the other, too."""

    def greedy(*parts: Any) -> Homed:
        _, record, _, _, partition, _ = parts
        found = at_home(*parts)
        return found._replace(kept=found.kept | (is_forwarded(partition[record]) != 0))

    patch.setattr(profiler.batch, "at_home", greedy)


def keep_the_traits_that_come_last(patch: pytest.MonkeyPatch) -> None:
    joined = TraitRules.joined

    def forgetful(rules: TraitRules, *several: Traits) -> Traits:
        latest = joined(rules, several[-1])
        return Traits({**several[0].known, **latest.known}, latest.end)

    patch.setattr(TraitRules, "joined", forgetful)


def leave_traits_with_whoever_moved(patch: pytest.MonkeyPatch) -> None:
    commit = MemoryStore._commit

    def careless(store: MemoryStore, write: Any) -> bool:
        traits = store.person_traits.get(write.pid)
        is_written = commit(store, write)
        if is_written and isinstance(write, Move) and traits:
            store.person_traits[write.pid] = traits
        return is_written

    patch.setattr(MemoryStore, "_commit", careless)


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
    leave_readers_behind,
    have_others_look_before_it_is_written,
    tell_only_what_is_new,
    tell_before_it_is_written,
    apply_all_of_a_forward_wherever_it_comes,
    keep_the_traits_that_come_last,
    leave_traits_with_whoever_moved,
)


@pytest.mark.parametrize("plant", PLANTS, ids=lambda plant: plant.__name__)
def test_a_planted_bug_makes_profiles_wrong(plant: Plant, monkeypatch: pytest.MonkeyPatch) -> None:
    plant(monkeypatch)

    found = (seed for seed in range(SEEDS) if failure(seed, faults_of(seed)) == "wrong")

    seed = next(found, None)
    print("found by seed", seed)
    assert seed is not None
