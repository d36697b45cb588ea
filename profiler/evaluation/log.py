"""Events as a ranker sees them: who, what, when, in the order in which they are replayed."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeVar

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from profiler.columns import Ints

_Name = TypeVar("_Name")


class Log(Struct, frozen=True):
    """N events in the order of time.

    Parameters
    ----------
    person, item
        (N,) numbers from 0. Items may be categories where these are ranked.
    ts
        (N,) event times in ms, ascending; equal ones in the order of the file.

    Examples
    --------
    >>> log = Log(np.array([0, 1, 0]), np.array([0, 0, 1]), np.array([5, 5, 9]))
    >>> len(log), log.head(2).item.tolist(), log.is_first().tolist()
    (3, [0, 0], [True, True, False])
    """

    person: Ints
    item: Ints
    ts: Ints

    def __len__(self) -> int:
        return len(self.ts)

    def head(self, n: int) -> Log:
        """Only the first `n` events."""
        return Log(self.person[:n], self.item[:n], self.ts[:n])

    def is_first(self) -> NDArray[np.bool_]:
        """(N,) whether an event is its person's first, of whom nothing is known before it."""
        first = np.zeros(len(self), dtype=bool)
        first[np.unique(self.person, return_index=True)[1]] = True
        return first


def numbered(names: Iterable[_Name]) -> NDArray[np.int64]:
    """Give each name a number, in the order of their first appearance.

    Examples
    --------
    >>> numbered(["tea", "cup", "tea"])
    array([0, 1, 0])
    """
    numbers: dict[_Name, int] = {}
    return np.array([numbers.setdefault(name, len(numbers)) for name in names], dtype=np.int64)


def in_order(person: Iterable[_Name], item: Iterable[_Name], ts: Ints) -> Log:
    """Make a log of events in any order; equal times keep theirs. Numbers follow the time.

    Examples
    --------
    >>> in_order(["ann", "bob"], ["cup", "tea"], np.array([9, 5])).item
    array([0, 1])
    """
    order = np.argsort(ts, kind="stable")
    persons, items = list(person), list(item)
    return Log(
        numbered(persons[n] for n in order),
        numbered(items[n] for n in order),
        np.asarray(ts)[order],
    )
