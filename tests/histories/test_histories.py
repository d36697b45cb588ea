"""However links, cuts and events come, whoever dies meanwhile: the same people, the same profiles.

``make identity EXAMPLES=10000`` tries so many histories; ``SEED`` chooses others. A failure prints
the history as numbers and the seed of its town: add both to `REGRESSIONS`.
"""

from __future__ import annotations

import os
import random
from collections.abc import Sequence
from typing import Final

import pytest
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st

from tests.histories.history import NUMBERS, assert_same, events_of, expected, lived

EXAMPLES: Final = int(os.environ.get("IDENTITY_EXAMPLES", "400"))
SEED: Final = int(os.environ.get("IDENTITY_SEED", "1"))
SHARDS: Final = 8
"""As many tests, so that xdist spreads them; together they try `EXAMPLES` histories."""
REGRESSIONS: Final[tuple[tuple[tuple[int, ...], int], ...]] = ()

TOWNS: Final = st.integers(0, 2**32 - 1)


@pytest.mark.parametrize("shard", range(SHARDS))
def test_any_history_ends_as_the_definition_says(shard: int) -> None:
    print(f"IDENTITY_SEED={SEED}, shard {shard}: {EXAMPLES // SHARDS} histories")

    @seed(1_000 * SEED + shard)
    @settings(
        max_examples=EXAMPLES // SHARDS,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(numbers=NUMBERS, town=TOWNS)
    def holds(numbers: list[int], town: int) -> None:
        check(numbers, town)

    holds()


def check(numbers: Sequence[int], town: int) -> None:
    events = events_of(numbers)

    found = lived(events, random.Random(town))

    assert_same(found, expected(events))
