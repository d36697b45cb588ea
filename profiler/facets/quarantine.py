"""Quarantine: who acts as no person does, or was said to by an operator.

A profile is *held* if more of its events lie in one window of event time than a person makes, if it
has not rested for two days and nights, or if the latest verdict says that it is automated. Its
events are applied all the same: a release finds everything there. Whether it is held follows from
the row alone; what counts as too many is `Guard`'s, and matters only where events are applied.

Windows hop: they begin every half of their length, so that each event lies in two of them. The row
keeps the four latest, which makes counts independent of the order of events that are late by less
than a window. `docs/facets.md` has the definition.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from profiler.columns import (
    HOUR_MS,
    EventColumns,
    Floats,
    Hashes,
    Ints,
    Rows,
    Snapshot,
    segmented_max,
)
from profiler.events import BEHAVIOUR_TYPES
from profiler.facets.contract import Column, Description, Slice

REASONS: Final = ("", "rate", "rhythm", "operator")
"""Why a profile is held, by code; 0: it is not."""

WINDOWS: Final = 4
HOURS: Final = 64
RESTLESS_HOURS: Final = 48
"""Successive clock hours with something deliberate in each: two days and nights without rest."""

COUNT_MAX: Final = 65_535
"""Where counts of a window stay: they have two bytes."""

DELIBERATE: Final = ("click", "browse", "purchase", "cart", "search", "message")
"""Types that nothing sends by itself; apps report places and impressions while people sleep."""

_OPERATOR: Final = REASONS.index("operator")
_RHYTHM: Final = 1
_HOPS_PER_WINDOW: Final = 2
_IS_DELIBERATE: Final = np.array([t in DELIBERATE for t in BEHAVIOUR_TYPES])
_ALL_HOURS: Final = 2**HOURS - 1
_LOWEST: Final = 1
"""Times below it mean none; a window may begin before 1970."""

Codes = NDArray[np.intp]


class Guard(Struct, frozen=True, kw_only=True):
    """What no person does.

    Parameters
    ----------
    events_max
        Events in one window from which on a profile is held; 0: any number is believed.
    window_ms
        Length of a window, even.
    rhythm
        Whether somebody who never rests is held.
    """

    events_max: int = 1_500
    window_ms: int = 60_000
    rhythm: bool = True


class Quarantine(Struct, frozen=True):
    """Counts of the latest windows, active hours, what was implausible, and the latest verdict."""

    guard: Guard = Guard()
    name: str = "quarantine"
    columns: tuple[Column, ...] = (
        Column("quarantine.newest", "<i8", "max"),
        Column("quarantine.verdict", "<i8", "max"),
        Column("quarantine.first", "<i8", "sequential"),
        Column("quarantine.last", "<i8", "sequential"),
        Column("quarantine.hours", "<u8", "sequential"),
        Column("quarantine.windows", "<u2", "sequential", (WINDOWS,)),
    )
    slices: tuple[Slice, ...] = ()
    feature_names: tuple[str, ...] = ()

    def features(self, rows: Rows, events: EventColumns) -> Floats:
        """No features: models do not learn from whom it concerns."""
        return np.empty((len(events), 0))

    def update(self, rows: Rows, events: EventColumns) -> None:
        """Count the guarded events of a batch."""
        seen = _guarded(events)
        if not len(seen.ts) or not (self.guard.events_max or self.guard.rhythm):
            return
        before: Ints = rows["quarantine.newest"][seen.own]
        newest = np.maximum(before, np.maximum.reduceat(seen.ts, seen.starts))
        rows["quarantine.newest"][seen.own] = newest
        if self.guard.events_max:
            self._count(rows, seen, before, newest)
        if self.guard.rhythm:
            _note_hours(rows, seen, before, newest)

    def merge(self, a: Rows, b: Rows, out: Rows) -> None:
        """Align windows and hours on the newer of both, and join them."""
        hop_ms = self.guard.window_ms // _HOPS_PER_WINDOW
        newest = np.maximum(a["quarantine.newest"], b["quarantine.newest"])
        windows = np.zeros((len(a), WINDOWS), dtype=np.int64)
        hours: Hashes = np.zeros(len(a), dtype=np.uint64)
        for rows in (a, b):
            before = rows["quarantine.newest"]
            windows += _aged(rows["quarantine.windows"], newest // hop_ms - before // hop_ms)
            hours |= _shifted(rows["quarantine.hours"], newest // HOUR_MS - before // HOUR_MS)
        out["quarantine.windows"] = np.minimum(windows, COUNT_MAX)
        out["quarantine.hours"] = hours
        out["quarantine.last"] = np.maximum(a["quarantine.last"], b["quarantine.last"])
        out["quarantine.first"] = _earlier(a["quarantine.first"], b["quarantine.first"])

    def project(self, now: Snapshot, out: NDArray[np.float32]) -> None:
        """Nothing: no slice."""

    def describe(self, now: Snapshot) -> list[Description]:
        """Why a profile is held and since when, ms; nothing of all others."""
        codes = held(now.rows)
        descriptions: list[Description] = [_NOTHING] * len(codes)
        for r in np.flatnonzero(codes).tolist():
            descriptions[r] = _Held(REASONS[codes[r]], int(since_ms(now.rows[r : r + 1])[0]))
        return descriptions

    def _count(self, rows: Rows, seen: _Seen, before: Ints, newest: Ints) -> None:
        hop_ms = self.guard.window_ms // _HOPS_PER_WINDOW
        n_rows = len(newest)
        hop, now = seen.ts // hop_ms, newest // hop_ms
        age = now[seen.row] - hop
        kept = np.flatnonzero(age < WINDOWS)
        cell = seen.row[kept] * WINDOWS + age[kept]
        added = np.bincount(cell, minlength=n_rows * WINDOWS).reshape(n_rows, WINDOWS)
        known = rows["quarantine.windows"][seen.own].astype(np.int64)
        # A window is two hops long: it holds what is as old as itself, and what is a hop younger.
        counts = _aged(known, now - before // hop_ms) + added
        counts[:, 1:] += added[:, :-1]
        rows["quarantine.windows"][seen.own] = np.minimum(counts, COUNT_MAX)
        n_events = np.diff(seen.starts, append=len(hop))
        if known.max() + n_events.max() >= self.guard.events_max:
            suspect = known.max(axis=1) + n_events >= self.guard.events_max
            if suspect.any():
                self._find_bursts(rows, seen.only(suspect), before[suspect], known[suspect])

    def _find_bursts(self, rows: Rows, seen: _Seen, before: Ints, known: Ints) -> None:
        """Count every window that these rows' events lie in, also those that are not kept."""
        hop_ms = self.guard.window_ms // _HOPS_PER_WINDOW
        hop = seen.ts // hop_ms
        latest = segmented_max(np.maximum(seen.ts, before[seen.row]), seen.row)
        oldest = latest // hop_ms - WINDOWS + 1
        keys = [
            seen.row[at].astype(np.int64) << 42 | (hop[at] - back + 1)
            for back in range(_HOPS_PER_WINDOW)
            for at in [np.flatnonzero(hop - back >= oldest)]
        ]
        key, count = np.unique(np.concatenate(keys), return_counts=True)
        row, window = key >> 42, (key & (2**42 - 1)) - 1
        age = before[row] // hop_ms - window
        count += np.where((age >= 0) & (age < WINDOWS), known[row, np.clip(age, 0, WINDOWS - 1)], 0)
        full = np.flatnonzero(count >= self.guard.events_max)
        _note(rows, seen.own[row[full]], window[full] * hop_ms, 0)


class _Seen(Struct, frozen=True):
    """The N guarded events of a batch on R rows.

    Parameters
    ----------
    own
        (R,) places of the rows among those of the batch.
    row, starts
        (N,) place of each event's row in `own`, ascending; (R,) each row's first event.
    ts, type_code
        (N,) times and types.
    """

    own: NDArray[np.intp]
    row: NDArray[np.intp]
    starts: NDArray[np.intp]
    ts: Ints
    type_code: NDArray[np.intp]

    def only(self, kept: NDArray[np.bool_]) -> _Seen:
        """Those of some of the rows, (R,) at least one."""
        at = np.flatnonzero(kept[self.row])
        row = (np.cumsum(kept) - 1)[self.row[at]]
        starts = np.flatnonzero(np.diff(row, prepend=-1))
        return _Seen(self.own[kept], row, starts, self.ts[at], self.type_code[at])


class _Held(Struct, frozen=True, omit_defaults=True, gc=False):
    reason: str = ""
    since: int = 0


_NOTHING: Final = _Held()


def held(rows: Rows) -> Codes:
    """(R,) why each profile is held, as an index into `REASONS`; 0: it is not."""
    verdict, last = rows["quarantine.verdict"], rows["quarantine.last"]
    implausible = np.where(last >> 1 > verdict >> 1, 1 + (last & 1), 0)
    return np.where(verdict & 1, _OPERATOR, implausible).astype(np.intp)


def since_ms(rows: Rows) -> Ints:
    """(R,) since when, of profiles that are held.

    By the guard: since it had a reason for the first time or, where it was released after that,
    for the last time.
    """
    verdict, first = rows["quarantine.verdict"], rows["quarantine.first"]
    implausible = np.where(first > verdict >> 1, first, rows["quarantine.last"] >> 1)
    return np.asarray(np.where(verdict & 1, verdict >> 1, implausible))


def verdict_of(ts_ms: int, *, automated: bool) -> int:
    """Return a verdict as its column has it: the latest counts, of equal ones the stricter.

    Examples
    --------
    >>> verdict_of(7, automated=False), verdict_of(7, automated=True)
    (14, 15)
    """
    return ts_ms << 1 | automated


def rule(rows: Rows, place: NDArray[np.intp], verdicts: Ints) -> None:
    """Apply verdicts to the rows at these places, in whatever order and however often."""
    known = rows["quarantine.verdict"]
    np.maximum.at(known, place, verdicts)


def _guarded(events: EventColumns) -> _Seen:
    if events.guarded.all():
        own = np.arange(events.n_rows)
        return _Seen(own, events.row, events.starts, events.ts, events.type_code)
    at = np.flatnonzero(events.guarded)
    is_first = np.diff(events.row[at], prepend=-1) > 0
    row = np.cumsum(is_first) - 1
    starts = np.flatnonzero(is_first)
    return _Seen(events.row[at][starts], row, starts, events.ts[at], events.type_code[at])


def _note_hours(rows: Rows, seen: _Seen, before: Ints, newest: Ints) -> None:
    """Mark the hours of what was deliberate, and look for runs where there may be one."""
    known: Hashes = rows["quarantine.hours"][seen.own]
    now = newest // HOUR_MS
    age = now[seen.row] - seen.ts // HOUR_MS
    is_kept = _IS_DELIBERATE[seen.type_code] & (age < HOURS)
    bits = is_kept.astype(np.uint64) << np.minimum(age, HOURS - 1).astype(np.uint64)
    hours = _shifted(known, now - before // HOUR_MS)
    rows["quarantine.hours"][seen.own] = hours | np.bitwise_or.reduceat(bits, seen.starts)
    n_hours = np.bitwise_count(known) + np.diff(seen.starts, append=len(bits))
    suspect = n_hours >= RESTLESS_HOURS
    if suspect.any():
        _find_runs(rows, seen.only(suspect), before[suspect], known[suspect])


def _find_runs(rows: Rows, seen: _Seen, before: Ints, known: Hashes) -> None:
    """Follow the hours of a few rows, one new hour after another."""
    hour = seen.ts // HOUR_MS
    now = segmented_max(np.maximum(seen.ts, before[seen.row]), seen.row) // HOUR_MS
    at = np.flatnonzero(_IS_DELIBERATE[seen.type_code])
    _, first = np.unique(seen.row[at].astype(np.int64) << 42 | hour[at], return_index=True)
    # Only the first event of an hour changes anything, and there are few hours in a batch.
    new = at[np.sort(first)]
    masks, moments = known.tolist(), (before // HOUR_MS).tolist()
    found: list[tuple[int, int]] = []
    for r, h, n in zip(seen.row[new].tolist(), hour[new].tolist(), now[new].tolist(), strict=True):
        masks[r] = masks[r] << min(n - moments[r], HOURS) & _ALL_HOURS
        moments[r] = n
        if n - h < HOURS:
            masks[r] |= 1 << (n - h)
        if ends := _run_ends(masks[r]):
            latest, earliest = (ends & -ends).bit_length() - 1, ends.bit_length() - 1
            found += [(r, n - end - RESTLESS_HOURS + 1) for end in (latest, earliest)]
    if found:
        row, start = np.array(found, dtype=np.int64).T
        _note(rows, seen.own[row], start * HOUR_MS, _RHYTHM)


def _run_ends(hours: int) -> int:
    """Bits of the latest hour of each run of `RESTLESS_HOURS` hours.

    Examples
    --------
    >>> bin(_run_ends((1 << 50) - 1)), _run_ends((1 << 47) - 1)
    ('0b111', 0)
    """
    length = 1
    while length < RESTLESS_HOURS:
        step = min(length, RESTLESS_HOURS - length)
        hours &= hours >> step
        length += step
    return hours


def _note(rows: Rows, place: NDArray[np.intp], start_ms: Ints, reason: int) -> None:
    """Remember the first and the last window or run that was implausible."""
    start = np.maximum(start_ms, _LOWEST)
    np.maximum.at(rows["quarantine.last"], place, start << 1 | reason)
    first = np.full(len(rows), np.iinfo(np.int64).max)
    np.minimum.at(first, place, start)
    noted = np.unique(place)
    known = rows["quarantine.first"][noted]
    rows["quarantine.first"][noted] = _earlier(known, first[noted])


def _earlier(a: Ints, b: Ints) -> Ints:
    """The lesser of each two times, of which 0 means none."""
    return np.asarray(np.where((a == 0) | ((b > 0) & (b < a)), b, a))


def _aged(counts: NDArray[np.integer], steps: Ints) -> Ints:
    """(R, `WINDOWS`) counts by age of the window, a number of hops later."""
    aged: Ints = counts * (steps == 0)[:, None].astype(np.int64)
    # Most rows have moved on by more than is kept: only what is left of the others is moved.
    few = np.flatnonzero((steps > 0) & (steps < WINDOWS))
    source = np.arange(WINDOWS) - steps[few][:, None]
    moved = np.take_along_axis(counts[few], np.maximum(source, 0), axis=1)
    aged[few] = np.where(source >= 0, moved, 0)
    return aged


def _shifted(hours: Hashes, steps: Ints) -> Hashes:
    """(R,) bits of hours, counted from another hour that many later."""
    left = np.minimum(steps, HOURS - 1).astype(np.uint64)
    return np.where(steps < HOURS, hours << left, np.uint64(0))
