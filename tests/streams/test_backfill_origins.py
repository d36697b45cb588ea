"""A load is known by what it reads."""

from __future__ import annotations

from pathlib import Path

import pytest

from profiler.errors import UsageError
from streams.backfill_origins import file_origins, load_id_of, until_ms_of
from streams.backfill_process import TopicOrigin
from streams.replay import ReplayOptions
from streams.settings import Secret, Settings

OPTIONS = ReplayOptions()


def test_the_same_files_are_the_same_load_whatever_the_number_of_processes(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(b"{}\n")

    names = {name(path, processes) for processes in (1, 2, 8)}

    assert len(names) == 1


def test_another_time_or_other_content_is_another_load(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(b"{}\n")
    first = name(path)
    other_time = name(path, until_ms=7)
    path.write_bytes(b"{ }\n")

    assert len({first, other_time, name(path)}) == 3


def test_a_topic_that_has_grown_is_the_same_load() -> None:
    before, after = (
        [TopicOrigin(topic="archive", partition=n, end=end) for n in range(2)] for end in (5, 9)
    )

    assert load_id_of(before, 7) == load_id_of(after, 7)


def test_where_history_ends_is_what_the_command_says_or_the_settings() -> None:
    settings = Settings(pseudonym_key=Secret("k" * 32), live_from="1970-01-01T00:00:02Z")

    assert until_ms_of(settings, None) == 2_000
    assert until_ms_of(settings, "1970-01-01T00:00:01Z") == 1_000
    with pytest.raises(UsageError, match="--before"):
        until_ms_of(settings, "soon")


def name(path: Path, processes: int = 2, until_ms: int = 10**12) -> str:
    origins, _ = file_origins([path], "native", None, OPTIONS, processes)
    return load_id_of(origins, until_ms)
