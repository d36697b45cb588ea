"""Messages of any shape, bound to ours by a mapping file: no code. See docs/sources.md.

A section says which messages it takes, what they are, and where our fields stand in them. How it is
written in the file, and that it makes sense, is the matter of `profiler.sources.mapping_file`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from msgspec import Struct

from profiler.sources.message import Fields, Message, numbered, present
from profiler.sources.values import word_of


class Path(Struct, frozen=True):
    """A place in a message: names and list indexes between dots; inside an element from a dot on.

    Examples
    --------
    >>> Path(("lines", "0", "sku"), False).find({"lines": [{"sku": "cup"}]}, None)
    'cup'
    """

    parts: tuple[str, ...]
    is_inner: bool

    def find(self, document: Any, element: Any) -> Any:
        """Give what stands there; None where there is nothing."""
        found = element if self.is_inner else document
        for part in self.parts:
            if isinstance(found, dict):
                found = found.get(part)
            elif isinstance(found, list) and part.isdecimal() and int(part) < len(found):
                found = found[int(part)]
            else:
                return None
        return found


class Binding(Struct, frozen=True):
    """One value of ours: where it stands, or what it is; through a table, and in our unit."""

    path: Path | None
    constant: Any = None
    values: dict[str, Any] | None = None
    convert: Callable[[Any], Any] | None = None

    def read(self, document: Any, element: Any) -> Any:
        """Give the value; None where there is none, or none in the table."""
        if self.path is None:
            return self.constant
        found = self.path.find(document, element)
        if self.values is not None:
            return None if found is None else self.values.get(word_of(found))
        return found if found is None or self.convert is None else self.convert(found)


class Condition(Struct, frozen=True):
    """What a message must be like: one of these values there, or something, or nothing."""

    path: Path
    values: frozenset[str] | None
    present: bool = True

    def holds(self, document: Any) -> bool:
        """Whether the message is like that."""
        found = self.path.find(document, None)
        if self.values is None:
            return (found is not None) == self.present
        return not isinstance(found, dict | list | None) and word_of(found) in self.values


class Section(Struct, frozen=True):
    """One section of the file."""

    conditions: tuple[Condition, ...]
    type: Binding
    items: Path | None
    fields: dict[str, Binding]
    groups: dict[str, dict[str, Binding]]

    def events(self, document: Any, stamped_ms: int | None) -> list[Fields]:
        """Events of a message; one per element where there are `items`."""
        elements = [None] if self.items is None else self.items.find(document, None)
        if not isinstance(elements, list):
            return []
        found = [self._event(document, element, stamped_ms) for element in elements]
        return numbered([event for event in found if event])

    def _event(self, document: Any, element: Any, stamped_ms: int | None) -> Fields:
        kind = self.type.read(document, element)
        if kind is None:
            return {}
        event = present(
            type=kind,
            **{name: one.read(document, element) for name, one in self.fields.items()},
        )
        for name, group in self.groups.items():
            event[name] = present(**{n: one.read(document, element) for n, one in group.items()})
        event.setdefault("ts", stamped_ms)
        return event


class Mapping(Struct, frozen=True):
    """The format that a mapping file describes; the first section that fits takes a message."""

    sections: tuple[Section, ...]
    name: str = "mapping"

    def recognises(self, message: Message) -> bool:
        """By the conditions of the sections; they are asked of JSON objects only."""
        return self._section(message.object) is not None

    def events(self, message: Message) -> list[Fields]:
        """Give the events that the section makes of it."""
        section = self._section(message.object)
        return [] if section is None else section.events(message.object, message.stamped_ms)

    def _section(self, document: Fields) -> Section | None:
        for section in self.sections if document else ():
            if all(condition.holds(document) for condition in section.conditions):
                return section
        return None
