"""The contract of a source: lines of a foreign data set's original file become native events.

A source works on lines, whatever the file was: `streams.replay` opens and unpacks files and renders
typed ones (Parquet) in the source's own text form. What a source cannot read it passes on as it
stands, so that the worker dead-letters it with its reason; nothing is dropped in silence.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final, Literal, NamedTuple, Protocol

import msgspec
import xxhash
from msgspec import Struct

Form = Literal["csv", "json", "text"]


class Converted(Struct, frozen=True, gc=False):
    """One record for the topic of events.

    Parameters
    ----------
    key
        The subject's id as UTF-8, by which ordinary producers partition; None where it is unknown.
    value
        A native event as JSON, or the original bytes of a row that could not be read.
    ts_ms
        Event time, for pacing and sorting; None where it is unknown.
    """

    key: bytes | None
    value: bytes
    ts_ms: int | None = None


class Columns(Struct, frozen=True):
    """What is known of the columns of a table.

    Parameters
    ----------
    names
        In the order in which rows give their fields.
    people
        Those that identify somebody: their values are never shown.
    steady
        Pairs of which the second should not change while the first is the same.
    """

    names: tuple[str, ...]
    people: frozenset[str] = frozenset()
    steady: tuple[tuple[str, str], ...] = ()


class Row(NamedTuple):
    """A row of a file before it is converted.

    Parameters
    ----------
    number
        Its place in the file, from 1, a header not counted.
    value
        Its original bytes, without the line end.
    fields
        Of a table's row, in the order of `columns`; None of whatever is no row of it.
    columns
        Those of the table; None in files of another form.
    """

    number: int
    value: bytes
    fields: Sequence[str] | None = None
    columns: Columns | None = None


See = Callable[[Row], bool]
"""Shown each row before its records are given; the row is left out where it returns false."""


class Source(Protocol):
    """A foreign format. `convert` is pure: no file, no clock, no state between calls."""

    @property
    def name(self) -> str:
        """What `profiler replay --source` and an event's `source` say."""
        ...

    @property
    def form(self) -> Form:
        """Text form of a row: a line of separated fields, of JSON, or of whatever it knows."""
        ...

    def convert(
        self, lines: Iterable[bytes], stem: str, see: See | None = None
    ) -> Iterator[Converted]:
        """Give the records of a file, row by row, each row read only when it is asked for.

        Parameters
        ----------
        stem
            The file's path without extensions.
        see
            Sees the rows; by default nobody does, and it costs nothing.
        """
        ...


class Origin(Struct, frozen=True, gc=False):
    """Where converted events come from: gives each its `event_id` and `source`.

    Examples
    --------
    >>> origin = Origin("taobao", "UserBehavior")
    >>> origin.record({"type": "click", "ts": 5, "user_id": "7"}, "12")
    Converted(key=b'7', value=b'{"type":"click","ts":5,"user_id":"7",\
"event_id":"taobao:UserBehavior:12","source":"taobao"}', ts_ms=5)
    """

    source: str
    stem: str

    def __post_init__(self) -> None:
        """Shorten a long name to its end and a hash, so that it still differs from others."""
        if len(self.stem) > STEM_CHARS_MAX:
            digest = xxhash.xxh3_64_hexdigest(self.stem.encode())
            end = self.stem[len(digest) + 1 - STEM_CHARS_MAX :]
            msgspec.structs.force_setattr(self, "stem", f"{digest}-{end}")

    def record(self, event: dict[str, object], row: str, *, keep: bool = False) -> Converted:
        """Make the record of an event that was read from a row. Completes `event` in place.

        Parameters
        ----------
        keep
            Keep the id and the source that the event has; two rows with the same id are then one
            event.
        """
        if not keep or not event.get("event_id"):
            event["event_id"] = f"{self.source}:{self.stem}:{row}"
        if not keep or not event.get("source"):
            event["source"] = self.source
        subject = event.get("user_id") or event.get("device_id") or event.get("anonymous_id")
        ts = event.get("ts")
        return Converted(
            subject.encode() if isinstance(subject, str) else None,
            _ENCODE(event),
            ts if isinstance(ts, int) else None,
        )


STEM_CHARS_MAX: Final = 80
"""Keeps an event id within its 128 characters, whatever the file is called."""

_ENCODE: Final = msgspec.json.Encoder().encode
