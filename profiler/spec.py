"""The spec: ordered facets, and what follows from them: row dtype, vector layout, version hash."""

from __future__ import annotations

import hashlib
from typing import Any, Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from profiler.columns import EventColumns, Floats, Ints, Rows, Snapshot, move_landmarks
from profiler.facets import FACETS
from profiler.facets.contract import Column, Description, Facet, Hearing, Slice, described
from profiler.facets.quarantine import Guard, Quarantine

ROW_BYTES_MAX: Final = 2_560
_WORD_BYTES: Final = 8


class Spec:
    """Facets in order, and the layout they fix.

    Parameters
    ----------
    facets
        In the order of the vector's slices.

    Attributes
    ----------
    columns, slices
        Of all facets; slices with their offsets.
    dtype
        Of a state row; fields are aligned, widest first.
    dims
        Length of the vector.
    hash
        16 hex digits that change whenever the layout does.
    feature_names
        Columns of `features`.

    Examples
    --------
    >>> DEFAULT_SPEC.dims, DEFAULT_SPEC.dtype.itemsize <= ROW_BYTES_MAX
    (146, True)
    """

    def __init__(self, facets: tuple[Facet, ...]) -> None:
        self.facets = facets
        self.columns = tuple(column for facet in facets for column in facet.columns)
        self.slices = _with_offsets(facets)
        self.dims = sum(s.length for s in self.slices)
        self.feature_names = tuple(name for facet in facets for name in facet.feature_names)
        self.dtype = row_dtype(self.columns)
        if self.dtype.itemsize > ROW_BYTES_MAX:
            raise ValueError(f"a row may have {ROW_BYTES_MAX} bytes, not {self.dtype.itemsize}")
        self.hash = hashlib.sha256(msgspec.json.encode(self._layout())).hexdigest()[:16]
        self._decayed: dict[int, list[str]] = {}
        for column in self.columns:
            if column.half_life_ms is not None:
                self._decayed.setdefault(column.half_life_ms, []).append(column.name)
        self._places = self._facet_places()
        self._hearing = [facet for facet in facets if isinstance(facet, Hearing)]

    def layout(self) -> dict[str, Any]:
        """The layout as JSON values: what is published under ``profiler:spec:<hash>``."""
        return {"hash": self.hash, **self._layout()}

    def empty(self, n: int) -> Rows:
        """N rows of people of whom nothing is known."""
        return np.zeros(n, dtype=self.dtype)

    def features(self, rows: Rows, events: EventColumns) -> Floats:
        """(N, features) what is known before each event; rows are as before the batch."""
        return np.hstack([facet.features(rows, events) for facet in self.facets])

    def update(self, rows: Rows, events: EventColumns) -> None:
        """Apply a batch to its (R,) rows, in place."""
        self.advance(rows, events.as_of)
        where, own = events.own
        mine = rows[where]
        if len(own):
            for facet in self.facets:
                facet.update(mine, own)
        if own is not events:
            rows[where] = mine
        for facet in self._hearing:
            facet.hear(rows, events)

    def advance(self, rows: Rows, as_of: Ints) -> None:
        """Set `core.as_of`, and move the landmarks of all decayed sums along, in place."""
        before = rows["core.as_of"].copy()
        for half_life_ms, names in self._decayed.items():
            move_landmarks([rows[name] for name in names], before, as_of, half_life_ms)
        rows["core.as_of"] = as_of

    def project(self, now: Snapshot) -> NDArray[np.float32]:
        """(R, dims) vectors."""
        out = np.zeros((len(now), self.dims), dtype=np.float32)
        for facet, (start, end) in zip(self.facets, self._places, strict=True):
            facet.project(now, out[:, start:end])
        return out

    def describe(self, now: Snapshot) -> list[Description]:
        """One summary per row: facet by facet."""
        return described(**{facet.name: facet.describe(now) for facet in self.facets})

    def _layout(self) -> dict[str, Any]:
        fields = self.dtype.fields
        assert fields is not None
        return {
            "dims": self.dims,
            "row_bytes": self.dtype.itemsize,
            "columns": [
                {**msgspec.to_builtins(c), "offset": int(fields[c.name][1])} for c in self.columns
            ],
            "slices": [msgspec.to_builtins(s) for s in self.slices],
        }

    def _facet_places(self) -> list[tuple[int, int]]:
        places, start = [], 0
        for facet in self.facets:
            end = start + sum(s.length for s in facet.slices)
            places.append((start, end))
            start = end
        return places


def row_dtype(columns: tuple[Column, ...]) -> np.dtype[np.void]:
    """Structured dtype of rows with these columns: widest first, so that every field is aligned.

    The end is filled up to whole words by a field of its own: NumPy leaves unnamed padding
    uninitialised, and whatever memory held would reach the store.
    """
    ordered = sorted(columns, key=lambda c: -np.dtype(c.dtype).itemsize)
    fields: list[tuple[str, str, tuple[int, ...]]] = [(c.name, c.dtype, c.shape) for c in ordered]
    excess = np.dtype(fields).itemsize % _WORD_BYTES
    if excess:
        fields.append(("padding", "u1", (_WORD_BYTES - excess,)))
    return np.dtype(fields)


def _with_offsets(facets: tuple[Facet, ...]) -> tuple[Slice, ...]:
    placed, offset = [], 0
    for part in (s for facet in facets for s in facet.slices):
        placed.append(msgspec.structs.replace(part, offset=offset))
        offset += part.length
    return tuple(placed)


def guarded_spec(guard: Guard) -> Spec:
    """Return the spec with this guard: rows and vectors, and so the hash, are those of any other.

    Examples
    --------
    >>> guarded_spec(Guard(events_max=10)).hash == DEFAULT_SPEC.hash
    True
    """
    return Spec(
        tuple(
            msgspec.structs.replace(facet, guard=guard) if isinstance(facet, Quarantine) else facet
            for facet in FACETS
        )
    )


DEFAULT_SPEC: Final = Spec(FACETS)
