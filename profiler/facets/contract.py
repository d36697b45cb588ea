"""What a facet is: the columns it owns, and what can be done with them.

A facet is a commutative monoid with a projection, vectorised. Columns of kind *sum*, *max* and
*min* are merged, and sums with a half-life rescaled, by `profiler.spec` for all facets alike; a
facet says how to update and read them, and how to merge its *sequential* columns.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any, Literal, Protocol, runtime_checkable

import msgspec
import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from profiler.columns import EventColumns, Floats, Rows, Snapshot

ColumnKind = Literal["sum", "max", "min", "sequential", "derived"]
Transform = Literal["identity", "log1p", "none"]
Description = Any
"""What msgspec encodes as a JSON object."""


class Column(Struct, frozen=True):
    """A field of the state row.

    Parameters
    ----------
    name
        ``facet.column``.
    dtype, shape
        NumPy type of an element, and the shape of the field.
    kind
        *sum*, *max*, *min* are linear; *sequential* depends on arrival order; *derived* is model
        output, outside of audits.
    half_life_ms
        Of decayed columns; their values are relative to a landmark.
    grows
        Whether it has a place per item of a list that only ever grows at its end, so that a wider
        column takes over what a narrower one held.
    """

    name: str
    dtype: str
    kind: ColumnKind
    shape: tuple[int, ...] = ()
    half_life_ms: int | None = None
    grows: bool = False


class Slice(Struct, frozen=True):
    """A named part of the vector.

    Parameters
    ----------
    name, length
        Slices follow one another in the order of facets; the spec sets `offset`.
    unit
        What the numbers are.
    half_life_ms, transform
        How a reader brings the slice to a later time; *none* where it cannot.
    labels
        One per number, or none.
    """

    name: str
    length: int
    unit: str
    half_life_ms: int | None = None
    transform: Transform = "none"
    labels: tuple[str, ...] = ()
    offset: int = 0


class Facet(Protocol):
    """One aspect of a profile.

    Attributes
    ----------
    name
        Prefix of its columns.
    columns, slices
        What it adds to the row and to the vector.
    feature_names
        What it adds to the models' features.
    """

    @property
    def name(self) -> str: ...  # noqa: D102  # see Attributes
    @property
    def columns(self) -> tuple[Column, ...]: ...  # noqa: D102
    @property
    def slices(self) -> tuple[Slice, ...]: ...  # noqa: D102
    @property
    def feature_names(self) -> tuple[str, ...]: ...  # noqa: D102

    def features(self, rows: Rows, events: EventColumns) -> Floats:
        """(N, features) what is known before each event; rows are as before the batch."""
        ...

    def update(self, rows: Rows, events: EventColumns) -> None:
        """Apply what people did to their (R,) rows in place; landmarks have moved already."""
        ...

    def merge(self, a: Rows, b: Rows, out: Rows) -> None:
        """Set the sequential columns of `out` from two rows per person, same landmarks."""
        ...

    def project(self, now: Snapshot, out: NDArray[np.float32]) -> None:
        """Write (R, length) numbers."""
        ...

    def describe(self, now: Snapshot) -> list[Description]:
        """One description for people per row; plain JSON values."""
        ...


@runtime_checkable
class Hearing(Protocol):
    """A facet that also takes in what others did to a person, such as to be tied to them."""

    def hear(self, rows: Rows, events: EventColumns) -> None:
        """Apply all events, also those of others, to their (R,) rows in place, after `update`."""
        ...


def described(**columns: Sequence[object]) -> list[Description]:
    """One description per row from columns of equal length.

    A struct per row costs a fifth of a dict, and is encoded faster; there are thousands per batch.

    Examples
    --------
    >>> msgspec.json.encode(described(count=[3, 4], depth=[1, 2]))
    b'[{"count":3,"depth":1},{"count":4,"depth":2}]'
    """
    return list(map(_description_type(tuple(columns)), *columns.values()))


@functools.cache
def _description_type(names: tuple[str, ...]) -> type[Struct]:
    return msgspec.defstruct("Described", names, frozen=True, gc=False)
