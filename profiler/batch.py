"""From raw records to columns: decode, screen, pseudonymise.

The first half of the pipeline, before anybody's state is known.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from profiler.cleaning import Cleaner
from profiler.columns import Hashes, Ints
from profiler.decoding import Decoder, Decodes
from profiler.dedupe import incarnation_of
from profiler.events import (
    TYPE_CODES,
    AnyEvent,
    Identify,
    Rejected,
    timestamp_ms,
)
from profiler.guard import guarded, verdicts
from profiler.homing import at_home, homes_of, parts_of, those_left
from profiler.linking import Claimed, Said, Subject, looked, said_of
from profiler.prepared import Columns
from profiler.prepared import Prepared as Prepared  # its users get it with the preparer
from profiler.privacy.pseudonym import Pseudonymiser, subject_of
from profiler.records import Chunk, Forward, Record
from profiler.screening import Screen
from profiler.tokens import Contents, hash_text
from profiler.trait_values import TraitReader
from profiler.traits import NO_RULES, TraitRules
from profiler.tying import NOTHING, Received, SaidOfTie, said_of_ties

IDENTIFY: Final = TYPE_CODES[Identify]
PART_RECORDS: Final = 2_048
"""Records that are decoded and read off at a time: their objects stay in the processor's cache."""


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
    rules
        Of traits; none are kept by default.
    parts
        Number of parts of a load (`profiler.dedupe.PARTS`), in place of the homes' partitions: what
        does not come in its subject's part is forwarded to that.

    Attributes
    ----------
    schemas
        What the decoder opens values with that name a registered schema.
    cleaner
        Knows rates of currencies and the catalogue of items.
    """

    def __init__(
        self,
        pseudonymiser: Pseudonymiser,
        screen: Screen,
        homes: int | None = None,
        decoder: Decodes | None = None,
        rules: TraitRules = NO_RULES,
        parts: int | None = None,
        cleaner: Cleaner | None = None,
    ) -> None:
        self.contents = Contents()
        self._pid = pseudonymiser.pid
        self._screen = screen
        self._exempt = screen.historical_sources | screen.exempt_sources
        self._homes = homes
        self._decoder = decoder or Decoder()
        self._parts = parts
        self.schemas = self._decoder.schemas
        self._cleaner = cleaner or Cleaner()
        self._n_unused = 0
        self._n_outside = 0
        self._said: list[Said] = []
        self._said_of_ties: list[SaidOfTie] = []
        self._traits = TraitReader(rules, pseudonymiser.pid)

    @property
    def rules(self) -> TraitRules:
        """How traits are merged."""
        return self._traits.rules

    def prepare(self, chunks: Sequence[Chunk]) -> Prepared:
        """Decode, screen and pseudonymise the records of a batch."""
        records = [record for chunk in chunks for record in chunk.records]
        self.contents.make_room(len(records))
        place: dict[Subject, int] = {}
        rejected: list[Rejected] = []
        self._n_unused = 0
        self._n_outside = 0
        self._said = []
        self._said_of_ties = []
        self._traits.begin()
        lives = _lives(chunks)
        parts = [
            self._part(records[start : start + PART_RECORDS], start, place, rejected, lives)
            for start in range(0, len(records) or 1, PART_RECORDS)
        ]
        columns = Columns(*map(np.concatenate, zip(*parts, strict=True)))
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
        kept: NDArray[np.bool_] | None = None
        if self._homes is not None:
            place_of = home if self._parts is None else parts_of(subjects, self._parts)
            stays = at_home(place_of, columns.record, columns.row, said, partition, records)
            forwards, said = stays.forwards, stays.said
            claims = [claims[k] for k in stays.kept_said]
            if not stays.kept.all():
                kept = stays.kept
                columns = columns.only(kept)
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
            said_of_ties=self._said_of_ties,
            n_unused=self._n_unused,
            n_outside=self._n_outside,
            home=np.append(home, homes_of_looks).astype(np.int64),
            claims=[Claimed(o.member, o.record, c) for o, c in zip(said, claims, strict=True)],
            looks=looks,
            traits=self._traits.read(columns.ts, columns.id_hash, columns.row, kept),
            rules=self.rules,
            n_traits_ignored=self._traits.n_ignored,
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
    ) -> Columns:
        """Columns of the records from `start` on; adds to `place` and to `rejected`."""
        events, at, refused, n_unused = self._decoder.decode(records)
        self._n_unused += n_unused
        ts = _times(events)
        stamped = np.array([record.timestamp or 0 for record in records], dtype=np.int64)[at]
        left_out = self._screen.outside(events, ts)
        strange = self._cleaner.strange(events)
        screened = self._screen.refused(events, at, ts, stamped, strange)
        if screened or left_out.any():
            refused = sorted([*refused, *screened], key=lambda r: r.index)
            # One event that is refused takes its record along: a letter holds all of it.
            is_refused = np.isin(at, [r.index for r in screened])
            self._n_outside += int((left_out & ~is_refused).sum())
            kept = np.flatnonzero(~is_refused & ~left_out)
            at, ts, stamped = at[kept], ts[kept], stamped[kept]
            events = [events[i] for i in kept.tolist()]
        rejected += [Rejected(start + r.index, r.reason) for r in refused]
        records = [records[i] for i in at.tolist()]
        subjects: list[Subject] = [e.user_id or subject_of(e) for e in events]
        for subject in dict.fromkeys(subjects):
            place.setdefault(subject, len(place))
        type_code = np.array([TYPE_CODES[e.__class__] for e in events], dtype=np.intp)
        keys, price, is_unknown = self._cleaner.clean(events, type_code, ts, stamped)
        id_hash = _id_hashes(
            events, records, at, lives and [lives[i] for i in (start + at).tolist()]
        )
        identify = np.flatnonzero(type_code == IDENTIFY).tolist()
        for i in identify:
            self._said += said_of(events[i], start + int(at[i]), int(ts[i]), int(id_hash[i]), place)
        columns = Columns(
            record=start + at,
            row=np.array([place[subject] for subject in subjects], dtype=np.intp),
            type_code=type_code,
            ts=ts,
            stamped_ms=stamped,
            offset=np.array([record.offset for record in records], dtype=np.int64),
            id_hash=id_hash,
            price=np.nan_to_num(price, copy=False, nan=0.0),
            quantity=np.array([e.quantity for e in events], dtype=np.float64),
            content=self.contents.indices(keys),
            is_unknown=is_unknown,
            tie=np.full(len(events), NOTHING, dtype=np.intp),
            guarded=guarded(events, records, self._exempt),
            verdict=verdicts(events, type_code, ts),
        )
        received = said_of_ties(events, type_code, place, self._said_of_ties, self._pid_of)
        columns = columns if received is None else _with(received, columns)
        self._traits.note([events[i] for i in identify], columns.type_code)
        return columns


def _with(received: Received, columns: Columns) -> Columns:
    """Columns with a second entry for each event that concerns another person, too."""
    columns = columns.only(received.entry)._replace(tie=received.said)
    columns.row[received.at] = received.row
    # Nobody is a machine because many follow them.
    columns.guarded[received.at] = False
    return columns


def _times(events: Sequence[AnyEvent]) -> Ints:
    try:
        return np.array([e.ts for e in events], dtype=np.int64)
    except TypeError:
        return np.array([timestamp_ms(e.ts) for e in events], dtype=np.int64)


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


__all__ = ["PART_RECORDS", "Prepared", "Preparer", "Screen"]
