"""The columns of a table as its file has them, before anything is made of them."""

from __future__ import annotations

import operator
from collections import Counter
from collections.abc import Sequence
from typing import Final

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from profiler.quality.consistency import Steady
from profiler.quality.facts import Problem
from profiler.quality.problems import Hit
from profiler.quality.repetition import Distinct
from profiler.sources import Columns, Row

PLACEHOLDERS: Final = frozenset(
    {"nan", "null", "none", "n/a", "na", "nil", "-", "--", "?", "??", "unknown", "unspecified"}
    | {"undefined", "(not set)", "missing", "#n/a"}
)
"""Texts, in lower case, by which some systems write that there is nothing."""

PLACEHOLDER_CHARS_MAX: Final = max(map(len, PLACEHOLDERS))


class ColumnReport(Struct, frozen=True, kw_only=True):
    """What is known of one column.

    Parameters
    ----------
    name
        As in the file.
    rows, missing
        Rows of the table, and those in which it is empty or white space.
    placeholders
        Rows with a text that says that there is nothing.
    padded
        Rows in which white space stands around the text.
    distinct, is_exact
        Number of different values, and whether it is counted or estimated.
    names_people
        Whether its values are hidden.
    """

    name: str
    rows: int
    missing: int
    placeholders: int
    padded: int
    distinct: int
    is_exact: bool
    names_people: bool


class _Column:
    def __init__(self) -> None:
        self.n_missing = self.n_placeholders = self.n_padded = 0
        self.distinct = Distinct()


class TableSurvey:
    """Follows the columns of one table."""

    def __init__(self, columns: Columns) -> None:
        self.columns = columns
        self._found = [_Column() for _ in columns.names]
        self._n_rows = 0
        self.steady = {
            Problem("consistency", value, f"several_per_{key}"): Steady()
            for key, value in columns.steady
        }

    def add(self, rows: Sequence[Row]) -> list[Hit]:
        """Count these rows; give those with problems, by place among them."""
        places = [k for k, row in enumerate(rows) if row.fields is not None]
        values = {
            name: list(column)
            for name, column in zip(
                self.columns.names,
                zip(*(rows[k].fields or () for k in places), strict=True),
                strict=bool(places),
            )
        }
        if not places:
            return []
        self._n_rows += len(places)
        for key, value in self.columns.steady:
            problem = Problem("consistency", value, f"several_per_{key}")
            self.steady[problem].add(values[key], values[value])
        index = np.array(places, dtype=np.intp)
        return [
            hit
            for name, found in zip(self.columns.names, self._found, strict=True)
            for hit in _counted(name, values[name], found, index)
        ]

    def report(self) -> tuple[ColumnReport, ...]:
        """Say what was found."""
        return tuple(
            ColumnReport(
                name=name,
                rows=self._n_rows,
                missing=found.n_missing,
                placeholders=found.n_placeholders,
                padded=found.n_padded,
                distinct=found.distinct.count,
                is_exact=found.distinct.is_exact,
                names_people=name in self.columns.people,
            )
            for name, found in zip(self.columns.names, self._found, strict=True)
        )


def _counted(name: str, values: list[str], found: _Column, index: NDArray[np.intp]) -> list[Hit]:
    texts = list(map(str.strip, values))
    # Only rows that have the problem are looked for one by one.
    counts = Counter(texts)
    nothing = [
        text
        for text in counts
        if len(text) <= PLACEHOLDER_CHARS_MAX and text.lower() in PLACEHOLDERS
    ]
    found.n_missing += counts[""]
    found.n_placeholders += sum(counts[text] for text in nothing)
    found.n_padded += sum(map(operator.ne, values, texts))
    del counts[""]
    found.distinct.add(counts)
    hits = []
    for problem, wanted in (("missing", [""]), ("placeholder", nothing)):
        chosen = [k for k, text in enumerate(texts) if text in wanted] if wanted else []
        if chosen:
            hits.append(Hit(Problem("completeness", name, problem), index[chosen]))
    return hits
