"""Chance that depends on what is drawn for alone, so that a replay draws the same."""

from __future__ import annotations

import numpy as np

from profiler.columns import Floats, Hashes


def uniform(hashes: Hashes) -> Floats:
    """Numbers in [0, 1) from the bits of hashes, remixed (splitmix64) so that they are fair.

    Examples
    --------
    >>> uniform(np.arange(2, dtype=np.uint64)).round(3)
    array([0.883, 0.567])
    """
    z = hashes + np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return np.asarray((z ^ (z >> np.uint64(31))) >> np.uint64(11)) * 2.0**-53
