"""Where events of a batch belong: at their subject's home, or on the way to it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from profiler.columns import Ints
from profiler.dedupe import PARTS, is_forwarded, partition_number
from profiler.linking import Said, Subject
from profiler.partitioning import partitions_of
from profiler.records import Forward, Record


class Homed(NamedTuple):
    """What of a batch stays here.

    Parameters
    ----------
    kept
        (N,) whether each event does.
    said, kept_said
        Links that do, and their places among all.
    forwards
        Records that go elsewhere, in their order.
    """

    kept: NDArray[np.bool_]
    said: list[Said]
    kept_said: list[int]
    forwards: list[Forward]


def homes_of(subjects: Sequence[Subject], homes: int | None) -> Ints:
    """(R,) home partitions of subjects; all 0 where there is only one home."""
    if homes is None:
        return np.zeros(len(subjects), dtype=np.int64)
    ids = [s if isinstance(s, str) else s[1] for s in subjects]
    return partitions_of([i.encode() for i in ids], homes).astype(np.int64)


def parts_of(subjects: Sequence[Subject], parts: int) -> Ints:
    """(R,) parts of a load to which subjects belong, numbered from `profiler.dedupe.PARTS` on."""
    return PARTS + homes_of(subjects, parts)


def at_home(
    home: Ints,
    record: NDArray[np.intp],
    row: NDArray[np.intp],
    said: list[Said],
    partition: Ints,
    records: Sequence[Record],
) -> Homed:
    """Part what is at home from what belongs elsewhere.

    Parameters
    ----------
    home
        (R,) of the subjects, or the parts of a load that stand for them.
    record, row
        (N,) record and subject of each event.
    partition
        Code of the partition of each record.

    Notes
    -----
    A record that was forwarded has arrived, whatever its home. Only of one that has several homes,
    because it links subjects, the parts that are not at home were applied elsewhere.
    """
    arrived = partition[record]
    is_elsewhere = partition_number(arrived) != home[row]
    if not said and not is_elsewhere.any():
        return Homed(~is_elsewhere, [], [], [])
    came = is_forwarded(arrived) != 0
    is_away = is_elsewhere & ~came
    # Once each, though a record may have several events with one home.
    routes = set(zip(record[is_away].tolist(), home[row[is_away]].tolist(), strict=True))
    here = []
    for k, one in enumerate(said):
        code, at = int(partition[one.record]), int(home[one.member])
        if partition_number(code) == at:
            here.append(k)
        elif not is_forwarded(code):
            routes.add((one.record, at))
    is_shared = np.isin(record, [one.record for one in said])
    forwards = [Forward(at, int(partition[i]), records[i]) for i, at in sorted(routes)]
    kept = ~is_away & ~(is_elsewhere & came & is_shared)
    return Homed(kept, [said[k] for k in here], here, forwards)


def those_left(
    row: NDArray[np.intp], said: list[Said]
) -> tuple[NDArray[np.intp], NDArray[np.intp], list[Said]]:
    """Number the subjects anew that still have an event or a link: they, and rows and links."""
    members = np.array([one.member for one in said], dtype=np.intp)
    left, place = np.unique(np.concatenate([row, members]), return_inverse=True)
    n = len(row)
    renumbered = [
        one._replace(member=int(m)) for one, m in zip(said, place[n:].tolist(), strict=True)
    ]
    return left, place[:n], renumbered
