"""One seed, one run: a log, a schedule of faults, and what must be true when all is over."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from msgspec import Struct

from profiler.batch import RawRecord
from profiler.partitioning import partition_of
from profiler.spec import DEFAULT_SPEC
from profiler.state import decode_states
from tests.folding import Fold, assert_equal
from tests.simulation.clock import run_simulated
from tests.simulation.world import Member, World
from tests.strategies import START_MS, record

PARTITIONS: Final = 3
USERS: Final = 8
RUN_TIMEOUT_S: Final = 600.0
TYPES: Final = ("click", "browse", "cart", "purchase")
KINDS: Final = ("crash", "freeze", "thaw", "start", "rebalance", "store fails", "store answers")


class Fault(Struct, frozen=True):
    """Something that happens `after_s` seconds of simulated time after the fault before."""

    after_s: float
    kind: str


def faults_of(seed: int) -> list[Fault]:
    """Draw the schedule of a seed."""
    chance = random.Random(f"faults {seed}")
    return [
        Fault(chance.random() * 0.05, chance.choice(KINDS)) for _ in range(chance.randint(1, 20))
    ]


def logs_of(seed: int) -> dict[int, list[RawRecord]]:
    """Draw the records of a seed: each person's in one partition, some twice, some broken."""
    chance = random.Random(f"log {seed}")
    logs: dict[int, list[RawRecord]] = {p: [] for p in range(PARTITIONS)}
    events: list[dict[str, Any]] = []
    for k in range(chance.randint(100, 400)):
        if events and chance.random() < 0.1:
            event = chance.choice(events[-20:])
        else:
            event = _event(k, chance)
            events.append(event)
        p = partition_of(str(event["user_id"]).encode(), PARTITIONS)
        fields = {"type": "dance"} if chance.random() < 0.03 else {}
        logs[p].append(record({**event, **fields}, len(logs[p]))._replace(partition=p))
    return logs


def _event(k: int, chance: random.Random) -> dict[str, Any]:
    kind = "erase" if chance.random() < 0.002 else chance.choice(TYPES)
    event: dict[str, Any] = {
        "type": kind,
        "ts": START_MS + k * 60_000 + chance.randint(-600_000, 600_000),
        "user_id": f"u{chance.randrange(USERS)}",
    }
    if kind != "erase":
        event |= {"item_id": f"i{chance.randrange(20)}", "price": float(chance.randrange(50))}
    if chance.random() < 0.7:
        event["event_id"] = f"e{k}"
    return event


def play(seed: int, faults: Sequence[Fault]) -> None:
    """Run a schedule on a seed's log; raises if anything is not as one clean pass leaves it."""
    world = run_simulated(_play(seed, faults))
    assert_exact(world)


async def _play(seed: int, faults: Sequence[Fault]) -> World:
    world = World(logs_of(seed), random.Random(f"world {seed}"))
    async with asyncio.timeout(RUN_TIMEOUT_S):
        for _ in range(2):
            world.start_member()
        await world.rebalance()
        for fault in faults:
            await asyncio.sleep(fault.after_s)
            await _strike(world, fault.kind)
        await world.settle()
    return world


async def _strike(world: World, kind: str) -> None:
    alive = [member for member in world.members if not member.is_dead]
    chosen: Member | None = world.chance.choice(alive) if alive else None
    if kind == "store fails":
        world.store_fails = 0.4
    elif kind == "store answers":
        world.store_fails = 0.0
    elif kind == "start":
        world.start_member()
        await world.rebalance()
    elif kind == "rebalance" or chosen is None:
        await world.rebalance()
    elif kind == "crash":
        chosen.crash()
        await world.rebalance()
    elif kind == "freeze":
        chosen.freeze()
        await world.rebalance()
    else:
        await chosen.thaw()
        await world.rebalance()


def assert_exact(world: World) -> None:
    """All profiles, fences, tombstones are those of one clean pass; bad records have letters."""
    clean = Fold()
    for log in world.logs.values():
        clean.apply_in_parts(log, [])
    found = world.store.states
    assert found.keys() == clean.states.keys()
    pids = list(found)
    ours = decode_states([found[pid] for pid in pids], DEFAULT_SPEC, {})
    expected = decode_states([clean.states[pid] for pid in pids], DEFAULT_SPEC, {})
    np.testing.assert_array_equal(ours.erased, expected.erased)
    np.testing.assert_array_equal(ours.fences.offset, expected.fences.offset)
    assert_equal(ours.rows, expected.rows)
    readable = {pid for pid, erased in zip(pids, ours.erased.tolist(), strict=True) if not erased}
    assert world.store.profiles.keys() == readable
    broken = {
        (r.partition, r.offset)
        for log in world.logs.values()
        for r in log
        if r.value is not None and b"dance" in r.value
    }
    kept = {(letter.record.partition, letter.record.offset) for letter in world.letters}
    assert kept == broken


def shrunk(seed: int, faults: Sequence[Fault]) -> list[Fault]:
    """Leave out what is not needed for the failure, one fault at a time."""
    left = list(faults)
    k = 0
    while k < len(left):
        fewer = left[:k] + left[k + 1 :]
        if fails(seed, fewer):
            left = fewer
        else:
            k += 1
    return left


def fails(seed: int, faults: Sequence[Fault]) -> bool:
    """Whether a schedule leaves something wrong."""
    try:
        play(seed, faults)
    except (AssertionError, TimeoutError):
        return True
    return False
