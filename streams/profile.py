"""One profile as readers have it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec
import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from profiler.columns import MONTH_MS
from profiler.errors import UnknownSpec
from profiler.facets.contract import Slice
from profiler.ties import StrongTie
from profiler.traits import Value

DECAYED_VALUES: Final = ("money_month", "orders_month")
"""What the summary says of about the last month, with a half-life of one."""


class Layout(Struct, frozen=True):
    """What a reader needs of a published spec: the vector's length and its named parts."""

    dims: int
    slices: tuple[Slice, ...]


class Quarantine(Struct, frozen=True):
    """Why somebody is taken for a machine.

    Parameters
    ----------
    reason
        ``rate``: too many events at once; ``rhythm``: never a rest; ``operator``: somebody said so.
    since_ms
        When it began.
    """

    reason: str
    since_ms: int


class Profile(Struct, frozen=True, eq=False, kw_only=True):
    """What is known of one person, as of one moment.

    Parameters
    ----------
    pid
        Profile id: another than asked for, if that one has joined it.
    as_of_ms
        The moment: the latest event's, or the one it was brought to.
    rev
        Number of commits.
    spec
        Hash of the spec it was written under.
    vector
        (dims,) float32, read-only.
    summary
        Values for people, facet by facet.
    layout
        Of the vector; None if the store does not have it.
    names
        Readable names of the summary's tokens by kind and hash, where there are any.
    tie_interests
        What those are interested in whom this person is tied to, if that was asked for: by kind
        (item, category, brand), name and share, greatest first.
    tie_vector
        The same as a direction in the slices `streams.mixing.MIXED_SLICES`, read-only: the mean of
        theirs, weighted by the strength of the ties. None if nobody takes part.
    traits
        What was told of the person, by name, where it was asked for: of a set several values, the
        latest first, else one.
    """

    pid: str
    as_of_ms: int
    rev: int
    spec: str
    vector: NDArray[np.float32]
    summary: dict[str, Any]
    layout: Layout | None = None
    names: Mapping[str, Mapping[str, str]] = {}
    traits: Mapping[str, tuple[Value, ...]] = {}
    tie_interests: Mapping[str, Sequence[tuple[str, float]]] = {}
    tie_vector: NDArray[np.float32] | None = None

    @property
    def ties(self) -> list[StrongTie]:
        """Whom this person is tied to, strongest first, as of `as_of_ms`."""
        return [StrongTie(*tie) for tie in self.summary.get("ties", [])]

    def vector_slice(self, name: str) -> NDArray[np.float32]:
        """Return one named part of the vector.

        Raises
        ------
        KeyError
            If the spec has no such slice.
        UnknownSpec
            If the store does not have the layout.
        """
        for part in self._slices():
            if part.name == name:
                return self.vector[_place(part)]
        raise KeyError(name)

    def at(self, now_ms: int) -> Profile:
        """Return the profile as it will be at a later moment if nothing happens until then.

        Slices with a half-life, the weights of `top`, what was bought in about a month and the
        strength of ties are brought there, the rest stays as it is. An earlier moment than
        `as_of_ms` changes nothing.
        """
        elapsed_ms = max(0, now_ms - self.as_of_ms)
        vector = self.vector.astype(np.float64)
        for part in self._slices():
            if part.half_life_ms is not None:
                left = 0.5 ** (elapsed_ms / part.half_life_ms)
                vector[_place(part)] = _decayed(vector[_place(part)], left, part)
        later = vector.astype(np.float32)
        later.flags.writeable = False
        return msgspec.structs.replace(
            self,
            as_of_ms=self.as_of_ms + elapsed_ms,
            vector=later,
            summary=_decayed_sums(self.summary, 0.5 ** (elapsed_ms / MONTH_MS)),
        )

    def top(self, kind: str) -> list[tuple[str, float]]:
        """Return (name, weight) of the favourites of one kind (item, category, brand).

        Greatest first. Where the store has no name, the token's hash in hex stands in.
        """
        names = self.names.get(kind, {})
        entries = self.summary.get("interest", {}).get(kind, {})
        return [(names.get(token, token), weight) for token, weight in entries.items()]

    @property
    def quarantine(self) -> Quarantine | None:
        """Why the person is taken for a machine, and since when; None for all others."""
        held = self.summary.get("quarantine")
        return Quarantine(held["reason"], held["since"]) if held else None

    def _slices(self) -> tuple[Slice, ...]:
        if self.layout is None:
            raise UnknownSpec(self.spec)
        return self.layout.slices


def _place(part: Slice) -> slice:
    return slice(part.offset, part.offset + part.length)


def _decayed(values: NDArray[np.float64], left: float, part: Slice) -> NDArray[np.float64]:
    if part.transform == "log1p":
        return np.log1p(np.expm1(values) * left)
    return values * left if part.transform == "identity" else values


def _decayed_sums(summary: dict[str, Any], left: float) -> dict[str, Any]:
    summary = dict(summary)
    if "interest" in summary:
        summary["interest"] = {
            kind: {token: weight * left for token, weight in entries.items()}
            for kind, entries in summary["interest"].items()
        }
    if "value" in summary:
        value = summary["value"]
        decayed = {name: value[name] * left for name in DECAYED_VALUES if name in value}
        summary["value"] = value | decayed
    if "ties" in summary:
        summary["ties"] = [[pid, kind, strength * left] for pid, kind, strength in summary["ties"]]
    return summary
