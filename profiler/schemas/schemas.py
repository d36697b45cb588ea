"""Schemas by id as far as they are known, and framed values opened with them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final

from msgspec import Struct

from profiler.schemas.reading import MISREAD, Document, Reader
from profiler.schemas.wire import HEADER_BYTES, MAGIC, is_framed, schema_id

SCHEMAS_MAX: Final = 1_000
"""Schemas that are remembered; the oldest make room."""


class Known(Struct, frozen=True):
    """A schema that can be read.

    Parameters
    ----------
    reader
        Reads its values; None where they are JSON.
    """

    reader: Reader | None


class Opened(Struct, frozen=True, gc=False):
    """What a framed value holds.

    Parameters
    ----------
    text
        JSON, which is read like any other.
    document
        A message that was read by its schema.
    reason
        Why there is neither: one of `profiler.events.REASONS`.
    """

    text: bytes | None = None
    document: Document | None = None
    reason: str | None = None


Fetch = Callable[[int], Known | None]
"""Gives the schema of an id, None if nobody knows it. May wait for the network."""


class Schemas:
    """Opens framed values. Ids are immutable, so that what is known is never asked for again.

    Parameters
    ----------
    fetch
        Is asked for what is not known. A worker asks itself beforehand (`missing`, `put`), where
        it may wait; programs that read a log from end to end simply wait here.

    Examples
    --------
    >>> schemas = Schemas({7: Known(None)}.get)
    >>> schemas.open(bytes([0, 0, 0, 0, 7]) + b"{}").text
    b'{}'
    >>> schemas.open(bytes([0, 0, 0, 0, 8]) + b"{}").reason
    'unknown_schema'
    """

    def __init__(self, fetch: Fetch) -> None:
        self.fetch = fetch
        self._known: dict[int, Known | None] = {}

    def missing(self, values: Iterable[bytes | None]) -> list[int]:
        """Ids that these values name and nobody has been asked for, or nobody knew."""
        ids = {value[1:HEADER_BYTES] for value in values if value and value[0] == MAGIC}
        found = [int.from_bytes(one, "big") for one in ids if len(one) == HEADER_BYTES - 1]
        return [one for one in found if self._known.get(one) is None]

    def put(self, found: Mapping[int, Known | None]) -> None:
        """Remember what was found; None where nobody knows the id."""
        for one in found:
            self._known.pop(one, None)
        room = max(0, SCHEMAS_MAX - len(found))
        for oldest in list(self._known)[: max(0, len(self._known) - room)]:
            del self._known[oldest]
        self._known.update(found)

    def open_all(self, values: Sequence[bytes | None]) -> dict[int, Opened]:
        """Open those of these values that are framed, by their places."""
        framed = [i for i, value in enumerate(values) if value and value[0] == MAGIC]
        return {i: self.open(value) for i in framed if (value := values[i]) and is_framed(value)}

    def open(self, value: bytes) -> Opened:
        """Open a framed value."""
        one = schema_id(value)
        if one not in self._known:
            self.put({one: self.fetch(one)})
        known = self._known[one]
        if known is None:
            return Opened(reason="unknown_schema")
        if known.reader is None:
            return Opened(text=value[HEADER_BYTES:])
        try:
            return Opened(document=known.reader(value[HEADER_BYTES:]))
        except MISREAD:
            return Opened(reason="malformed")
