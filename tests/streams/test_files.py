"""Data files as lines, whatever they are packed in."""

from __future__ import annotations

import datetime as dt
import gzip
import subprocess
import sys
from decimal import Decimal
from pathlib import Path

import msgspec
import pytest

from profiler.errors import UsageError
from profiler.events import decode_batch
from profiler.sources import source_named
from streams import files
from streams.files import about_n_lines, read_lines, stem

pa = pytest.importorskip("pyarrow", reason="the parquet extra is not installed")
parquet = pytest.importorskip("pyarrow.parquet")

LINES = [b"a,b\n", b"1,2\n", b"last without an end"]


def test_plain_and_gzipped_files_give_the_same_lines(tmp_path: Path) -> None:
    plain, packed = tmp_path / "x.csv", tmp_path / "x.csv.gz"
    plain.write_bytes(b"".join(LINES))
    packed.write_bytes(gzip.compress(b"".join(LINES)))

    assert list(read_lines(plain, "csv")) == LINES
    assert list(read_lines(packed, "csv")) == LINES


def test_a_file_packed_by_zstd_gives_the_same_lines(tmp_path: Path) -> None:
    packed = tmp_path / "x.csv.zst"
    halves = (b"".join(LINES)[:5], b"".join(LINES)[5:])
    packed.write_bytes(b"".join(map(zstd, halves)))

    assert list(read_lines(packed, "csv")) == LINES
    assert stem(packed) == (tmp_path / "x").as_posix()


@pytest.mark.parametrize("suffix", ["", ".gz", ".zst", ".parquet"])
@pytest.mark.parametrize("n", [0, 1, 1_000, 300_000])
def test_the_number_of_lines_is_guessed_from_the_first_ones(
    tmp_path: Path, suffix: str, n: int
) -> None:
    path = tmp_path / f"x.jsonl{suffix}"
    lines = b"".join(b'{"n":"%032x"}\n' % (k * 0x9E3779B97F4A7C15) for k in range(n))
    if suffix == ".parquet":
        parquet.write_table(pa.table({"n": list(range(n))}), path)
    else:
        packed = {"": lines, ".gz": gzip.compress(lines), ".zst": zstd(lines)}
        path.write_bytes(packed[suffix])

    assert about_n_lines(path) == pytest.approx(n, rel=0.1)


def test_a_damaged_zstd_file_is_reported_by_name(tmp_path: Path) -> None:
    cut = tmp_path / "cut.jsonl.zst"
    cut.write_bytes(zstd(bytes(range(256)) * 1_000)[:-20])

    with pytest.raises(UsageError, match=r"cut\.jsonl\.zst: Truncated"):
        list(read_lines(cut, "json"))


def zstd(data: bytes) -> bytes:
    packed: bytes = pa.Codec("zstd").compress(data).to_pybytes()
    return packed


def test_a_gzipped_file_is_known_by_its_bytes_not_its_name(tmp_path: Path) -> None:
    path = tmp_path / "UserBehavior.csv"
    path.write_bytes(gzip.compress(b"".join(LINES)))

    assert list(read_lines(path, "csv")) == LINES


def test_an_empty_file_has_no_lines(tmp_path: Path) -> None:
    path = tmp_path / "empty"
    path.touch()

    assert list(read_lines(path, "json")) == []


def test_a_damaged_gzip_file_is_reported_by_name(tmp_path: Path) -> None:
    path = tmp_path / "cut.csv.gz"
    path.write_bytes(gzip.compress(b"x" * 100_000)[:-20])

    with pytest.raises(UsageError, match=r"cut\.csv\.gz.*damaged"):
        list(read_lines(path, "csv"))


def test_a_spreadsheet_is_refused_with_what_to_do(tmp_path: Path) -> None:
    path = tmp_path / "Online Retail.xlsx"
    path.write_bytes(b"PK\x03\x04rest")

    with pytest.raises(UsageError, match="unpack or export it first"):
        list(read_lines(path, "csv"))


def test_a_missing_file_is_reported_by_name(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="absent"):
        list(read_lines(tmp_path / "absent.csv", "csv"))


def test_the_stem_loses_all_extensions_of_packing() -> None:
    assert stem(Path("online_retail.csv.gz")) == "online_retail"
    assert stem(Path("u.data")) == "u"


def test_the_stem_keeps_the_folders_as_given() -> None:
    assert stem(Path("./monday/part.1.csv")) == "monday/part.1"
    assert stem(Path("/data/part.csv.gz")) == "/data/part"


@pytest.mark.parametrize("is_packed", [False, True])
def test_a_table_in_parquet_converts_like_its_csv(tmp_path: Path, is_packed: bool) -> None:
    table = pa.table(
        {
            "InvoiceNo": ["536365", "C536366"],
            "StockCode": pa.array(["85123A", "71053"]).dictionary_encode(),
            "Description": ['A "quoted", long\nname', None],
            "Quantity": [6, -1],
            "InvoiceDate": pa.array([1_291_191_960, 1_291_192_020], pa.timestamp("s")),
            "UnitPrice": [2.55, 3.39],
            "CustomerID": [17850.0, 17850.0],
            "Country": ["United Kingdom", "France"],
        }
    )
    path = tmp_path / "retail.parquet"
    parquet.write_table(table, path)
    if is_packed:
        path.write_bytes(gzip.compress(path.read_bytes()))

    records = list(source_named("online-retail").convert(read_lines(path, "csv"), "retail"))

    events, rejected = decode_batch([record.value for record in records])
    assert not rejected
    first, second = events
    assert first is not None
    assert second is not None
    assert (first.user_id, first.title, first.ts) == (
        "17850",
        'A "quoted", long\nname',
        1_291_191_960_000,
    )
    assert (second.quantity, second.item_id, second.title) == (1, "71053", None)


def test_native_events_in_parquet_lose_their_nulls_and_keep_their_times(tmp_path: Path) -> None:
    table = pa.table(
        {
            "type": ["click", "purchase"],
            "ts": pa.array([1_000, 2_000], pa.timestamp("ms")),
            "user_id": ["alice", "bob"],
            "quantity": pa.array([None, 2], pa.int64()),
        }
    )
    path = tmp_path / "events.parquet"
    parquet.write_table(table, path)

    events, rejected = decode_batch(list(read_lines(path, "json")))

    assert not rejected
    assert [event.ts for event in events if event is not None] == [1_000, 2_000]


def test_values_of_parquet_are_what_json_would_have(tmp_path: Path) -> None:
    day = dt.date(2026, 3, 1)
    table = pa.table(
        {
            "price": pa.array([Decimal("19.99"), None], pa.decimal128(9, 2)),
            "frame": [float("nan"), 2.0],
            "at": pa.array([1_772_355_600_123_999_999, None], pa.timestamp("ns", tz="UTC")),
            "day": [day, None],
            "empty": pa.nulls(2),
            "traits": pa.array([[("plan", "pro")], None], pa.map_(pa.string(), pa.string())),
            "lines": [[{"sku": "cup", "cost": Decimal("1.50"), "at": None}], []],
            "data": [b"\0\1", None],
            "kind": pa.array(["a", "b"]).dictionary_encode(),
            "whole": pa.array([2**63, None], pa.uint64()),
        }
    )
    path = tmp_path / "values.parquet"
    parquet.write_table(table, path)

    first, second = (msgspec.json.decode(line) for line in read_lines(path, "json"))

    assert first == {
        "price": 19.99,
        "at": 1_772_355_600_123,
        "day": "2026-03-01",
        "traits": {"plan": "pro"},
        "lines": [{"sku": "cup", "cost": 1.5, "at": None}],
        "data": "AAE=",
        "kind": "a",
        "whole": 2**63,
    }
    assert second == {"frame": 2.0, "lines": [], "kind": "b"}


def test_of_a_large_row_group_only_a_part_is_in_memory(tmp_path: Path) -> None:
    n_rows = 1_000_000
    path = tmp_path / "large.parquet"
    text = pa.array(["x" * 64]).take(pa.array([0] * n_rows))
    parquet.write_table(
        pa.table({"a": text, "b": text}),
        path,
        row_group_size=n_rows,
        compression="none",
        use_dictionary=False,
    )
    # In a process of its own: what one has had at most is never forgotten.
    code = (
        "import sys, pathlib; from streams.files import read_lines;"
        "most = lambda: int(pathlib.Path('/proc/self/status').read_text()"
        ".partition('VmHWM:')[2].split()[0]) * 1_024;"
        "before = most(); next(read_lines(pathlib.Path(sys.argv[1]), 'json'));"
        "print(most() - before)"
    )
    done = subprocess.run([sys.executable, "-c", code, path], capture_output=True, check=True)

    assert path.stat().st_size > 130_000_000
    assert int(done.stdout) < 120_000_000


def test_a_broken_parquet_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "broken.parquet"
    path.write_bytes(b"PAR1" + b"\x00" * 50)

    with pytest.raises(UsageError, match="Parquet"):
        list(read_lines(path, "csv"))


def test_without_pyarrow_the_extra_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "events.parquet"
    path.write_bytes(b"PAR1")
    monkeypatch.setattr(files, "pa", None)

    with pytest.raises(UsageError, match=r"pip install 'streaming-user-profiles\[parquet\]'"):
        list(read_lines(path, "json"))


@pytest.mark.parametrize("is_zipped", [False, True])
def test_a_byte_order_mark_at_the_beginning_is_dropped(tmp_path: Path, is_zipped: bool) -> None:
    path = tmp_path / "events.jsonl"
    text = b'\xef\xbb\xbf{"a":1}\n\xef\xbb\xbf{"a":2}\n'
    path.write_bytes(gzip.compress(text) if is_zipped else text)

    lines = list(read_lines(path, "json"))

    assert lines == [b'{"a":1}\n', b'\xef\xbb\xbf{"a":2}\n']
