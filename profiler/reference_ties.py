"""Whom people are tied to, from the definition alone: all that was said is kept and summed up.

Shares nothing with `profiler.ties`, against which an audit holds it.
"""

from __future__ import annotations

import math
from collections import defaultdict
from typing import Final

from profiler.events import Consent, Follow, timestamp_ms

MONTH_MS: Final = 30 * 24 * 3_600_000
PURPOSE: Final = "ties"
Key = tuple[str, str]


class ReferenceTies:
    """All that one person said of ties.

    Attributes
    ----------
    added
        By the other's pid and the relation, time and weight of every event.
    removed
        By the same, times.
    consents
        Times and answers.
    """

    __slots__ = ("added", "consents", "removed")

    def __init__(self) -> None:
        self.added: defaultdict[Key, list[tuple[int, float]]] = defaultdict(list)
        self.removed: defaultdict[Key, list[int]] = defaultdict(list)
        self.consents: list[tuple[int, bool]] = []

    def say(self, event: Follow, target: str) -> None:
        """Take in an event that was applied, of a tie to `target`."""
        key = target, event.relation
        if event.action == "add":
            self.added[key].append((timestamp_ms(event.ts), event.weight))
        else:
            self.removed[key].append(timestamp_ms(event.ts))

    def agree(self, event: Consent) -> None:
        """Take in a consent."""
        if PURPOSE in event.purposes:
            self.consents.append((timestamp_ms(event.ts), event.purposes[PURPOSE]))

    def keys(self) -> set[Key]:
        """All ties, also those that were only removed."""
        return self.added.keys() | self.removed.keys()

    def times(self, key: Key) -> tuple[int, int]:
        """Latest time at which a tie was added to, and removed; -1 where it never was."""
        added = max((ms for ms, _ in self.added.get(key, [])), default=-1)
        return added, max(self.removed.get(key, []), default=-1)

    def strength(self, key: Key, at_ms: int) -> float:
        """Decayed sum of the weights that were added, at a moment."""
        return math.fsum(
            weight * math.exp2((ms - at_ms) / MONTH_MS) for ms, weight in self.added.get(key, [])
        )

    def consent(self) -> tuple[int, int]:
        """Latest time of a consent and of a refusal; -1 where there was none."""
        granted, refused = (
            max((ms for ms, answer in self.consents if answer is wanted), default=-1)
            for wanted in (True, False)
        )
        return granted, refused
