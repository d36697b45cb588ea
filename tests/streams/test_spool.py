"""What is spooled comes back, part by part, in its order."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from profiler.errors import UsageError
from profiler.records import RawRecord
from streams.spool import BLOCK_RECORDS, SpoolWriter, read_index, read_part

PARTS = 3


@given(parts=st.lists(st.integers(0, PARTS - 1), max_size=4 * BLOCK_RECORDS), cut=st.integers(1, 3))
def test_every_record_is_in_its_part_in_the_order_of_its_file(
    parts: list[int], cut: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    directory = tmp_path_factory.mktemp("spool")
    records = [record(n) for n in range(len(parts))]
    paths = [directory / f"{k}.spool" for k in range(cut)]

    # As several processes do that take turns at one file.
    for k, path in enumerate(paths):
        with SpoolWriter(path) as writer:
            for part, one in list(zip(parts, records, strict=True))[k::cut]:
                writer.add(part, one)

    origins = {path: read_index(path) for path in paths}
    for part in range(PARTS):
        expected = [one for p, one in zip(parts, records, strict=True) if p == part]
        assert read_part(origins, part) == expected


def test_what_was_not_finished_was_never_written(tmp_path: Path) -> None:
    path = tmp_path / "0.spool"

    with pytest.raises(RuntimeError), SpoolWriter(path) as writer:
        writer.add(0, record(0))
        raise RuntimeError

    assert not path.exists()


@pytest.mark.parametrize("damage", [b"", b"short", b"\xff" * 64])
def test_a_damaged_spool_is_refused(tmp_path: Path, damage: bytes) -> None:
    path = tmp_path / "0.spool"
    path.write_bytes(damage)

    with pytest.raises(UsageError, match="damaged"):
        read_index(path)


def record(n: int) -> RawRecord:
    return RawRecord("file:x", 0, n, None if n % 2 else n, b"k", b"v%d" % n, [("h", b"x")])
