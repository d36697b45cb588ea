"""What is wrong with a record that was not decoded: by the message of the decoder, or by its text.

A message may quote what the producer wrote, so it is read from its ends only.
"""

from __future__ import annotations

import json
import re
from typing import Final

_PATH: Final = re.compile(r" - at `\$\.([a-z_]+)[^`]*`\Z")
_MISSING: Final = re.compile(r"\AObject missing required field `([a-z_]+)`\Z")
_UNKNOWN_TYPE: Final = re.compile(r"\AInvalid value '.*' - at `\$\.type`\Z", re.DOTALL)
_NON_FINITE: Final = object()


def is_unknown_type(message: str) -> bool:
    """Whether msgspec says that no event type has this tag."""
    return _UNKNOWN_TYPE.match(message) is not None


def is_no_object(message: str) -> bool:
    """Whether msgspec says that the record is something else than a JSON object."""
    return message.startswith("Expected `object`") and field_at_fault(message) is None


def field_at_fault(message: str) -> str | None:
    """Field of an event that msgspec complains of.

    Examples
    --------
    >>> field_at_fault("Expected `int`, got `str` - at `$.ts`")
    'ts'
    >>> field_at_fault("Invalid enum value 'x - at `$.price`' - at `$.action`")
    'action'
    """
    found = _MISSING.search(message) or _PATH.search(message)
    return found[1] if found else None


def non_finite_fields(value: bytes) -> list[str]:
    """Fields of a JSON text that hold NaN or an infinity, at any depth; none if it is no such text.

    Examples
    --------
    >>> non_finite_fields(b'{"price": NaN, "traits": {"a": -Infinity}, "ts": 1}')
    ['price', 'traits']
    """
    if b"NaN" not in value and b"Infinity" not in value:
        return []
    try:
        fields = json.loads(value, parse_constant=lambda _: _NON_FINITE)
        return [name for name, held in fields.items() if _is_non_finite(held)]
    except (ValueError, RecursionError, AttributeError):
        return []


def _is_non_finite(held: object) -> bool:
    if isinstance(held, dict):
        return any(map(_is_non_finite, held.values()))
    if isinstance(held, list):
        return any(map(_is_non_finite, held))
    return held is _NON_FINITE
