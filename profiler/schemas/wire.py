"""Confluent's wire format: a zero byte, the schema's id in four bytes, and the encoded value.

References
----------
"Wire format", Confluent Schema Registry, "Formats, serializers, and deserializers".
"""

from __future__ import annotations

from typing import Final

MAGIC: Final = 0
"""First byte of such a value. No JSON text begins with it."""

HEADER_BYTES: Final = 5
VARINT_BYTES_MAX: Final = 10


def is_framed(value: bytes | None) -> bool:
    """Whether a value names its schema.

    Examples
    --------
    >>> is_framed(bytes([0, 0, 0, 0, 7, 1])), is_framed(b"{}"), is_framed(None)
    (True, False, False)
    """
    return value is not None and len(value) >= HEADER_BYTES and value[0] == MAGIC


def schema_id(value: bytes) -> int:
    """Id of the schema that a framed value names.

    Examples
    --------
    >>> schema_id(bytes([0, 0, 0, 1, 7, 1]))
    263
    """
    return int.from_bytes(value[1:HEADER_BYTES], "big")


def read_varint(data: bytes, start: int) -> tuple[int, int]:
    """Read a zigzag number of variable length; returns it and where it ends.

    Raises
    ------
    ValueError
        If there is none.

    Examples
    --------
    >>> read_varint(bytes([4]), 0), read_varint(bytes([0xAC, 0x02]), 0)
    ((2, 1), (150, 2))
    """
    number = 0
    for place, byte in enumerate(data[start : start + VARINT_BYTES_MAX]):
        number |= (byte & 0x7F) << (7 * place)
        if byte < 0x80:
            return (number >> 1) ^ -(number & 1), start + place + 1
    raise ValueError("a number of variable length does not end")
