"""Rhythm: when a person is active, as angles on the circles of the day and of the week."""

from __future__ import annotations

import math

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from profiler.columns import DAY_MS, HOUR_MS, MONTH_MS, EventColumns, Floats, Ints, Rows, Snapshot
from profiler.facets.contract import Column, Description, Slice, described

WEEK_MS = 7 * DAY_MS
_MONDAY_MS = 4 * DAY_MS  # 1970-01-05, the first Monday
_CIRCLES = (("of_day", DAY_MS, 0), ("of_week", WEEK_MS, _MONDAY_MS))
_LABELS = ("cos", "sin", "cos2", "sin2")


class Rhythm(Struct, frozen=True):
    """Decayed trigonometric moments of event times (Mardia and Jupp, Directional Statistics)."""

    name: str = "rhythm"
    columns: tuple[Column, ...] = (
        Column("rhythm.of_day", "<f8", "sum", (4,), MONTH_MS),
        Column("rhythm.of_week", "<f8", "sum", (4,), MONTH_MS),
        Column("rhythm.mass", "<f8", "sum", (), MONTH_MS),
    )
    slices: tuple[Slice, ...] = (
        Slice("rhythm_day", 4, "mean resultant, first two harmonics", labels=_LABELS),
        Slice("rhythm_week", 4, "mean resultant, first two harmonics", labels=_LABELS),
        Slice("rhythm_mass", 1, "events", MONTH_MS, "log1p"),
    )
    feature_names: tuple[str, ...] = ("day_cos", "day_sin", "week_cos", "week_sin")

    def features(self, rows: Rows, events: EventColumns) -> Floats:
        """Place of each event's time on the circles of the day and of the week."""
        angles = [_angle(events.ts, period_ms, offset_ms) for _, period_ms, offset_ms in _CIRCLES]
        return np.column_stack([f(angle) for angle in angles for f in (np.cos, np.sin)])

    def update(self, rows: Rows, events: EventColumns) -> None:
        """Add the moments of the batch's event times."""
        weight = events.weight(MONTH_MS)
        for name, period_ms, offset_ms in _CIRCLES:
            moments = _moments(events.ts, period_ms, offset_ms) * weight[:, None]
            rows[f"rhythm.{name}"] += np.add.reduceat(moments, events.starts, axis=0)
        rows["rhythm.mass"] += events.sum_by_row(weight)

    def merge(self, a: Rows, b: Rows, out: Rows) -> None:
        """Nothing: all columns are linear."""

    def project(self, now: Snapshot, out: NDArray[np.float32]) -> None:
        """Mean moments, and the decayed number of events."""
        mass = now["rhythm.mass"]
        safe = np.where(mass > 0, mass, 1.0)[:, None]
        out[:, 0:4] = now["rhythm.of_day"] / safe
        out[:, 4:8] = now["rhythm.of_week"] / safe
        out[:, 8] = np.log1p(now.decayed("rhythm.mass", MONTH_MS))

    def describe(self, now: Snapshot) -> list[Description]:
        """Mean hour of the day and weekday (0: Monday), UTC, and how sharp each is (0 to 1)."""
        mass = np.where(now["rhythm.mass"] > 0, now["rhythm.mass"], 1.0)
        columns = []
        for name, period_ms, unit_ms in (
            ("of_day", DAY_MS, HOUR_MS),
            ("of_week", WEEK_MS, DAY_MS),
        ):
            cos, sin = now[f"rhythm.{name}"][:, 0], now[f"rhythm.{name}"][:, 1]
            turn = np.arctan2(sin, cos) / (2 * math.pi) % 1.0
            columns += [turn * period_ms / unit_ms, np.hypot(cos, sin) / mass]
        hour, hour_sharpness, weekday, weekday_sharpness = (c.round(2).tolist() for c in columns)
        return described(
            hour=hour,
            hour_sharpness=hour_sharpness,
            weekday=weekday,
            weekday_sharpness=weekday_sharpness,
        )


def _angle(ts: Ints, period_ms: int, offset_ms: int) -> Floats:
    return np.asarray((ts - offset_ms) % period_ms * (2 * math.pi / period_ms))


def _moments(ts: Ints, period_ms: int, offset_ms: int) -> Floats:
    angle = _angle(ts, period_ms, offset_ms)
    cos, sin = np.cos(angle), np.sin(angle)
    return np.column_stack([cos, sin, cos * cos - sin * sin, 2 * sin * cos])
