"""Quarantine of `docs/facets.md`, one event at a time; part of `profiler.reference`."""

from __future__ import annotations

from typing import Final

HOUR_MS: Final = 3_600_000
KEPT_WINDOWS: Final = 4
KEPT_HOURS: Final = 64
RUN_HOURS: Final = 48
COUNT_MAX: Final = 65_535
FROM_A_FILE: Final = "profiler-batch"
"""Header of records whose events are not counted."""
DELIBERATE: Final = ("click", "browse", "purchase", "cart", "search", "message")


class ReferenceQuarantine:
    """What the guard knows of one person.

    Attributes
    ----------
    newest
        Greatest time of a guarded event.
    verdict
        Time and word of the latest verdict: whether it said automated.
    first, last
        Beginning of the first implausible window or run, and of the last, with 1 if that is a run;
        0 and (0, 0) if there was none.
    window, counts
        Number of the newest window; events by number of the window.
    hours
        Numbers of the hours with something deliberate.
    """

    __slots__ = ("counts", "first", "hours", "last", "newest", "verdict", "window")

    def __init__(self) -> None:
        self.newest = self.first = self.window = 0
        self.verdict = self.last = (0, 0)
        self.counts: dict[int, int] = {}
        self.hours: set[int] = set()

    def rule(self, ts: int, automated: bool) -> None:
        """Take a verdict."""
        self.verdict = max(self.verdict, (ts, int(automated)))

    def columns(self) -> dict[str, int | list[int]]:
        """Columns of the row."""
        hour = self.newest // HOUR_MS
        return {
            "quarantine.newest": self.newest,
            "quarantine.verdict": 2 * self.verdict[0] + self.verdict[1],
            "quarantine.first": self.first,
            "quarantine.last": 2 * self.last[0] + self.last[1],
            "quarantine.hours": sum(1 << hour - h for h in self.hours),
            "quarantine.windows": [
                self.counts.get(self.window - k, 0) for k in range(KEPT_WINDOWS)
            ],
        }


class ReferenceGuard:
    """Counts events.

    Parameters
    ----------
    events_max, window_ms, rhythm
        As in the settings.
    exempt_sources
        Whose events are not counted.
    """

    def __init__(
        self,
        events_max: int = 1_500,
        window_ms: int = 60_000,
        rhythm: bool = True,
        exempt_sources: frozenset[str] = frozenset(),
    ) -> None:
        self.events_max = events_max
        self.window_ms = window_ms
        self.rhythm = rhythm
        self.exempt_sources = exempt_sources

    def see(self, known: ReferenceQuarantine, ts: int, type_name: str, source: str | None) -> None:
        """Count one event of a person."""
        if source in self.exempt_sources or not (self.events_max or self.rhythm):
            return
        known.newest = max(known.newest, ts)
        if self.events_max:
            self._count(known, ts)
        if self.rhythm:
            self._mark(known, ts, type_name)

    def _count(self, known: ReferenceQuarantine, ts: int) -> None:
        hop_ms = self.window_ms // 2
        known.window = known.newest // hop_ms
        oldest = known.window - KEPT_WINDOWS + 1
        known.counts = {w: n for w, n in known.counts.items() if w >= oldest}
        for window in (ts // hop_ms, ts // hop_ms - 1):
            if window >= oldest:
                known.counts[window] = min(known.counts.get(window, 0) + 1, COUNT_MAX)
                if known.counts[window] >= self.events_max:
                    _note(known, window * hop_ms, 0)

    def _mark(self, known: ReferenceQuarantine, ts: int, type_name: str) -> None:
        now = known.newest // HOUR_MS
        if type_name in DELIBERATE:
            known.hours.add(ts // HOUR_MS)
        known.hours = {h for h in known.hours if h > now - KEPT_HOURS}
        for start in range(now - KEPT_HOURS + 1, now - RUN_HOURS + 2):
            if all(start + k in known.hours for k in range(RUN_HOURS)):
                _note(known, start * HOUR_MS, 1)


def _note(known: ReferenceQuarantine, start_ms: int, is_run: int) -> None:
    start_ms = max(start_ms, 1)
    known.first = min(known.first, start_ms) if known.first else start_ms
    known.last = max(known.last, (start_ms, is_run))
