"""Seasons: how busy each hour of the week is, against the mean hour."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from msgspec import Struct

from profiler.columns import Floats

PRIOR_EVENTS: Final = 20.0
"""Events in the mean hour with which half of what the hours differ by is believed."""


class Seasons(Struct, frozen=True):
    """Seasonal indices by hour of the week, from Monday 00:00 UTC: 1 is as usual, 2 twice as much.

    Parameters
    ----------
    events, purchases
        Decayed number of each, all hours together.
    events_index, purchases_index
        168 ratios to the mean hour.
    """

    events: float
    purchases: float
    events_index: tuple[float, ...]
    purchases_index: tuple[float, ...]


def seasons(counts: Mapping[str, Floats]) -> Seasons:
    """Read a cohort's counts as seasons."""
    events, purchases = counts["events"], counts["purchases"]
    return Seasons(
        float(events.sum()),
        float(purchases.sum()),
        tuple(seasonal_index(events).tolist()),
        tuple(seasonal_index(purchases).tolist()),
    )


def seasonal_index(counts: Floats) -> Floats:
    """Ratios to the mean, drawn towards 1 where little is known; their mean is 1.

    Examples
    --------
    >>> import numpy as np
    >>> seasonal_index(np.array([0.0, 40.0])).tolist()
    [0.5, 1.5]
    >>> seasonal_index(np.array([0.0, 40_000.0])).round(2).tolist()
    [0.0, 2.0]
    """
    return (counts + PRIOR_EVENTS) / (float(counts.mean()) + PRIOR_EVENTS)
