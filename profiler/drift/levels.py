"""Levels of a series before and after, and whether they differ by more than chance."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np
from scipy.special import stdtr

from profiler.columns import Floats

BEFORE_MIN: Final = 8
"""Blocks that must precede a change: fewer say too little of how blocks vary."""


class Span(NamedTuple):
    """Which labels a block holds: the sum of their weights, the first and last number and time."""

    weight: float
    first: int
    last: int
    first_ms: int
    last_ms: int


class Block(NamedTuple):
    """One block of a watched series.

    Parameters
    ----------
    mean, square
        Weighted means of the values and of their squares.
    told
        Mean in the units in which people are told.
    span
        Its labels.
    """

    mean: float
    square: float
    told: float
    span: Span


class Level(NamedTuple):
    """What some blocks are like, together.

    Parameters
    ----------
    mean, told
        As of a block.
    deviation
        Standard deviation of single values.
    block_deviation
        Standard deviation of the blocks' means, which knows of values that depend on each other.
    n
        Number of blocks, less if their weights differ (Kish's effective size).
    """

    mean: float
    told: float
    deviation: float
    block_deviation: float
    n: float


def level(blocks: Sequence[Block]) -> Level:
    """The level of at least one block."""
    mean, square, told, weight = _columns(blocks)
    share = weight / weight.sum()
    centre = float(share @ mean)
    n = 1.0 / float(share @ share)
    between = float(share @ (mean - centre) ** 2) * n / (n - 1) if n > 1 else 0.0
    return Level(
        mean=centre,
        told=float(share @ told),
        deviation=math.sqrt(max(0.0, float(share @ square) - centre**2)),
        block_deviation=math.sqrt(between),
        n=n,
    )


def change_point(blocks: Sequence[Block]) -> int:
    """Index of the first block after the likeliest change of the mean.

    Of all cuts that leave enough before, the one with the least squared error of two means (Bai,
    "Least squares estimation of a shift in linear processes", J. Time Series Analysis 1994).

    Examples
    --------
    >>> change_point([Block(float(k >= 9), 0, 0, Span(1, k, k, k, k)) for k in range(12)])
    9
    """
    mean, _, _, weight = _columns(blocks)
    before = np.cumsum(weight)[:-1]
    total = weight.sum()
    excess = np.cumsum(weight * (mean - weight @ mean / total))[:-1]
    gain = excess**2 / (before * (total - before))
    return BEFORE_MIN + int(np.argmax(gain[BEFORE_MIN - 1 :]))


def p_value(before: Level, after: Level, rises_only: bool) -> float:
    """Chance of such a difference if nothing had changed: a t-test of the blocks' means.

    Parameters
    ----------
    before
        At least `BEFORE_MIN` blocks.
    after
        Blocks that had no part in raising the suspicion.
    rises_only
        Count only what is above `before`; else whatever differs.

    Notes
    -----
    Both are taken to vary as much as the one that varies more: errors of rare kinds come in lumps,
    and a handful of blocks without any must not look certain.
    """
    deviation = max(before.block_deviation, after.block_deviation)
    difference = after.mean - before.mean
    if deviation == 0.0:
        return 0.0 if difference > 0 or (difference and not rises_only) else 1.0
    t = difference / (deviation * math.sqrt(1 / before.n + 1 / after.n))
    if rises_only:
        return float(stdtr(before.n - 1, -t))
    return 2 * float(stdtr(before.n - 1, -abs(t)))


def effect(before: Level, after: Level) -> float:
    """Difference in standard deviations of single values (Cohen's d); infinite if none vary."""
    difference = abs(after.mean - before.mean)
    deviation = math.hypot(before.deviation, after.deviation) / math.sqrt(2)
    # Of values that never vary, what rounding leaves is neither a deviation nor a difference.
    least = 1e-6 * abs(before.mean)
    if deviation <= least:
        return math.inf if difference > least else 0.0
    return difference / deviation


def _columns(blocks: Sequence[Block]) -> Floats:
    """(4, B) means, squares, told means and weights."""
    return np.array([(b.mean, b.square, b.told, b.span.weight) for b in blocks]).T
