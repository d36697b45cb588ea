"""The folder of a load: what of it counts when the load goes on."""

from __future__ import annotations

from pathlib import Path

import pytest
from msgspec.structs import replace

from profiler.errors import UsageError
from streams.backfill_folder import Folder, Manifest
from streams.backfill_process import Applied, FileOrigin, TopicOrigin
from streams.replay import ReplayOptions


def plan(*names: str, started_ms: int = 7) -> Manifest:
    origins = [
        FileOrigin(
            paths=(name,),
            source="native",
            mapping=None,
            options=ReplayOptions(),
            slice=part,
            slices=2,
        )
        for name in names
        for part in range(2)
    ]
    return Manifest(load_id="abc", origins=list(origins), parts=3, started_ms=started_ms)


def begun(parent: Path, manifest: Manifest) -> None:
    with Folder(parent, manifest) as folder:
        assert folder.is_new
        folder.note_done({1: Applied(5, {"applied": 5})})


def test_what_is_done_counts_in_the_store_that_has_it(tmp_path: Path) -> None:
    begun(tmp_path, plan("a"))

    with Folder(tmp_path, plan("a")) as folder:
        assert not folder.is_new
        assert folder.manifest.done == {1: Applied(5, {"applied": 5})}


def test_nothing_is_done_in_another_store_nor_in_the_first_one_afterwards(tmp_path: Path) -> None:
    begun(tmp_path, plan("a", started_ms=7))

    for started_ms in (8, 7):
        with Folder(tmp_path, plan("a", started_ms=started_ms)) as folder:
            assert folder.manifest.done == {}


def test_files_may_be_moved(tmp_path: Path) -> None:
    begun(tmp_path, plan("a", "b"))

    with Folder(tmp_path, plan("y", "x")) as folder:
        assert folder.manifest.origins == plan("y", "x").origins


def test_a_topic_keeps_the_end_that_it_was_begun_with(tmp_path: Path) -> None:
    before, after = (
        replace(plan(), origins=[TopicOrigin(topic="t", partition=0, end=end)]) for end in (5, 9)
    )
    begun(tmp_path, before)

    with Folder(tmp_path, after) as folder:
        assert folder.manifest.origins == before.origins


def test_one_process_at_a_time(tmp_path: Path) -> None:
    with (
        Folder(tmp_path, plan("a")),
        pytest.raises(UsageError, match="another process is at this load"),
    ):
        Folder(tmp_path, plan("a"))


def test_only_what_is_ours_is_removed(tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("mine")

    with Folder(tmp_path, plan("a")) as folder:
        folder.remove()

    assert [path.name for path in tmp_path.iterdir()] == ["precious"]
