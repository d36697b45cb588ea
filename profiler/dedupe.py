"""What has been applied already: the fence, and the ring of recent event ids.

The fence of a row is the highest offset applied from each partition its events came from; nearly
always one. The ring holds the hashes of the last 32 ids that the row accepted.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, TypeVar

import numpy as np
from numpy.typing import NDArray

from profiler.columns import Hashes, Ints

RING: Final = 32
NO_PARTITION: Final = -1
EVENTS: Final = 0
FORWARDED: Final = 1
PARTITION_BITS: Final = 24
PARTS: Final = 1 << PARTITION_BITS - 1
"""Partition numbers from here on, which no topic has, are the parts of a load of history. Events of
one person are applied all at once there, and a mark in the store says so: no fence knows them."""

INCARNATIONS_MAX: Final = 128
"""A topic's kind and incarnation have one byte of a fence together."""
_PARTITION_MASK: Final = (1 << PARTITION_BITS) - 1
_PLACE_MASK: Final = (FORWARDED << PARTITION_BITS) | _PARTITION_MASK
_Code = TypeVar("_Code", int, Ints)
_ODD: Final = np.uint64(0x9E3779B97F4A7C15)


@dataclass(slots=True)
class Fences:
    """Fences of R rows: one partition and offset each as columns, and the rare others.

    Parameters
    ----------
    partition
        (R,) code of the row's first partition (`partition_code`), or -1.
    offset
        (R,) highest offset applied from it.
    more
        Further partitions by row: code to offset.
    """

    partition: Ints
    offset: Ints
    more: dict[int, dict[int, int]] = field(default_factory=dict)

    @classmethod
    def empty(cls, n: int) -> Fences:
        """Fences of n new rows."""
        return cls(np.full(n, NO_PARTITION, dtype=np.int64), np.full(n, -1, dtype=np.int64))

    def only(self, place: NDArray[np.intp]) -> Fences:
        """Fences of these rows, numbered anew."""
        new_place = {old: new for new, old in enumerate(place.tolist())} if self.more else {}
        more = {new_place[old]: codes for old, codes in self.more.items() if old in new_place}
        return Fences(self.partition[place], self.offset[place], more)

    def fenced(self, row: NDArray[np.intp], partition: Ints, offset: Ints) -> NDArray[np.bool_]:
        """(N,) whether each event lies at or below its row's fence."""
        same = self.partition[row] == partition
        result: NDArray[np.bool_] = same & (offset <= self.offset[row])
        if self.more:
            for i in np.flatnonzero(~same & np.isin(row, list(self.more))).tolist():
                known = self.more[int(row[i])].get(int(partition[i]), -1)
                result[i] = int(offset[i]) <= known
        return result

    def of(self, row: int) -> dict[int, int]:
        """Highest offset applied to one row, by code of the partition."""
        code = int(self.partition[row])
        first = {} if code == NO_PARTITION else {code: int(self.offset[row])}
        return first | self.more.get(row, {})

    def raise_to(self, row: NDArray[np.intp], partition: Ints, offset: Ints) -> None:
        """Move the rows' fences up to these events, in place; those of a load raise none."""
        is_live = partition_number(partition) < PARTS
        if not is_live.all():
            row, partition, offset = row[is_live], partition[is_live], offset[is_live]
        self._forget_former_topics(row, partition)
        unset = self.partition[row] == NO_PARTITION
        if unset.any():
            # Assigned backwards, so that each row takes the partition of its first event.
            self.partition[row[unset][::-1]] = partition[unset][::-1]
        same = self.partition[row] == partition
        np.maximum.at(self.offset, row[same], offset[same])
        for i in np.flatnonzero(~same).tolist():
            others = self.more.setdefault(int(row[i]), {})
            code = int(partition[i])
            others[code] = max(others.get(code, -1), int(offset[i]))

    def _forget_former_topics(self, row: NDArray[np.intp], partition: Ints) -> None:
        """Offsets of a topic that was made anew say nothing about those of the one before."""
        known = self.partition[row]
        same_place = (known & _PLACE_MASK) == (partition & _PLACE_MASK)
        former = row[same_place & (known != NO_PARTITION) & (known < partition)]
        self.partition[former] = NO_PARTITION
        self.offset[former] = -1


def topic_code(kind: int, incarnation: int = 0) -> int:
    """One number for a kind of topic (0: events, 1: forwarded) and how often it was made anew."""
    return 2 * incarnation + kind


def partition_code(topic: int, partition: int) -> int:
    """One number for the code of a topic and a partition below 2**24."""
    return topic << PARTITION_BITS | partition


def incarnation_of(code: int) -> int:
    """How often the topic of a partition was made anew."""
    return code >> PARTITION_BITS + 1


def is_forwarded(code: _Code) -> _Code:
    """Nonzero where a partition is one of forwarded events."""
    return code >> PARTITION_BITS & FORWARDED


def partition_number(code: _Code) -> _Code:
    """Partition of a code, or of each of an array of codes."""
    return code & _PARTITION_MASK


def is_duplicate(
    recent: Hashes, n_accepted: Hashes, row: NDArray[np.intp], id_hash: Hashes
) -> NDArray[np.bool_]:
    """(N,) whether each event's id is among the last 32 that its row accepted.

    Parameters
    ----------
    recent, n_accepted
        (R, 32) rings and (R,) numbers of accepted events before the batch.
    row, id_hash
        (N,) sorted by row, in arrival order within a row.
    """
    suspicious = (recent[row] == id_hash[:, None]).any(axis=1)
    # Rows into the ids: what repeats there is rarely the same id of another row.
    mixed = np.sort(id_hash + row.astype(np.uint64) * _ODD)
    if (mixed[1:] == mixed[:-1]).any():
        order = np.lexsort((id_hash, row))
        repeats = (np.diff(row[order]) == 0) & (id_hash[order][1:] == id_hash[order][:-1])
        suspicious[order[1:][repeats]] = True
    result = np.zeros(len(row), dtype=bool)
    if suspicious.any():
        for r in np.unique(row[suspicious]).tolist():
            first, last = np.searchsorted(row, [r, r + 1]).tolist()
            result[first:last] = _replay_ring(
                recent[r].tolist(), int(n_accepted[r]), id_hash[first:last].tolist()
            )
    return result


def push_recent(
    recent: Hashes, n_accepted: Hashes, row: NDArray[np.intp], rank: NDArray[np.intp], ids: Hashes
) -> None:
    """Write accepted ids into the rings, in place; `n_accepted` is that before them.

    Parameters
    ----------
    rank
        (N,) place of each event among its row's accepted ones.
    """
    total = np.bincount(row, minlength=len(recent))
    stays = rank >= total[row] - RING
    position = (n_accepted[row].astype(np.int64) + rank) % RING
    recent[row[stays], position[stays]] = ids[stays]


def merge_recent(recent_a: Hashes, recent_b: Hashes) -> Hashes:
    """(R, 32) rings that remember about half of each; commutative. Rings carry no times."""
    out = np.zeros_like(recent_a)
    for r, (a, b) in enumerate(zip(recent_a, recent_b, strict=True)):
        union = np.union1d(a[a != 0], b[b != 0])[:RING]
        out[r, : len(union)] = union
    return out


def _replay_ring(ring: list[int], n_accepted: int, ids: list[int]) -> list[bool]:
    found = []
    for i in ids:
        # A free place holds 0, and so might an id's hash: only filled places count.
        is_known = i in (ring if n_accepted >= RING else ring[:n_accepted])
        found.append(is_known)
        if not is_known:
            ring[n_accepted % RING] = i
            n_accepted += 1
    return found
