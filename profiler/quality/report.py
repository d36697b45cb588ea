"""The report on the quality of data: what the command prints, as JSON, as text and as a page."""

from __future__ import annotations

from typing import Final

from msgspec import Struct

from profiler.quality.columns import ColumnReport
from profiler.quality.examples import Example
from profiler.quality.facts import Problem
from profiler.quality.timeliness import TimesReport


class Finding(Struct, frozen=True, kw_only=True):
    """One problem, and how often it was found.

    Parameters
    ----------
    dimension, field, problem
        See `profiler.quality.facts.Problem`.
    says
        The same for people.
    count, of, unit
        How many of how many, and of what: ``rows``, ``records``, ``events`` or ``values``.
    share
        The one divided by the other.
    examples
        The worst few.
    """

    dimension: str
    field: str
    problem: str
    says: str
    count: int
    of: int
    unit: str
    share: float
    examples: tuple[Example, ...]


class FieldReport(Struct, frozen=True, kw_only=True):
    """How often a field is missing in events of a type that may have it."""

    type: str
    field: str
    events: int
    missing: int


class Report(Struct, frozen=True, kw_only=True):
    """All that was found.

    Parameters
    ----------
    inputs
        Files, or a topic.
    source
        How they were read.
    rows
        Rows of files, or records of a topic.
    events, refused, unused
        Events that would be applied; records that would become dead letters; records that say
        nothing useful.
    types
        Events by type, those that can be read of refused records included.
    findings
        Problems, by dimension and then by number.
    columns
        Of tables.
    fields
        Of events.
    times
        When they happened.
    limits
        Bounds that were reached, so that a figure is a lower bound.
    """

    inputs: tuple[str, ...]
    source: str
    rows: int
    events: int
    refused: int
    unused: int
    types: dict[str, int]
    findings: tuple[Finding, ...]
    columns: tuple[ColumnReport, ...]
    fields: tuple[FieldReport, ...]
    times: TimesReport
    limits: tuple[str, ...]


_SAYS: Final = {
    "missing": "{field} is missing",
    "placeholder": "{field} says that there is nothing (nan, null, unknown …)",
    "not_positive": "{field} ≤ 0",
    "in_future": "{field} lies in the future",
    "before_1990": "{field} lies before 1990",
    "exact_duplicate": "exact duplicate of an earlier {field}",
    "repeated": "{field} has come before, with the same content",
    "other_content": "{field} has come before, with other content",
    "out_of_order": "comes after an event that is later",
    "price_ratio": "an item's prices differ by a factor of 50 or more",
    "several_spellings": "one {field} in several spellings",
}


def says(problem: Problem) -> str:
    """Say a problem in words.

    Examples
    --------
    >>> says(Problem("validity", "price", "not_positive"))
    'price ≤ 0'
    >>> says(Problem("consistency", "Country", "several_per_CustomerID"))
    'one CustomerID with several values of Country'
    """
    if problem.name.startswith("several_per_"):
        key = problem.name.removeprefix("several_per_")
        return f"one {key} with several values of {problem.field}"
    known = _SAYS.get(problem.name)
    return known.format(field=problem.field) if known else f"refused: {problem.name}"
