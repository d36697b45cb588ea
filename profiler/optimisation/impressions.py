"""A log of offers: what was shown to whom, at which position, how likely that was, what came."""

from __future__ import annotations

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from profiler.columns import Floats, Ints


class Impressions(Struct, frozen=True):
    """N impressions in the order of time, of one campaign.

    Parameters
    ----------
    actions
        Names of the A items.
    at_us
        (N,) times in microseconds.
    item
        (N,) place of what was shown in `actions`.
    position
        (N,) slot of the page, from 0.
    propensity
        (N,) with what probability the logging policy showed the item at this position.
    reward
        (N,) 1 for a click.
    person
        (N, K) number of each categorical feature's value.
    affinity
        (N, A) what the person had to do with each item before.
    """

    actions: list[str]
    at_us: Ints
    item: NDArray[np.intp]
    position: NDArray[np.intp]
    propensity: Floats
    reward: Floats
    person: NDArray[np.intp]
    affinity: Floats

    def __len__(self) -> int:
        return len(self.item)

    def part(self, rows: slice | NDArray[np.intp]) -> Impressions:
        """Some of them."""
        names = self.__struct_fields__[1:]
        return Impressions(self.actions, *(getattr(self, name)[rows] for name in names))


def joined(a: Impressions, b: Impressions) -> Impressions:
    """Impressions of the same campaign under two policies, in the order of time.

    Raises
    ------
    ValueError
        If the actions are not the same.
    """
    if a.actions != b.actions:
        raise ValueError("impressions of different campaigns")
    names = a.__struct_fields__[1:]
    both = Impressions(
        a.actions, *(np.concatenate([getattr(a, name), getattr(b, name)]) for name in names)
    )
    return both.part(np.argsort(both.at_us, kind="stable"))
