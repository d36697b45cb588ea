"""Data files as lines: JSON lines or separated fields, packed by gzip or zstd or not, and Parquet.

What a file is shows in its first bytes, not in its name. A source reads lines (`profiler.sources`),
so Parquet is rendered in the source's own text form, by Arrow, in compiled code.
"""

from __future__ import annotations

import gzip
import io
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import IO, Any, Final

import msgspec

from profiler.errors import UsageError
from profiler.sources import Form

try:
    import pyarrow as pa
    from pyarrow import csv as arrow_csv
    from pyarrow import parquet
except ModuleNotFoundError:
    pa = None

LINE_BYTES_MAX: Final = 67_108_864
"""A longer line is cut, so that a file without line ends cannot fill the memory."""

PARQUET_ROWS: Final = 65_536
"""Rows of a Parquet file that are in memory at a time."""

PARQUET_BUFFER_BYTES: Final = 1_048_576
"""Of each column; without it a whole row group is read, however large its writer made it."""

UNPACK_BYTES: Final = 1_048_576

SAMPLE_BYTES: Final = 4_194_304


def read_lines(path: Path, form: Form) -> Iterator[bytes]:
    """Give the lines of a data file, with their line ends.

    Parameters
    ----------
    path
        The file.
    form
        In which text form the rows of a Parquet file are given.

    Raises
    ------
    UsageError
        If the file cannot be read, and why; while it is read.
    """
    with _faults(path), path.open("rb") as plain, _unpacked(plain) as file:
        start = file.peek(len(_PARQUET))
        if start.startswith(_PARQUET):
            # Parquet is read from its end: one that is packed has to be unpacked wholly.
            yield from _parquet_lines(file if file is plain else io.BytesIO(file.read()), form)
        elif start.startswith(_ZIP):
            raise UsageError(f"{path} is a zip file or a spreadsheet: unpack or export it first")
        else:
            if start.startswith(_BYTE_ORDER_MARK):
                file.read(len(_BYTE_ORDER_MARK))
            yield from iter(partial(file.readline, LINE_BYTES_MAX), b"")


def about_n_lines(path: Path) -> int:
    """Guess how many lines `read_lines` gives, from the length of the first ones.

    Raises
    ------
    UsageError
        If the file cannot be read.
    """
    with _faults(path), path.open("rb") as plain, _unpacked(plain) as file:
        if file is plain and file.peek(len(_PARQUET)).startswith(_PARQUET):
            return int(_parquet_file(file).metadata.num_rows)
        sample = file.read(SAMPLE_BYTES)
        n_lines = sample.count(b"\n")
        if len(sample) < SAMPLE_BYTES:
            return n_lines + (sample[-1:] not in (b"", b"\n"))
        return n_lines * path.stat().st_size // plain.tell()


def stem(path: Path) -> str:
    """Name a file as it was given, without its extensions.

    Folders are part of it, as two of them may have files of the same name.

    Examples
    --------
    >>> stem(Path("data/UserBehavior.csv.gz")), stem(Path("2019-Oct.csv"))
    ('data/UserBehavior', '2019-Oct')
    """
    return (path.parent / Path(unpacked_name(path)).stem).as_posix()


def unpacked_name(path: Path) -> str:
    """Name of a file, without the extension of what packed it.

    Examples
    --------
    >>> unpacked_name(Path("data/2019-Oct.csv.zst"))
    '2019-Oct.csv'
    """
    return path.name.removesuffix(".gz").removesuffix(".zst")


@contextmanager
def _faults(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as fault:  # BadGzipFile too
        raise UsageError(f"{path}: {fault.strerror or fault}") from fault
    except (EOFError, zlib.error) as fault:
        raise UsageError(f"{path}: the gzip file is damaged ({fault})") from fault


def _unpacked(plain: IO[bytes]) -> io.BufferedReader:
    assert isinstance(plain, io.BufferedReader)
    start = plain.peek(len(_ZSTD))
    if start.startswith(_GZIP):
        return io.BufferedReader(gzip.GzipFile(fileobj=plain), UNPACK_BYTES)
    if start.startswith(_ZSTD):
        _require_pyarrow("zstd")
        return io.BufferedReader(pa.CompressedInputStream(plain, "zstd"), UNPACK_BYTES)
    return plain


def _require_pyarrow(what: str) -> None:
    if pa is None:
        raise UsageError(
            f"reading {what} needs pyarrow: pip install 'streaming-user-profiles[parquet]'"
        )


def _parquet_lines(file: Any, form: Form) -> Iterator[bytes]:
    opened = _parquet_file(file)
    try:
        batches = opened.iter_batches(batch_size=PARQUET_ROWS)
        render = _csv_lines if form == "csv" else _json_lines
        for number, batch in enumerate(batches):
            yield from render(batch, number == 0)
    except _PARQUET_FAULTS as fault:
        raise UsageError(f"the Parquet file cannot be read: {fault}") from fault


def _parquet_file(file: Any) -> Any:
    _require_pyarrow("Parquet")
    try:
        return parquet.ParquetFile(file, buffer_size=PARQUET_BUFFER_BYTES, pre_buffer=False)
    except _PARQUET_FAULTS as fault:
        raise UsageError(f"the Parquet file cannot be read: {fault}") from fault


def _csv_lines(batch: Any, is_first: bool) -> Iterator[bytes]:
    decoded = pa.table(
        {
            name: column.dictionary_decode() if pa.types.is_dictionary(column.type) else column
            for name, column in zip(batch.schema.names, batch.columns, strict=True)
            if not pa.types.is_nested(column.type)
        }
    )
    text = io.BytesIO()
    arrow_csv.write_csv(decoded, text, arrow_csv.WriteOptions(include_header=is_first))
    text.seek(0)
    yield from text


def _json_lines(batch: Any, is_first: bool) -> Iterator[bytes]:
    """Objects without their nulls; times as milliseconds, as in native events."""
    columns = {
        name: _json_values(column)
        for name, column in zip(batch.schema.names, batch.columns, strict=True)
    }
    for values in zip(*columns.values(), strict=True):
        # Data frames write a missing number as one that is not equal to itself.
        present = {
            name: value
            for name, value in zip(columns, values, strict=True)
            if value is not None and value == value
        }
        yield _ENCODE(present) + b"\n"


def _json_values(column: Any) -> list[Any]:
    if pa.types.is_timestamp(column.type):
        column = column.cast(pa.timestamp("ms"), safe=False).cast(pa.int64())
    values: list[Any] = column.to_pylist(maps_as_pydicts="lossy")
    return values


_BYTE_ORDER_MARK: Final = b"\xef\xbb\xbf"
_GZIP: Final = b"\x1f\x8b"
_ZSTD: Final = b"\x28\xb5\x2f\xfd"
_PARQUET: Final = b"PAR1"
_PARQUET_FAULTS: Final = (*(() if pa is None else (pa.ArrowException,)), ValueError, TypeError)
_ZIP: Final = b"PK\x03\x04"
_ENCODE: Final = msgspec.json.Encoder(decimal_format="number").encode
