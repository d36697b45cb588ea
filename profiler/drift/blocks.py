"""Labels in blocks of a fixed number: what is found does not depend on how they were delivered."""

from __future__ import annotations

from typing import Any

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

    Notes
    -----
    Labels with a weight of zero, or with anything that is not a finite number, are left out.

    Examples
    --------
    >>> blocking = Blocking(size=2, n_columns=1)
    >>> blocking.add(np.array([[5.0]]), np.ones(1), np.array([0]), np.array([10])).shape
    (0, 2, 4)
    >>> two = np.array([[7.0], [8.0]])
    >>> blocking.add(two, np.ones(2), np.array([1, 2]), np.array([20, 30])).tolist()
    [[[5.0, 1.0, 0.0, 10.0], [7.0, 1.0, 1.0, 20.0]]]
    """

    def __init__(self, size: int, n_columns: int) -> None:
        self._size = size
        self._width = n_columns + len(("weight", "number", "ts"))
        self._parts: list[tuple[NDArray[Any], ...]] = []
        self._open: Floats = np.zeros((0, self._width))
        self._n_open = 0

    def add(
        self,
        values: NDArray[np.floating],
        weights: NDArray[np.floating],
        numbers: Ints,
        ts: Ints,
    ) -> Floats:
        """(B, size, C + 3) labels of the blocks that are full now: values, weight, number, time.

        Parameters
        ----------
        values
            (N, C) values of further labels. The object owns it and the others from now on.
        weights, numbers, ts
            (N,) weights, running numbers and times in ms.
        """
        self._parts.append((values, weights, numbers, ts))
        self._n_open += len(ts)
        if self._n_open < self._size:
            return np.zeros((0, self._size, self._width))
        table = self._joined()
        n_full = len(table) // self._size * self._size
        self._keep(table[n_full:].copy())
        return table[:n_full].reshape(-1, self._size, self._width)

    def _joined(self) -> Floats:
        """All labels that are kept and usable."""
        if not self._parts:
            return self._open
        columns = [np.concatenate(column) for column in zip(*self._parts, strict=True)]
        table = np.column_stack(columns)
        # A sum tells at once whether any is not finite; to ask of each costs more than all else.
        if not (np.isfinite(table.sum()) and (columns[1] > 0).all()):
            table = table[np.isfinite(table).all(axis=1) & (columns[1] > 0)]
        return np.concatenate([self._open, table]) if len(self._open) else table

    def _keep(self, rest: Floats) -> None:
        self._parts = []
        self._open = rest
        self._n_open = len(rest)

    def export(self) -> list[list[float]]:
        """Labels of the block that is not yet full, as plain data."""
        labels: list[list[float]] = self._joined().tolist()
        return labels

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
