"""Durations in bins that grow by a fixed ratio: few numbers, and any quantile within a tenth."""

from __future__ import annotations

import math
from typing import Final

import numpy as np
from numpy.typing import NDArray

from profiler.columns import Floats

BINS_PER_DOUBLING: Final = 4
BINS: Final = 64
"""From 1 s to 2^16 s, 18 hours; what is shorter or longer counts in the first or last one."""


def duration_bin(seconds: Floats) -> NDArray[np.intp]:
    """(N,) bin of each duration.

    Examples
    --------
    >>> duration_bin(np.array([0.0, 1.0, 2.0, 1e9])).tolist()
    [0, 0, 4, 63]
    """
    bins = np.floor(BINS_PER_DOUBLING * np.log2(np.maximum(seconds, 1.0)))
    return np.asarray(np.minimum(bins, BINS - 1), dtype=np.intp)


def quantile_s(counts: Floats, share: float) -> float | None:
    """Duration that this share of the durations is below, in s; None without any.

    Parameters
    ----------
    counts
        (64,) weight in each bin. Within a bin the logarithms are taken as evenly spread, so that
        the result lies in the right bin: off by a factor of 2^(1/4) at most.

    Examples
    --------
    >>> counts = np.zeros(64)
    >>> counts[duration_bin(np.array([60.0, 60.0, 60.0]))] = 3
    >>> round(quantile_s(counts, 0.5))
    59
    """
    total = float(counts.sum())
    if not total > 0:
        return None
    below = np.cumsum(counts)
    place = int(np.searchsorted(below, share * total, side="left"))
    place = min(place, BINS - 1)
    inside = (share * total - (below[place] - counts[place])) / counts[place]
    return math.exp2((place + inside) / BINS_PER_DOUBLING)
