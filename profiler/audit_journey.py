"""Stored journeys against what they must be; part of `profiler.audit`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import numpy as np

from profiler.audit_tops import Found, numbers
from profiler.events import BEHAVIOUR_TYPES
from profiler.reference import ReferencePerson
from profiler.reference_journey import STAGE_CODES, STEP_CODES
from profiler.tolerance import FLOAT32_FLOOR, VECTOR_TOLERANCE

SLACK: Final = 1.05
"""Sums of millions in float32 stray some per cent from those of float64 to which they are held."""


def compare_journey(person: ReferencePerson, row: np.void, *, ordered: bool) -> Iterator[Found]:
    """Columns of a journey that differ from what they must be; see `profiler.audit.compare`."""
    exact = person.journey.exact()
    if not ordered:
        yield from _bounded(person, row)
        return
    for name, code in exact.items():
        if int(row[name]) != code:
            yield name, str(code), str(row[name])
    for name, expected in person.journey.sums.items():
        actual = numbers(row[name].reshape(-1))
        for k, (e, a) in enumerate(zip(expected, actual, strict=True)):
            # Written so that a NaN is a difference.
            if not abs(e - a) <= VECTOR_TOLERANCE * e + FLOAT32_FLOOR:
                yield name, f"[{k}] {e!r}", f"[{k}] {a!r}"
                break


def _bounded(person: ReferencePerson, row: np.void) -> Iterator[Found]:
    """Hold a journey against what is true in every order: nothing counts twice."""
    of_step = _masses(person, STEP_CODES, 4)
    of_stage = _masses(person, STAGE_CODES, 3)
    following = row["journey.next"].astype(np.float64).sum(axis=0)
    ended = np.array(person.sums["rhythm.mass"])
    reached = row["journey.reached"].astype(np.float64)
    deepest = of_stage[::-1].cumsum()[::-1]
    for name, actual, bound in (
        ("next", following, np.append(of_step, ended)),
        ("reached", reached, deepest),
        ("passed", row["journey.passed"].astype(np.float64), deepest[1:]),
    ):
        if not (actual <= bound * SLACK + FLOAT32_FLOOR).all():
            yield f"journey.{name}", f"at most {bound}", str(actual)
    span_s = (person.as_of - person.first_ts) / 1000
    longest = row["journey.passed"].astype(np.float64) * span_s
    if not (row["journey.passed_s"] <= longest * SLACK + FLOAT32_FLOOR).all():
        yield "journey.passed_s", f"at most {longest}", str(row["journey.passed_s"])
    if int(row["journey.step"]) > 4 or int(row["journey.stage"]) > 3:
        yield "journey.step", "a code", f"{row['journey.step']}, {row['journey.stage']}"
    if int(row["journey.entered"]) > person.as_of:
        yield "journey.entered", f"at most {person.as_of}", str(row["journey.entered"])


def _masses(person: ReferencePerson, codes: dict[str, int], n: int) -> Any:
    """Decayed number of events by code, in the stored scale."""
    masses = np.zeros(n)
    month = person.sums["activity.month"]
    for name, code in codes.items():
        masses[code - 1] += month[BEHAVIOUR_TYPES.index(name)]
    return masses
