"""What records say, the refused ones included: the stateless half, which also runs in the worker.

A refused record is looked at all the same where it is one of ours with a wrong field: that a price
is negative is a fact about prices, whoever the row belongs to.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass, field
from operator import attrgetter
from typing import Any, Final, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from profiler.columns import Floats, Ints
from profiler.decoding import Decoded
from profiler.events import EVENT_TYPES, FIELDS, TYPE_NAMES, Rejected, timestamp_ms
from profiler.records import Record
from profiler.sources.table import moment


class Problem(NamedTuple):
    """A kind of problem.

    Parameters
    ----------
    dimension
        One of `DIMENSIONS`.
    field
        Of an event, or column of a table; ``row`` and ``record`` where it is all of it.
    name
        What is wrong, in a word that stays the same between versions.
    """

    dimension: str
    field: str
    name: str


DIMENSIONS: Final = ("completeness", "validity", "uniqueness", "timeliness", "consistency")


@dataclass(slots=True)
class Facts:
    """M facts of N records.

    Parameters
    ----------
    records
        The records.
    things
        Events, or of refused records what could be read of one: whatever stands in each field.
    record
        (M,) place of each one's record.
    type_of
        (M,) name of its type.
    rejected, n_unused
        As the decoder gives them.
    """

    records: Sequence[Record]
    things: list[Any]
    record: NDArray[np.intp]
    type_of: list[str]
    rejected: list[Rejected]
    n_unused: int
    _columns: dict[str, list[Any]] = field(default_factory=dict)

    @property
    def n_events(self) -> int:
        """Events that would be applied."""
        return len(self.things) - sum(thing.__class__ is _Loose for thing in self.things)

    def column(self, name: str) -> list[Any]:
        """(M,) values of a field; None where it is missing, or where the type has no such field."""
        found = self._columns.get(name)
        if found is None:
            found = [getattr(thing, name, None) for thing in self.things]
            self._columns[name] = found
        return found

    def numbers(self, name: str) -> Floats:
        """(M,) numbers in a field; NaN where there is none."""
        values = self.column(name)
        try:
            numbers = np.array(values, dtype=np.float64)
        except (TypeError, ValueError, OverflowError):
            numbers = None
        # Where all hold lists of one length NumPy makes a table of them.
        if numbers is not None and numbers.ndim == 1:
            return numbers
        return np.array([_number(value) for value in values], dtype=np.float64)

    def times_ms(self) -> Floats:
        """(M,) event times; NaN where there is none that can be read."""
        values = self.column("ts")
        if all(value.__class__ is int for value in values):
            return self.numbers("ts")
        return np.array([_time_ms(value) for value in values], dtype=np.float64)

    def stamped_ms(self) -> Ints:
        """(M,) timestamps of their records; 0 where there is none."""
        stamped = np.array([record.timestamp or 0 for record in self.records], dtype=np.int64)
        return stamped[self.record]


def facts_of(records: Sequence[Record], decoded: Decoded) -> Facts:
    """Read the facts off records.

    Parameters
    ----------
    records
        All that were decoded, or the first of them.
    decoded
        What came of them.
    """
    events, record, rejected, n_unused = decoded
    record = record[: np.searchsorted(record, len(records))]
    events = events[: len(record)]
    rejected = [refused for refused in rejected if refused.index < len(records)]
    things: list[Any] = list(events)
    types = [_NAME_OF[event.__class__] for event in events]
    places = record.tolist()
    for refused in rejected:
        loose = _loose(records[refused.index].value)
        if loose is not None:
            things.append(loose)
            types.append(loose.type)
            places.append(refused.index)
    return Facts(records, things, np.array(places, dtype=np.intp), types, rejected, n_unused)


class Presence(NamedTuple):
    """How often a field of a type was there, and where it was not."""

    type: str
    field: str
    n: int
    missing: NDArray[np.intp]


def presences(facts: Facts) -> list[Presence]:
    """Say for every field that may be missing, by type, how often it is."""
    found = []
    by_type: dict[str, list[int]] = {}
    for place, name in enumerate(facts.type_of):
        by_type.setdefault(name, []).append(place)
    for kind, places in by_type.items():
        index = np.array(places, dtype=np.intp)
        group = [facts.things[place] for place in places]
        for name, read in _OPTIONAL[kind]:
            values = list(map(read, group))
            n_missing = values.count(None) + values.count("")
            gone = [k for k, v in enumerate(values) if v is None or v == ""] if n_missing else []
            found.append(Presence(kind, name, len(group), index[gone]))
    return found


_Loose: Any = msgspec.defstruct("_Loose", [("type", str), *((n, Any, None) for n in FIELDS)])
_DECODE_LOOSE: Final = msgspec.json.Decoder(_Loose).decode
_NAME_OF: Final = dict(zip(EVENT_TYPES, TYPE_NAMES, strict=True))
_OPTIONAL: Final = {
    name: [
        (one.name, attrgetter(one.name))
        for one in msgspec.structs.fields(kind)
        if one.default is None
    ]
    for name, kind in zip(TYPE_NAMES, EVENT_TYPES, strict=True)
}


def _loose(value: bytes | None) -> Any:
    """What can be read of a refused record; None unless it is one of ours with a time."""
    try:
        found = _DECODE_LOOSE(value or b"")
    except (msgspec.DecodeError, ValueError, RecursionError):
        return None
    return found if found.ts is not None and found.type in _OPTIONAL else None


def _number(value: Any) -> float:
    try:
        return float(value)
    except (TypeError, ValueError, OverflowError):
        return np.nan


def _time_ms(value: Any) -> float:
    if isinstance(value, str):
        value = moment(value)
    if isinstance(value, int | dt.datetime):
        return _number(timestamp_ms(value))
    return np.nan
