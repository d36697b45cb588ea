"""The way of one batch: the only place that knows the order of the steps.

Two pure halves. `Preparer.prepare` (decode, screen, pseudonymise) says whom to load; `process`
(deduplicate, guard, update, predict, project) does the rest. The worker puts one read between them
and one write after.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from profiler.batch import Prepared, Preparer
from profiler.columns import EventColumns, Ints, Rows, Snapshot
from profiler.dedupe import Fences, is_duplicate
from profiler.events import BEHAVIOUR_TYPES, TYPE_NAMES, Rejected
from profiler.facets.interest import WEIGHT_BY_TYPE
from profiler.guard import VERDICT, Guarded, Guarding
from profiler.identity import Links
from profiler.linking import Linker, Relinked
from profiler.models.bank import ModelBank
from profiler.models.purchase import Labels
from profiler.peers import Peers
from profiler.records import RawRecord, Record
from profiler.spec import Spec
from profiler.state import Stored

ERASE: Final = TYPE_NAMES.index("erase")
OUTCOMES: Final = (
    *("applied", "duplicate", "fenced", "accepted_unused", "erased", "rejected"),
    *("forwarded", "repeated"),
)
"""What became of a record. Forwarded: sent to its home; repeated: a forward that had come before,
which the reader of the home drops."""

Lap = Callable[[str], None]
"""Called at the end of each step with its name: the caller owns the clock."""


@dataclass(slots=True)
class Processed:
    """What a batch did, as columns over the R people it changed.

    Parameters
    ----------
    place
        (R,) their places among the batch's pids.
    rows, fences
        Their new rows, and what has now been applied.
    vectors, summaries
        (R, dims) and (R,) what readers see.
    erased
        Places of people to be erased, and when they asked for it.
    rejected
        Events that could not be applied, with all that `prepare` had refused.
    outcomes
        Number of records by outcome, see `OUTCOMES`.
    labels
        Kept predictions whose outcome is now known, to be learnt.
    relinked
        Links, owners and looks, see `profiler.linking.Relinked`; places are among the batch's pids.
    guarded
        Who is held now and was not, or the reverse; places are among the batch's pids.
    """

    place: NDArray[np.intp]
    rows: Rows
    fences: Fences
    vectors: NDArray[np.float32]
    summaries: list[bytes]
    erased: dict[int, int]
    rejected: list[Rejected]
    outcomes: Counter[str]
    labels: list[Labels]
    relinked: Relinked
    guarded: Guarded

    def links(self) -> dict[int, Links]:
        """Links of the people that the batch changed, by their place in `place`."""
        known = self.relinked.links
        if not known:
            return {}
        return {k: known[p] for k, p in enumerate(self.place.tolist()) if p in known}


def process(
    spec: Spec,
    prepared: Prepared,
    stored: Stored,
    bank: ModelBank,
    lap: Lap = lambda step: None,
    peers: Peers | None = None,
) -> Processed:
    """Apply a prepared batch to the states of its people.

    Parameters
    ----------
    stored
        States of `prepared.pids`; changed in place.
    bank
        Scores the events. Learning is left to the caller, once the batch is accepted.
    peers
        States of all who are linked with the people, or changed; none where there are none.
    """
    outcomes: Counter[str] = Counter(
        rejected=len(prepared.rejected), forwarded=len(prepared.forwards)
    )
    linker = Linker(prepared.pids, prepared.home, stored, peers or Peers.of({}, spec, {}))
    erased = linker.relink(prepared.claims, prepared.looks, _erasures(prepared))
    gone = _gone(stored, erased)
    applicable, duplicates = _new_events(prepared, stored, gone, outcomes)
    lap("deduplicate")
    guarding = Guarding(stored.rows, prepared.row, prepared.verdict, gone)
    run = _Run(spec, prepared, stored, bank)
    failed = run.apply(applicable)
    lap("update")
    outcomes["applied"] = len(applicable) - len(failed) + len(guarding.ruled)
    outcomes["rejected"] += len(failed)
    rejected = [Rejected(int(prepared.record[i]), "update_failed") for i in failed]
    # A duplicate's fence moves too: its id leaves the ring before its offset may be committed.
    run.raise_fences(duplicates)
    seen = np.concatenate([applicable, duplicates])
    told = [*(linker.result.touched - erased.keys()), *guarding.ruled.tolist()]
    is_changed = _changed(stored, prepared.row[seen], told)
    place = np.flatnonzero(is_changed)
    _tell_owners(linker, prepared, place)
    rows = stored.rows if is_changed.all() else stored.rows[place]
    vectors, summaries = visible(spec, linker.shown(spec, place, rows))
    lap("project")
    return Processed(
        place=place,
        rows=rows,
        fences=_fences_of(stored.fences, place),
        vectors=vectors,
        summaries=summaries,
        erased=erased,
        rejected=prepared.rejected + rejected,
        outcomes=outcomes,
        labels=run.labels,
        relinked=linker.result,
        guarded=guarding.done(stored.rows, prepared.row[applicable]),
    )


def _gone(stored: Stored, erased: dict[int, int]) -> NDArray[np.bool_]:
    """(R0,) who is erased, or is so by this batch."""
    gone = stored.erased.copy()
    gone[list(erased)] = True
    return gone


def _tell_owners(linker: Linker, prepared: Prepared, place: NDArray[np.intp]) -> None:
    if linker.result.links:
        # Of all whom a record is about: whoever applied it before may not have come to tell.
        looked = [look.place for look in prepared.looks]
        linker.tell_owners([*place.tolist(), *prepared.row.tolist(), *looked])


def _changed(
    stored: Stored, rows_of_events: NDArray[np.intp], told: list[int]
) -> NDArray[np.bool_]:
    """(R0,) of whom something is known now that has to be written."""
    is_changed = np.zeros(len(stored.rows), dtype=bool)
    is_changed[rows_of_events] = True
    # Of somebody whose only events cannot be applied nothing is known.
    is_changed &= stored.rows["core.n_accepted"] > 0
    is_changed[told] = True
    return is_changed


def visible(spec: Spec, rows: Rows) -> tuple[NDArray[np.float32], list[bytes]]:
    """(R, dims) vectors and R summaries: what readers see of (R,) rows."""
    now = Snapshot(rows)
    encode = msgspec.json.Encoder().encode
    return spec.project(now), [encode(description) for description in spec.describe(now)]


@dataclass(slots=True)
class _Run:
    """The update of one batch, which may have to be halved."""

    spec: Spec
    prepared: Prepared
    stored: Stored
    bank: ModelBank
    labels: list[Labels] = field(default_factory=list)

    def apply(self, index: NDArray[np.intp]) -> list[int]:
        """Apply these events; return those that cannot be, alone among the others."""
        if not len(index):
            return []
        order = index[np.argsort(self.prepared.row[index], kind="stable")]
        of_event = self.prepared.row[order]
        is_first = np.diff(of_event, prepend=-1) > 0
        place, row = of_event[is_first], np.cumsum(is_first) - 1
        rows = self.stored.rows[place]
        events = _event_columns(self.prepared, order, row, rows["core.as_of"])
        try:
            known = self.spec.features(rows, events)
            self.spec.update(rows, events)
            # Last, as what is learnt depends on who is held by now; no facet writes what it reads.
            labels = self.bank.predict(known, rows, events)
        except (ArithmeticError, AssertionError, LookupError, TypeError, ValueError):
            return self._halve(index)
        if len(place) == len(self.stored.rows):
            self.stored.rows = rows
        else:
            self.stored.rows[place] = rows
        # A poisoned event's fence moves too: it is a dead letter, and must not come again.
        self.raise_fences(order)
        self.labels.append(labels)
        return []

    def _halve(self, index: NDArray[np.intp]) -> list[int]:
        if len(index) == 1:
            self.raise_fences(index)
            return [int(index[0])]
        middle = len(index) // 2
        return self.apply(index[:middle]) + self.apply(index[middle:])

    def raise_fences(self, index: NDArray[np.intp]) -> None:
        """Note that these events, whatever became of them, must not be looked at again."""
        p = self.prepared
        self.stored.fences.raise_to(p.row[index], p.partition[index], p.offset[index])


def _erasures(prepared: Prepared) -> dict[int, int]:
    """People who ask to be forgotten in this batch, with the latest time they give."""
    found: dict[int, int] = {}
    for i in np.flatnonzero(prepared.type_code == ERASE).tolist():
        place = int(prepared.row[i])
        found[place] = max(int(prepared.ts[i]), found.get(place, 0))
    return found


def _new_events(
    prepared: Prepared, stored: Stored, gone: NDArray[np.bool_], outcomes: Counter[str]
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Behaviour that has not been applied yet, in arrival order; duplicates."""
    is_gone = gone[prepared.row]
    is_behaviour = prepared.type_code < len(BEHAVIOUR_TYPES)
    unused = ~is_gone & ~is_behaviour & (prepared.type_code != VERDICT)
    left = np.flatnonzero(~is_gone & is_behaviour)
    outcomes["erased"] = int(is_gone.sum())
    outcomes["accepted_unused"] = int(unused.sum()) + prepared.n_unused

    row = prepared.row[left]
    fenced = stored.fences.fenced(row, prepared.partition[left], prepared.offset[left])
    outcomes["fenced"] = int(fenced.sum())
    left = left[~fenced]

    left = left[np.argsort(prepared.row[left], kind="stable")]
    rows = stored.rows
    duplicate = is_duplicate(
        rows["core.recent"], rows["core.n_accepted"], prepared.row[left], prepared.id_hash[left]
    )
    outcomes["duplicate"] = int(duplicate.sum())
    return np.sort(left[~duplicate]), left[duplicate]


def _event_columns(
    prepared: Prepared, order: NDArray[np.intp], row: NDArray[np.intp], as_of: Ints
) -> EventColumns:
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
    )


def _fences_of(fences: Fences, place: NDArray[np.intp]) -> Fences:
    new_place = {old: new for new, old in enumerate(place.tolist())} if fences.more else {}
    more = {new_place[old]: codes for old, codes in fences.more.items() if old in new_place}
    return Fences(fences.partition[place], fences.offset[place], more)


__all__ = [
    "OUTCOMES",
    "Prepared",
    "Preparer",
    "Processed",
    "RawRecord",
    "Record",
    "process",
    "visible",
]
