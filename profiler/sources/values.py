"""Values of foreign messages brought to ours, or left as they stand.

Vendors write the same number as 5, 5.0 and "5", and the same moment in seconds, milliseconds,
microseconds or ISO 8601. What cannot be read stays: the decoder names its field.
"""

from __future__ import annotations

from typing import Any, Final

from profiler.sources.table import integer, moment, real

SECONDS_MAX: Final = 1e11
TRAITS_MAX: Final = 64
NAME_CHARS_MAX: Final = 64
TRAIT_CHARS_MAX: Final = 1_024

Fields = dict[str, Any]
"""Fields of an event or of a part of one, as JSON values."""


def epoch_ms(value: object) -> object:
    """Milliseconds of a time: ISO 8601 (UTC where it names no zone), or a number since 1970.

    Notes
    -----
    The unit of a number shows in its size: up to 10^11 it is seconds (the year 5138), then
    milliseconds up to 10^14, microseconds up to 10^17, nanoseconds. Milliseconds before March 1973
    are therefore taken for seconds.

    Examples
    --------
    >>> epoch_ms(1767225600), epoch_ms("1767225600000"), epoch_ms(1767225600000123)
    (1767225600000, 1767225600000, 1767225600000)
    >>> epoch_ms(1767225600.123), epoch_ms("1767225600.123")
    (1767225600123, 1767225600123)
    >>> epoch_ms("2026-01-01T01:00:00+01:00"), epoch_ms("2026-01-01 00:00:00"), epoch_ms("soon")
    (1767225600000, 1767225600000, 'soon')
    """
    if isinstance(value, str):
        number = number_of(value)
        if isinstance(number, str):
            return moment(value)
        value = number
    if isinstance(value, bool) or not isinstance(value, int | float):
        return value
    if abs(value) < SECONDS_MAX:
        return round(value * 1_000)
    for limit, per_ms in _UNITS:
        if abs(value) < limit:
            return int(value // per_ms)
    return value


def text_of(value: object) -> object:
    """Text of an id or a name that may have come as a number; what is left out is None.

    Examples
    --------
    >>> text_of(507), text_of(507.0), text_of("507"), text_of("(not set)"), text_of([1])
    ('507', '507', '507', None, [1])
    """
    if isinstance(value, str):
        return None if value in _NOT_SET else value
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


def number_of(value: object) -> object:
    """Read the number that a value is or that its text says.

    Examples
    --------
    >>> number_of("19.5"), number_of("20"), number_of(3), number_of("three")
    (19.5, 20, 3, 'three')
    """
    if not isinstance(value, str):
        return value
    number = integer(value)
    return real(value) if isinstance(number, str) else number


def whole_of(value: object) -> object:
    """Read the whole number that a value is, also as 2.0 or "2".

    Examples
    --------
    >>> whole_of(2.0), whole_of("2"), whole_of(2.5)
    (2, 2, 2.5)
    """
    number = number_of(value)
    return int(number) if isinstance(number, float) and number.is_integer() else number


def currency_of(value: object) -> object:
    """Read the code of a currency, in capitals.

    Examples
    --------
    >>> currency_of("eur")
    'EUR'
    """
    text = text_of(value)
    return text.strip().upper() if isinstance(text, str) else text


def fields_of(value: object) -> Fields:
    """Fields of an object; none if it is no object.

    Examples
    --------
    >>> fields_of({"a": 1}), fields_of(None)
    ({'a': 1}, {})
    """
    return value if isinstance(value, dict) else {}


def objects_of(value: object) -> list[Fields]:
    """Objects of a list; none if it is no list.

    Examples
    --------
    >>> objects_of([{"a": 1}, 2]), objects_of("text")
    ([{'a': 1}], [])
    """
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []


def name_of(value: object) -> str:
    """Name of a foreign event, in lower case, its words joined by ``_``.

    Examples
    --------
    >>> name_of("Product Added"), name_of("add-to-basket"), name_of(None)
    ('product_added', 'add_to_basket', '')
    """
    if not isinstance(value, str):
        return ""
    return "_".join(value.lower().replace("-", " ").replace("_", " ").split())


def word_of(value: object) -> str:
    """Write a single value as the keys of a table in a mapping file are written.

    Examples
    --------
    >>> word_of(True), word_of(3), word_of("view")
    ('true', '3', 'view')
    """
    return str(value).lower() if isinstance(value, bool) else str(text_of(value))


def first_of(fields: Fields, *names: str) -> object:
    """Give the first of these fields that is present and not empty.

    Examples
    --------
    >>> first_of({"a": "", "b": 0, "c": 1}, "a", "b", "c")
    0
    """
    for name in names:
        if fields.get(name) not in (None, ""):
            return fields[name]
    return None


def flat_traits(traits: Fields) -> Fields:
    """Traits that are single values or lists of them, those of nested objects as ``address.city``.

    The rest is left out: deeper objects, what is too long, and what is too much.

    Examples
    --------
    >>> flat_traits({"plan": "pro", "address": {"city": "Oslo"}, "tags": ["a", ["b"]]})
    {'plan': 'pro', 'address.city': 'Oslo', 'tags': ['a']}
    """
    pairs: list[tuple[str, Any]] = []
    for name, value in traits.items():
        if isinstance(value, dict):
            pairs += [(f"{name}.{inner}", one) for inner, one in value.items()]
        else:
            pairs.append((name, value))
    kept = []
    for name, value in pairs:
        if isinstance(value, list):
            several = [one for one in value if _is_trait(one)][:TRAITS_MAX]
            if several and 0 < len(name) <= NAME_CHARS_MAX:
                kept.append((name, several))
        elif _is_trait(value) and 0 < len(name) <= NAME_CHARS_MAX:
            kept.append((name, value))
    return dict(kept[:TRAITS_MAX])


def _is_trait(value: object) -> bool:
    if isinstance(value, str):
        return len(value) <= TRAIT_CHARS_MAX
    return not isinstance(value, dict | list)


_UNITS: Final = ((1e14, 1), (1e17, 1_000), (1e20, 1_000_000))
"""Below which size a number is in which part of a millisecond."""
_NOT_SET: Final = ("", "(not set)")
