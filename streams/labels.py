"""Files of labels: whom to look at, when, and whatever else stands in their rows.

CSV, JSON lines or Parquet, by their first bytes and names, gzipped or not; read in pieces.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec
import numpy as np

from profiler.columns import Ints
from profiler.errors import UsageError
from profiler.linking import Subject
from streams.asof import parse_subject, parse_time
from streams.files import read_lines

try:
    import pyarrow as pa
    from pyarrow import csv as arrow_csv
    from pyarrow import parquet
except ModuleNotFoundError:
    pa = None

ROWS: Final = 65_536
"""Of a file that are in memory at a time."""
CSV_BLOCK_BYTES: Final = 8_388_608
SUBJECT: Final = "subject"
TIME: Final = "time"
KINDS: Final = {"user_id": "user", "device_id": "device", "anonymous_id": "anonymous"}
"""Columns that name a subject as events do; the first that has a value counts."""
SUFFIXES: Final = (".csv", ".tsv")


_ROW: Final = re.compile(r"(, got \d+): .*")


class Questions(NamedTuple):
    """Whom to look at, and when.

    Parameters
    ----------
    subjects
        Each once.
    of
        (Q,) place of each question's subject.
    at_ms
        (Q,) times.
    """

    subjects: list[Subject]
    of: Ints
    at_ms: Ints


def require_arrow() -> None:
    """Refuse to go on without pyarrow.

    Raises
    ------
    UsageError
        If it is not installed.
    """
    if pa is None:
        raise UsageError(
            "training sets need pyarrow: pip install 'streaming-user-profiles[parquet]'"
        )


def label_tables(path: Path) -> Iterator[Any]:
    """Give a file of labels in tables of Arrow, row by row as they stand there.

    Raises
    ------
    UsageError
        If it cannot be read.
    """
    require_arrow()
    try:
        with path.open("rb") as file:
            start = file.read(4)
        if start == b"PAR1":
            for batch in parquet.ParquetFile(path).iter_batches(batch_size=ROWS):
                yield pa.Table.from_batches([batch])
        elif path.name.lower().removesuffix(".gz").endswith(SUFFIXES):
            yield from _csv_tables(path)
        else:
            yield from _json_tables(path)
    except pa.ArrowException as fault:
        # Arrow shows the row: people, and whatever is known of them.
        said = _ROW.sub(r"\1", " ".join(str(fault).split()))
        raise UsageError(f"{path}: {said}") from fault
    except OSError as fault:
        raise UsageError(f"{path}: {fault.strerror or fault}") from fault


def read_questions(path: Path) -> Questions:
    """Read who is asked for, and when.

    Raises
    ------
    UsageError
        If the file cannot be read, or a row does not say: names it.
    """
    place: dict[Subject, int] = {}
    of: list[Ints] = []
    at_ms: list[Ints] = []
    n_rows = 0
    for table in label_tables(path):
        subjects = _subjects(path, table, n_rows)
        of.append(np.array([place.setdefault(s, len(place)) for s in subjects], dtype=np.int64))
        at_ms.append(_times(path, table, n_rows))
        n_rows += len(table)
    if not n_rows:
        raise UsageError(f"{path}: there are no labels in it")
    return Questions(list(place), np.concatenate(of), np.concatenate(at_ms))


def _subjects(path: Path, table: Any, first: int) -> list[Subject]:
    """Of each row, the subject that it names."""
    found: list[Subject | None] = [None] * len(table)
    names = [name for name in (SUBJECT, *KINDS) if name in table.column_names]
    if not names:
        raise UsageError(f"{path}: no column {SUBJECT}, {', '.join(KINDS)}")
    for name in reversed(names):
        for k, text in enumerate(_texts(path, table[name])):
            if text:
                found[k] = _subject(name, text)
    known = [one for one in found if one is not None]
    if len(known) < len(found):
        raise UsageError(f"{path}: row {first + found.index(None) + 1} names no subject")
    return known


def _subject(column: str, text: str) -> Subject:
    if column == SUBJECT:
        return parse_subject(text)
    kind = KINDS[column]
    return text if kind == "user" else (kind, text)


def _times(path: Path, table: Any, first: int) -> Ints:
    if TIME not in table.column_names:
        raise UsageError(f"{path}: no column {TIME}")
    found = np.zeros(len(table), dtype=np.int64)
    for k, text in enumerate(_texts(path, table[TIME])):
        try:
            found[k] = parse_time(text or "")
        except ValueError as fault:
            raise UsageError(f"{path}: row {first + k + 1}: {TIME}: {fault}") from None
    return found


def _texts(path: Path, column: Any) -> Sequence[str | None]:
    """Values as text; moments as milliseconds, and numbers that a data frame made floats whole."""
    kind = column.type
    try:
        if pa.types.is_dictionary(kind):
            column = column.cast(kind.value_type)
        if pa.types.is_timestamp(kind):
            column = column.cast(pa.timestamp("ms", kind.tz), safe=False).cast(pa.int64())
        if pa.types.is_floating(kind):
            column = column.cast(pa.int64())
        texts: Sequence[str | None] = column.cast(pa.string()).to_pylist()
    except pa.ArrowException as fault:
        raise UsageError(f"{path}: {fault}") from fault
    return texts


def _csv_tables(path: Path) -> Iterator[Any]:
    # An id of digits is no number: its leading zeros count.
    texts = dict.fromkeys((SUBJECT, *KINDS, TIME), pa.string())
    with (
        pa.input_stream(path, compression="detect") as stream,
        arrow_csv.open_csv(
            stream,
            read_options=arrow_csv.ReadOptions(block_size=CSV_BLOCK_BYTES),
            parse_options=arrow_csv.ParseOptions(
                delimiter="\t" if ".tsv" in path.name.lower() else ","
            ),
            convert_options=arrow_csv.ConvertOptions(column_types=texts),
        ) as reader,
    ):
        for batch in reader:
            yield pa.Table.from_batches([batch])


def _json_tables(path: Path) -> Iterator[Any]:
    schema = None
    rows: list[dict[str, Any]] = []
    decode = msgspec.json.Decoder(dict[str, Any]).decode
    for number, line in enumerate(read_lines(path, "json"), 1):
        if line.strip():
            try:
                rows.append(decode(line))
            except msgspec.DecodeError as fault:
                raise UsageError(f"{path}: row {number}: {fault}") from fault
        if len(rows) == ROWS:
            table = pa.Table.from_pylist(rows, schema=schema)
            schema, rows = table.schema, []
            yield table
    if rows:
        yield pa.Table.from_pylist(rows, schema=schema)
