"""What came out of a run, and what it must have been for the run to show anything."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from msgspec import Struct

from tests.chaos.rig import Options
from tests.chaos.schedule import Fault
from tests.chaos.verdict import Letters

EVENTS_PER_S: Final = {1: 3_500, 3: 1_500}
"""Default rate, by number of brokers."""

ACKNOWLEDGED_PER_S: Final = {1: 1_000, 3: 500}
"""The least of it that must arrive for a run to show something. What a quiet machine can, 300,000
in 120 s, is no condition: a slow one is not wrong."""

LONG_S: Final = 120.0
"""A run of this length has room for faults of many kinds."""

FAULT_INTERVAL_S: Final = 12.0
FAULTS_MIN: Final = 40
"""One fault in so many seconds, so 10 in 120 s; in runs of more than 480 s at least so many."""

KINDS_MIN: Final = 5
FORWARDED_SHARE: Final = 0.1
"""Of the acknowledged: 25 % are sent astray."""


class Result(Struct, frozen=True, kw_only=True):
    """What came out of a run.

    Parameters
    ----------
    options
        Of the run.
    astray
        Events that were sent to another partition than their home.
    forwarded
        Records in the topic of forwarded events, which may hold some of them twice.
    faults
        Those that happened.
    crashes
        Workers that ended by themselves.
    """

    options: Options
    acknowledged: int
    unknown: int
    astray: int
    forwarded: int
    lost: int
    duplicated: int
    mismatched: int
    stale: int
    letters: Letters
    faults: list[Fault]
    crashes: int
    lag: int
    longest_stall_s: float

    @property
    def passed(self) -> bool:
        """Whether everything is as it must be."""
        return not any(self.failures())

    @property
    def n_kinds(self) -> int:
        """Different kinds of faults that happened."""
        return len({fault.kind for fault in self.faults})

    def failures(self) -> Iterator[str]:
        """Say what is wrong, and what was too little to show anything."""
        for name, n in {
            "lost": self.lost,
            "duplicated": self.duplicated,
            "mismatched": self.mismatched,
            "stale": self.stale,
            "dead_letters_missing": self.letters.missing,
            "dead_letters_unexpected": self.letters.unexpected,
            "crashes": self.crashes,
            "lag": self.lag,
        }.items():
            if n:
                yield f"{name}={n}, and must be 0"
        for name, n, least in (
            ("acknowledged", self.acknowledged, acknowledged_min(self.options)),
            ("forwarded", self.forwarded, int(FORWARDED_SHARE * self.acknowledged)),
            ("faults", len(self.faults), faults_min(self.options)),
            ("kinds", self.n_kinds, KINDS_MIN if self.options.duration_s >= LONG_S else 0),
        ):
            if n < least:
                yield f"{name}={n}, and must be at least {least}"

    def line(self, seed: int) -> str:
        """Give the figures in one line."""
        figures = {
            "acknowledged": self.acknowledged,
            "unknown": self.unknown,
            "astray": self.astray,
            "forwarded": self.forwarded,
            "lost": self.lost,
            "duplicated": self.duplicated,
            "mismatched": self.mismatched,
            "stale": self.stale,
            "dead_letters": self.letters.kept,
            "dead_letters_missing": self.letters.missing,
            "dead_letters_unexpected": self.letters.unexpected,
            "dead_letters_repeated": self.letters.repeated,
            "faults": len(self.faults),
            "kinds": self.n_kinds,
            "crashes": self.crashes,
            "lag": self.lag,
            "longest_stall_s": f"{self.longest_stall_s:.1f}",
            "seed": seed,
        }
        return " ".join(f"{name}={figure}" for name, figure in figures.items())


def acknowledged_min(options: Options) -> int:
    """How many records must be acknowledged; fewer in proportion at less than the default rate."""
    share = min(1.0, options.events_per_s / EVENTS_PER_S[options.n_brokers])
    return int(options.duration_s * ACKNOWLEDGED_PER_S[options.n_brokers] * share)


def faults_min(options: Options) -> int:
    """How many faults must have happened."""
    if options.duration_s < LONG_S:
        return 0
    return min(FAULTS_MIN, int(options.duration_s / FAULT_INTERVAL_S))
