"""People as they were at given times, from all that is known of their past by now.

An event counts at a time T if it had happened *and had become known* by then: if its own time and
its record's timestamp lie before T. What is of a historical source, or a file, was put down later
than it became known: of it only the event's own time counts. So nothing that came late is seen too
early, and events exactly at T are not seen. Links, unlinks and erasure are events like others.

Events are applied in the order in which they became known, ties in the order in which they
arrived. That is the order of arrival wherever clocks of producers do not run ahead.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from profiler.batch import Prepared
from profiler.columns import EventColumns, Floats, Ints, Rows, Snapshot
from profiler.excerpt import excerpt
from profiler.families import Families
from profiler.fold import Fold
from profiler.pipeline import ERASE
from profiler.spec import Spec
from profiler.tokens import DIMENSIONS

PROBE_TYPE: Final = 0
"""Type of the event that is looked from, which is never applied: any would do."""

TIME_BITS: Final = 42
TIME_MS_MAX: Final = 2**TIME_BITS - 1
"""In the year 2109. Families and times share 64 bits."""


def look_back(
    fold: Fold,
    prepared: Prepared,
    is_historical: NDArray[np.bool_],
    pids: Sequence[str],
    at_ms: Ints,
) -> Iterator[NDArray[np.intp]]:
    """Bring a fold from one time to the next, for all people at once.

    Parameters
    ----------
    fold
        Empty; its states are then those of the moment.
    prepared
        All that is known of these people and those linked with them, in the order of arrival.
    is_historical
        For each record, whether only the times of its events count.
    pids, at_ms
        (P,) whom to look at, and when.

    Yields
    ------
    ndarray
        Places among the P whose moment the fold is at now: each once.

    Notes
    -----
    A round serves one time of every family, so that there are as many as the family with the most
    times has, however many people there are.
    """
    known = np.maximum(prepared.ts, _arrived(prepared, is_historical, prepared.record))
    order = np.argsort(known, kind="stable")
    # Offsets would tell what has been applied; here each is applied once, in another order.
    offset = np.empty(len(order), dtype=np.int64)
    offset[order] = np.arange(len(order))
    prepared = dataclasses.replace(prepared, partition=np.zeros_like(offset), offset=offset)
    claims = prepared.claims
    said = np.array([max(c.claim.last_ms, c.claim.cut_ms) for c in claims], dtype=np.int64)
    of_record = np.array([c.record for c in claims], dtype=np.intp)
    claim_known = np.maximum(said, _arrived(prepared, is_historical, of_record))

    family = _families(prepared, pids)
    rounds = _Rounds(family[len(prepared.pids) :], at_ms)
    of_event = rounds.of(family[prepared.row[order]], known[order])
    of_claim = rounds.of(family[[c.place for c in claims]], claim_known)
    # After the last look at a family it only matters who asked to be forgotten.
    is_seen = of_event < rounds.n_of(family[prepared.row[order]])
    is_kept = is_seen | (prepared.type_code[order] == ERASE)
    event_parts = _parts(order[is_kept], of_event[is_kept], rounds.n + 1)
    claim_parts = _parts(np.arange(len(claims)), of_claim, rounds.n + 1)
    for number in range(rounds.n + 1):
        events, links = event_parts[number], claim_parts[number]
        if len(events) or len(links):
            fold.apply(excerpt(prepared, events, links.tolist()))
        if number < rounds.n:
            yield rounds.places(number)


def features_at(spec: Spec, rows: Rows, at_ms: Ints) -> Floats:
    """(P, features) what models would see of (P,) rows if something happened at these times.

    The same code as for an event, on one that is never applied.
    """
    n = len(rows)
    place = np.arange(n)
    nothing, zeros = np.zeros(n, dtype=np.uint64), np.zeros(n)
    as_of = rows["core.as_of"]
    events = EventColumns(
        row=place,
        starts=place,
        ts=at_ms,
        type_code=np.full(n, PROBE_TYPE, dtype=np.intp),
        price=zeros,
        quantity=zeros,
        id_hash=nothing,
        item=nothing,
        category=nothing,
        brand=nothing,
        content=np.zeros(n, dtype=np.intp),
        directions=np.zeros((1, DIMENSIONS)),
        interest=zeros,
        guarded=np.zeros(n, dtype=bool),
        as_of_before=as_of.copy(),
        as_of=np.maximum(as_of, at_ms),
        done_before=rows["sessions.last"].copy(),
    )
    return spec.features(rows, events)


def vectors_at(spec: Spec, rows: Rows, at_ms: Ints) -> NDArray[np.float32]:
    """(P, dims) vectors of (P,) rows, brought to these times as a reader brings them there."""
    vectors = spec.project(Snapshot(rows)).astype(np.float64)
    elapsed = np.maximum(at_ms - rows["core.as_of"], 0)
    for part in spec.slices:
        if part.half_life_ms is not None:
            place = slice(part.offset, part.offset + part.length)
            left = np.exp2(-elapsed / part.half_life_ms)[:, None]
            values = vectors[:, place]
            is_log = part.transform == "log1p"
            vectors[:, place] = np.log1p(np.expm1(values) * left) if is_log else values * left
    return vectors.astype(np.float32)


class _Rounds:
    """Which round serves which time of which family.

    Parameters
    ----------
    family, at_ms
        (P,) the times.
    """

    def __init__(self, family: Ints, at_ms: Ints) -> None:
        keys, place = np.unique(_key(family, at_ms), return_inverse=True)
        owner = keys >> TIME_BITS
        self._keys = keys
        number = np.arange(len(keys)) - np.searchsorted(owner, owner)
        self.n = int(number.max(initial=-1)) + 1
        self._places = _parts(np.arange(len(family)), number[place.ravel()], self.n)

    def of(self, family: Ints, known: Ints) -> Ints:
        """(N,) round before which something is applied that became known then."""
        start = np.searchsorted(self._keys, family << TIME_BITS)
        found = np.searchsorted(self._keys, _key(family, known), side="right") - start
        return np.asarray(found, dtype=np.int64)

    def n_of(self, family: Ints) -> Ints:
        """(N,) number of times of each family."""
        start = np.searchsorted(self._keys, family << TIME_BITS)
        return np.asarray(np.searchsorted(self._keys, family + 1 << TIME_BITS) - start)

    def places(self, number: int) -> NDArray[np.intp]:
        """Places among the P that a round serves."""
        return self._places[number]


def _key(family: Ints, ms: Ints) -> Ints:
    return family << TIME_BITS | np.clip(ms, 0, TIME_MS_MAX)


def _arrived(
    prepared: Prepared, is_historical: NDArray[np.bool_], record: NDArray[np.intp]
) -> Ints:
    stamps = [prepared.records[k].timestamp or 0 for k in record.tolist()]
    return np.where(is_historical[record], 0, np.array(stamps, dtype=np.int64))


def _families(prepared: Prepared, pids: Sequence[str]) -> Ints:
    """Number of the family of each of the batch's people, then of each of these."""
    families = Families[str]()
    for claim in prepared.claims:
        families.join(prepared.pids[claim.place], claim.claim.owner)
    number: dict[str, int] = {}
    found = [number.setdefault(families.root(pid), len(number)) for pid in (*prepared.pids, *pids)]
    return np.array(found, dtype=np.int64)


def _parts(values: NDArray[np.intp], number: Ints, n: int) -> list[NDArray[np.intp]]:
    """Values by number, from 0 to n - 1, each part in the order in which they stand."""
    order = np.argsort(number, kind="stable")
    ends = np.searchsorted(number[order], np.arange(1, n))
    return np.split(values[order], ends)
