"""From raw records to columns: decode, screen, pseudonymise.

The first half of the pipeline, before anybody's state is known.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple, Protocol

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from profiler.columns import DAY_MS, HOUR_MS, Floats, Hashes, Ints
from profiler.dedupe import partition_code
from profiler.events import (
    TYPE_CODES,
    AnyEvent,
    Erase,
    Rejected,
    Search,
    decode_batch,
    timestamp_ms,
)
from profiler.privacy.pseudonym import Pseudonymiser, subject_of
from profiler.tokens import ContentKey, Contents, hash_text

SEARCH: Final = TYPE_CODES[Search]


class Record(Protocol):
    """A record as it comes from Kafka; aiokafka's and kafka-python's fit."""

    @property
    def topic(self) -> str: ...  # noqa: D102  # Kafka's own words
    @property
    def partition(self) -> int: ...  # noqa: D102
    @property
    def offset(self) -> int: ...  # noqa: D102
    @property
    def timestamp(self) -> int | None: ...  # noqa: D102
    @property
    def key(self) -> bytes | None: ...  # noqa: D102
    @property
    def value(self) -> bytes | None: ...  # noqa: D102
    @property
    def headers(self) -> Sequence[tuple[str, bytes]]: ...  # noqa: D102


class RawRecord(NamedTuple):
    """A record that did not come from Kafka: for tests, files and simulations."""

    topic: str
    partition: int
    offset: int
    timestamp: int | None
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes]] = ()


class Chunk(Struct, frozen=True):
    """Consecutive records of one partition.

    Parameters
    ----------
    topic_code
        0 for events, 1 for forwarded: part of the fence.
    partition
        Their partition.
    records
        In offset order.
    """

    topic_code: int
    partition: int
    records: Sequence[Record]


class Screen(Struct, frozen=True):
    """What an event's time may be, measured against its record's timestamp, never the wall clock.

    Parameters
    ----------
    clock_skew_max_ms
        How far an event may lie after its record.
    event_age_max_ms
        How far before.
    historical_sources
        Values of `source` whose events may be older than that.
    """

    clock_skew_max_ms: int = HOUR_MS
    event_age_max_ms: int = 3_650 * DAY_MS
    historical_sources: frozenset[str] = frozenset()


@dataclass(slots=True)
class Prepared:
    """A batch of N decoded events of R0 subjects, in arrival order, and who must be loaded.

    Parameters
    ----------
    records
        All records of the batch.
    rejected
        Those that cannot be applied.
    pids
        (R0,) whose rows are needed.
    record
        (N,) place of each event in `records`.
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
    """

    records: list[Record]
    rejected: list[Rejected]
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


class _Place(NamedTuple):
    """Where and when the kept events of a batch came from."""

    record: NDArray[np.intp]
    ts: Ints
    stamped_ms: Ints
    partition: Ints


class Preparer:
    """Turns chunks of records into a `Prepared` batch; pure but for its bounded memos.

    Parameters
    ----------
    pseudonymiser
        Gives pids.
    screen
        Bounds of event times.
    """

    def __init__(self, pseudonymiser: Pseudonymiser, screen: Screen) -> None:
        self.contents = Contents()
        self._pid = pseudonymiser.pid
        self._screen = screen

    def prepare(self, chunks: Sequence[Chunk]) -> Prepared:
        """Decode, screen and pseudonymise the records of a batch."""
        records = [record for chunk in chunks for record in chunk.records]
        decoded, rejected = decode_batch([record.value for record in records])
        ts = self._times(decoded)
        code = np.repeat(
            np.array([partition_code(c.topic_code, c.partition) for c in chunks], dtype=np.int64),
            [len(c.records) for c in chunks],
        )
        stamped = np.array([r.timestamp or 0 for r in records], dtype=np.int64)
        rejected = sorted([*rejected, *self._screened(decoded, ts, stamped)], key=lambda r: r.index)
        refused = {r.index for r in rejected}
        events = [e for i, e in enumerate(decoded) if e is not None and i not in refused]
        kept = np.delete(np.arange(len(records)), np.array(sorted(refused), dtype=np.intp))
        place = _Place(kept, ts[kept], stamped[kept], code[kept])
        return self._columns(records, rejected, events, place)

    def _times(self, events: Sequence[AnyEvent | None]) -> Ints:
        try:
            return np.array([0 if e is None else e.ts for e in events], dtype=np.int64)
        except TypeError:
            times = [0 if e is None else timestamp_ms(e.ts) for e in events]
            return np.array(times, dtype=np.int64)

    def _screened(
        self, events: Sequence[AnyEvent | None], ts: Ints, stamped: Ints
    ) -> list[Rejected]:
        known = (stamped > 0) & (ts > 0)
        ahead = known & (ts > stamped + self._screen.clock_skew_max_ms)
        behind = known & (ts < stamped - self._screen.event_age_max_ms)
        rejected = []
        for i in np.flatnonzero(ahead | behind).tolist():
            event = events[i]
            # Whoever asks to be forgotten is heard, whatever their clock says.
            if event is None or isinstance(event, Erase):
                continue
            if ahead[i]:
                rejected.append(Rejected(i, "clock_skew"))
            elif event.source not in self._screen.historical_sources:
                rejected.append(Rejected(i, "too_old"))
        return rejected

    def _columns(
        self,
        records: list[Record],
        rejected: list[Rejected],
        events: list[AnyEvent],
        place: _Place,
    ) -> Prepared:
        kept = place.record
        type_code = np.array([TYPE_CODES[e.__class__] for e in events], dtype=np.intp)
        offset = np.array([records[i].offset for i in kept.tolist()], dtype=np.int64)
        row, pids = self._subjects(events)
        content = self.contents.indices(_content_keys(events, type_code))
        price = np.array([e.price for e in events], dtype=np.float64)
        return Prepared(
            records=records,
            rejected=rejected,
            pids=pids,
            record=kept,
            row=row,
            type_code=type_code,
            ts=place.ts,
            stamped_ms=place.stamped_ms,
            partition=place.partition,
            offset=offset,
            id_hash=_id_hashes(events, records, kept),
            price=np.nan_to_num(price, copy=False, nan=0.0),
            quantity=np.array([e.quantity for e in events], dtype=np.float64),
            hashes=self.contents.hashes[content],
            content=content,
            directions=self.contents.directions,
        )

    def _subjects(self, events: Sequence[AnyEvent]) -> tuple[NDArray[np.intp], list[str]]:
        # A plain text is a user id, by far the most frequent kind.
        subjects: list[str | tuple[str, str]] = [e.user_id or subject_of(e) for e in events]
        place = {subject: k for k, subject in enumerate(dict.fromkeys(subjects))}
        pid = self._pid
        pids = [pid("user", s) if isinstance(s, str) else pid(*s) for s in place]
        return np.array([place[s] for s in subjects], dtype=np.intp), pids


def _content_keys(events: Sequence[AnyEvent], type_code: NDArray[np.intp]) -> list[ContentKey]:
    keys: list[ContentKey] = [(e.item_id, e.category, e.brand, e.title) for e in events]
    for i in np.flatnonzero(type_code == SEARCH).tolist():
        event = events[i]
        assert isinstance(event, Search)
        keys[i] = (None, None, None, event.query)
    return keys


def _id_hashes(
    events: Sequence[AnyEvent], records: Sequence[Record], kept: NDArray[np.intp]
) -> Hashes:
    ids = [e.event_id for e in events]
    if None in ids:
        for i in (i for i, known in enumerate(ids) if known is None):
            record = records[int(kept[i])]
            ids[i] = f"{record.topic}:{record.partition}:{record.offset}"
    return np.array([hash_text(i) for i in ids], dtype=np.uint64)  # type: ignore[arg-type]  # none is None
