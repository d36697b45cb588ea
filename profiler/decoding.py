"""From records to events, whatever format each record is in.

Native events are decoded at once (`profiler.events.decode_batch`). What is none of them, or has
headers that say more, is looked at again, one by one, by the formats that recognise it. Values that
name a registered schema are opened first (`profiler.schemas`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from profiler.events import (
    EVENT_BYTES_MAX,
    AnyEvent,
    Rejected,
    decode_batch,
    event_of,
)
from profiler.records import Record
from profiler.schemas import Opened, Schemas, is_framed
from profiler.sources import FORMATS, Format, Message

EVENTS_MAX: Final = 1_000
"""Events of one record; one that gives more is refused as ``oversize``."""

MARK: Final = "ce_"
"""How names of headers begin that complete a value which may look complete (CloudEvents)."""


class Decoded(NamedTuple):
    """N events of a number of records.

    Parameters
    ----------
    events
        In the order of their records.
    record
        (N,) place of each event's record.
    rejected
        Records that cannot be read, in order: of these there are no events at all.
    n_unused
        Records that say nothing that a profile could use.
    """

    events: list[AnyEvent]
    record: NDArray[np.intp]
    rejected: list[Rejected]
    n_unused: int


class Decodes(Protocol):
    """What turns records into events: a `Decoder`, or somebody who watches one."""

    @property
    def schemas(self) -> Schemas | None:
        """Registered schemas that it knows; None if it opens no such records."""
        ...

    def decode(self, records: Sequence[Record]) -> Decoded:
        """Events of these records."""
        ...


class Decoder:
    r"""Decodes records of any format.

    Parameters
    ----------
    formats
        Those that are recognised besides native events.
    only
        All records are of this format: nothing is recognised.
    schemas
        Opens values that name a registered schema; without them such values are refused.

    Examples
    --------
    >>> from profiler.records import RawRecord
    >>> value = b'{"specversion":"1.0","type":"com.shop.click","source":"web","id":"7",' \
    ...     b'"time":"1970-01-01T00:00:01Z","subject":"alice","data":{"item_id":"cup"}}'
    >>> events, record, rejected, n_unused = Decoder().decode(
    ...     [RawRecord("t", 0, 0, None, None, v) for v in (value, b"?")]
    ... )
    >>> events[0].user_id, events[0].item_id, events[0].event_id, record, rejected
    ('alice', 'cup', 'web:7', array([0]), [Rejected(index=1, reason='malformed')])
    """

    def __init__(
        self,
        formats: Sequence[Format] = FORMATS,
        only: Format | None = None,
        schemas: Schemas | None = None,
    ) -> None:
        self.schemas = schemas
        self._formats = formats
        self._only = only

    def decode(self, records: Sequence[Record]) -> Decoded:
        """Events of these records."""
        values = [record.value for record in records]
        opened = {} if self.schemas is None else self.schemas.open_all(values)
        if self._only is not None:
            return self._again(records, opened, [None] * len(records), {}, range(len(records)))
        events, rejected = _decode_opened(values, opened) if opened else decode_batch(values)
        doubtful = [i for i, r in enumerate(records) if r.headers and _is_marked(r)]
        if not rejected and not doubtful:
            # Mypy cannot know that without a rejection there is no gap.
            return Decoded(events, np.arange(len(records)), [], 0)  # type: ignore[arg-type]
        reasons = {r.index: r.reason for r in rejected}
        return self._again(records, opened, events, reasons, sorted({*doubtful, *reasons}))

    def _again(
        self,
        records: Sequence[Record],
        opened: Mapping[int, Opened],
        native: Sequence[AnyEvent | None],
        reasons: dict[int, str],
        doubtful: Sequence[int],
    ) -> Decoded:
        """Look at doubtful records one by one; the others are what they were decoded as."""
        found: list[Sequence[AnyEvent]] = [[e] if e is not None else () for e in native]
        n_unused = 0
        for i in doubtful:
            result = self._foreign(records[i], opened.get(i))
            if result is None:
                continue
            reasons.pop(i, None)
            if isinstance(result, str):
                found[i], reasons[i] = (), result
            else:
                found[i] = result
                n_unused += not result
        counts = [len(events) for events in found]
        return Decoded(
            [event for events in found for event in events],
            np.repeat(np.arange(len(records)), counts),
            [Rejected(i, reasons[i]) for i in sorted(reasons)],
            n_unused,
        )

    def _foreign(self, record: Record, opened: Opened | None) -> list[AnyEvent] | str | None:
        """Events of a record, or why there are none; None if no format knows it."""
        value = record.value
        if value is None:
            return "malformed" if self._only else None
        if len(value) > EVENT_BYTES_MAX:
            return "oversize"
        if opened is None and is_framed(value):
            return "unknown_schema"
        opened = opened or Opened(text=value)
        if opened.reason is not None:
            return opened.reason
        message = Message(opened.text or b"", record.headers, record.timestamp, opened.document)
        for format in self._formats if self._only is None else (self._only,):
            if format.recognises(message):
                return _validated(format, message)
        return "malformed" if self._only else None


def _decode_opened(
    values: Sequence[bytes | None], opened: Mapping[int, Opened]
) -> tuple[list[AnyEvent | None], list[Rejected]]:
    """Do what `decode_batch` does, for values of which some name a schema."""
    read = {i: one for i, one in opened.items() if one.text is None}
    plain = [i for i in range(len(values)) if i not in read]
    decoded, refused = decode_batch([opened[i].text if i in opened else values[i] for i in plain])
    events: list[AnyEvent | None] = [None] * len(values)
    for i, event in zip(plain, decoded, strict=True):
        events[i] = event
    rejected = [Rejected(plain[r.index], r.reason) for r in refused]
    for i, one in read.items():
        found = one.reason if one.document is None else event_of(one.document)
        assert found is not None, "what was opened is text, a document, or a reason"
        if isinstance(found, str):
            rejected.append(Rejected(i, found))
        else:
            events[i] = found
    return events, sorted(rejected, key=lambda r: r.index)


def _is_marked(record: Record) -> bool:
    """Whether a record's headers say more than its value."""
    return any(name[:3].lower() == MARK for name, _ in record.headers)


def _validated(format: Format, message: Message) -> list[AnyEvent] | str:
    fields = format.events(message)
    if len(fields) > EVENTS_MAX:
        return "oversize"
    events: list[AnyEvent] = []
    for one in fields:
        one.setdefault("source", format.name)
        event = event_of(one)
        if isinstance(event, str):
            return event
        events.append(event)
    return events


__all__ = ["EVENTS_MAX", "Decoded", "Decoder", "Decodes"]
