"""Exactly once in effect, under every schedule of faults that the seeds draw.

``make simulate SEEDS=1000`` runs more seeds than the tests do. A failure prints its seed and the
shortest schedule that still fails; add the seed to `REGRESSIONS`.
"""

from __future__ import annotations

import os
from typing import Final

import pytest

from tests.simulation.campaign import faults_of, play, shrunk

SEEDS: Final = int(os.environ.get("SIMULATE_SEEDS", "60"))
REGRESSIONS: Final[tuple[int, ...]] = ()
"""Seeds that once found a bug; they run whatever the number of seeds."""


@pytest.mark.parametrize("seed", sorted({*range(SEEDS), *REGRESSIONS}))
def test_profiles_are_those_of_one_clean_pass(seed: int) -> None:
    faults = faults_of(seed)
    try:
        play(seed, faults)
    except (AssertionError, TimeoutError) as fault:
        shortest = shrunk(seed, faults)
        raise AssertionError(f"seed {seed} fails; shortest schedule: {shortest}") from fault
