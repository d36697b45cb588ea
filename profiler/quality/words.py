"""The report as lines of text, and the words that its page shares with them."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from typing import Final

from profiler.columns import DAY_MS, HOUR_MS
from profiler.quality.columns import ColumnReport
from profiler.quality.report import Finding, Report

EXAMPLE_CHARS_MAX: Final = 160
LINES_OF_FIELDS_MAX: Final = 40
_EPOCH: Final = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)


def lines(report: Report) -> list[str]:
    """Write the report for a terminal."""
    written = [
        f"{title(report)}, read as {report.source}",
        f"{report.rows:,} rows: {report.events:,} events, {report.refused:,} refused, "
        f"{report.unused:,} unused",
        *_problems(report),
        *_columns(report),
        *_fields(report),
        *_times(report),
        *_examples(report),
    ]
    return [*written, *([""] if report.limits else []), *report.limits]


def title(report: Report) -> str:
    """Name what was looked at."""
    return ", ".join(report.inputs)


def share(n: int, of: int) -> str:
    """A share as people read it.

    Examples
    --------
    >>> share(1, 4), share(1, 100_000), share(0, 7), share(0, 0)
    ('25.0 %', '<0.1 %', '0 %', '–')
    """
    if not of:
        return "–"
    if not n:
        return "0 %"
    return f"{100 * n / of:.1f} %" if n / of >= 0.0005 else "<0.1 %"


def day(ms: int) -> str:
    """A day (UTC), by a time in it."""
    return (_EPOCH + dt.timedelta(milliseconds=ms)).strftime("%Y-%m-%d")


def span(ms: int) -> str:
    """A length of time in the unit that fits.

    Examples
    --------
    >>> span(0), span(1_500), span(90 * 60_000), span(3 * DAY_MS)
    ('0.0 s', '1.5 s', '1.5 h', '3.0 days')
    """
    for unit_ms, unit in ((DAY_MS, "days"), (HOUR_MS, "h"), (60_000, "min")):
        if ms >= unit_ms:
            return f"{ms / unit_ms:.1f} {unit}"
    return f"{ms / 1000:.1f} s"


def distinct(column: ColumnReport) -> str:
    """Number of different values, with a mark where it is estimated."""
    return f"{'' if column.is_exact else '≈ '}{column.distinct:,}"


def _problems(report: Report) -> list[str]:
    if not report.findings:
        return ["", "No problems were found."]
    head = ("PROBLEMS", "", "number", "share", "of")
    rows = [
        (f.dimension, f.says, f"{f.count:,}", share(f.count, f.of), f"{f.of:,} {f.unit}")
        for f in report.findings
    ]
    return ["", *_table([head, *rows], "<<>>>")]


def _columns(report: Report) -> list[str]:
    if not report.columns:
        return []
    head = ("COLUMNS", "missing", "share", "says nothing", "padded", "different")
    rows = [
        (
            c.name,
            f"{c.missing:,}",
            share(c.missing, c.rows),
            f"{c.placeholders:,}",
            f"{c.padded:,}",
            distinct(c),
        )
        for c in report.columns
    ]
    return ["", *_table([head, *rows], "<>>>>>")]


def _fields(report: Report) -> list[str]:
    """Fields that are there at least once: what nobody sends would fill the screen."""
    present = [f for f in report.fields if f.missing < f.events]
    if not present:
        return []
    head = ("FIELDS", "", "missing", "share", "events")
    rows = [
        (f.type, f.field, f"{f.missing:,}", share(f.missing, f.events), f"{f.events:,}")
        for f in present[:LINES_OF_FIELDS_MAX]
    ]
    more = len(present) - len(rows)
    return ["", *_table([head, *rows], "<<>>>"), *([f"… and {more} more"] if more else [])]


def _times(report: Report) -> list[str]:
    times = report.times
    if times.first_ms is None or times.last_ms is None:
        return []
    gaps = ", ".join(f"{gap.days} from {day(gap.first_day_ms)}" for gap in times.gaps)
    delays = ", ".join(f"{name}: {n:,}" for name, n in times.delays.items())
    return [
        "",
        f"TIMES   {day(times.first_ms)} to {day(times.last_ms)}, {times.days:,} days, "
        f"{times.days_without:,} without any event",
        *([f"  gaps in days: {gaps}"] if gaps else []),
        f"  out of order: {times.out_of_order:,}, late by {span(times.late_max_ms)} at most",
        *([f"  recorded after {delays}"] if delays else []),
    ]


def _examples(report: Report) -> list[str]:
    found = [f for f in report.findings if f.examples]
    return [*(["", "EXAMPLES"] if found else []), *(line for f in found for line in _example(f))]


def _example(finding: Finding) -> list[str]:
    written = [f"{finding.says}:"]
    for example in finding.examples:
        shown = " ".join(f"{name}={text}" for name, text in example.shows.items())
        if len(shown) > EXAMPLE_CHARS_MAX:
            shown = f"{shown[:EXAMPLE_CHARS_MAX]}…"
        # What stands in data must not move the cursor, or end the line.
        printable = "".join(c if c.isprintable() else "·" for c in f"{example.at}  {shown}")
        written.append(f"  {printable}")
    return written


def _table(rows: Sequence[Sequence[str]], sides: str) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(
            f"{cell:{side}{width}}" for cell, side, width in zip(row, sides, widths, strict=True)
        ).rstrip()
        for row in rows
    ]
