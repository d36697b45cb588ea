"""Labels in blocks of a fixed number: what is found does not depend on how they were delivered."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from profiler.columns import Floats, Ints


class Blocking:
    """Collects labels until blocks are full; less than one block is kept.

    Parameters
    ----------
    size
        Labels of a block.
    n_columns
        Values of each label.

    Examples
    --------
    >>> blocking = Blocking(size=2, n_columns=1)
    >>> blocking.add(np.array([[5.0]]), np.ones(1), np.array([10])).shape
    (0, 2, 3)
    >>> blocking.add(np.array([[7.0], [8.0]]), np.ones(2), np.array([20, 30])).tolist()
    [[[5.0, 1.0, 10.0], [7.0, 1.0, 20.0]]]
    """

    def __init__(self, size: int, n_columns: int) -> None:
        self._size = size
        self._width = n_columns + 2
        self._parts: list[Floats] = []
        self._n_open = 0

    def add(
        self, values: NDArray[np.floating], weights: NDArray[np.floating], ts: Ints
    ) -> Floats:
        """(B, size, C + 2) labels of the blocks that are full now: values, weight, time in ms.

        Parameters
        ----------
        values, weights, ts
            (N, C), (N,) and (N,) of further labels.
        """
        # A copy: what was given may be a view of something large.
        self._parts.append(np.column_stack([values, weights, ts]))
        self._n_open += len(ts)
        if self._n_open < self._size:
            return np.zeros((0, self._size, self._width))
        table = np.concatenate(self._parts)
        n_full = len(table) // self._size * self._size
        self._keep(table[n_full:].copy())
        return table[:n_full].reshape(-1, self._size, self._width)

    def _keep(self, rest: Floats) -> None:
        self._parts = [rest]
        self._n_open = len(rest)

    def export(self) -> list[list[float]]:
        """Labels of the block that is not yet full, as plain data."""
        return np.concatenate(self._parts).tolist() if self._parts else []

    def restore(self, kept: list[list[float]]) -> None:
        """Go on from what was exported."""
        self._keep(np.array(kept, dtype=np.float64).reshape(len(kept), self._width))


def moments(values: Floats, weights: Floats) -> tuple[Floats, Floats]:
    """(B, C) weighted means of the values, and of their squares, in each block.

    Parameters
    ----------
    values, weights
        (B, size, C) and (B, size), positive weights.

    Examples
    --------
    >>> moments(np.array([[[1.0], [4.0]]]), np.array([[2.0, 1.0]]))
    (array([[2.]]), array([[6.]]))
    """
    share = (weights / weights.sum(axis=1, keepdims=True))[:, None, :]
    return (share @ values)[:, 0], (share @ (values * values))[:, 0]
