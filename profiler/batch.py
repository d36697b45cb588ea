"""From raw records to columns: decode, screen, pseudonymise.

The first half of the pipeline, before anybody's state is known.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from profiler.columns import DAY_MS, HOUR_MS, Floats, Hashes, Ints
from profiler.decoding import Decoder
from profiler.dedupe import incarnation_of
from profiler.events import (
    TYPE_CODES,
    AnyEvent,
    Erase,
    Identify,
    Rejected,
    Search,
    timestamp_ms,
)
from profiler.guard import guarded, verdicts
from profiler.homing import at_home, homes_of, those_left
from profiler.linking import Claimed, Looked, Said, Subject, looked, said_of
from profiler.privacy.pseudonym import Pseudonymiser, subject_of
from profiler.records import Chunk, Forward, Record
from profiler.tokens import ContentKey, Contents, hash_text

SEARCH: Final = TYPE_CODES[Search]
IDENTIFY: Final = TYPE_CODES[Identify]
PART_RECORDS: Final = 2_048
"""Records that are decoded and read off at a time: their objects stay in the processor's cache."""


class Screen(Struct, frozen=True):
    """What an event's time may be, measured against its record's timestamp, never the wall clock.

    And whose events the guard leaves alone.

    Parameters
    ----------
    clock_skew_max_ms
        How far an event may lie after its record.
    event_age_max_ms
        How far before.
    historical_sources
        Values of `source` whose events may be older than that; the guard does not count them.
    exempt_sources
        Further ones that it does not count.
    """

    clock_skew_max_ms: int = HOUR_MS
    event_age_max_ms: int = 3_650 * DAY_MS
    historical_sources: frozenset[str] = frozenset()
    exempt_sources: frozenset[str] = frozenset()


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
    guarded
        (N,) whether the guard counts the event.
    verdict
        (N,) what an event that is one says, 0 for all others.
    n_unused
        Records without any event.
    home
        (R0,) home partitions of the people.
    claims, looks
        Links that are to be applied here.
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
    guarded: NDArray[np.bool_]
    verdict: Ints
    n_unused: int
    home: Ints
    claims: list[Claimed]
    looks: list[Looked]


class _Columns(NamedTuple):
    """Columns of a part of a batch; see `Prepared`."""

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
    guarded: NDArray[np.bool_]
    verdict: Ints

    def only(self, kept: NDArray[np.bool_]) -> _Columns:
        """Those events that are kept."""
        chosen: list[NDArray[Any]] = [column[kept] for column in self]
        return _Columns(*chosen)


class Preparer:
    """Turns chunks of records into a `Prepared` batch; pure but for its bounded memos.

    Parameters
    ----------
    pseudonymiser
        Gives pids.
    screen
        Bounds of event times.
    homes
        Number of home partitions: events whose partition is not their subject's home are forwarded
        there. None: whatever comes is at home.
    decoder
        Knows the formats of records.
    """

    def __init__(
        self,
        pseudonymiser: Pseudonymiser,
        screen: Screen,
        homes: int | None = None,
        decoder: Decoder | None = None,
    ) -> None:
        self.contents = Contents()
        self._pid = pseudonymiser.pid
        self._screen = screen
        self._exempt = screen.historical_sources | screen.exempt_sources
        self._homes = homes
        self._decoder = decoder or Decoder()
        self._n_unused = 0
        self._said: list[Said] = []

    def prepare(self, chunks: Sequence[Chunk]) -> Prepared:
        """Decode, screen and pseudonymise the records of a batch."""
        records = [record for chunk in chunks for record in chunk.records]
        self.contents.make_room(len(records))
        place: dict[Subject, int] = {}
        rejected: list[Rejected] = []
        self._n_unused = 0
        self._said = []
        lives = _lives(chunks)
        parts = [
            self._part(records[start : start + PART_RECORDS], start, place, rejected, lives)
            for start in range(0, len(records) or 1, PART_RECORDS)
        ]
        columns = _Columns(*map(np.concatenate, zip(*parts, strict=True)))
        codes = [chunk.code for chunk in chunks]
        partition = np.repeat(np.array(codes, dtype=np.int64), [len(c.records) for c in chunks])
        if any(chunk.offsets is not None for chunk in chunks):
            offsets = np.concatenate(
                [np.asarray(c.fence_offsets(), dtype=np.int64) for c in chunks]
            )
            columns = columns._replace(offset=offsets[columns.record])
        subjects, said, forwards = list(place), self._said, list[Forward]()
        home = homes_of(subjects, self._homes)
        claims = [o.claim(self._pid_of(subjects[o.owner]), int(home[o.owner])) for o in said]
        if self._homes is not None:
            stays = at_home(home, columns.record, columns.row, said, partition, records)
            forwards, said = stays.forwards, stays.said
            claims = [claims[k] for k in stays.kept_said]
            if not stays.kept.all():
                columns = columns.only(stays.kept)
                left, row, said = those_left(columns.row, said)
                columns = columns._replace(row=row)
                subjects, home = [subjects[i] for i in left.tolist()], home[left]
        pids = [self._pid_of(subject) for subject in subjects]
        looks, homes_of_looks = looked(chunks, pids)
        return Prepared(
            records=records,
            rejected=rejected,
            forwards=forwards,
            pids=pids,
            partition=partition[columns.record],
            hashes=self.contents.hashes[columns.content],
            directions=self.contents.directions,
            n_unused=self._n_unused,
            home=np.append(home, homes_of_looks).astype(np.int64),
            claims=[Claimed(o.member, o.record, c) for o, c in zip(said, claims, strict=True)],
            looks=looks,
            **columns._asdict(),
        )

    def _pid_of(self, subject: Subject) -> str:
        return self._pid("user", subject) if isinstance(subject, str) else self._pid(*subject)

    def _part(
        self,
        records: Sequence[Record],
        start: int,
        place: dict[Subject, int],
        rejected: list[Rejected],
        lives: Sequence[int] | None,
    ) -> _Columns:
        """Columns of the records from `start` on; adds to `place` and to `rejected`."""
        events, at, refused, n_unused = self._decoder.decode(records)
        self._n_unused += n_unused
        ts = _times(events)
        stamped = np.array([record.timestamp or 0 for record in records], dtype=np.int64)[at]
        if screened := self._screened(events, at, ts, stamped):
            refused = sorted([*refused, *screened], key=lambda r: r.index)
            # One event that is refused takes its record along: a letter holds all of it.
            kept = np.flatnonzero(~np.isin(at, [r.index for r in screened]))
            at, ts, stamped = at[kept], ts[kept], stamped[kept]
            events = [events[i] for i in kept.tolist()]
        rejected += [Rejected(start + r.index, r.reason) for r in refused]
        records = [records[i] for i in at.tolist()]
        subjects: list[Subject] = [e.user_id or subject_of(e) for e in events]
        for subject in dict.fromkeys(subjects):
            place.setdefault(subject, len(place))
        type_code = np.array([TYPE_CODES[e.__class__] for e in events], dtype=np.intp)
        price = np.array([e.price for e in events], dtype=np.float64)
        id_hash = _id_hashes(
            events, records, at, lives and [lives[i] for i in (start + at).tolist()]
        )
        for i in np.flatnonzero(type_code == IDENTIFY).tolist():
            self._said += said_of(events[i], start + int(at[i]), int(ts[i]), int(id_hash[i]), place)
        return _Columns(
            record=start + at,
            row=np.array([place[subject] for subject in subjects], dtype=np.intp),
            type_code=type_code,
            ts=ts,
            stamped_ms=stamped,
            offset=np.array([record.offset for record in records], dtype=np.int64),
            id_hash=id_hash,
            price=np.nan_to_num(price, copy=False, nan=0.0),
            quantity=np.array([e.quantity for e in events], dtype=np.float64),
            content=self.contents.indices(_content_keys(events, type_code)),
            guarded=guarded(events, self._exempt),
            verdict=verdicts(events, type_code, ts),
        )

    def _screened(
        self, events: Sequence[AnyEvent], at: NDArray[np.intp], ts: Ints, stamped: Ints
    ) -> list[Rejected]:
        known = stamped > 0
        ahead = known & (ts > stamped + self._screen.clock_skew_max_ms)
        behind = known & (ts < stamped - self._screen.event_age_max_ms)
        rejected: dict[int, Rejected] = {}
        for i in np.flatnonzero(ahead | behind).tolist():
            event, record = events[i], int(at[i])
            # Whoever asks to be forgotten is heard, whatever their clock says.
            if isinstance(event, Erase):
                continue
            if ahead[i]:
                rejected.setdefault(record, Rejected(record, "clock_skew"))
            elif event.source not in self._screen.historical_sources:
                rejected.setdefault(record, Rejected(record, "too_old"))
        return list(rejected.values())


def _times(events: Sequence[AnyEvent]) -> Ints:
    try:
        return np.array([e.ts for e in events], dtype=np.int64)
    except TypeError:
        return np.array([timestamp_ms(e.ts) for e in events], dtype=np.int64)


def _content_keys(events: Sequence[AnyEvent], type_code: NDArray[np.intp]) -> list[ContentKey]:
    keys: list[ContentKey] = [(e.item_id, e.category, e.brand, e.title) for e in events]
    for i in np.flatnonzero(type_code == SEARCH).tolist():
        event = events[i]
        assert isinstance(event, Search)
        keys[i] = (None, None, None, event.query)
    return keys


def _lives(chunks: Sequence[Chunk]) -> list[int] | None:
    """How often the topic of each record's origin was made anew; None if none ever was."""
    if not any(incarnation_of(c.code) or c.origins for c in chunks):
        return None
    lives = [incarnation_of(code) for chunk in chunks for code in chunk.origin_codes()]
    return lives if any(lives) else None


def _id_hashes(
    events: Sequence[AnyEvent],
    records: Sequence[Record],
    at: NDArray[np.intp],
    lives: Sequence[int] | None,
) -> Hashes:
    ids = [
        f"{r.topic}:{r.partition}:{r.offset}" if e.event_id is None else e.event_id
        for e, r in zip(events, records, strict=True)
    ]
    for i in np.flatnonzero(at[1:] == at[:-1]).tolist():
        # Further events of one record are others, though their origin is the same.
        if events[i + 1].event_id is None:
            ids[i + 1] = f"{ids[i]}+"
    if lives is not None:
        # An origin names an event only within one life of its topic.
        ids = [
            f"{i}#{life}" if life and e.event_id is None else i
            for i, e, life in zip(ids, events, lives, strict=True)
        ]
    return np.array([hash_text(i) for i in ids], dtype=np.uint64)
