"""`docs/facets.md` defines the state: its tables must be those of the spec."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from profiler.spec import DEFAULT_SPEC

PAGE = (Path(__file__).parents[2] / "docs/facets.md").read_text("utf-8")


def table(heading: str) -> list[list[str]]:
    """Cells of the first table below a heading."""
    rows = PAGE.split(heading, 1)[1].split("\n\n## ", 1)[0]
    lines = [line for line in rows.splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


def test_every_column_stands_in_the_table_with_its_class() -> None:
    written = {
        f"{facet}.{name}": kind
        for facet, names, _, kind, *_ in table("## Columns")
        for name in re.findall(r"`(\w+)`", names)
    }

    assert written == {c.name: c.kind for c in DEFAULT_SPEC.columns}


def test_the_bytes_of_the_table_are_those_of_the_row() -> None:
    written: dict[str, int] = {}
    for facet, *_, size in table("## Columns"):
        written[facet] = written.get(facet, 0) + int(size)

    actual: dict[str, int] = {}
    for column in DEFAULT_SPEC.columns:
        facet = column.name.split(".")[0]
        n_bytes = np.dtype((column.dtype, column.shape)).itemsize
        actual[facet] = actual.get(facet, 0) + n_bytes
    assert written == actual
    assert f"**{sum(actual.values()):,} bytes**" in PAGE


def test_the_vector_is_laid_out_as_the_table_says() -> None:
    written = [
        (name.strip("`"), int(offset), int(length), transform.replace("–", "none"))
        for name, offset, length, _, transform, _ in table("## The vector")
    ]

    assert written == [(s.name, s.offset, s.length, s.transform) for s in DEFAULT_SPEC.slices]
