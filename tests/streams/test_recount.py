"""Profiles of the whole of Online Retail against what DuckDB counts in the file."""

from __future__ import annotations

import os
from itertools import islice
from pathlib import Path

import pytest

from profiler.records import RawRecord
from profiler.sources import source_named
from profiler.spec import DEFAULT_SPEC
from profiler.state import decode_states
from streams.replay import ReplayOptions, load
from tests.folding import Fold
from tests.recount import assert_as_recounted, recounted

DATA = Path(os.environ.get("PROFILER_DATA_DIR", Path(__file__).parents[3] / "shared/data"))
BATCH_RECORDS = 32_768


@pytest.fixture
def path() -> Path:
    path = DATA / "online_retail.csv.gz"
    if not path.exists():
        pytest.skip(f"{path} is absent: set PROFILER_DATA_DIR to the folder with it")
    return path


@pytest.mark.parametrize("distinct", [False, True], ids=["duplicates_kept", "distinct"])
def test_profiles_are_what_an_independent_count_of_the_whole_file_gives(
    path: Path, distinct: bool
) -> None:
    records = load([path], source_named("online-retail"), ReplayOptions(distinct=distinct))
    numbered = (
        RawRecord("events", 0, offset, None, record.key, record.value)
        for offset, record in enumerate(records)
    )
    fold = Fold()
    while batch := list(islice(numbered, BATCH_RECORDS)):
        fold.apply(batch)

    expected = recounted(path, distinct=distinct)
    pids = [fold.pseudonymiser.pid("user", name) for name in expected["customer"].tolist()]
    assert set(fold.states) == set(pids)
    rows = decode_states([fold.states[pid] for pid in pids], DEFAULT_SPEC, {}).rows
    assert_as_recounted(rows, expected)
