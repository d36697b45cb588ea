"""Findings of what should be the same each time, from what was remembered of it."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Final

from profiler.quality.consistency import Spread, Steady
from profiler.quality.examples import EXAMPLES_MAX, HIDDEN, Example, shown
from profiler.quality.facts import Problem
from profiler.quality.report import Finding, says

PRICE_RATIO: Final = Problem("consistency", "price", "price_ratio")


def conflicts(
    steady: Mapping[Problem, Steady], prices: Spread, people: Collection[str]
) -> list[Finding]:
    """Say which keys have several values, and which items several prices.

    Parameters
    ----------
    people
        Columns whose values are not shown.
    """
    found = [
        _finding(problem, len(one.conflicts), one.n_keys, _examples(problem, one, people))
        for problem, one in steady.items()
        if one.conflicts
    ]
    if ratios := prices.conflicts:
        examples = [
            Example(shown(item), {"lowest": f"{low:g}", "highest": f"{high:g}"})
            for _, item, low, high in ratios[:EXAMPLES_MAX]
        ]
        found.append(_finding(PRICE_RATIO, len(ratios), prices.n_keys, examples))
    return found


def _examples(problem: Problem, steady: Steady, people: Collection[str]) -> list[Example]:
    key = problem.name.removeprefix("several_per_")

    def hidden(name: str, text: str) -> str:
        return HIDDEN if name in people else shown(text)

    return [
        Example(
            hidden(key, conflict.key),
            {
                f"{problem.field} {k}": hidden(problem.field, value)
                for k, value in enumerate(conflict.values, 1)
            },
        )
        for conflict in steady.worst(EXAMPLES_MAX)
    ]


def _finding(problem: Problem, count: int, of: int, examples: list[Example]) -> Finding:
    return Finding(
        dimension=problem.dimension,
        field=problem.field,
        problem=problem.name,
        says=says(problem),
        count=count,
        of=of,
        unit="values",
        share=count / of,
        examples=tuple(examples),
    )
