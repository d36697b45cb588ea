"""Sources that are tables: lines of separated fields, with a header or without.

One `Table` is one layout of columns and one function that turns the fields of a row into a native
event. Fields that cannot be read stay as they stand, so that the worker's decoder names them in
the dead letter: nothing is validated twice.
"""

from __future__ import annotations

import csv
import datetime as dt
import operator
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import lru_cache
from itertools import chain
from typing import Final

import msgspec
from msgspec import Struct

from profiler.errors import UsageError
from profiler.sources.source import Columns, Converted, Form, Origin, Row, See

ROW_LINES_MAX: Final = 16
"""A row of more lines is none: somewhere in it is a quote that was never meant to open a field."""

MOMENT_CHARS_MAX: Final = 64
DELIMITERS: Final = (",", ";", "\t")

Fields = Sequence[str]
"""Fields of one row in the order of the table's columns; a missing one is empty."""


class Table(Struct, frozen=True):
    """A source whose rows are lines of separated fields.

    Parameters
    ----------
    name
        Name of the source.
    columns
        Names of the columns in the order of the original file. If the first line is a header, it
        decides: columns may then stand in any order, among others.
    event
        Makes a native event (without `event_id` and `source`) of a row. `ts` must be in it.
    optional
        Columns that a file with a header may lack.
    delimiter
        What separates fields; may be more than one character.
    people, steady
        See `profiler.sources.source.Columns`.
    """

    name: str
    columns: tuple[str, ...]
    event: Callable[[Fields], dict[str, object]]
    optional: frozenset[str] = frozenset()
    delimiter: str = ","
    people: frozenset[str] = frozenset()
    steady: tuple[tuple[str, str], ...] = ()

    @property
    def form(self) -> Form:
        """Lines of separated fields."""
        return "csv"

    def convert(
        self, lines: Iterable[bytes], stem: str, see: See | None = None
    ) -> Iterator[Converted]:
        """Give the records of the rows, numbered from 1 without the header.

        A line with the wrong number of fields, or with a quote that does not close, is passed on as
        its original bytes. Of a row of several lines that is only the first: the second may be a
        good row that a stray quote swallowed.

        Raises
        ------
        UsageError
            If there is a header that lacks columns: a file of another source.
        """
        origin = Origin(self.name, stem)
        source = _Lines(lines, self.delimiter)
        rows = _records(source)
        try:
            first = next(rows)
        except StopIteration:
            return
        width, order = len(self.columns), tuple(range(len(self.columns)))
        if first is not None and self._is_header(first):
            width, order = len(first), self._order(first, stem)
        else:
            rows = chain((first,), rows)
        pick = operator.itemgetter(*order)
        event, record = self.event, origin.record
        columns = Columns(self.columns, self.people, self.steady)
        for number, row in enumerate(rows, 1):
            if row is None or len(row) != width:
                value = source.reject_row()
                if see is None or see(Row(number, value, None, columns)):
                    yield Converted(None, value)
            else:
                row.append("")  # what a missing optional column picks
                fields = pick(row)
                if see is None or see(Row(number, source.row(), fields, columns)):
                    yield record(event(fields), str(number))

    def _is_header(self, row: list[str]) -> bool:
        names = {name.lower() for name in self.columns}
        return len(names.intersection(field.strip().lower() for field in row)) >= 2

    def _order(self, header: list[str], stem: str) -> tuple[int, ...]:
        place = {name.strip().lower(): index for index, name in enumerate(header)}
        missing = [
            name for name in self.columns if name.lower() not in place and name not in self.optional
        ]
        if missing:
            raise UsageError(
                f"{stem}: no column {', '.join(missing)}; is this a file of source {self.name}?"
            )
        return tuple(place.get(name.lower(), len(header)) for name in self.columns)


def objects_of_table(lines: Iterable[bytes]) -> Iterator[bytes]:
    r"""Rows of a table with a header as lines of JSON, for formats that read objects.

    Every value is text, an empty field is none. What separates fields shows in the header. A row
    that is none is passed on as its original first line.

    Examples
    --------
    >>> list(objects_of_table([b"who;what\n", b"alice;cup\n", b"bob;\n", b"bob\n"]))
    [b'{"who":"alice","what":"cup"}\n', b'{"who":"bob"}\n', b'bob\n']
    """
    lines = iter(lines)
    header = next(lines, b"")
    delimiter = max(DELIMITERS, key=lambda one: header.count(one.encode()))
    source = _Lines(chain((header,), lines), delimiter)
    rows = _records(source)
    names = next(rows, None) or []
    for row in rows:
        if row is None or len(row) != len(names):
            yield source.reject_row() + b"\n"
        else:
            fields = {name.strip(): field for name, field in zip(names, row, strict=True) if field}
            yield msgspec.json.encode(fields) + b"\n"


def integer(text: str) -> int | str:
    """Read the number a field holds, or the field as it stands.

    Examples
    --------
    >>> integer("12"), integer("twelve")
    (12, 'twelve')
    """
    try:
        number = int(text)
    except ValueError:
        return text
    return number if -_INT_MAX <= number <= _INT_MAX else text


def real(text: str) -> float | str:
    """Read the finite number a field holds, or the field as it stands.

    Examples
    --------
    >>> real("2.55"), real("NaN")
    (2.55, 'NaN')
    """
    try:
        number = float(text)
    except ValueError:
        return text
    return number if abs(number) < float("inf") else text


def seconds(text: str) -> int | str:
    """Milliseconds of a Unix time in seconds, or the field as it stands.

    Examples
    --------
    >>> seconds("1511658000")
    1511658000000
    """
    number = integer(text)
    return number * 1000 if isinstance(number, int) and number < _SECONDS_MAX else text


def moment(text: str) -> int | str:
    """Milliseconds of an ISO 8601 time, UTC unless it says otherwise, or the field as it stands.

    Examples
    --------
    >>> moment("1970-01-01 00:00:01 UTC"), moment("1970-01-01T00:00:01.5Z"), moment("soon")
    (1000, 1500, 'soon')
    """
    # What is longer is no time, and must not fill the memory of those that were read before.
    return _moment(text) if len(text) <= MOMENT_CHARS_MAX else text


@lru_cache(maxsize=65_536)
def _moment(text: str) -> int | str:
    try:
        parsed = dt.datetime.fromisoformat(text.removesuffix(" UTC"))
    except ValueError:
        return text
    if parsed.tzinfo is None:
        parsed = parsed.replace(tzinfo=dt.UTC)
    return (parsed - _EPOCH) // _MS


def identifier(text: str) -> str:
    """Read an id that a spreadsheet or a data frame may have turned into a number.

    Examples
    --------
    >>> identifier("17850.0"), identifier(" 17850"), identifier("nan")
    ('17850', '17850', '')
    """
    text = text.strip()
    if text.endswith(".0") and text[:-2].isdecimal():
        return text[:-2]
    return "" if text == "nan" else text


class _Lines:
    """Decodes lines for the CSV parser and keeps those of the row that it is reading."""

    def __init__(self, lines: Iterable[bytes], delimiter: str) -> None:
        self._lines = iter(lines)
        # The parser knows delimiters of one character only.
        self._long_delimiter = delimiter if len(delimiter) > 1 else None
        self.delimiter = "\t" if self._long_delimiter else delimiter
        self._row: list[bytes] = []
        self._again: list[bytes] = []
        self._is_first = True

    def __iter__(self) -> _Lines:
        return self

    def __next__(self) -> str:
        if len(self._row) == ROW_LINES_MAX:
            raise csv.Error("a quote does not close")
        line = self._again.pop() if self._again else next(self._lines)
        if self._is_first:
            self._is_first = False
            line = line.removeprefix(_BYTE_ORDER_MARK)
        self._row.append(line)
        try:
            text = line.decode()
        except UnicodeDecodeError:
            # Old exports are Latin-1, in which every byte is a character: nothing is lost.
            text = line.decode("latin-1")
        return text.replace(self._long_delimiter, "\t") if self._long_delimiter else text

    def start_row(self) -> None:
        self._row.clear()

    def row(self) -> bytes:
        """Give the bytes of the row, without the end of its last line."""
        return b"".join(self._row).rstrip(b"\r\n")

    def reject_row(self) -> bytes:
        """Give the first line of the row; the others are read again, as rows of their own."""
        first, *others = self._row
        self._again += reversed(others)
        return first.rstrip(b"\r\n")


def _records(source: _Lines) -> Iterator[list[str] | None]:
    """Rows as lists of fields, None for what is not a row. Blank lines are left out."""
    # Strict, or a stray quote and one in a later row would pass for the ends of one field.
    reader = csv.reader(source, delimiter=source.delimiter, strict=True)
    while True:
        source.start_row()
        try:
            row = next(reader)
        except StopIteration:
            return
        except csv.Error:
            yield None
            continue
        if row:
            yield row


_BYTE_ORDER_MARK: Final = b"\xef\xbb\xbf"
_EPOCH: Final = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_MS: Final = dt.timedelta(milliseconds=1)
_INT_MAX: Final = 2**63 - 1
_SECONDS_MAX: Final = _INT_MAX // 1000
