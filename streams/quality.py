"""Reads files or a topic for the report on the quality of their data; nothing is written anywhere.

A file is converted by its source as `profiler replay` would, a topic is decoded as the worker
would, and what comes out is looked at beside what went in.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Sequence
from itertools import islice, takewhile
from pathlib import Path
from typing import Final

import numpy as np

from profiler.decoding import Decoder
from profiler.errors import UsageError
from profiler.quality import Portion, Report, Survey
from profiler.records import RawRecord, Record
from profiler.sources import FORMAT_NAMES, FORMATS, Converted, Row, Source
from streams.assembly import screen
from streams.console import require_files
from streams.eventlog import Ends, ends_of_topic, portions_until
from streams.files import stem
from streams.formats import NATIVE, decoder_of, read_mapping
from streams.replay import lines_of, require_readable
from streams.settings import Settings

PORTION_ROWS: Final = 8_192
PORTION_BYTES: Final = 16_777_216
"""A portion ends with the row that makes it this long."""

TOPIC_NAME: Final = re.compile(r"[A-Za-z0-9._-]{1,249}")
FILE_SUFFIXES: Final = (".csv", ".tsv", ".dat", ".data", ".json", ".jsonl", ".gz", ".parquet")

Told = Callable[[int], object]
"""Told of the number of rows that have been looked at since it was told last."""


def is_topic(names: Sequence[str]) -> bool:
    """Whether these names are one topic, or else files.

    Raises
    ------
    UsageError
        If they are neither.

    Examples
    --------
    >>> is_topic(["profiler.events"])
    True
    >>> is_topic(["monday.jsonl"])
    Traceback (most recent call last):
        ...
    profiler.errors.UsageError: no such file: monday.jsonl
    """
    missing = [name for name in names if not Path(name).is_file()]
    if not missing:
        return False
    require_files(path for path in map(Path, names) if path.is_dir())
    if len(names) > 1 or not TOPIC_NAME.fullmatch(names[0]) or names[0].endswith(FILE_SUFFIXES):
        raise UsageError(f"no such file: {', '.join(missing)}")
    return True


def survey_files(
    paths: Sequence[Path],
    source: Source,
    limit: int | None = None,
    told: Told = lambda n_rows: None,
    now_ms: int | None = None,
) -> Report:
    """Look at all rows of files.

    Parameters
    ----------
    limit
        Rows, of all files together.
    now_ms
        What is later is in the future; by default the present.

    Raises
    ------
    UsageError
        If a file cannot be read, or is none of this source.
    """
    require_readable(paths, source)
    survey = Survey(_now_ms() if now_ms is None else now_ms)
    for path in paths:
        file = _File(path, survey, told, limit)
        lines = takewhile(file.has_room, lines_of(path, source))
        for record in source.convert(lines, stem(path), file.see):
            file.take(record)
        file.flush()
        limit = None if limit is None else limit - file.n_rows
    return survey.report([str(path) for path in paths], source.name)


def survey_topic(
    settings: Settings,
    topic: str,
    source: str = NATIVE,
    mapping: Path | None = None,
    limit: int | None = None,
    told: Told = lambda n_rows: None,
) -> Report:
    """Look at all records that a topic holds, from its beginning to its present end.

    Parameters
    ----------
    source
        The format of all records; by default what the settings say.
    mapping
        Mapping file by which records are read besides.
    limit
        Records.

    Raises
    ------
    UsageError
        If there is no such topic, or `source` reads only files.
    BrokerUnavailable
        If no broker answers.
    """
    survey = Survey(_now_ms(), _decoder(settings, source, mapping), screen(settings))
    try:
        ends = ends_of_topic(settings, topic)
    except UsageError as fault:
        raise UsageError(
            f"{topic}: there is neither such a file nor such a topic at {settings.brokers}"
        ) from fault
    for records in _limited(settings, topic, ends, limit):
        rows = [Row(r.offset, r.value or b"") for r in records]
        places = [f"{r.topic}/{r.partition}@{r.offset}" for r in records]
        survey.add(Portion(rows, places, records, np.arange(len(records))))
        told(len(records))
    return survey.report([topic], _read_as(settings, source, mapping))


class _File:
    """Cuts a file into portions: rows as they are read, and the records that are made of each."""

    def __init__(self, path: Path, survey: Survey, told: Told, limit: int | None) -> None:
        self.n_rows = 0
        self._limit = limit
        self._name = str(path)
        self._survey = survey
        self._told = told
        self._rows: list[Row] = []
        self._records: list[Record] = []
        self._row_of: list[int] = []
        self._n_bytes = 0

    def has_room(self, line: bytes) -> bool:
        """Whether one more row may be read."""
        return self._limit is None or self.n_rows < self._limit

    def see(self, row: Row) -> bool:
        """Take a row; the records of all rows before it have been taken."""
        if len(self._rows) == PORTION_ROWS or self._n_bytes >= PORTION_BYTES:
            self.flush()
        self.n_rows += 1
        self._n_bytes += len(row.value)
        self._rows.append(row)
        return True

    def take(self, record: Converted) -> None:
        """Take a record of the last row."""
        number = self._rows[-1].number
        self._records.append(RawRecord(self._name, 0, number, None, record.key, record.value))
        self._row_of.append(len(self._rows) - 1)

    def flush(self) -> None:
        """Have the survey look at what was taken."""
        places = [f"{self._name} row {row.number}" for row in self._rows]
        row_of = np.array(self._row_of, dtype=np.intp)
        self._survey.add(Portion(self._rows, places, self._records, row_of))
        self._told(len(self._rows))
        self._rows, self._records, self._row_of, self._n_bytes = [], [], [], 0


def _limited(
    settings: Settings, topic: str, ends: Ends, limit: int | None
) -> Iterator[list[Record]]:
    n_left = limit
    for records in portions_until(settings, topic, ends):
        portion = records if n_left is None else list(islice(records, n_left))
        yield portion
        if n_left is not None:
            n_left -= len(portion)
            if n_left == 0:
                return


def _read_as(settings: Settings, source: str, mapping: Path | None) -> str:
    if mapping is not None:
        return "mapping"
    return settings.format if source == NATIVE else source


def _decoder(settings: Settings, source: str, mapping: Path | None) -> Decoder:
    if mapping is not None:
        if source != NATIVE:
            raise UsageError(
                f"--mapping says what the records are, and --source {source} says it too"
            )
        return Decoder((read_mapping(mapping, "--mapping"), *FORMATS))
    if source == NATIVE:
        return decoder_of(settings)
    if source not in FORMAT_NAMES:
        raise UsageError(
            f"source {source} reads files; records of a topic: {NATIVE}, {', '.join(FORMAT_NAMES)}"
        )
    return Decoder(only=next(format for format in FORMATS if format.name == source))


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
