"""Traits of a person: what was said of them, by name, and which of it counts.

What is said of one subject is merged by the rule of each trait: commutative, associative and
idempotent, so that `identify` events may come in any order, twice, and from any cut of the stream
(a join semilattice: Shapiro et al., SSS 2011). The same join merges the subjects of one person. It
is bounded by bytes, and that bound too does not depend on the order; see `Traits`.

What a trait's name and value may be is in `profiler.trait_values`; see docs/traits.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Final, Literal, NamedTuple, get_args

import msgspec
from msgspec import Struct

Rule = Literal["recent", "first", "trusted", "union"]
RULES: Final[tuple[str, ...]] = get_args(Rule)
TRAIT_NAMES_MAX: Final = 64
UNION_VALUES_MAX: Final = 16
TRAITS_BYTES_MAX: Final = 4_096
"""Of the JSON that `Traits.as_json` gives, braces included."""
NAME_BYTES: Final = 6
ENTRY_BYTES: Final = 18
"""What JSON takes besides a trait's name, and besides each value and its source: quotes, brackets,
commas, and a time of thirteen digits."""
UNSET: Final = "null"
"""A value that says that there is none."""


class Told(NamedTuple):
    """One value that was said of a trait, and by whom; in order of time.

    Parameters
    ----------
    ts, id_hash
        Event time, and hash of the event's id.
    value
        As JSON, so that values of all types can be compared.
    source
        Of the event; empty where it names none.
    """

    ts: int
    id_hash: int
    value: str
    source: str


class Trait(NamedTuple):
    """What is kept of one trait.

    Parameters
    ----------
    bytes_max
        Of the longest value that was ever said with its source, whether or not it counts: it only
        grows, and so the bound of `Traits` does not depend on what came first.
    told
        What counts, latest first.
    """

    bytes_max: int
    told: tuple[Told, ...]


class Traits(Struct, frozen=True, array_like=True, dict=True):
    """What is kept of the traits of a subject, or of a person.

    Parameters
    ----------
    known
        By name, in order of the names.
    end
        Traits whose names are not before this one are left out, for good; empty: none are. It is
        the first with which all before it, each counted with its longest value, may exceed
        `TRAITS_BYTES_MAX`.
    """

    known: dict[str, Trait] = {}
    end: str = ""

    @cached_property
    def as_json(self) -> bytes:
        """All that is known, for readers; nothing if there is none.

        By name a list of ``[value, source, ms]``: the latest first, only one but under ``union``.
        Made once: whoever has traits is written far more often than anything is told of them.
        """
        entries = {
            name: [
                (msgspec.Raw(told.value.encode()), told.source, told.ts)
                for told in trait.told
                if told.value != UNSET
            ]
            for name, trait in self.known.items()
        }
        present = {name: told for name, told in entries.items() if told}
        return _ENCODER.encode(present) if present else b""


NO_TRAITS: Final = Traits()


class Traited(NamedTuple):
    """Traits that reached the home of who they are about: place of the row, and the traits."""

    place: int
    traits: Traits


class TraitRules(Struct, frozen=True):
    """Which traits are kept, and which value counts where several were said.

    Parameters
    ----------
    by_name
        ``recent``: the latest. ``first``: the earliest. ``trusted``: the latest of the most trusted
        source. ``union``: all, of too many the latest.
    trusted
        Sources, the most trusted first; all others come after them.

    Examples
    --------
    >>> rules = TraitRules({"plan": "recent", "tags": "union"})
    >>> said = [one_trait(name, Told(ts, 7, value, "shop")) for name, ts, value in (
    ...     ("plan", 1, '"free"'), ("plan", 2, '"gold"'), ("tags", 1, '"a"'), ("tags", 2, '"b"'))]
    >>> rules.shown(rules.joined(*said))
    b'{"plan":[["gold","shop",2]],"tags":[["b","shop",2],["a","shop",1]]}'
    """

    by_name: Mapping[str, Rule]
    trusted: tuple[str, ...] = ()

    def joined(self, *several: Traits) -> Traits:
        """Merge what is known: in any order, any number of times, with the same result."""
        names = sorted({name for traits in several for name in traits.known} & self.by_name.keys())
        end = min((traits.end for traits in several if traits.end), default="")
        known: dict[str, Trait] = {}
        room = TRAITS_BYTES_MAX - len("{}")
        for name in names:
            if end and name >= end:
                break
            found = [traits.known[name] for traits in several if name in traits.known]
            bytes_max = max(trait.bytes_max for trait in found)
            told = self._counting(self.by_name[name], {t for trait in found for t in trait.told})
            room -= NAME_BYTES + len(name) + len(told) * (ENTRY_BYTES + bytes_max)
            if room < 0:
                end = name
                break
            known[name] = Trait(bytes_max, told)
        return Traits(known, end)

    def shown(self, traits: Traits) -> bytes:
        """Write those traits that are still kept, for readers; see `Traits.as_json`."""
        is_kept = traits.known.keys() <= self.by_name.keys()
        return traits.as_json if is_kept else self.joined(traits).as_json

    def _counting(self, rule: Rule, told: set[Told]) -> tuple[Told, ...]:
        if rule == "recent":
            return (max(told),)
        if rule == "first":
            return (min(told),)
        if rule == "trusted":
            return (max(told, key=lambda t: (-self._distrust(t.source), t)),)
        latest: dict[str, Told] = {}
        for one in sorted(told):
            latest[one.value] = one
        return tuple(sorted(latest.values(), reverse=True)[:UNION_VALUES_MAX])

    def _distrust(self, source: str) -> int:
        return self.trusted.index(source) if source in self.trusted else len(self.trusted)


NO_RULES: Final = TraitRules({})
"""No traits are kept."""


def one_trait(name: str, told: Told) -> Traits:
    """Give the traits of a subject of whom one thing was said."""
    return Traits({name: Trait(bytes_of(told), (told,))})


def bytes_of(told: Told) -> int:
    """Length of a value and its source in JSON."""
    return len(told.value.encode()) + len(_ENCODER.encode(told.source))


class Value(NamedTuple):
    """A value of a trait, as readers see it.

    Parameters
    ----------
    value
        Text, number, or whether it is so; of a name that identifies people a keyed hash.
    source
        Who said so; empty where the event named no source.
    ts
        When, ms since 1970.
    """

    value: str | int | float | bool
    source: str
    ts: int


def read_shown(data: bytes | None) -> Mapping[str, tuple[Value, ...]]:
    """Read what `Traits.as_json` gave.

    Raises
    ------
    msgspec.DecodeError
        If it did not write this.
    """
    return _DECODER.decode(data) if data else {}


_ENCODER: Final = msgspec.json.Encoder()
_DECODER: Final = msgspec.json.Decoder(dict[str, tuple[Value, ...]])
