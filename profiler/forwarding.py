"""Events on their way to their home partition: where they came from, and which have been seen.

An event that arrives in another partition than its subject's home is sent on to the home, in a
record that carries its origin. Forwards from one origin partition reach a home in order: every
sender starts at or below the committed offset and sends in order, zombies included. So the reader
of a home only has to remember the highest origin offset by origin partition, and drops what is not
above it. It keeps that memory beside the offset that it commits, so that both always agree.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

import msgspec

from profiler.dedupe import is_forwarded, partition_number
from profiler.identity import Look
from profiler.records import Forward, RawRecord, Record

ORIGIN_HEADER: Final = "profiler.origin"
LOOK_HEADER: Final = "profiler.look"
METADATA_BYTES_MAX: Final = 4_096
"""What Kafka keeps with a committed offset by default (``offset.metadata.max.bytes``)."""
ORIGINS_MAX: Final = 400
"""Partitions of events whose offsets fit into that, each below 2**42."""

_LOOK_ENCODER: Final = msgspec.json.Encoder()
_LOOK_DECODER: Final = msgspec.json.Decoder(Look)
_VERSION: Final = "1"
_CONTINUES: Final = 0x80


class Admitted(NamedTuple):
    """What is left of a chunk of forwarded records.

    Parameters
    ----------
    records
        As they first arrived: topic, partition, offset and timestamp are those of the origin.
    offsets
        Their offsets in the home partition.
    origins
        Codes of the partitions where they first arrived.
    n_repeated
        Records that had been seen before.
    looks
        Requests to look at somebody again, which are no events and may come as often as they like.
    """

    records: list[Record]
    offsets: list[int]
    origins: list[int]
    n_repeated: int
    looks: list[Look]


class Seen:
    """Which forwards have reached one home partition.

    Parameters
    ----------
    topic
        Full name of the topic from which events are forwarded.
    highest
        Highest origin offset by code of the origin partition.

    Examples
    --------
    >>> seen = Seen("profiler.events", {0: 17, 3: 1_000_000})
    >>> seen.encode()
    '1ABEDwIQ9'
    >>> Seen.decode("profiler.events", seen.encode()).highest
    {0: 17, 3: 1000000}
    """

    def __init__(self, topic: str, highest: Mapping[int, int] | None = None) -> None:
        self.highest = dict(highest or {})
        self._topic = topic

    def admit(self, records: Sequence[Record]) -> Admitted:
        """Drop what has been seen, and note the rest as seen.

        A record without an origin, which nobody here has sent, is its own origin.
        """
        admitted = Admitted([], [], [], 0, [])
        n_repeated = 0
        highest = self.highest
        for record in records:
            origin = origin_of(record)
            if origin is None:
                if look := look_of(record):
                    admitted.looks.append(look)
                    continue
                admitted.records.append(record)
                admitted.offsets.append(record.offset)
                admitted.origins.append(record.partition)
                continue
            code, offset, timestamp = origin
            if offset <= highest.get(code, -1):
                n_repeated += 1
                continue
            if code not in highest:
                self._forget_former(code)
            highest[code] = offset
            partition = partition_number(code)
            headers = without_origin(record.headers)
            admitted.records.append(
                RawRecord(
                    self._topic, partition, offset, timestamp, record.key, record.value, headers
                )
            )
            admitted.offsets.append(record.offset)
            admitted.origins.append(code)
        return admitted._replace(n_repeated=n_repeated)

    def _forget_former(self, code: int) -> None:
        """Forget a partition as it was before its topic was made anew: else the text only grows."""
        place = is_forwarded(code), partition_number(code)
        for known in [c for c in self.highest if c < code]:
            if (is_forwarded(known), partition_number(known)) == place:
                del self.highest[known]

    def encode(self) -> str:
        """Write it as text for the metadata of an offset commit: about 8 bytes per partition."""
        packed = bytearray()
        before = 0
        for partition in sorted(self.highest):
            _put_number(packed, partition - before)
            _put_number(packed, self.highest[partition])
            before = partition
        return _VERSION + base64.b64encode(packed).decode().rstrip("=")

    @classmethod
    def decode(cls, topic: str, text: str) -> Seen:
        """Read what `encode` wrote.

        Raises
        ------
        ValueError
            If it did not write this.
        """
        try:
            packed = base64.b64decode(text[1:] + "=" * (-(len(text) - 1) % 4), validate=True)
        except binascii.Error:
            packed = bytes([_CONTINUES])
        numbers = _numbers(packed)
        if text[:1] != _VERSION or packed[-1:] >= bytes([_CONTINUES]) or len(numbers) % 2:
            raise ValueError(f"no vector of origins: {text!r}")
        highest: dict[int, int] = {}
        partition = 0
        for step, offset in zip(numbers[::2], numbers[1::2], strict=True):
            partition += step
            highest[partition] = offset
        return cls(topic, highest)


def look_record(look: Look) -> RawRecord:
    """Write a look as a record without a key."""
    return RawRecord("", 0, 0, None, None, None, [(LOOK_HEADER, _LOOK_ENCODER.encode(look))])


def look_of(record: Record) -> Look | None:
    """Read what `look_record` wrote; None of any other record."""
    if record.value is None:
        for name, value in record.headers:
            if name == LOOK_HEADER:
                try:
                    return _LOOK_DECODER.decode(value)
                except msgspec.DecodeError:
                    return None
    return None


def headers_of(forward: Forward) -> list[tuple[str, bytes]]:
    """Headers of a record on its way: those of its producer, and where it arrived."""
    # A producer may have copied records out of this very topic, headers and all.
    headers = without_origin(forward.record.headers)
    return headers if forward.origin is None else [*headers, origin_header(forward)]


def origin_header(forward: Forward) -> tuple[str, bytes]:
    """Header that tells where a record arrived: code of the partition, offset and timestamp."""
    record = forward.record
    timestamp = -1 if record.timestamp is None else record.timestamp
    return ORIGIN_HEADER, b"%d:%d:%d" % (forward.origin or 0, record.offset, timestamp)


def without_origin(headers: Sequence[tuple[str, bytes]]) -> list[tuple[str, bytes]]:
    """Headers as the producer set them."""
    return [header for header in headers if header[0] != ORIGIN_HEADER]


def origin_of(record: Record) -> tuple[int, int, int | None] | None:
    """Code of the partition, offset and timestamp at which a forwarded record arrived.

    None where it does not say so, or says what cannot be.
    """
    for name, value in reversed(record.headers):
        if name == ORIGIN_HEADER:
            try:
                code, offset, timestamp = map(int, value.split(b":"))
            except ValueError:
                return None
            if code < 0 or offset < 0:
                return None
            return code, offset, None if timestamp < 0 else timestamp
    return None


def _put_number(packed: bytearray, number: int) -> None:
    """Seven bits a byte, the lowest first; all but the last have the highest bit set (LEB128)."""
    while number >= _CONTINUES:
        packed.append(number % _CONTINUES | _CONTINUES)
        number //= _CONTINUES
    packed.append(number)


def _numbers(packed: bytes) -> list[int]:
    numbers: list[int] = []
    number = shift = 0
    for byte in packed:
        number |= byte % _CONTINUES << shift
        shift += 7
        if byte < _CONTINUES:
            numbers.append(number)
            number = shift = 0
    return numbers
