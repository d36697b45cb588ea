"""Mapping files: TOML, checked from end to end, into a `profiler.sources.mapping.Mapping`.

Whatever is wrong is refused with the file, the section and the key, and with what would be right.
"""

from __future__ import annotations

import difflib
import math
import tomllib
from collections.abc import Callable, Collection
from typing import Any, Final, NoReturn, TypeGuard

import msgspec
from msgspec import Struct

from profiler.errors import ConfigurationError
from profiler.events import EVENT_TYPES, TYPE_NAMES, Event, Trait
from profiler.sources.mapping import Binding, Condition, Mapping, Path, Section
from profiler.sources.message import Fields, event_id
from profiler.sources.values import (
    NAME_CHARS_MAX,
    currency_of,
    epoch_ms,
    number_of,
    text_of,
    whole_of,
    word_of,
)

PATH_PARTS_MAX: Final = 16
MEASURE_MAX: Final = 1e20
SUBJECTS: Final = ("user_id", "device_id", "anonymous_id")


def parse_mapping(text: bytes, file: str) -> Mapping:
    """Read a mapping file.

    Parameters
    ----------
    text
        Its contents.
    file
        Its name, for messages.

    Raises
    ------
    ConfigurationError
        Naming the file, the section and the key of what is wrong, and what would be right.

    Examples
    --------
    >>> from profiler.sources.message import Message
    >>> mapping = parse_mapping(b'''
    ... [view]
    ... type = "browse"
    ... when = { kind = "view" }
    ... fields = { user_id = "who", ts = { path = "at", unit = "s" }, item_id = "what" }
    ... ''', "shop.toml")
    >>> mapping.events(Message(b'{"kind": "view", "who": 7, "at": 5, "what": "cup"}'))
    [{'type': 'browse', 'user_id': '7', 'ts': 5000, 'item_id': 'cup'}]
    """
    try:
        tables = tomllib.loads(text.decode())
    except ValueError as cause:
        raise ConfigurationError(file, f"is not TOML: {cause}") from cause
    if not tables:
        raise ConfigurationError(file, "has no section")
    sections = [_section(_Place(file, name), table) for name, table in tables.items()]
    for name, section in list(zip(tables, sections, strict=True))[:-1]:
        if not section.conditions:
            _Place(file, name, "when").refuse(
                "is missing, so that no message would reach the sections below: move this one to "
                "the end"
            )
    return Mapping(tuple(sections))


class _Place(Struct, frozen=True):
    """Where in a file something stands, to say what is wrong there."""

    file: str
    section: str
    key: str = ""

    def at(self, key: str) -> _Place:
        return _Place(self.file, self.section, f"{self.key}.{key}" if self.key else key)

    def refuse(self, problem: str) -> NoReturn:
        raise ConfigurationError(f"{self.file} [{self.section}] {self.key}".rstrip(), problem)

    def choose(self, name: object, names: Collection[str], what: str) -> None:
        """Refuse a name that is not one of these."""
        if not names:
            self.refuse(f"there is no {what} for this")
        if name not in names:
            near = difflib.get_close_matches(str(name), names, n=1)
            hint = f"did you mean {near[0]}? " if near else ""
            self.refuse(f"unknown {what} {name!r}; {hint}there are {', '.join(sorted(names))}")

    def table(self, value: Any, keys: Collection[str] | None = None) -> Fields:
        """Give a table, all of whose keys are among these."""
        if not isinstance(value, dict):
            self.refuse("is no table")
        for key in value if keys is not None else ():
            self.at(key).choose(key, keys or (), "key")
        return value


def _section(place: _Place, given: Any) -> Section:
    table = place.table(given, ("type", "when", "items", "fields"))
    if "type" not in table:
        place.at("type").refuse(f"is missing; there are {', '.join(TYPE_NAMES)}")
    items = _path(place.at("items"), table["items"]) if "items" in table else None
    if items is not None and items.is_inner:
        place.at("items").refuse("begins with a dot, but is no part of an element itself")
    kind, types = _type(place.at("type"), table["type"])
    when = place.at("when").table(table.get("when", {}))
    bindings, groups = _fields(place.at("fields"), table.get("fields", {}), types)
    for key, binding in {"type": kind, **bindings}.items():
        if items is None and binding.path is not None and binding.path.is_inner:
            place.at(key).refuse("a path that begins with a dot is inside an element: set `items`")
    return Section(
        tuple(_condition(place.at("when").at(path), path, value) for path, value in when.items()),
        kind,
        items,
        {name: one for name, one in bindings.items() if "." not in name},
        groups,
    )


def _type(place: _Place, given: Any) -> tuple[Binding, list[type[Event]]]:
    by_name = dict(zip(TYPE_NAMES, EVENT_TYPES, strict=True))
    if isinstance(given, str):
        place.choose(given, TYPE_NAMES, "type")
        return Binding(None, given), [by_name[given]]
    table = place.table(given, ("path", "values"))
    values = place.at("values").table(table.get("values"))
    for word, name in values.items():
        place.at("values").at(word).choose(name, TYPE_NAMES, "type")
    if not values:
        place.at("values").refuse("is empty")
    binding = Binding(_path(place.at("path"), table.get("path")), values=values)
    return binding, [by_name[name] for name in dict.fromkeys(values.values())]


def _fields(
    place: _Place, given: Any, types: list[type[Event]]
) -> tuple[dict[str, Binding], dict[str, dict[str, Binding]]]:
    """Bindings by name, and those of `traits.<name>` and the like once more by group."""
    kinds = {f.encode_name: f.type for t in types for f in msgspec.structs.fields(t)}
    bindings: dict[str, Binding] = {}
    groups: dict[str, dict[str, Binding]] = {}
    for key, value in place.table(given).items():
        name, _, inner = key.partition(".")
        place.at(key).choose(name, kinds, "field")
        if (name in _GROUPS) != bool(inner):
            form = f'"{name}.<name>", in quotes' if name in _GROUPS else name
            place.at(key).refuse(f"is bound as {form}")
        if len(inner) > NAME_CHARS_MAX:
            place.at(key).refuse(f"has more than {NAME_CHARS_MAX} characters after the dot")
        binding = _binding(place.at(key), value, name, _GROUPS[name] if inner else kinds[name])
        bindings[key] = binding
        if inner:
            groups.setdefault(name, {})[inner] = binding
    if not any(name in bindings for name in SUBJECTS):
        place.refuse(f"say nothing of whom it is about: bind one of {', '.join(SUBJECTS)}")
    for kind in types:
        for field in msgspec.structs.fields(kind):
            name = field.encode_name
            if field.required and name != "ts" and name not in bindings and name not in groups:
                place.at(name).refuse(f"is missing: {kind.__name__.lower()} needs it")
    return bindings, groups


def _binding(place: _Place, given: Any, name: str, kind: Any) -> Binding:
    convert = _CONVERT.get(name)
    if isinstance(given, str):
        return Binding(_path(place, given), convert=convert)
    table = place.table(given, ("path", "value", "values", "unit"))
    if ("path" in table) == ("value" in table):
        place.refuse("needs either `path` or `value`")
    if "value" in table:
        return Binding(None, _fitting(place.at("value"), table["value"], kind))
    if "unit" in table:
        place.at("unit").choose(table["unit"], _UNITS.get(name, {}), "unit")
        convert = _UNITS[name][table["unit"]]
    values = place.at("values").table(table["values"]) if "values" in table else None
    for word, value in (values or {}).items():
        _fitting(place.at("values").at(word), value, kind)
    return Binding(_path(place.at("path"), table["path"]), values=values, convert=convert)


def _fitting(place: _Place, value: Any, kind: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        place.refuse("is no finite number")
    try:
        msgspec.convert(value, kind)
    except msgspec.ValidationError as fault:
        place.refuse(f"{value!r} does not fit: {fault}")
    return value


def _condition(place: _Place, path: str, given: Any) -> Condition:
    found = _path(place, path)
    if found.is_inner:
        place.refuse("a condition is on the whole message: begin without a dot")
    if isinstance(given, dict):
        table = place.table(given, ("present",))
        if not isinstance(table.get("present"), bool):
            place.refuse('give { present = true } or false; a path with dots is put in "quotes"')
        return Condition(found, None, table["present"])
    values = given if isinstance(given, list) else [given]
    return Condition(found, frozenset(map(word_of, values)))


def _path(place: _Place, given: Any) -> Path:
    text = given if isinstance(given, str) else ""
    is_inner = text.startswith(".")
    parts = () if text == "." else tuple(text.removeprefix(".").split("."))
    if not all(parts) or len(parts) > PATH_PARTS_MAX:
        place.refuse(
            f"{given!r} is no path: write names and list indexes between dots, like customer.id or "
            f"lines.0.sku, at most {PATH_PARTS_MAX}; .sku is inside an element of `items`"
        )
    return Path(parts, is_inner)


def _scaled(factor: float) -> Callable[[Any], Any]:
    def scale(value: Any) -> Any:
        number = number_of(value)
        if not _is_measure(number):
            return value
        return round(number * factor) if factor >= 1 else int(number // (1 / factor))

    return scale


def _cents(value: Any) -> Any:
    number = number_of(value)
    return number / 100 if _is_measure(number) else value


def _is_measure(number: object) -> TypeGuard[int | float]:
    """Whether it is a number that can be reckoned with: an integer of JSON may be of any size."""
    if isinstance(number, bool) or not isinstance(number, int | float):
        return False
    return abs(number) <= MEASURE_MAX


_GROUPS: Final[dict[str, Any]] = {"traits": Trait, "purposes": bool}
"""Fields that hold values by name, and of which type those are."""
_UNITS: Final[dict[str, dict[str, Callable[[Any], Any]]]] = {
    "ts": {
        "s": _scaled(1_000),
        "ms": _scaled(1),
        "us": _scaled(0.001),
        "ns": _scaled(0.000001),
        "iso": epoch_ms,
    },
    "price": {"cents": _cents},
    "amount": {"cents": _cents},
}
_TEXTS: Final = (
    *("user_id", "device_id", "anonymous_id", "session_id", "source", "item_id", "title"),
    *("category", "brand", "query", "text", "merchant_id", "merchant_category", "place_id"),
)
_NUMBERS: Final = ("price", "amount", "rating", "latitude", "longitude", "accuracy_m")
_CONVERT: Final[dict[str, Callable[[Any], Any]]] = {
    **dict.fromkeys(_TEXTS, text_of),
    **dict.fromkeys(_NUMBERS, number_of),
    **dict.fromkeys(("quantity", "dwell_ms", "n_results"), whole_of),
    "ts": epoch_ms,
    "currency": currency_of,
    "event_id": lambda value: event_id(text_of(value)),
}
