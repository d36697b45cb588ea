"""Counts of what the crowd does: decayed sums that are made batch by batch and add up.

Like the sums of a row they are relative to a landmark (`profiler.columns`), a common one for all:
whatever was counted under it, by whichever worker and in whatever order, is merged by adding. Late
events enter with the little weight that is left of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from profiler.behaviour.durations import duration_bin
from profiler.behaviour.layout import (
    BANDS,
    COHORTS,
    EPOCH_MS,
    EVERYBODY,
    HOURS,
    PARTS,
    PASSAGES,
    SEASON_MS,
    WEEK_MS,
    WIDTH,
)
from profiler.columns import DAY_MS, HOUR_MS, EventColumns, Floats, Rows, landmark_weight
from profiler.errors import UsageError
from profiler.events import BEHAVIOUR_TYPES
from profiler.facets.journey import STEPS, Moves, moves_of, passage_s
from profiler.facets.quarantine import held

PURCHASE: Final = BEHAVIOUR_TYPES.index("purchase")
_PURCHASE_STEP: Final = STEPS.index("purchase") + 1
_MONDAY_MS: Final = 4 * DAY_MS
_HALF_LIVES: Final = np.concatenate(
    [np.full(part.length, part.half_life_ms) for part in PARTS.values()]
)

Codes = NDArray[np.intp]


class Crowd:
    """Decayed counts by cohort.

    Parameters
    ----------
    as_of_ms
        Greatest time of an event that was counted.
    counts
        (cohorts, `WIDTH`) sums, relative to the landmark of `as_of_ms`; by default none.
    """

    def __init__(self, as_of_ms: int = 0, counts: Floats | None = None) -> None:
        self.as_of_ms = as_of_ms
        self.counts: Floats = np.zeros((len(COHORTS), WIDTH)) if counts is None else counts

    @property
    def epoch(self) -> int:
        """Number of the landmark."""
        return self.as_of_ms // EPOCH_MS

    def add(self, other: Crowd) -> None:
        """Take over what another has counted."""
        as_of_ms = max(self.as_of_ms, other.as_of_ms)
        self.counts = self._under(as_of_ms) + other._under(as_of_ms)
        self.as_of_ms = as_of_ms

    def fields(self) -> dict[str, float]:
        """What was counted, relative to the landmark, by name; without what is zero."""
        return {
            f"{COHORTS[cohort]}:{_NAMES[place]}": float(self.counts[cohort, place])
            for cohort, place in np.argwhere(self.counts).tolist()
        }

    def cohorts(self) -> list[str]:
        """Names of the cohorts of which something is known, everybody first."""
        known = [name for name, counts in zip(COHORTS, self.counts, strict=True) if counts.any()]
        return [EVERYBODY, *known] if known else []

    def cohort(self, name: str = EVERYBODY) -> dict[str, Floats]:
        """Counts of a cohort by part, as they are worth at `as_of_ms`.

        Raises
        ------
        UsageError
            If there is no such cohort.
        """
        if name == EVERYBODY:
            counts = self.counts[: len(BANDS)].sum(axis=0)
        elif name in COHORTS:
            counts = self.counts[COHORTS.index(name)]
        else:
            some = ", ".join((EVERYBODY, *BANDS))
            raise UsageError(f"no cohort is called {name}: there are {some}, segment-0, …")
        elapsed = self.as_of_ms - self.epoch * EPOCH_MS
        worth = counts * np.exp2(-elapsed / _HALF_LIVES)
        return {part.name: worth[part.places] for part in PARTS.values()}

    def _under(self, as_of_ms: int) -> Floats:
        """Counts relative to the landmark of a time that is not before `as_of_ms`."""
        moved_ms = (as_of_ms // EPOCH_MS - self.epoch) * EPOCH_MS
        if not moved_ms or not self.as_of_ms:
            return self.counts
        # Beyond the least exponent of a float64 everything is zero.
        exponents = np.maximum(-moved_ms // _HALF_LIVES, -2_000)
        return np.asarray(np.ldexp(self.counts, exponents.astype(np.int32)))


def crowd_of(rows: Rows, events: EventColumns, segment: Codes | None = None) -> Crowd:
    """Count a batch of what people did themselves; held people are left out.

    Parameters
    ----------
    rows
        (R,) rows as they are before the batch.
    segment
        (R,) number of the segment that each person is in, −1: in none.
    """
    as_of_ms = int(events.ts.max())
    is_kept = (held(rows) == 0)[events.row]
    counted = _counted(rows, events)
    places = np.concatenate([count.place for count in counted])
    band = np.concatenate([np.minimum(count.bought, len(BANDS) - 1) for count in counted])
    weights = _weights(events, as_of_ms // EPOCH_MS * EPOCH_MS, is_kept)
    values = np.concatenate([weights[c.half_life_ms][c.event] for c in counted])
    cells, added = [band * WIDTH + places], [values]
    if segment is not None:
        of_event = np.concatenate([segment[events.row[count.event]] for count in counted])
        known = np.flatnonzero(of_event >= 0)
        cells.append((of_event[known] + len(BANDS)) * WIDTH + places[known])
        added.append(values[known])
    n_cells = len(COHORTS) * WIDTH
    sums = np.bincount(np.concatenate(cells), np.concatenate(added), n_cells)
    counts: Floats = np.asarray(sums, dtype=np.float64).reshape(len(COHORTS), WIDTH)
    return Crowd(as_of_ms, counts)


def crowd_from(fields: Mapping[int, Mapping[str, float]], as_of_ms: int) -> Crowd:
    """Put together what workers have counted.

    Parameters
    ----------
    fields
        Counts by name, as `Crowd.fields` gives them, by number of their landmark. Names that are
        unknown are left out: a newer worker may have written them.
    as_of_ms
        Greatest time of an event that was counted.
    """
    crowd = Crowd(as_of_ms)
    for epoch, counts in sorted(fields.items()):
        if epoch > crowd.epoch:
            continue
        of_epoch = Crowd(min(as_of_ms, (epoch + 1) * EPOCH_MS - 1))
        for name, value in counts.items():
            cohort, _, place = name.partition(":")
            if cohort in COHORTS and place in _PLACES:
                of_epoch.counts[COHORTS.index(cohort), _PLACES[place]] = value
        crowd.add(of_epoch)
    return crowd


class _Counted(NamedTuple):
    """Some events, the place in which each counts, and how often its person had bought before."""

    event: Codes
    place: Codes
    bought: Codes
    half_life_ms: int


def _counted(rows: Rows, events: EventColumns) -> list[_Counted]:
    moves = moves_of(rows, events)
    bought = _bought_before(rows, events)
    return [
        *_funnel(events, moves, bought),
        *_steps(moves, bought),
        *_seasons(events, bought),
    ]


def _funnel(events: EventColumns, moves: Moves, bought: Codes) -> Iterable[_Counted]:
    sessions = np.flatnonzero(moves.opens)
    yield _placed("reached", sessions, np.zeros_like(sessions), bought)
    for stage in range(1, PARTS["reached"].length):
        raised = np.flatnonzero((moves.stage_before < stage) & (moves.stage >= stage))
        yield _placed("reached", raised, np.full_like(raised, stage), bought)
    bins = duration_bin(passage_s(events, moves))
    for name, stage_before, stage in PASSAGES:
        passed = np.flatnonzero((moves.stage_before == stage_before) & (moves.stage == stage))
        yield _placed(name, passed, bins[passed], bought)


def _steps(moves: Moves, bought: Codes) -> Iterable[_Counted]:
    left = np.where(moves.opens, 0, moves.left)
    step = np.flatnonzero(moves.step > 0)
    yield _placed("visits", step, moves.step[step] - 1, bought)
    first = step[left[step] == 0]
    yield _placed("starts", first, moves.step[first] - 1, bought)
    following = step[left[step] > 0]
    place = (left[following] - 1) * len(STEPS) + moves.step[following] - 1
    # A move belongs to the cohort of the visit that it ends, else more would leave than came.
    then = bought - (left == _PURCHASE_STEP)
    yield _placed("moves", following, place, then)


def _seasons(events: EventColumns, bought: Codes) -> Iterable[_Counted]:
    hour = ((events.ts - _MONDAY_MS) // HOUR_MS % HOURS).astype(np.intp)
    every = np.arange(len(events))
    yield _placed("events", every, hour, bought)
    purchases = np.flatnonzero(events.type_code == PURCHASE)
    yield _placed("purchases", purchases, hour[purchases], bought)


def _placed(name: str, event: Codes, place: Codes, bought: Codes) -> _Counted:
    part = PARTS[name]
    return _Counted(event, part.start + place, np.maximum(bought[event], 0), part.half_life_ms)


def _bought_before(rows: Rows, events: EventColumns) -> Codes:
    """(N,) how often each event's person had bought before it."""
    is_purchase = events.type_code == PURCHASE
    before = np.cumsum(is_purchase) - is_purchase
    known = rows["activity.count"][:, PURCHASE].astype(np.intp)
    return np.asarray(before + (known - before[events.starts])[events.row])


def _weights(events: EventColumns, landmark: int, is_kept: NDArray[np.bool_]) -> dict[int, Floats]:
    """(N,) what one unit of each event adds, by half-life."""
    landmarks = np.full(1, landmark)
    return {
        half_life_ms: landmark_weight(events.ts, landmarks, half_life_ms) * is_kept
        for half_life_ms in (WEEK_MS, SEASON_MS)
    }


_NAMES: Final = tuple(f"{part.name}:{k}" for part in PARTS.values() for k in range(part.length))
_PLACES: Final = {name: place for place, name in enumerate(_NAMES)}
