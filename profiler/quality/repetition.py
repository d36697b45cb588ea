"""What has come before, and how many different ones there were: by 64-bit hashes, in batches."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import numpy as np
import xxhash
from numpy.typing import NDArray

from profiler.columns import Hashes

HASHES_MAX: Final = 67_108_864
"""Hashes that are remembered, 8 bytes each: 512 MiB, and as much again for a moment while runs are
merged. At that many, one hash in 8,000 such data sets is taken for another."""

DISTINCT_MAX: Final = 16_384
"""Values of a column that are counted exactly; of more the number is estimated, within 0.8 %."""


def hashes_of(values: Iterable[bytes]) -> Hashes:
    """(N,) hashes of byte strings.

    Examples
    --------
    >>> a, b, c = hashes_of([b"lamp", b"lamp", b"cup"])
    >>> bool(a == b), bool(a == c)
    (True, False)
    """
    return np.fromiter(map(xxhash.xxh3_64_intdigest, values), dtype=np.uint64)


class Seen:
    """Remembers hashes, as sorted runs of which each is longer than the next: no object a hash.

    Parameters
    ----------
    hashes_max
        How many are remembered; what comes later is only compared with those.

    Examples
    --------
    >>> seen = Seen()
    >>> seen.add(hashes_of([b"a", b"b", b"a"])), seen.add(hashes_of([b"b", b"c"]))
    (array([False, False,  True]), array([ True, False]))
    """

    def __init__(self, hashes_max: int = HASHES_MAX) -> None:
        self._hashes_max = hashes_max
        self._runs: list[Hashes] = []
        self.is_full = False

    def __len__(self) -> int:
        return sum(map(len, self._runs))

    def add(self, hashes: Hashes) -> NDArray[np.bool_]:
        """(N,) whether each has come before, in this batch or an earlier one."""
        unique, first = np.unique(hashes, return_index=True)
        repeated = np.ones(len(hashes), dtype=bool)
        is_known = np.zeros(len(unique), dtype=bool)
        for run in self._runs:
            place = np.minimum(np.searchsorted(run, unique), len(run) - 1)
            is_known |= run[place] == unique
        repeated[first] = is_known
        self._keep(unique[~is_known])
        return repeated

    def _keep(self, run: Hashes) -> None:
        room = self._hashes_max - len(self)
        if len(run) > room:
            self.is_full = True
            run = run[:room]
        # Runs that double in length are merged rarely, and there are few of them to look into.
        while self._runs and len(self._runs[-1]) <= 2 * len(run):
            run = np.concatenate([self._runs.pop(), run])
            run.sort()
        if len(run):
            self._runs.append(run)


class Distinct:
    """Counts different values: exactly while they are few, else by the least of their hashes.

    Notes
    -----
    With k hashes kept, of which the greatest is the fraction u of the range, the estimate is
    (k - 1) / u, its relative standard error 1 / sqrt(k - 2).

    References
    ----------
    Bar-Yossef, Jayram, Kumar, Sivakumar, Trevisan: Counting distinct elements in a data stream,
    RANDOM 2002; Beyer et al., SIGMOD 2007, section 4.

    Examples
    --------
    >>> distinct = Distinct()
    >>> distinct.add(["a", "b", "a"]), distinct.count, distinct.is_exact
    (None, 2, True)
    """

    def __init__(self, hashes_max: int = DISTINCT_MAX) -> None:
        self._hashes_max = hashes_max
        self._least: Hashes = np.zeros(0, dtype=np.uint64)
        self.is_exact = True

    def add(self, values: Iterable[str]) -> None:
        """Count these values too."""
        merged = np.union1d(self._least, hashes_of(value.encode() for value in set(values)))
        self.is_exact &= len(merged) <= self._hashes_max
        self._least = merged[: self._hashes_max]

    @property
    def count(self) -> int:
        """Number of different values."""
        if self.is_exact:
            return len(self._least)
        return round((self._hashes_max - 1) * 2.0**64 / float(self._least[-1]))
