"""Loads catalogue files into the topic of items, or takes their items out again.

Rows are checked one by one, with the types that the workers check records with. What is refused is
not sent, and told with its row.
"""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec
from msgspec import Struct

from profiler.catalogue import Item, is_convertible, item_of
from profiler.currency import Rates
from profiler.errors import UsageError
from profiler.sources.values import currency_of, number_of, text_of
from streams.broker import security_of
from streams.cleaning import rates_of
from streams.files import read_lines
from streams.producer import EventProducer
from streams.settings import Settings

TABLE_SUFFIXES: Final = {".csv": ",", ".tsv": "\t"}
TAG_SEPARATOR: Final = "|"
EXAMPLES_MAX: Final = 20
FIELDS: Final = Item.__struct_fields__


class ItemsReport(Struct, frozen=True, kw_only=True):
    """What became of the rows.

    Parameters
    ----------
    sent
        Items that were acknowledged, or that would be sent.
    refused
        Rows that were not sent, by reason.
    examples
        The first of these: file, row (from 1, without a header) and reason.
    unused
        Columns that say nothing here.
    """

    sent: int
    refused: dict[str, int]
    examples: list[str]
    unused: list[str]


def load_items(
    paths: Sequence[Path], settings: Settings, *, remove: bool = False, dry: bool = False
) -> ItemsReport:
    """Send the items of files; returns when all are acknowledged.

    Parameters
    ----------
    remove
        Remove these items instead: nothing but their ids is read.
    dry
        Only check.

    Raises
    ------
    UsageError
        If a file cannot be read, or has no column `item_id`.
    BrokerUnavailable
        If no broker answers, the topic is missing, or a record was not acknowledged.
    """
    rates = rates_of(settings)
    report = ItemsReport(sent=0, refused=Counter(), examples=[], unused=[])
    if dry:
        n_sent = sum(1 for _ in _good(paths, rates, report, remove=remove))
        return msgspec.structs.replace(report, sent=n_sent)
    topic = settings.topic("items")
    with EventProducer(settings.brokers, topic, security=security_of(settings)) as producer:
        for item in _good(paths, rates, report, remove=remove):
            value = None if remove else msgspec.json.encode(item)
            producer.send_raw(item.item_id.encode(), value)
    return msgspec.structs.replace(report, sent=producer.n_acknowledged)


def _good(
    paths: Sequence[Path], rates: Rates | None, report: ItemsReport, *, remove: bool
) -> Iterator[Item]:
    """Items of the rows that are good; the others are told."""
    for path in paths:
        for number, row in enumerate(_rows(path), 1):
            item: Item | str = "malformed"
            if row is not None:
                _note_unused(row, report)
                names = FIELDS[:1] if remove else FIELDS
                item = item_of(_values({name: row[name] for name in names if name in row}))
            if isinstance(item, Item) and not is_convertible(item, rates):
                item = "invalid:currency"
            if isinstance(item, Item):
                yield item
                continue
            report.refused[item] = report.refused.get(item, 0) + 1
            if len(report.examples) < EXAMPLES_MAX:
                report.examples.append(f"{path} row {number}: {item}")


def _rows(path: Path) -> Iterator[dict[str, Any] | None]:
    """Rows as objects, None for what is none."""
    name = path.name.lower().removesuffix(".gz")
    delimiter = TABLE_SUFFIXES.get(Path(name).suffix)
    if delimiter is not None:
        yield from _table_rows(path, read_lines(path, "csv"), delimiter)
        return
    for line in read_lines(path, "json"):
        if line.strip():
            try:
                yield _OBJECT.decode(line)
            except (msgspec.DecodeError, UnicodeError, RecursionError):
                yield None


def _table_rows(
    path: Path, lines: Iterable[bytes], delimiter: str
) -> Iterator[dict[str, Any] | None]:
    reader = csv.reader(map(_text, lines), delimiter=delimiter)
    try:
        header = [name.strip() for name in next(reader, [])]
        if "item_id" not in header:
            raise UsageError(f"{path}: the first line names no column item_id")
        for row in reader:
            if len(row) != len(header):
                if row:
                    yield None
                continue
            fields: dict[str, Any] = {n: v for n, v in zip(header, row, strict=True) if v.strip()}
            if "tags" in fields:
                tags = (tag.strip() for tag in fields["tags"].split(TAG_SEPARATOR))
                fields["tags"] = [tag for tag in tags if tag]
            yield fields
    except csv.Error as fault:
        raise UsageError(f"{path}: line {reader.line_num}: {fault}") from fault


def _text(line: bytes) -> str:
    try:
        return line.decode()
    except UnicodeDecodeError:
        # Old exports are Latin-1, in which every byte is a character: nothing is lost.
        return line.decode("latin-1")


def _values(fields: dict[str, Any]) -> dict[str, Any]:
    """Bring values to ours: numbers may be texts, ids may be numbers."""
    convert = {"item_id": text_of, "price": number_of, "currency": currency_of}
    given = {name: convert.get(name, _same)(value) for name, value in fields.items()}
    return {name: value for name, value in given.items() if value is not None}


def _same(value: object) -> object:
    return value


def _note_unused(row: dict[str, Any], report: ItemsReport) -> None:
    report.unused.extend(name for name in row if name not in FIELDS and name not in report.unused)


_OBJECT: Final = msgspec.json.Decoder(dict[str, Any])
