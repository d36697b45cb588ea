"""When what breaks: a schedule of faults that follows from a seed alone."""

from __future__ import annotations

import random
from typing import Final, Literal

from msgspec import Struct

Part = Literal["worker", "store", "broker"]
Manner = Literal["kill", "freeze", "restart", "add", "remove"]

FIRST_S: Final = 5.0
LAST_SHARE: Final = 0.75
"""Of the run: what is left is for catching up."""

GAP_MIN_S: Final = 4.0
GAP_MAX_S: Final = 8.5
FAULTS_MAX: Final = 70
"""A longer run has wider gaps, so that it also shows how quietly things go on in between."""

WORKERS_AT_START: Final = 2
WORKERS_MAX: Final = 4

LASTS_S: Final[dict[tuple[Part, Manner], tuple[float, float]]] = {
    ("worker", "kill"): (0.5, 4.0),
    # Longer than the session timeout (6 s): it wakes up as a zombie.
    ("worker", "freeze"): (7.0, 11.0),
    ("worker", "restart"): (2.0, 5.0),
    ("worker", "add"): (0.0, 0.0),
    ("worker", "remove"): (2.0, 5.0),
    ("store", "kill"): (0.5, 4.0),
    # Some longer than a worker waits for an answer (5 s).
    ("store", "freeze"): (1.0, 8.0),
    ("broker", "kill"): (0.5, 3.0),
    # Some longer than brokers wait for each other (3 s).
    ("broker", "freeze"): (2.0, 8.0),
    ("broker", "restart"): (2.0, 4.0),
}
"""Shortest and longest time from the beginning of a fault to that of its mending."""

SETTLE_S: Final[dict[Part, float]] = {"worker": 4.0, "store": 1.0, "broker": 8.0}
"""What a part needs to be itself again, before it is chosen once more."""


class Fault(Struct, frozen=True, kw_only=True):
    """One thing that goes wrong.

    Parameters
    ----------
    at_s
        From the start of the run.
    part, number
        What it happens to, the workers and brokers counted from 0.
    manner
        How: by ``kill -9``, SIGSTOP, SIGTERM, or by being added or removed for good.
    lasts_s
        After this it is started or continued.
    """

    at_s: float
    part: Part
    number: int
    manner: Manner
    lasts_s: float

    @property
    def kind(self) -> str:
        """Part and manner in one word."""
        return f"{self.part}_{self.manner}"


def schedule(seed: int, duration_s: float, n_brokers: int) -> list[Fault]:
    """Draw the faults of a run.

    Every kind comes once before any comes twice. Brokers fail one at a time, and of the workers
    one is always left alone.

    Parameters
    ----------
    seed
        What everything follows from.
    duration_s
        Of the whole run.
    n_brokers
        How many there are.
    """
    rng = random.Random(seed)
    parts = _Parts(n_brokers)
    deck: list[tuple[Part, Manner]] = []
    faults = []
    stretch = max(1.0, LAST_SHARE * duration_s / FAULTS_MAX / ((GAP_MIN_S + GAP_MAX_S) / 2))
    at_s = FIRST_S
    while at_s <= LAST_SHARE * duration_s:
        if not any(parts.able(card, at_s) for card in deck):
            deck += rng.sample(list(LASTS_S), len(LASTS_S))
        part, manner = card = next(card for card in deck if parts.able(card, at_s))
        deck.remove(card)
        lasts_s = rng.uniform(*LASTS_S[card])
        number = parts.take(card, at_s, lasts_s, rng)
        faults.append(Fault(at_s=at_s, part=part, number=number, manner=manner, lasts_s=lasts_s))
        at_s += stretch * rng.uniform(GAP_MIN_S, GAP_MAX_S)
    return faults


class _Parts:
    """Which parts there are, and until when each is busy with its last fault."""

    def __init__(self, n_brokers: int) -> None:
        self._busy_until_s: dict[Part, dict[int, float]] = {
            "worker": dict.fromkeys(range(WORKERS_AT_START), 0.0),
            "store": {0: 0.0},
            "broker": dict.fromkeys(range(n_brokers), 0.0),
        }
        self._n_hired = WORKERS_AT_START

    def able(self, card: tuple[Part, Manner], at_s: float) -> bool:
        part, manner = card
        n = len(self._busy_until_s[part])
        n_free = len(self._free(part, at_s))
        if manner == "add":
            return n < WORKERS_MAX
        if manner == "remove":
            return n > WORKERS_AT_START and n_free > 1
        return n_free > 1 if part == "worker" else n_free == n

    def take(
        self, card: tuple[Part, Manner], at_s: float, lasts_s: float, rng: random.Random
    ) -> int:
        part, manner = card
        busy_until_s = self._busy_until_s[part]
        if manner == "add":
            number, self._n_hired = self._n_hired, self._n_hired + 1
        else:
            number = rng.choice(self._free(part, at_s))
        if manner == "remove":
            del busy_until_s[number]
        else:
            busy_until_s[number] = at_s + lasts_s + SETTLE_S[part]
        return number

    def _free(self, part: Part, at_s: float) -> list[int]:
        return [number for number, until_s in self._busy_until_s[part].items() if until_s <= at_s]
