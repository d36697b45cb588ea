"""One seed, one run: a log, a schedule of faults, and what must be true when all is over."""

from __future__ import annotations

import asyncio
import math
import random
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, Literal

import msgspec
import numpy as np
from msgspec import Struct

from profiler.identity import NO_LINKS, Claim
from profiler.partitioning import partition_of
from profiler.peers import Peers
from profiler.pipeline import visible
from profiler.records import RawRecord
from profiler.spec import DEFAULT_SPEC
from profiler.state import Stored, decode_states
from profiler.traits import Traits
from tests.folding import Fold, assert_equal
from tests.simulation.clock import run_simulated
from tests.simulation.member import RULES, Member
from tests.simulation.world import EVENTS, STEP_S, World
from tests.strategies import START_MS, record

PARTITIONS: Final = 3
AT_HOME: Final = 4
ASTRAY: Final = 2
EVERYWHERE: Final = 2
NOWHERE: Final = AT_HOME + ASTRAY + EVERYWHERE
"""Numbers of people whose producers use the usual partitioner; whose events all come in one
partition that is not their home; and whose events come anywhere, so that their order is unknown."""

ACTIVITY: Final = (*(1,) * AT_HOME, 14, *(1,) * (ASTRAY + EVERYWHERE - 1))
"""How active they are: of one person come more events than are remembered by their ids."""

LINKED: Final = (0, 1, 5)
"""Who may have been anonymous before. They never ask to be erased: what belongs to them then is a
matter of order."""
DEVICE: Final = {"device_id": "d0"}
ANONYMOUS: Final = (*({"anonymous_id": f"a{k}"} for k in range(3)), DEVICE)

TARGETS: Final = (1, 5, 6)
"""To whom others are tied: whose home hears of it from elsewhere, between their own events."""

RUN_TIMEOUT_S: Final = 600.0
STEPS_MAX: Final = 400
PAUSE_S: Final = 0.1
AFTER_S: Final = (*(0.05,) * 4, 0.5)
"""Longest time from one fault to the next: seldom so long that a slow store may answer."""
TYPES: Final = ("click", "browse", "cart", "purchase")
KINDS: Final = (
    *("crash", "pause", "pause", "freeze", "thaw", "start", "rebalance", "store loses"),
    *("store fails", "store slows", "store answers", "broker fails", "broker answers"),
)

Failure = Literal["wrong", "stuck", "broken"]
"""How a run fails: a profile is not what it must be, something is never done, or a worker ends."""


class Fault(Struct, frozen=True):
    """Something that happens `after_s` seconds of simulated time after the fault before.

    A worker that crashes does so after so many steps, each from one `await` to the next; one that
    pauses stands still for as long in proportion.
    """

    after_s: float
    kind: str
    steps: int = 0


def faults_of(seed: int) -> list[Fault]:
    """Draw the schedule of a seed."""
    chance = random.Random(f"faults {seed}")
    return [
        Fault(
            chance.random() * chance.choice(AFTER_S),
            chance.choice(KINDS),
            chance.randrange(STEPS_MAX),
        )
        for _ in range(chance.randint(1, 20))
    ]


def logs_of(seed: int) -> dict[int, list[RawRecord]]:
    """Draw the records of a seed: some twice, some broken, some in another partition than home."""
    chance = random.Random(f"log {seed}")
    logs: dict[int, list[RawRecord]] = {p: [] for p in range(PARTITIONS)}
    events: list[dict[str, Any]] = []
    links, traits = random.Random(f"links {seed}"), random.Random(f"traits {seed}")
    for k in range(chance.randint(100, 400)):
        # The ring of recent ids is short, and whose order is unknown may be repeated too late.
        repeatable = [e for e in events[-20:] if is_ordered(e["user_id"]) and e["type"] != "follow"]
        if repeatable and chance.random() < 0.1:
            event = chance.choice(repeatable)
        else:
            event = _event(k, chance)
            events.append(event)
        p = _partition(event["user_id"], chance)
        fields = {"type": "dance"} if chance.random() < 0.03 else {}
        logs[p].append(record({**event, **fields}, len(logs[p]))._replace(partition=p))
        if (linked := _linked_event(k, links)) is not None:
            p = links.randrange(PARTITIONS)
            linked |= _traits(k, traits) if linked["type"] == "identify" else {}
            logs[p].append(record(linked, len(logs[p]))._replace(partition=p))
    return logs


def _linked_event(k: int, chance: random.Random) -> dict[str, Any] | None:
    """What somebody does before they say who they are, and when they do, or take it back."""
    event = {"ts": START_MS + k * 60_000, "event_id": f"l{k}"}
    anonymous = chance.choice(ANONYMOUS)
    if chance.random() < 0.1:
        return {**event, **anonymous, "type": "click", "item_id": f"i{chance.randrange(20)}"}
    if chance.random() < 0.05:
        other = {"user_id": f"u{chance.choice(LINKED)}"} if chance.random() < 0.7 else DEVICE
        unlink = {"unlink": True} if chance.random() < 0.25 else {}
        return {**event, **anonymous, **other, **unlink, "type": "identify"}
    return None


def _traits(k: int, chance: random.Random) -> dict[str, Any]:
    """What an identify tells besides: who comes by it late must find the same."""
    told = {"plan": f"p{k}", "since": k, "city": f"c{k}", "tags": f"t{chance.randrange(9)}"}
    names = chance.sample(sorted(told), chance.randint(0, 4))
    source = {"source": "crm"} if chance.random() < 0.3 else {}
    return {"traits": {name: told[name] for name in names}, **source}


def is_at_home(user_id: str) -> bool:
    """Whether somebody's events come in their home partition."""
    return int(user_id[1:]) < AT_HOME


def is_ordered(user_id: str) -> bool:
    """Whether somebody's events come in one partition."""
    return int(user_id[1:]) < AT_HOME + ASTRAY


def _partition(user_id: str, chance: random.Random) -> int:
    home = partition_of(user_id.encode(), PARTITIONS)
    if is_at_home(user_id):
        return home
    return (home + 1) % PARTITIONS if is_ordered(user_id) else chance.randrange(PARTITIONS)


def _event(k: int, chance: random.Random) -> dict[str, Any]:
    kind = "erase" if chance.random() < 0.002 else chance.choice(TYPES)
    event: dict[str, Any] = {
        "type": kind,
        "ts": START_MS + k * 60_000 + chance.randint(-600_000, 600_000),
        "user_id": f"u{chance.choices(range(len(ACTIVITY)), ACTIVITY)[0]}",
    }
    if kind == "erase" and event["user_id"] in {f"u{n}" for n in LINKED}:
        event["type"] = kind = "click"
    if chance.random() < 0.1 and event["type"] != "erase":
        event |= _tie(event["user_id"], chance)
    elif kind != "erase":
        event |= {"item_id": f"i{chance.randrange(20)}", "price": float(chance.randrange(50))}
    if chance.random() < 0.7:
        event["event_id"] = f"e{k}"
    return event


def _tie(user_id: str, chance: random.Random) -> dict[str, Any]:
    """What makes an event one that is about two people; now and then a consent instead."""
    target = f"u{chance.choice(TARGETS)}"
    if target == user_id:
        return {"type": "consent", "purposes": {"ties": chance.random() < 0.5}}
    return {
        "type": "follow",
        "target_id": target,
        "action": chance.choice(("add", "add", "add", "remove")),
        "weight": float(chance.randint(1, 3)),
    }


def play(seed: int, faults: Sequence[Fault]) -> None:
    """Run a schedule on a seed's log; raises if anything is not as one clean pass leaves it."""
    world = run_simulated(_play(seed, faults))
    assert_exact(world)


async def _play(seed: int, faults: Sequence[Fault]) -> World:
    world = World(logs_of(seed), random.Random(f"world {seed}"))
    async with asyncio.timeout(RUN_TIMEOUT_S):
        world.members += (Member(world), Member(world))
        await world.rebalance()
        for fault in faults:
            await asyncio.sleep(fault.after_s)
            await _strike(world, fault)
        await _settle(world)
    return world


async def _strike(world: World, fault: Fault) -> None:
    alive = [member for member in world.members if not member.is_dead]
    chosen = world.chance.choice(alive) if alive else None
    match fault.kind:
        case "store fails":
            world.store_fails = 0.4
        case "store slows":
            world.store_is_slow = True
        case "store answers":
            world.store_fails, world.store_is_slow = 0.0, False
        case "store loses":
            world.lose_unsynced_writes()
        case "broker fails":
            world.broker_fails = 0.4
        case "broker answers":
            world.broker_fails = 0.0
        case "start":
            world.members.append(Member(world))
            await world.rebalance()
        case "crash" if chosen:
            chosen.dies_in = fault.steps
        case "freeze" | "pause" if chosen:
            chosen.freeze()
            await world.rebalance()
            if fault.kind == "pause":
                await asyncio.sleep(fault.steps / STEPS_MAX * PAUSE_S)
                await chosen.thaw()
                await world.rebalance()
        case "thaw" if chosen:
            await chosen.thaw()
            await world.rebalance()
        case _:
            await world.rebalance()


async def _settle(world: World) -> None:
    """Heal everything, and wait until all is done."""
    world.store_fails = world.broker_fails = 0.0
    world.store_is_slow = False
    for member in world.members:
        member.dies_in = None
        await member.thaw()
    if not any(member.is_in_group for member in world.members):
        world.members.append(Member(world))
    await world.rebalance()
    while not world.is_done():
        world.raise_faults()
        await asyncio.sleep(STEP_S)
    for member in world.members:
        member.crash()


def assert_exact(world: World) -> None:
    """All profiles, fences, tombstones are those of one clean pass; bad records have letters."""
    clean = Fold(rules=RULES)
    for p in world.partitions:
        clean.apply_in_parts(world.logs[EVENTS, p], [])
    clean.settle()
    found = world.store.states
    assert _known(found) == _known(clean.states)
    for pid, user_id in _people(clean):
        if pid not in found or pid not in clean.states:
            continue
        ours = decode_states([found[pid]], DEFAULT_SPEC, {})
        expected = decode_states([clean.states[pid]], DEFAULT_SPEC, {})
        np.testing.assert_array_equal(ours.erased, expected.erased)
        assert _told(ours) == _told(expected)
        _assert_tied(ours, expected)
        is_target = user_id in {f"u{n}" for n in TARGETS}
        if is_at_home(user_id) and not is_target:
            np.testing.assert_array_equal(ours.fences.offset, expected.fences.offset)
        # What others do to them comes between their own events, and takes places in the ring.
        ignored = ("core.recent",) if is_target else ()
        assert_equal(ours.rows, expected.rows, linear_only=not is_ordered(user_id), ignored=ignored)
        _assert_seen(world, pid, ours)
    assert world.store.person_traits == clean.traits
    assert world.store.profiles.keys() <= found.keys()
    records = [r for p in world.partitions for r in world.logs[EVENTS, p]]
    broken = {(r.partition, r.offset) for r in records if r.value and b"dance" in r.value}
    kept = {(letter.record.partition, letter.record.offset) for letter in world.letters}
    assert kept == broken
    _assert_told(world)


def _assert_told(world: World) -> None:
    """After the last change of somebody's owner it was told, and of what readers see as well."""
    store, told = world.store, world.updates
    for pid, n in store.shifted.items():
        said = [(u.change, u.moved_to) for u in told[n:] if u.pid == pid]
        assert store.fate(pid) in said
    for pid, n in store.changed.items():
        if store.fate(pid)[0] == "returned":
            assert any(u.pid == pid for u in told[n:])


def _known(states: Mapping[str, bytes]) -> set[str]:
    """All of whom something is known: who owned somebody for a moment may have an empty state."""
    stored = decode_states(list(states.values()), DEFAULT_SPEC, {})
    is_known = stored.erased | (stored.rows["core.n_accepted"] > 0)
    return {
        pid
        for k, pid in enumerate(states)
        if is_known[k] or stored.links.get(k, NO_LINKS) != NO_LINKS
    }


def _people(clean: Fold) -> Iterator[tuple[str, str]]:
    """All subjects: profile id, and an id that tells how their events come (`is_at_home`)."""
    for k in range(AT_HOME + ASTRAY + EVERYWHERE):
        yield clean.pseudonymiser.pid("user", f"u{k}"), f"u{k}"
    for one in ANONYMOUS:
        ((name, value),) = one.items()
        yield clean.pseudonymiser.pid(name.removesuffix("_id"), value), f"u{NOWHERE}"


def _told(stored: Stored) -> tuple[list[Claim], list[str], Traits]:
    """Links and traits of somebody; a clean pass knows of one home only."""
    links = stored.links.get(0, NO_LINKS)
    claims = [msgspec.structs.replace(claim, home=0) for claim in links.claims]
    return claims, [member.pid for member in links.members], links.traits


def _assert_tied(ours: Stored, expected: Stored) -> None:
    """Ties and consent of somebody are those of a clean pass."""
    mine, theirs = (stored.links.get(0, NO_LINKS).ties for stored in (ours, expected))
    assert (mine.as_of_ms, mine.consents) == (theirs.as_of_ms, theirs.consents)
    for a, b in zip(mine.entries, theirs.entries, strict=True):
        assert (a.key, a.last_ms, a.cut_ms) == (b.key, b.last_ms, b.cut_ms)
        assert math.isclose(a.strength, b.strength, rel_tol=1e-9)


def _assert_seen(world: World, pid: str, stored: Stored) -> None:
    """Readers see what the states say, the vector bit for bit; of the erased, nothing."""
    view = world.store.profiles.get(pid, {})
    assert bool(view) != stored.erased[0]
    if not view:
        return
    links = stored.links.get(0, NO_LINKS)
    if links.owner:
        assert view["moved_to"].decode() == links.owner.owner
        return
    peers = Peers.of(world.store.states, DEFAULT_SPEC, {})
    rows = peers.merged(DEFAULT_SPEC, pid, links, stored.rows)
    ties = {0: peers.merged_ties(pid, links)}
    (vector,), (summary,) = visible(DEFAULT_SPEC, rows, ties)
    assert view["vector"] == vector.tobytes()
    # Numbers are aligned with those of the others in a batch: there may be other spaces.
    assert msgspec.json.decode(view["summary"]) == msgspec.json.decode(summary)
    assert int(view["rev"]) == stored.rev[0]
    assert int(view["as_of"]) == rows["core.as_of"][0]


def failure(seed: int, faults: Sequence[Fault]) -> Failure | None:
    """How a schedule fails, if it does."""
    try:
        world = run_simulated(_play(seed, faults))
    except TimeoutError:
        return "stuck"
    except AssertionError:
        return "broken"
    try:
        assert_exact(world)
    except AssertionError:
        return "wrong"
    return None


def shrunk(seed: int, faults: Sequence[Fault]) -> list[Fault]:
    """Leave out, one after another, what a failure of the same kind does not need."""
    how = failure(seed, faults)
    left, n_before = list(faults), len(faults) + 1
    # Again and again: without one fault another may turn out to be of no use.
    while len(left) < n_before:
        n_before, k = len(left), 0
        while k < len(left):
            fewer = left[:k] + left[k + 1 :]
            if failure(seed, fewer) == how:
                left = fewer
            else:
                k += 1
    return left
