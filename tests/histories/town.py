"""Several workers without time: real updaters on one store and one log, in any interleaving.

A step is what one worker does with what it has fetched: it sends what belongs elsewhere, writes
profiles, has others look, and sooner or later commits its offsets. It may die between any two of
these, or half way through one; then whoever has its partitions next begins at what was committed.
Partitions move between any two steps. Nothing is concurrent within a step: `tests/simulation` has
that, and takes fifty times as long.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from enum import IntEnum
from functools import cache
from typing import Any, Final, NamedTuple, TypeVar

from profiler.batch import Preparer, Screen
from profiler.columns import Snapshot
from profiler.dedupe import EVENTS, FORWARDED, topic_code
from profiler.facets import FACETS
from profiler.forwarding import Seen, headers_of, look_record
from profiler.models.bank import ModelBank
from profiler.privacy.pseudonym import Pseudonymiser
from profiler.records import Chunk, Forward, RawRecord
from profiler.spec import Spec
from streams.arena import Arena
from streams.memory_store import MemoryStore
from streams.updater import Updater, Work
from tests.folding import KEY

FETCH_MAX: Final = 5
"""Records of one partition in a step, at most."""
DIES: Final = 0.15
"""Share of the steps in which the worker dies."""
MOVES: Final = 0.1
"""Share of the steps after which partitions move."""
COMMITS: Final = 0.5
"""Share of the steps after which a partition's offset is committed."""
TELLS_TWICE: Final = 0.1
"""Share of looks that are sent twice."""
STEPS_MAX: Final = 2_000
ARENA_ROWS: Final = 48


class UndescribedSpec(Spec):
    """The default spec without summaries: people do not read these, and they take their time."""

    def describe(self, now: Snapshot) -> list[Any]:
        return [None] * len(now)


PSEUDONYMISER: Final = Pseudonymiser(KEY)
SPEC: Final = UndescribedSpec(FACETS)
Place = tuple[int, int]
"""A topic, `EVENTS` or `FORWARDED`, and a partition."""
_Result = TypeVar("_Result")


class Stage(IntEnum):
    """How far a step has come when its worker dies."""

    READ = 0
    SENDING = 1
    SENT = 2
    WRITING = 3
    WRITTEN = 4
    TELLING = 5
    TOLD = 6


class Fetched(NamedTuple):
    """What a worker reads of one partition, and what it may commit for it: an offset and a text."""

    place: Place
    chunk: Chunk
    end: tuple[int, str]


class Resident:
    """A worker: its hot rows, its memory of forwards, how far it has read, and what is done."""

    def __init__(self, town: Town, numbers: Sequence[int]) -> None:
        self.numbers = list(numbers)
        self.updater = Updater(
            SPEC,
            preparer_of(town.homes),
            ModelBank(SPEC),
            Arena(SPEC, ARENA_ROWS),
            town.store,
        )
        self.read = {
            place: town.committed[place][0] for place in town.logs if place[1] in self.numbers
        }
        self.seen = {
            number: Seen.decode("profiler.events", town.committed[FORWARDED, number][1])
            for number in self.numbers
        }
        self.done: dict[Place, tuple[int, str]] = {}


class Town:
    """A log of some partitions, a store, and workers that have died often.

    Parameters
    ----------
    arrivals
        Records of the topic of events, by partition.
    homes
        Partitions of either topic.
    chance
        Decides everything that is left to chance.

    Attributes
    ----------
    committed
        Next offset, and the text beside it, by place.
    """

    def __init__(
        self, arrivals: Mapping[int, Sequence[RawRecord]], homes: int, chance: random.Random
    ) -> None:
        self.homes = homes
        self.store = MemoryStore(spec_hash=SPEC.hash)
        self.logs: dict[Place, list[RawRecord]] = {
            (topic, number): [] for topic in (EVENTS, FORWARDED) for number in range(homes)
        }
        for number, records in arrivals.items():
            self.logs[EVENTS, number] += records
        nothing_seen = Seen("profiler.events").encode()
        self.committed: dict[Place, tuple[int, str]] = dict.fromkeys(self.logs, (0, nothing_seen))
        self._chance = chance
        self._residents: list[Resident] = []

    def live(self) -> MemoryStore:
        """Go on until every record is worked off; give the store."""
        self._move()
        for _ in range(STEPS_MAX):
            able = [resident for resident in self._residents if self._waiting(resident)]
            if not able:
                return self.store
            self._step(self._chance.choice(able))
            if self._chance.random() < MOVES:
                self._move()
        raise AssertionError("looks beget looks without end")

    def _move(self) -> None:
        """Give the partitions to other workers, who know nothing yet."""
        for resident in self._residents:
            self._commit(resident, 1.0)
        numbers = list(range(self.homes))
        self._chance.shuffle(numbers)
        n = self._chance.randint(1, self.homes)
        self._residents = [Resident(self, numbers[k::n]) for k in range(n)]

    def _waiting(self, resident: Resident) -> list[Place]:
        return [place for place, offset in resident.read.items() if offset < len(self.logs[place])]

    def _step(self, resident: Resident) -> None:
        fetched = list(self._fetch(resident))
        dies_at = self._chance.choice(list(Stage)) if self._chance.random() < DIES else None
        work = finished(resident.updater.compute([one.chunk for one in fetched], self.store.load))
        if self._take_effect(work, dies_at):
            resident.done |= {one.place: one.end for one in fetched}
            self._commit(resident, COMMITS)
        if dies_at is not None:
            self._residents.remove(resident)
            self._residents.append(Resident(self, resident.numbers))

    def _commit(self, resident: Resident, share: float) -> None:
        for place in list(resident.done):
            if self._chance.random() < share:
                self.committed[place] = resident.done.pop(place)

    def _fetch(self, resident: Resident) -> Iterator[Fetched]:
        """Read on in some of the partitions in which something waits."""
        waiting = self._waiting(resident)
        for topic, number in self._chance.sample(waiting, self._chance.randint(1, len(waiting))):
            place = topic, number
            start = resident.read[place]
            records = self.logs[place][start : start + self._chance.randint(1, FETCH_MAX)]
            end = resident.read[place] = start + len(records)
            code = topic_code(topic)
            if topic == EVENTS:
                yield Fetched(place, Chunk(code, number, records), (end, ""))
            else:
                seen = resident.seen[number]
                new, offsets, origins, _, looks = seen.admit(records)
                chunk = Chunk(code, number, new, offsets, origins, looks)
                yield Fetched(place, chunk, (end, seen.encode()))

    def _take_effect(self, work: Work, dies_at: Stage | None) -> bool:
        """Do all that follows from a batch, or the part before the worker dies."""
        forwards, writes = work.prepared.forwards, list(work.writes.values())
        looks = [
            Forward(look.at.home, None, look_record(look))
            for look in work.processed.relinked.looks
            for _ in range(1 + (self._chance.random() < TELLS_TWICE))
        ]
        effects: tuple[tuple[Stage, list[Any], Callable[[Sequence[Any]], None]], ...] = (
            (Stage.SENT, forwards, self._send),
            (Stage.WRITTEN, writes, self._write),
            (Stage.TOLD, looks, self._send),
        )
        for stage, todo, do in effects:
            if dies_at is not None and dies_at < stage:
                if dies_at == stage - 1 and todo:
                    do(todo[: self._chance.randrange(len(todo))])
                return False
            do(todo)
        return True

    def _send(self, forwards: Sequence[Forward]) -> None:
        for forward in forwards:
            log = self.logs[FORWARDED, forward.home]
            record, headers = forward.record, headers_of(forward)
            log.append(
                RawRecord(
                    "profiler.forwarded", forward.home, len(log), 1, None, record.value, headers
                )
            )

    def _write(self, writes: Sequence[Any]) -> None:
        assert all(finished(self.store.commit(writes))), "each profile has one writer"


@cache
def preparer_of(homes: int) -> Preparer:
    """A preparer that all workers share: what it remembers of texts is the same for all."""
    return Preparer(PSEUDONYMISER, Screen(), homes)


def finished(what: Coroutine[Any, Any, _Result]) -> _Result:
    """Result of a coroutine that never waits, as those of a store in memory."""
    try:
        what.send(None)
    except StopIteration as done:
        result: _Result = done.value
        return result
    raise AssertionError("it waits for something")
