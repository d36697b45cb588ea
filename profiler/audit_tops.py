"""Stored top lists against what they must be; part of `profiler.audit`."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from profiler.reference import TOP_LISTS, ReferencePerson
from profiler.reference_interest import TOP_PLACES, TopList
from profiler.tolerance import FLOAT64_FLOOR, SUM_TOLERANCE

Found = tuple[str, str, str]
"""A column with its expected and its actual value, as text."""


def compare_tops(person: ReferencePerson, row: np.void, *, ordered: bool) -> Iterator[Found]:
    """Columns of top lists that differ from what they must be; see `profiler.audit.compare`."""
    for kind in TOP_LISTS:
        ids, weights = numbers(row[f"interest.{kind}_id"]), numbers(row[f"interest.{kind}_weight"])
        top = person.tops[kind]
        actual = {token: weight for token, weight in zip(ids, weights, strict=True) if token}
        n_taken = sum(token != 0 for token in ids)
        if n_taken != len(actual) or n_taken != len(top.weights):
            yield f"interest.{kind}_id", f"{len(top.weights)} tokens", f"{n_taken} places taken"
            continue
        compared = _top_bounded if top.contested or not ordered else _top_exact
        for column, expected, found in compared(top, actual):
            yield f"interest.{kind}_{column}", expected, found


def _top_exact(top: TopList, actual: Mapping[int, float]) -> Iterator[Found]:
    least = min(top.weights.values(), default=0.0)
    for token in sorted(top.weights.keys() ^ actual.keys()):
        present = top.weights.get(token), actual.get(token)
        weight = present[0] if present[1] is None else present[1]
        assert weight is not None
        if not _near(weight, least):
            yield "id", _entry(token, present[0]), _entry(token, present[1])
            return
    for token in top.weights.keys() & actual.keys():
        if not _near(top.weights[token], actual[token]):
            yield "weight", _entry(token, top.weights[token]), _entry(token, actual[token])
            return


def _top_bounded(top: TopList, actual: Mapping[int, float]) -> Iterator[Found]:
    """Hold a list against what is true of Space-Saving in every order.

    Weights are at most 1/16 of the mass too great and never too small, so two lists differ by at
    most that where both have a token; one that a list lacks weighs at most that in truth, and at
    most twice that in the other. The weights of a list always add up to the mass.
    """
    bound = top.mass / TOP_PLACES * (1 + SUM_TOLERANCE) + FLOAT64_FLOOR
    total = math.fsum(actual.values())
    if not abs(total - top.mass) <= SUM_TOLERANCE * top.mass + FLOAT64_FLOOR:
        yield "weight", f"sum {top.mass!r}", f"sum {total!r}"
    for token in sorted(top.weights.keys() | actual.keys()):
        expected, found = top.weights.get(token), actual.get(token)
        if expected is not None and found is not None:
            within = abs(expected - found) <= bound
        else:
            within = (expected or found or 0.0) <= 2 * bound
        if not within:
            yield "weight", _entry(token, expected), _entry(token, found)
            return


def numbers(value: Any) -> list[Any]:
    """Numbers of a field, whether it has one or many."""
    found = value.tolist()
    return found if isinstance(found, list) else [found]


def _near(a: float, b: float) -> bool:
    return abs(a - b) <= SUM_TOLERANCE * max(a, b) + FLOAT64_FLOOR


def _entry(token: int, weight: float | None) -> str:
    return f"{token:016x} absent" if weight is None else f"{token:016x} {weight!r}"
