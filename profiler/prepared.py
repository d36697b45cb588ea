"""A batch whose records have been read: columns of its events, and who must be loaded."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from profiler.columns import EventColumns, Floats, Hashes, Ints, Rows
from profiler.events import Rejected
from profiler.facets.interest import WEIGHT_BY_TYPE
from profiler.linking import Claimed, Looked
from profiler.records import Forward, Record
from profiler.traits import Traited, TraitRules
from profiler.tying import SaidOfTie, tie_columns


@dataclass(slots=True)
class Prepared:
    """A batch of N decoded events of R0 subjects, in arrival order, and who must be loaded.

    Parameters
    ----------
    records
        All records of the batch.
    rejected
        Those that cannot be applied.
    forwards
        Those that belong elsewhere.
    pids
        (R0,) whose rows are needed.
    record
        (N,) place of each event's record in `records`; a record may give several events.
    row
        (N,) place of its subject in `pids`.
    type_code
        (N,) index into `profiler.events.TYPE_NAMES`.
    partition, offset
        (N,) code of the partition and offset.
    stamped_ms
        (N,) timestamps of the records, 0 where there is none.
    id_hash, price, quantity
        (N,) hash of the event's id, price of a unit (0 where absent), units.
    hashes
        (N, 3) token hashes of item, category, brand.
    content, directions
        (N,) place of the event's content in the (C, D) table of directions.
    is_unknown
        (N,) whether it names an item that the catalogue does not know.
    tie, said_of_ties
        (N,) place of what the event says of ties, -1 if nothing, and all that is said of them.
    guarded
        (N,) whether the guard counts the event.
    verdict
        (N,) what an event that is one says, 0 for all others.
    n_unused, n_outside
        Records without any event, and events that are somebody else's (`Screen.from_ms`).
    home
        (R0,) home partitions of the people.
    claims, looks, traits
        Links and traits that are to be applied here.
    rules, n_traits_ignored
        How traits are merged; how many were said that are not kept.
    left_out
        Places of people whose events here had been applied before.
    """

    records: list[Record]
    rejected: list[Rejected]
    forwards: list[Forward]
    pids: list[str]
    record: NDArray[np.intp]
    row: NDArray[np.intp]
    type_code: NDArray[np.intp]
    ts: Ints
    stamped_ms: Ints
    partition: Ints
    offset: Ints
    id_hash: Hashes
    price: Floats
    quantity: Floats
    hashes: Hashes
    content: NDArray[np.intp]
    directions: Floats
    is_unknown: NDArray[np.bool_]
    tie: NDArray[np.intp]
    said_of_ties: list[SaidOfTie]
    guarded: NDArray[np.bool_]
    verdict: Ints
    n_unused: int
    n_outside: int
    home: Ints
    claims: list[Claimed]
    looks: list[Looked]
    traits: list[Traited]
    rules: TraitRules
    n_traits_ignored: int
    left_out: Sequence[int] = ()

    def in_order_of_time(self) -> None:
        """Sort the events by their times, as if they had arrived so."""
        self.choose(np.argsort(self.ts, kind="stable"))

    def without(self, pids: Collection[str]) -> int:
        """Leave out the events of these people, and say how many; what links them stays."""
        self.left_out = [k for k, pid in enumerate(self.pids) if pid in pids]
        theirs = np.isin(self.row, self.left_out)
        self.choose(np.flatnonzero(~theirs))
        return int(theirs.sum())

    def choose(self, index: NDArray[np.intp]) -> None:
        """Keep these events, in this order, and no others."""
        for name in ("partition", "hashes", *Columns._fields):
            setattr(self, name, getattr(self, name)[index])


class Columns(NamedTuple):
    """Columns of the events of a part of a batch; see `Prepared`."""

    record: NDArray[np.intp]
    row: NDArray[np.intp]
    type_code: NDArray[np.intp]
    ts: Ints
    stamped_ms: Ints
    offset: Ints
    id_hash: Hashes
    price: Floats
    quantity: Floats
    content: NDArray[np.intp]
    is_unknown: NDArray[np.bool_]
    tie: NDArray[np.intp]
    guarded: NDArray[np.bool_]
    verdict: Ints

    def only(self, kept: NDArray[np.bool_] | NDArray[np.intp]) -> Columns:
        """Those events that are kept."""
        chosen: list[NDArray[Any]] = [column[kept] for column in self]
        return Columns(*chosen)


def event_columns(
    prepared: Prepared, order: NDArray[np.intp], row: NDArray[np.intp], rows: Rows
) -> EventColumns:
    """Columns of some events as facets have them.

    Parameters
    ----------
    order
        (M,) the events, by row, in arrival order within a row.
    row
        (M,) places of their rows among `rows`.
    rows
        (R,) the rows before the batch.
    """
    as_of = rows["core.as_of"]
    starts = np.flatnonzero(np.diff(row, prepend=-1))
    ts = prepared.ts[order]
    type_code = prepared.type_code[order]
    hashes = prepared.hashes[order]
    return EventColumns(
        row=row,
        starts=starts,
        ts=ts,
        type_code=type_code,
        price=prepared.price[order],
        quantity=prepared.quantity[order],
        id_hash=prepared.id_hash[order],
        item=hashes[:, 0],
        category=hashes[:, 1],
        brand=hashes[:, 2],
        content=prepared.content[order],
        directions=prepared.directions,
        interest=WEIGHT_BY_TYPE[type_code],
        guarded=prepared.guarded[order],
        as_of_before=as_of.copy(),
        as_of=np.maximum(as_of, np.maximum.reduceat(ts, starts)),
        done_before=rows["sessions.last"].copy(),
        ties=tie_columns(prepared.said_of_ties, prepared.tie[order]),
    )
