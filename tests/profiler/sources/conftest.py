from __future__ import annotations

import gzip
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from profiler.events import AnyEvent, decode_batch
from profiler.sources import source_named

ROOT = Path(__file__).parents[3]


@pytest.fixture
def convert() -> Callable[..., list[AnyEvent]]:
    """Converts a literal sample; every record must be an event that the worker accepts."""

    def run(source: str, sample: str, stem: str = "sample") -> list[AnyEvent]:
        lines = sample.encode().splitlines(keepends=True)
        records = list(source_named(source).convert(lines, stem))
        events, rejected = decode_batch([record.value for record in records])
        assert not rejected
        return [event for event in events if event is not None]

    return run


@pytest.fixture
def reasons() -> Callable[[str, str], list[str]]:
    """Reasons for which the worker refuses the rows of a sample; empty for accepted ones."""

    def run(source: str, sample: str) -> list[str]:
        lines = sample.encode().splitlines(keepends=True)
        records = list(source_named(source).convert(lines, "sample"))
        _, rejected = decode_batch([record.value for record in records])
        by_index = {r.index: r.reason for r in rejected}
        return [by_index.get(index, "") for index in range(len(records))]

    return run


@pytest.fixture
def data_lines() -> Callable[[str], list[bytes]]:
    """Lines of a real data file that is not part of the project; skips where it is absent."""

    def read(name: str) -> list[bytes]:
        folder = Path(os.environ.get("PROFILER_DATA_DIR", ROOT.parent / "shared/data"))
        path = folder / name
        if not path.exists():
            pytest.skip(f"{path} is absent: set PROFILER_DATA_DIR to the folder with {name}")
        with gzip.open(path) as file:
            return file.readlines()

    return read
