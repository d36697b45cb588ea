"""Sessions: runs of events without a gap of more than 30 minutes."""

from __future__ import annotations

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from profiler.columns import DAY_MS, EventColumns, Floats, Ints, Rows, Snapshot
from profiler.facets.contract import Column, Description, Slice, described
from profiler.openings import GAP_MS, session_opens

_COUNTS = ("n_sessions", "depth", "n_late")
_TIMES = ("started", "last", "length_sum", "gap_sum")


class Sessions(Struct, frozen=True):
    """Number, length and depth of sessions, and the gaps between them."""

    name: str = "sessions"
    columns: tuple[Column, ...] = (
        *(Column(f"sessions.{name}", "<u4", "sequential") for name in _COUNTS),
        *(Column(f"sessions.{name}", "<i8", "sequential") for name in _TIMES),
    )
    slices: tuple[Slice, ...] = (
        Slice(
            "sessions",
            4,
            "log1p of sessions; events; s; s",
            labels=("n_sessions", "depth", "length", "gap"),
        ),
    )
    feature_names: tuple[str, ...] = (
        *("session_depth", "session_age", "gap", "n_sessions"),
        *("mean_gap", "tenure"),
    )

    def features(self, rows: Rows, events: EventColumns) -> Floats:
        """log1p of what was before each event.

        Depth, age in s, gap in s, number of sessions, mean gap between sessions in s, days known.
        """
        before, _ = events.last_done
        opens = session_opens(events)
        first = _latest_opening(opens, events)
        started = np.where(first >= 0, events.ts[first], rows["sessions.started"][events.row])
        rank = events.rank
        depth = np.where(
            first >= 0,
            np.arange(len(events)) - first,
            rank + rows["sessions.depth"][events.row].astype(np.int64),
        )
        age_s = np.where(opens, 0, np.maximum(events.ts - started, 0)) / 1000
        gap_s = np.where(before > 0, np.maximum(events.ts - before, 0), 0) / 1000
        n = rows["sessions.n_sessions"][events.row] + _openings_so_far(opens, events)
        mean_gap_s = _gaps_so_far(rows, opens, events) / np.maximum(n - 1.0, 1.0) / 1000
        # A session that ends moves its beginning and its sums alike.
        known_since = rows["sessions.started"] - rows["sessions.length_sum"]
        known_since -= rows["sessions.gap_sum"]
        is_known = rows["sessions.n_sessions"] > 0
        known_since = np.where(is_known, known_since, events.ts[events.starts])
        tenure = np.maximum(events.ts - known_since[events.row], 0) / DAY_MS
        return np.asarray(np.log1p(np.column_stack([depth, age_s, gap_s, n, mean_gap_s, tenure])))

    def update(self, rows: Rows, events: EventColumns) -> None:
        """Find where sessions open in the batch, and close those that ended."""
        before, latest = events.last_done
        opens = session_opens(events)
        first = _latest_opening(opens, events)
        ends = np.append(events.starts[1:], len(events)) - 1

        # A session that ends inside the batch began at the opening before, or before the batch.
        opening = np.flatnonzero(opens & (before > 0))
        earlier = np.where(opening > events.starts[events.row[opening]], first[opening - 1], -1)
        began = np.where(
            earlier >= 0, events.ts[earlier], rows["sessions.started"][events.row[opening]]
        )
        row, size = events.row[opening], events.n_rows
        rows["sessions.length_sum"] += _sum(row, before[opening] - began, size)
        rows["sessions.gap_sum"] += _sum(row, events.ts[opening] - before[opening], size)
        rows["sessions.n_sessions"] += np.bincount(events.row[opens], minlength=size).astype("<u4")
        is_late = ~opens & (events.ts < before)
        rows["sessions.n_late"] += np.bincount(events.row[is_late], minlength=size).astype("<u4")

        current = first[ends]
        fresh = current >= 0
        depth = np.where(fresh, ends - current + 1, rows["sessions.depth"] + events.counts)
        rows["sessions.depth"] = depth
        rows["sessions.started"] = np.where(fresh, events.ts[current], rows["sessions.started"])
        rows["sessions.last"] = latest[ends]

    def merge(self, a: Rows, b: Rows, out: Rows) -> None:
        """Add what is complete; current sessions that touch become one."""
        for name in ("n_sessions", "n_late", "length_sum", "gap_sum"):
            out[f"sessions.{name}"] = a[f"sessions.{name}"] + b[f"sessions.{name}"]
        a_is_later = is_later(a, b)
        later, earlier = np.where(a_is_later, a, b), np.where(a_is_later, b, a)
        both = (earlier["sessions.n_sessions"] > 0) & (later["sessions.n_sessions"] > 0)
        gap = later["sessions.started"] - earlier["sessions.last"]
        joins = both & (gap <= GAP_MS)
        closes = both & ~joins
        out["sessions.last"] = later["sessions.last"]
        out["sessions.started"] = np.where(
            joins,
            np.minimum(later["sessions.started"], earlier["sessions.started"]),
            later["sessions.started"],
        )
        out["sessions.depth"] = later["sessions.depth"] + joins * earlier["sessions.depth"]
        out["sessions.n_sessions"] -= joins.astype(np.uint32)
        length = earlier["sessions.last"] - earlier["sessions.started"]
        out["sessions.length_sum"] += closes * length
        out["sessions.gap_sum"] += closes * gap

    def project(self, now: Snapshot, out: NDArray[np.float32]) -> None:
        """log1p of number, depth, mean length and mean gap."""
        length_s, gap_s = _means_s(now)
        out[:, 0] = np.log1p(now["sessions.n_sessions"])
        out[:, 1] = np.log1p(now["sessions.depth"])
        out[:, 2] = np.log1p(length_s)
        out[:, 3] = np.log1p(gap_s)

    def describe(self, now: Snapshot) -> list[Description]:
        """Number of sessions, depth of the current one, mean length and gap in s, late events."""
        length_s, gap_s = _means_s(now)
        return described(
            count=now["sessions.n_sessions"].tolist(),
            depth=now["sessions.depth"].tolist(),
            mean_length_s=length_s.round(1).tolist(),
            mean_gap_s=gap_s.round(1).tolist(),
            late_events=now["sessions.n_late"].tolist(),
        )


def _latest_opening(opens: NDArray[np.bool_], events: EventColumns) -> NDArray[np.intp]:
    """(N,) index of the event that opened each event's session, -1 if before the batch."""
    index = np.where(opens, np.arange(len(events)), -1)
    latest = np.maximum.accumulate(index)
    return np.where(latest >= events.starts[events.row], latest, -1)


def _openings_so_far(opens: NDArray[np.bool_], events: EventColumns) -> NDArray[np.intp]:
    """(N,) sessions that opened in the row's part of the batch before each event."""
    total: NDArray[np.intp] = np.cumsum(opens) - opens
    return np.asarray(total - total[events.starts][events.row])


def _gaps_so_far(rows: Rows, opens: NDArray[np.bool_], events: EventColumns) -> Ints:
    """(N,) ms between sessions that had opened before each event."""
    before, _ = events.last_done
    gaps = np.where(opens & (before > 0), events.ts - before, 0)
    total: Ints = np.cumsum(gaps) - gaps
    at_start = rows["sessions.gap_sum"] - total[events.starts]
    return np.asarray(at_start[events.row] + total)


def _sum(row: NDArray[np.intp], values: Ints, size: int) -> Ints:
    """(R,) integer sums: exact, where bincount's float weights would round."""
    total: Ints = np.zeros(size, dtype=np.int64)
    np.add.at(total, row, values)
    return total


def is_later(a: Rows, b: Rows) -> NDArray[np.bool_]:
    """(R,) whether `a` has the later current session; ties decided by what it holds."""
    keys_a = [a[f"sessions.{n}"].astype(np.int64) for n in ("last", "started", "depth")]
    keys_b = [b[f"sessions.{n}"].astype(np.int64) for n in ("last", "started", "depth")]
    later = np.ones(len(a), dtype=bool)
    for key_a, key_b in zip(reversed(keys_a), reversed(keys_b), strict=True):
        later = np.where(key_a == key_b, later, key_a > key_b)
    return later


def _means_s(now: Snapshot) -> tuple[Floats, Floats]:
    n = now["sessions.n_sessions"].astype(np.float64)
    current = now["sessions.last"] - now["sessions.started"]
    length = (now["sessions.length_sum"] + current) / np.maximum(n, 1.0) / 1000
    gap = now["sessions.gap_sum"] / np.maximum(n - 1.0, 1.0) / 1000
    return length, gap
