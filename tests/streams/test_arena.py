"""The arena: a bounded cache of rows that never loses the row of a batch under way."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from profiler.dedupe import Fences
from profiler.errors import ConfigurationError
from profiler.spec import DEFAULT_SPEC
from profiler.state import Stored
from streams.arena import Arena


def stored(numbers: list[int]) -> Stored:
    """States that carry a number each, as revision and as count."""
    rows = DEFAULT_SPEC.empty(len(numbers))
    rows["core.n_accepted"] = numbers
    none = np.zeros(len(numbers), dtype=bool)
    return Stored(rows, np.array(numbers, dtype=np.int64), Fences.empty(len(numbers)), none)


def load(arena: Arena, numbers: list[int]) -> None:
    pids = [f"p{n}" for n in numbers]
    arena.begin(pids)
    missing = arena.missing(pids)
    arena.put(missing, stored([int(pid[1:]) for pid in missing]))


@given(batches=st.lists(st.sets(st.integers(0, 60), min_size=1, max_size=10), max_size=40))
@settings(deadline=None)
def test_everybody_of_a_batch_is_there_whatever_was_evicted(batches: list[set[int]]) -> None:
    arena = Arena(DEFAULT_SPEC, 30)
    for batch in batches:
        numbers = sorted(batch)
        load(arena, numbers)

        found = arena.gather(arena.slots([f"p{n}" for n in numbers]))

        assert found.rows["core.n_accepted"].tolist() == numbers
        assert found.rev.tolist() == numbers
        assert len(arena) <= arena.capacity


def test_more_memory_than_there_is_is_refused_with_the_setting() -> None:
    with pytest.raises(ConfigurationError, match="PROFILER_ARENA_ROWS"):
        Arena(DEFAULT_SPEC, 10**12)


def test_rows_of_the_batch_before_are_not_evicted() -> None:
    arena = Arena(DEFAULT_SPEC, 30)
    load(arena, list(range(10)))
    load(arena, list(range(10, 20)))
    load(arena, list(range(20, 30)))

    load(arena, list(range(30, 40)))

    assert arena.missing([f"p{n}" for n in range(20, 40)]) == []


def test_a_dropped_partition_takes_its_people_and_their_other_fences() -> None:
    arena = Arena(DEFAULT_SPEC, 30)
    load(arena, [1, 2])
    slots = arena.slots(["p1", "p2"])
    rows = arena.gather(slots).rows
    arena.scatter(slots, rows, Fences(np.array([7, 8]), np.array([3, 4]), {0: {9: 5}}), {})

    arena.drop_partitions([7])
    load(arena, [1])

    assert arena.missing(["p2"]) == []
    fences = arena.gather(arena.slots(["p1", "p2"])).fences
    assert (fences.partition.tolist(), fences.more) == ([-1, 8], {})


def test_an_erased_row_is_empty_and_one_revision_on() -> None:
    arena = Arena(DEFAULT_SPEC, 30)
    load(arena, [5])
    slots = arena.slots(["p5"])

    arena.erase(slots)

    found = arena.gather(slots)
    assert (found.erased.tolist(), found.rev.tolist()) == ([True], [6])
    assert not any(found.rows.tobytes())
