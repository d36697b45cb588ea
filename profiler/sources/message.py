"""The contract of a format: one message of a foreign system becomes native events.

A format works on single messages, wherever they come from: records of Kafka with their headers, or
lines of a file (`Messages` makes a source of it). What it cannot read it passes on as it stands:
the decoder names the field in the dead letter, so nothing is validated twice.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from typing import Any, Final, Protocol

import msgspec
import xxhash
from msgspec import Struct

from profiler.sources.source import Converted, Form, Origin, Row, See
from profiler.sources.table import moment
from profiler.sources.values import Fields as Fields  # whoever writes a format needs it too

EVENT_ID_CHARS_MAX: Final = 128


class Message:
    """A record as a format sees it.

    Parameters
    ----------
    value
        Its bytes.
    headers
        Names and values, as Kafka has them.
    stamped_ms
        The record's own timestamp, ms; None where there is none.
    document
        What the value says, where that is known: it was no JSON.

    Examples
    --------
    >>> message = Message(b'{"a": 1}', [("ce_id", b"7")])
    >>> message.document, message.header("ce_id"), message.header("ce_type")
    ({'a': 1}, '7', None)
    """

    def __init__(
        self,
        value: bytes,
        headers: Sequence[tuple[str, bytes]] = (),
        stamped_ms: int | None = None,
        document: Fields | None = None,
    ) -> None:
        self.value = value
        self.stamped_ms = stamped_ms
        if document is not None:
            self.document = document
        self._headers = headers

    @cached_property
    def document(self) -> Any:
        """The value as JSON; None if it is none."""
        try:
            return _DECODE(self.value)
        except (msgspec.DecodeError, UnicodeError, RecursionError):
            return None

    @property
    def object(self) -> Fields:
        """The value as a JSON object; empty if it is none."""
        return self.document if isinstance(self.document, dict) else {}

    def header(self, name: str) -> str | None:
        """Text of a header, None where it is missing. Names are compared without case."""
        for key, value in self._headers:
            # Kafka knows headers without a value.
            if key.lower() == name and value is not None:
                return value.decode(errors="replace")
        return None


class Format(Protocol):
    """What one foreign system's messages look like. Pure: no file, clock or state."""

    @property
    def name(self) -> str:
        """What `PROFILER_FORMAT`, `--source` and an event's `source` say."""
        ...

    def recognises(self, message: Message) -> bool:
        """Whether this is one of its messages: by marks that no other format has."""
        ...

    def events(self, message: Message) -> list[Fields]:
        """Native events of a message; none if it says nothing that a profile could use.

        What cannot be read stays in its field as it stands.
        """
        ...


class Messages(Struct, frozen=True):
    """A format as a source of files: one message a line.

    Parameters
    ----------
    format
        That of the lines.
    form
        In which text form its messages are.
    """

    format: Format
    form: Form = "json"

    @property
    def name(self) -> str:
        """That of the format."""
        return self.format.name

    def convert(
        self, lines: Iterable[bytes], stem: str, see: See | None = None
    ) -> Iterator[Converted]:
        """Give the events of the lines; a line that is not of the format is passed on unchanged."""
        origin = Origin(self.name, stem)
        for number, line in enumerate(lines, 1):
            value = line.rstrip(b"\r\n")
            if not value or (see is not None and not see(Row(number, value))):
                continue
            message = Message(value)
            if not self.format.recognises(message):
                yield Converted(None, value)
                continue
            try:
                yield from self._converted(message, origin, number)
            except (ValueError, OverflowError, RecursionError):
                # It holds what cannot be written again, such as an integer of 400 digits.
                yield Converted(None, value)

    def _converted(self, message: Message, origin: Origin, number: int) -> list[Converted]:
        records = []
        for part, event in enumerate(self.format.events(message)):
            if isinstance(ts := event.get("ts"), str):
                event["ts"] = moment(ts)
            row = f"{number}.{part}" if part else str(number)
            records.append(origin.record(event, row, keep=True))
        return records


def event_id(*parts: object) -> str | None:
    """Make an id of the parts of a foreign one: joined, or hashed where that is too long.

    Examples
    --------
    >>> event_id("shop", 7), event_id("shop", None)
    ('shop:7', None)
    """
    if any(part in (None, "") for part in parts):
        return None
    text = ":".join(map(str, parts))
    return text if len(text) <= EVENT_ID_CHARS_MAX else xxhash.xxh3_128_hexdigest(text.encode())


def numbered(events: list[Fields]) -> list[Fields]:
    """Give the events of one foreign event ids of their own: ``id``, ``id:1`` and so on.

    Examples
    --------
    >>> [event["event_id"] for event in numbered([{"event_id": "order"}, {"event_id": "order"}])]
    ['order', 'order:1']
    """
    for k, event in enumerate(events):
        if k and isinstance(event.get("event_id"), str):
            event["event_id"] = event_id(event["event_id"], k)
    return events


def present(**fields: Any) -> Fields:
    """Fields that are neither missing nor empty.

    Examples
    --------
    >>> present(a=0, b=None, c="")
    {'a': 0}
    """
    return {name: value for name, value in fields.items() if value is not None and value != ""}


_DECODE: Final = msgspec.json.Decoder().decode
