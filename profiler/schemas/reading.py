"""What readers of registered schemas share: their contract, and how values become JSON's.

A document is what the same message would be in JSON, so that all formats and mapping files read it:
times are integer milliseconds, decimals numbers, bytes base64, enumerations names.
"""

from __future__ import annotations

import binascii
from collections.abc import Callable
from typing import Any, Final

from profiler.events import TYPE_NAMES

Document = dict[str, Any]
"""A message as JSON would have it."""

Reader = Callable[[bytes], Document]
"""Reads the bytes behind the header. Raises one of `MISREAD` if they do not fit the schema."""

MISREAD: Final = (EOFError, ValueError, LookupError, ArithmeticError, TypeError)
"""What a library raises at bytes that do not fit a schema."""

WHOLE_MAX: Final = 2.0**53
"""Up to here all whole numbers can be told apart."""

_TYPES: Final = frozenset(TYPE_NAMES)


def document_of(fields: Document, name: str) -> Document:
    """Complete a message: without what is null, and of the type that its schema is named after.

    Parameters
    ----------
    fields
        Of the message.
    name
        That of the schema's record or message, without its namespace.

    Examples
    --------
    >>> document_of({"item_id": "cup", "price": None}, "Click")
    {'item_id': 'cup', 'type': 'click'}
    """
    document = {key: value for key, value in fields.items() if value is not None}
    if (kind := name.lower()) in _TYPES:
        document.setdefault("type", kind)
    return document


def base64_of(data: bytes) -> str:
    """Write bytes as JSON has them.

    Examples
    --------
    >>> base64_of(b"cup")
    'Y3Vw'
    """
    return binascii.b2a_base64(data, newline=False).decode()


def finite_of(number: float) -> float | str:
    """Give a number, a whole one as such, or the name of what is none: JSON has no infinity.

    Examples
    --------
    >>> finite_of(2.5), finite_of(2.0), finite_of(float("nan")), finite_of(float("-inf"))
    (2.5, 2, 'nan', '-inf')
    """
    if number.is_integer() and -WHOLE_MAX <= number <= WHOLE_MAX:
        return int(number)
    return number if number - number == 0.0 else str(number)
