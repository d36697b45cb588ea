"""However links, cuts and events come, whoever dies meanwhile: the same people, the same profiles.

``make identity EXAMPLES=10000 IDENTITY_SEED=1`` tries so many histories, drawn from that seed. A
failure prints the shortest history that still fails, as numbers, and the seed of its town: add both
to `REGRESSIONS`.
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Sequence
from typing import Final

import pytest
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st

from tests.histories.history import (
    NUMBERS,
    assert_same,
    events_of,
    expected,
    lived,
    parted,
    without_links,
)

EXAMPLES: Final = int(os.environ.get("IDENTITY_EXAMPLES", "400"))
SEED: Final = int(os.environ.get("IDENTITY_SEED", "1"))
SHARDS: Final = 8
"""As many tests, so that xdist spreads them; together they try `EXAMPLES` histories."""
UNMERGED: Final = 20
"""Of so many histories one is also unmerged."""
REGRESSIONS: Final[tuple[tuple[tuple[int, ...], int], ...]] = (
    # Cuts ignored.
    ((246, 330), 0),
    # Members taken from memory.
    ((324, 0, 115, 0, 0, 36), 0),
    # Owners not told by a worker that repeats; former owners not told at all.
    ((24, 168, 24), 0),
    # Members of members not shown.
    ((60, 96, 222), 0),
)
"""Histories and towns that found a bug, here some of those planted in `test_planted_bugs`."""

Check = Callable[[Sequence[int], int], None]


def ends_as_defined(numbers: Sequence[int], town: int) -> None:
    events = events_of(numbers)

    found = lived(events, random.Random(town))

    assert_same(found, expected(events))


def parts_as_if_never_joined(numbers: Sequence[int], town: int) -> None:
    """Also compared with what another town makes of the same without any link."""
    events = events_of(numbers)

    found = lived(parted(events), random.Random(town))

    assert not found.owners
    assert_same(found, lived(without_links(events), random.Random(town + 1)))


@pytest.mark.parametrize("shard", range(SHARDS))
def test_any_history_ends_as_the_definition_says(shard: int) -> None:
    search(ends_as_defined, shard, EXAMPLES // SHARDS)


@pytest.mark.parametrize("shard", range(SHARDS))
def test_after_an_unmerge_profiles_are_what_they_would_have_been(shard: int) -> None:
    search(parts_as_if_never_joined, SHARDS + shard, max(1, EXAMPLES // SHARDS // UNMERGED))


@pytest.mark.parametrize(("numbers", "town"), REGRESSIONS)
def test_what_once_found_a_bug_finds_none(numbers: Sequence[int], town: int) -> None:
    ends_as_defined(numbers, town)


def search(check: Check, shard: int, examples: int) -> None:
    """Have a check hold for so many histories, drawn from the seed of a shard."""
    print(f"IDENTITY_SEED={SEED}, shard {shard}: {examples} histories")

    @seed(1_000 * SEED + shard)
    @settings(
        max_examples=examples,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(numbers=NUMBERS, town=st.integers(0, 2**32 - 1))
    def holds(numbers: list[int], town: int) -> None:
        check(numbers, town)

    holds()
