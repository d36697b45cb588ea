"""Our own events, one JSON object a line: passed through byte for byte, broken ones included.

Only what partitioning and pacing need is read from a line: the subject and the event time.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

import msgspec
from msgspec import Struct

from profiler.sources.source import Converted, Form, Row, See, Source
from profiler.sources.table import moment


class _Envelope(Struct, gc=False):
    ts: int | str | None = None
    user_id: str | None = None
    device_id: str | None = None
    anonymous_id: str | None = None


class Native(Struct, frozen=True):
    """JSON lines of ours. Blank lines are no records."""

    name: str = "native"

    @property
    def form(self) -> Form:
        """Lines of JSON."""
        return "json"

    def convert(
        self, lines: Iterable[bytes], stem: str, see: See | None = None
    ) -> Iterator[Converted]:
        """Give the lines themselves, each with its subject as key."""
        for number, line in enumerate(lines, 1):
            value = line.rstrip(b"\r\n")
            if value and (see is None or see(Row(number, value))):
                yield _converted(value)


def _converted(value: bytes) -> Converted:
    try:
        envelope = _DECODE(value)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return Converted(None, value)
    subject = envelope.user_id or envelope.device_id or envelope.anonymous_id
    ts = moment(envelope.ts) if isinstance(envelope.ts, str) else envelope.ts
    return Converted(
        subject.encode() if subject else None, value, ts if isinstance(ts, int) else None
    )


_DECODE: Final = msgspec.json.Decoder(_Envelope).decode

SOURCE: Final[Source] = Native()
