"""Exactly once in effect, under every schedule of faults that the seeds draw.

``make simulate SEEDS=1000`` runs more seeds than the tests do. A failure prints its seed and the
shortest schedule that still fails; add both to `REGRESSIONS`.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Final

import pytest

from tests.simulation.campaign import Fault, faults_of, play, shrunk

SEEDS: Final = int(os.environ.get("SIMULATE_SEEDS", "60"))
REGRESSIONS: Final[tuple[tuple[int, tuple[Fault, ...]], ...]] = (
    # No seek back after lost writes.
    (0, (Fault(0.01, "store loses", 260), Fault(0.014, "thaw", 13))),
    # Offsets committed before the store had synced.
    (26, (Fault(0.032, "start", 28), Fault(0.038, "store loses", 257))),
    # A zombie's write taken.
    (34, (Fault(0.1, "crash", 52), Fault(0.017, "start", 19), Fault(0.0248, "pause", 363))),
    # Forwards forgotten that had been seen.
    (50, (Fault(0.436, "pause", 203),)),
    # A record about two people applied again for both, although only one's write was refused.
    (
        406,
        (
            Fault(0.0222327665550845, "store slows", 70),
            Fault(0.010031351924739508, "store slows", 55),
            Fault(0.029639870176247765, "store answers", 289),
            Fault(0.03400881127915953, "store answers", 194),
            Fault(0.21528226883244778, "store answers", 102),
            Fault(0.020932007280546713, "pause", 4),
        ),
    ),
    (
        630,
        (
            Fault(0.038560875463978565, "broker fails", 242),
            Fault(0.011621794372626143, "pause", 162),
            Fault(0.2004114072479496, "freeze", 170),
            Fault(0.010721303901361091, "start", 233),
            Fault(0.04734497960556272, "freeze", 145),
            Fault(0.03857446764498146, "store answers", 172),
            Fault(0.009475877867102295, "store slows", 134),
        ),
    ),
)
"""Seeds and schedules that found a bug, or one planted in `test_planted_bugs`. A schedule
stands by itself: what a seed draws changes with the kinds of faults."""


@pytest.mark.parametrize("seed", range(SEEDS))
def test_profiles_are_those_of_one_clean_pass(seed: int) -> None:
    check(seed, faults_of(seed))


@pytest.mark.parametrize(("seed", "faults"), REGRESSIONS)
def test_what_once_found_a_bug_finds_none(seed: int, faults: Sequence[Fault]) -> None:
    check(seed, faults)


def check(seed: int, faults: Sequence[Fault]) -> None:
    try:
        play(seed, faults)
    except (AssertionError, TimeoutError) as fault:
        shortest = shrunk(seed, faults)
        raise AssertionError(f"seed {seed} fails; shortest schedule: {shortest}") from fault
