"""What those are interested in whom a person is tied to: mixed when it is read, and never stored.

So a profile depends on its own events alone, and whoever is erased, or no longer consents, is gone
from all mixtures at once. All that is mixed is a share or a direction, which time does not change.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

MIXED_SLICES: Final = ("interest_short", "interest_long")
"""Parts of the vector that a mixture has, in this order."""

Lists = Mapping[str, Mapping[str, float]]
"""Weights by kind and token."""


def shares(strengths: Sequence[float]) -> list[float]:
    """Each one's share of all.

    Examples
    --------
    >>> shares([3.0, 1.0]), shares([0.0])
    ([0.75, 0.25], [1.0])
    """
    total = sum(strengths)
    if total <= 0.0:
        return [1.0 / len(strengths)] * len(strengths)
    return [strength / total for strength in strengths]


def mixed_lists(weighted: Sequence[tuple[float, Lists]]) -> dict[str, dict[str, float]]:
    """Shares of tokens by kind, greatest first: each list counts by its weight, whatever its own.

    Examples
    --------
    >>> mixed_lists([(0.75, {"item": {"a": 4.0}}), (0.25, {"item": {"a": 1.0, "b": 1.0}})])
    {'item': {'a': 0.875, 'b': 0.125}}
    """
    found: defaultdict[str, defaultdict[str, float]] = defaultdict(lambda: defaultdict(float))
    for weight, lists in weighted:
        for kind, entries in lists.items():
            if entries:
                for (token, _), share in zip(
                    entries.items(), shares([*entries.values()]), strict=True
                ):
                    found[kind][token] += weight * share
    return {
        kind: dict(sorted(entries.items(), key=lambda entry: -entry[1]))
        for kind, entries in found.items()
    }


def mixed_direction(
    weighted: Sequence[tuple[float, NDArray[np.float32]]],
) -> NDArray[np.float32]:
    """Weighted mean of the directions of vectors; those of length 0 have none.

    Examples
    --------
    >>> far, near = np.array([8, 0], np.float32), np.array([0, 2], np.float32)
    >>> mixed_direction([(0.75, far), (0.25, near)]).tolist()
    [0.75, 0.25]
    """
    found = np.zeros(len(weighted[0][1]), dtype=np.float64)
    for weight, vector in weighted:
        length = float(np.linalg.norm(vector.astype(np.float64)))
        if length > 0.0:
            found += weight / length * vector
    mixture = found.astype(np.float32)
    mixture.flags.writeable = False
    return mixture
