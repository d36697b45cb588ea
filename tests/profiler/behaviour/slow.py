"""Counts of the crowd once more, one event after another, with dictionaries."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

DAY_MS = 86_400_000
STEPS = {"click": 0, "browse": 0, "media": 0, "search": 1, "cart": 2, "purchase": 3}
DEPTHS = {0: 1, 2: 2, 3: 3}
TIMES = {(1, 2): "look_to_cart", (2, 3): "cart_to_purchase", (1, 3): "look_to_purchase"}
BANDS = ("never", "once", "often")


class Person:
    """Where somebody is."""

    def __init__(self) -> None:
        self.last: int | None = None
        self.step: int | None = None
        self.depth = self.entered = self.bought = 0


def slow_counts(events: Sequence[dict[str, Any]]) -> dict[tuple[str, str, int], float]:
    """Counts by cohort, part and place, as they are worth at the greatest time."""
    as_of = max(event["ts"] for event in events)
    people: defaultdict[str, Person] = defaultdict(Person)
    counts: defaultdict[tuple[str, str, int], float] = defaultdict(float)
    for event in events:
        see(people[event["user_id"]], event, as_of, counts)
    return counts


def see(
    one: Person, event: dict[str, Any], as_of: int, counts: dict[tuple[str, str, int], float]
) -> None:
    """Count one event."""
    ts, step = event["ts"], STEPS.get(event["type"])

    def count(part: str, place: int, bought: int = one.bought) -> None:
        days = 7 if part in ("starts", "visits", "moves") else 28
        counts[BANDS[min(bought, 2)], part, place] += 2 ** ((ts - as_of) / (days * DAY_MS))

    if one.last is None or ts - one.last > 1_800_000:
        one.step, one.depth = None, 0
        count("reached", 0)
    one.last = max(one.last or 0, ts)
    hour = (ts // 3_600_000 - 96) % 168
    count("events", hour)
    if step is None:
        return
    count("visits", step)
    if one.step is None:
        count("starts", step)
    else:
        count("moves", 4 * one.step + step, one.bought - (one.step == 3))
    one.step = step
    depth = DEPTHS.get(step, 0)
    for passed in range(one.depth + 1, depth + 1):
        count("reached", passed)
    if depth > one.depth:
        if part := TIMES.get((one.depth, depth)):
            seconds = max((ts - one.entered) / 1_000, 1.0)
            count(part, min(math.floor(4 * math.log2(seconds)), 63))
        one.depth, one.entered = depth, ts
    if step == 3:
        count("purchases", hour)
        one.bought += 1
