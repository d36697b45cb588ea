"""A batch of events as columns, and the array operations that facets are made of.

Decayed sums are kept relative to a landmark, not a moment (forward decay: Cormode, Shkapenyuk,
Srivastava, Xu, "Forward Decay", ICDE 2009), and landmarks move by whole multiples of 64 half-lives,
so that moving one multiplies by a power of two: exact. Applying events therefore only ever adds,
and no rounding depends on how the stream was cut into batches. `docs/facets.md` has the definition.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

HOUR_MS: Final = 3_600_000
DAY_MS: Final = 24 * HOUR_MS
MONTH_MS: Final = 30 * DAY_MS
LANDMARK_HALF_LIVES: Final = 64

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Hashes = NDArray[np.uint64]
Rows = NDArray[np.void]


class TieColumns(NamedTuple):
    """What N events say of ties, column by column.

    Parameters
    ----------
    is_received
        (N,) whether it is somebody else's event, of which this row's person is the target.
    weight
        (N,) what it adds to a tie; 0 if it adds to none.
    is_end
        (N,) whether it removes a tie.
    """

    is_received: NDArray[np.bool_]
    weight: Floats
    is_end: NDArray[np.bool_]


class Trails(NamedTuple):
    """(N, 16) items and (N, 4) categories of each event's person before it, latest first."""

    item: Hashes
    category: Hashes


@dataclass
class EventColumns:
    """Applied events of one batch, sorted by row and, within a row, in arrival order.

    N events on R rows; every row has at least one event.

    Parameters
    ----------
    row
        (N,) index of the event's row, ascending.
    starts
        (R,) index of each row's first event.
    ts
        (N,) event times, ms.
    type_code
        (N,) index into `profiler.events.BEHAVIOUR_TYPES`.
    price, quantity
        (N,) price of a unit (0 where absent) and number of units.
    id_hash
        (N,) hash of the event's id.
    item, category, brand
        (N,) token hashes, 0 where absent.
    content, directions
        (N,) place of the event's content in the (C, D) table of directions.
    interest
        (N,) interest weight by type.
    guarded
        (N,) whether the event counts for the guard, see `profiler.guard.guarded`.
    as_of_before, as_of
        (R,) the rows' greatest event time before and after the batch.
    done_before
        (R,) the greatest event time of what the rows' people did themselves before the batch.
    ties
        What events say of ties; None if none does.
    latest
        (N,) greatest event time of the row so far, where other events than these count, too.
    trails
        What each event found; set by the facet *trail* as it updates.
    """

    row: NDArray[np.intp]
    starts: NDArray[np.intp]
    ts: Ints
    type_code: NDArray[np.intp]
    price: Floats
    quantity: Floats
    id_hash: Hashes
    item: Hashes
    category: Hashes
    brand: Hashes
    content: NDArray[np.intp]
    directions: Floats
    interest: Floats
    guarded: NDArray[np.bool_]
    as_of_before: Ints
    as_of: Ints
    done_before: Ints
    ties: TieColumns | None = None
    latest: Ints | None = None
    trails: Trails | None = None
    _weights: dict[int, Floats] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.row)

    @property
    def n_rows(self) -> int:
        """Number of rows, R."""
        return len(self.starts)

    @cached_property
    def counts(self) -> NDArray[np.intp]:
        """(R,) number of events of each row."""
        return np.diff(self.starts, append=len(self.row))

    @cached_property
    def rank(self) -> NDArray[np.intp]:
        """(N,) place of each event within its row, from 0."""
        return np.arange(len(self.row)) - self.starts[self.row]

    def weight(self, half_life_ms: int) -> Floats:
        """(N,) what one unit of each event adds to a sum that decays with this half-life."""
        found = self._weights.get(half_life_ms)
        if found is None:
            landmarks = landmark_ms(self.as_of, half_life_ms)[self.row]
            found = self._weights[half_life_ms] = landmark_weight(self.ts, landmarks, half_life_ms)
        return found

    def sum_by_row(self, values: Floats) -> Floats:
        """(R,) sums of (N,) values over each row's events."""
        return np.asarray(np.bincount(self.row, values, self.n_rows), dtype=np.float64)

    @cached_property
    def last_seen(self) -> tuple[Ints, Ints]:
        """(N,) greatest event time of the row before each event (0: none), and including it."""
        return self._latest(self.as_of_before, self.latest)

    @cached_property
    def last_done(self) -> tuple[Ints, Ints]:
        """The same of what people did themselves."""
        if self.latest is None and np.array_equal(self.done_before, self.as_of_before):
            return self.last_seen
        return self._latest(self.done_before)

    def _latest(self, before: Ints, including: Ints | None = None) -> tuple[Ints, Ints]:
        if including is None:
            including = segmented_max(np.maximum(self.ts, before[self.row]), self.row)
        excluding = np.empty_like(including)
        excluding[1:] = including[:-1]
        excluding[self.starts] = before
        return excluding, including

    @cached_property
    def own(self) -> Own:
        """What people did themselves, without what others did to them."""
        if self.ties is None or not self.ties.is_received.any():
            return Own(slice(None), self)
        kept = np.flatnonzero(~self.ties.is_received)
        where, row = np.unique(self.row[kept], return_inverse=True)
        names = [f.name for f in fields(self) if f.name not in _NOT_BY_EVENT]
        own = replace(
            self,
            row=row,
            starts=np.flatnonzero(np.diff(row, prepend=-1)),
            as_of_before=self.as_of_before[where],
            as_of=self.as_of[where],
            done_before=self.done_before[where],
            ties=None,
            latest=self.last_seen[1][kept],
            _weights={},
            **{name: getattr(self, name)[kept] for name in names},
        )
        return Own(where, own)


_NOT_BY_EVENT: Final = (
    *("row", "starts", "directions", "as_of_before", "as_of", "done_before"),
    *("ties", "latest", "trails", "_weights"),
)


class Own(NamedTuple):
    """Events of people themselves, and which of the batch's rows have any.

    Parameters
    ----------
    where
        Index of the (R',) rows that the events are numbered by.
    events
        Theirs.
    """

    where: NDArray[np.intp] | slice
    events: EventColumns


def landmark_ms(as_of: Ints, half_life_ms: int) -> Ints:
    """Landmarks that decayed sums of rows with these `as_of` are stored relative to.

    Examples
    --------
    >>> landmark_ms(np.array([0, 64 * HOUR_MS, 65 * HOUR_MS]), HOUR_MS) // HOUR_MS
    array([ 0, 64, 64])
    """
    span = LANDMARK_HALF_LIVES * half_life_ms
    return as_of // span * span


def landmark_weight(ts: Ints, landmarks: Ints, half_life_ms: int) -> Floats:
    """2^((ts − L) / half-life), rounded alike under every landmark.

    The fraction of a half-life is raised alone and the whole ones are put into the exponent, so
    that weights under two landmarks differ by exactly a power of two, and ties stay ties.

    Examples
    --------
    >>> landmark_weight(np.array([90 * 60_000]), np.array([0]), HOUR_MS) ** 2
    array([8.])
    """
    whole = (ts - landmarks) // half_life_ms
    fraction = ts % half_life_ms / half_life_ms
    # Below the least exponent of a float64 all weights are zero.
    return np.asarray(np.ldexp(np.exp2(fraction), np.maximum(whole, -2_000).astype(np.int32)))


def move_landmarks(
    stored: Sequence[NDArray[np.floating]], before: Ints, after: Ints, half_life_ms: int
) -> None:
    """Rescale stored sums in place for rows whose `as_of` went from `before` to `after`.

    Parameters
    ----------
    stored
        Arrays (R, ...) of sums that decay with this half-life.
    before, after
        (R,) ms; ``after >= before``.
    """
    span = LANDMARK_HALF_LIVES * half_life_ms
    steps = after // span - before // span
    moved = np.flatnonzero(steps)
    if not len(moved):
        return
    # Some thirty steps take any float64 to zero; the bound keeps the exponent within an int32.
    exponent = (-LANDMARK_HALF_LIVES * np.minimum(steps[moved], 64)).astype(np.int32)
    for sums in stored:
        shape = (len(moved),) + (1,) * (sums.ndim - 1)
        sums[moved] = np.ldexp(sums[moved], exponent.reshape(shape))


def decayed_at(
    stored: NDArray[np.floating], as_of: Ints, half_life_ms: int, at_ms: Ints | int
) -> Floats:
    """Values of stored sums at a time.

    Parameters
    ----------
    stored
        (R,) or (R, K) sums relative to the landmark of `as_of`.
    at_ms
        One time, or one per row.

    Examples
    --------
    >>> as_of = np.array([2 * HOUR_MS])
    >>> decayed_at(np.array([4.0]), as_of, HOUR_MS, 3 * HOUR_MS)
    array([0.5])
    """
    factor = np.exp2((landmark_ms(as_of, half_life_ms) - at_ms) / half_life_ms)
    return np.asarray(stored * factor.reshape(factor.shape + (1,) * (stored.ndim - 1)))


class Snapshot:
    """Rows as they are at their own `as_of`: what is projected and described.

    Parameters
    ----------
    rows
        (R,) rows.

    Examples
    --------
    >>> rows = np.zeros(1, dtype=[("core.as_of", "<i8"), ("a.looks", "<f8")])
    >>> rows["core.as_of"], rows["a.looks"] = 2 * HOUR_MS, 4.0
    >>> Snapshot(rows).decayed("a.looks", HOUR_MS)
    array([1.])
    """

    def __init__(self, rows: Rows) -> None:
        self.rows = rows
        self.as_of: Ints = np.ascontiguousarray(rows["core.as_of"])
        self._factors: dict[int, Floats] = {}

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, column: str) -> NDArray[Any]:
        return self.rows[column]

    def factor(self, half_life_ms: int) -> Floats:
        """(R,) what stored sums with this half-life are multiplied by."""
        found = self._factors.get(half_life_ms)
        if found is None:
            exponent = (landmark_ms(self.as_of, half_life_ms) - self.as_of) / half_life_ms
            found = self._factors[half_life_ms] = np.exp2(exponent)
        return found

    def decayed(self, column: str, half_life_ms: int) -> Floats:
        """Values of a column of decayed sums, (R,) or (R, K)."""
        stored = self.rows[column]
        factor = self.factor(half_life_ms)
        return np.asarray(stored * factor.reshape(factor.shape + (1,) * (stored.ndim - 1)))


def segmented_max(values: Ints, row: NDArray[np.intp]) -> Ints:
    """Running maximum within each row.

    Parameters
    ----------
    values
        (N,) numbers from 0 to below 2**42, such as times in ms.
    row
        (N,) ascending row of each, below 2**21.

    Examples
    --------
    >>> segmented_max(np.array([3, 1, 5, 2, 1]), np.array([0, 0, 0, 1, 1]))
    array([3, 3, 5, 2, 2])
    """
    offset = row.astype(np.int64) << 42
    running: Ints = np.maximum.accumulate(values + offset)
    return running - offset
