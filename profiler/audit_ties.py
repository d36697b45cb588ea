"""Stored ties against recomputed ones: what *equal* means for them.

Up to `TIES_MAX` ties are exact. Of more, the stored list is one of Space-Saving in an order of
arrival that need not be known, of which only what is true in every order is asked: that no strength
is too small, or too great by more than a share of all, and that together they are all.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Final

from profiler.reference_ties import Key, ReferenceTies
from profiler.ties import TIES_MAX, Tie, Ties

TOLERANCE: Final = 1e-9
FLOOR: Final = 1e-290

Found = tuple[str, str, str]
"""What differs, with the expected and the actual value, as text."""


def compare_ties(expected: ReferenceTies, actual: Ties) -> Iterator[Found]:
    """Give what differs."""
    found = actual.granted_ms, actual.refused_ms
    if found != expected.consent():
        yield "consent", str(expected.consent()), str(found)
    known = {tie.key: tie for tie in actual.entries}
    keys = expected.keys()
    if len(keys) <= TIES_MAX:
        yield from _exact(expected, keys, known, actual)
    else:
        yield from _bounded(expected, keys, known, actual)


def _exact(
    expected: ReferenceTies, keys: set[Key], known: dict[Key, Tie], actual: Ties
) -> Iterator[Found]:
    if known.keys() != keys:
        yield "ties", f"{len(keys)} ties", f"{len(known)}, {len(known.keys() & keys)} of them"
        return
    strength = _strengths(actual)
    for key in sorted(keys):
        times = known[key].last_ms, known[key].cut_ms
        if times != expected.times(key):
            yield "ties", _said(key, expected.times(key)), _said(key, times)
        mine, theirs = expected.strength(key, actual.as_of_ms), strength[key]
        if not abs(mine - theirs) <= TOLERANCE * mine + FLOOR:
            yield "ties", _said(key, mine), _said(key, theirs)


def _bounded(
    expected: ReferenceTies, keys: set[Key], known: dict[Key, Tie], actual: Ties
) -> Iterator[Found]:
    if len(known) != TIES_MAX or not known.keys() <= keys:
        yield (
            "ties",
            f"{TIES_MAX} of {len(keys)}",
            f"{len(known)}, {len(known.keys() & keys)} known",
        )
        return
    mass = math.fsum(expected.strength(key, actual.as_of_ms) for key in keys)
    strength = _strengths(actual)
    slack = TOLERANCE * mass + FLOOR
    if not abs(math.fsum(strength.values()) - mass) <= slack:
        yield "ties", f"sum {mass!r}", f"sum {math.fsum(strength.values())!r}"
    for key in sorted(known):
        mine = expected.strength(key, actual.as_of_ms)
        if not -slack <= strength[key] - mine <= mass / TIES_MAX + slack:
            yield "ties", _said(key, mine), _said(key, strength[key])
            return


def _strengths(actual: Ties) -> dict[Key, float]:
    return {tie.key: actual.strength(tie, actual.as_of_ms) for tie in actual.entries}


def _said(key: Key, what: object) -> str:
    return f"{key[1]} {key[0]} {what!r}"
