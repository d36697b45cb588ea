"""Catalogue files row by row: what is good, and what is refused with its place."""

from __future__ import annotations

import gzip
from pathlib import Path

import msgspec
import pyarrow as pa
import pytest
from pyarrow import parquet

from profiler.catalogue import Item
from profiler.errors import ConfigurationError, UsageError
from streams.cli import main
from streams.items import ItemsReport, _good, load_items
from streams.settings import Secret, Settings

SETTINGS = Settings(pseudonym_key=Secret("k" * 32))
LAMP = Item(
    item_id="lamp-7",
    title="Lantern, white",
    category="lighting",
    brand="Lumen",
    price=34.5,
    currency="EUR",
    tags=("garden", "metal"),
)
BARE = Item(item_id="507")


def items_of(path: Path) -> list[Item]:
    report = ItemsReport(sent=0, refused={}, examples=[], unused=[])
    return list(_good([path], None, report, remove=False))


def csv_file(folder: Path) -> Path:
    path = folder / "items.csv"
    path.write_text(
        "\ufeffitem_id,title,category,brand,price,currency,tags\n"
        'lamp-7,"Lantern, white",lighting,Lumen,34.50,eur,garden | metal\n'
        "507,,,,,,\n"
    )
    return path


def tsv_file(folder: Path) -> Path:
    path = folder / "items.tsv.gz"
    lines = "price\titem_id\ttitle\tcategory\tbrand\ttags\tcurrency\n"
    lines += "34.5\tlamp-7\tLantern, white\tlighting\tLumen\tgarden|metal\tEUR\n\t507\t\t\t\t\t\n"
    path.write_bytes(gzip.compress(lines.encode()))
    return path


def json_file(folder: Path) -> Path:
    path = folder / "items.jsonl"
    path.write_bytes(msgspec.json.encode(LAMP) + b'\n\n{"item_id": 507, "title": null}\n')
    return path


def parquet_file(folder: Path) -> Path:
    path = folder / "items.parquet"
    rows = [{**msgspec.to_builtins(LAMP), "tags": list(LAMP.tags)}, {"item_id": "507"}]
    parquet.write_table(pa.Table.from_pylist(rows), path)
    return path


@pytest.mark.parametrize("write", [csv_file, tsv_file, json_file, parquet_file])
def test_every_form_of_file_gives_the_same_items(write: object, tmp_path: Path) -> None:
    assert callable(write)

    assert items_of(write(tmp_path)) == [LAMP, BARE]


def test_rows_that_are_no_items_are_refused_with_their_place(tmp_path: Path) -> None:
    path = tmp_path / "items.jsonl"
    path.write_text(
        '{"item_id":"a"}\n{"item_id":"b","price":-1}\n{\n{"title":"c"}\n{"item_id":"d","size":4}\n'
    )

    report = load_items([path], SETTINGS, dry=True)

    assert report.sent == 2
    assert report.refused == {"invalid:price": 1, "malformed": 1, "invalid:item_id": 1}
    assert report.examples == [
        f"{path} row 2: invalid:price",
        f"{path} row 3: malformed",
        f"{path} row 4: invalid:item_id",
    ]
    assert report.unused == ["size"]


def test_of_many_refused_rows_some_are_shown_and_the_others_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PROFILER_PSEUDONYM_KEY", "k" * 32)
    path = tmp_path / "items.jsonl"
    path.write_text("{\n" * 27)

    assert main(["items", "--check", str(path)]) == 1

    printed = capsys.readouterr().out.splitlines()
    assert printed[0] == "0 items good, 27 rows refused"
    assert printed[-1] == f"and {27 - len(printed[1:-1])} more"


def test_a_row_with_too_many_fields_is_refused_and_its_neighbours_are_not(tmp_path: Path) -> None:
    path = tmp_path / "items.csv"
    path.write_text("item_id,price\na,1\nb,1,2\n\nc,1\n")

    report = load_items([path], SETTINGS, dry=True)

    assert (report.sent, report.examples) == (2, [f"{path} row 2: malformed"])


def test_a_price_that_cannot_be_converted_is_refused(tmp_path: Path) -> None:
    rates = tmp_path / "rates.csv"
    rates.write_text("date,currency,rate\n2026-01-01,USD,1.2\n")
    path = tmp_path / "items.csv"
    path.write_text("item_id,price,currency\na,1,USD\nb,1,XXX\nc,,XXX\n")
    settings = msgspec.structs.replace(SETTINGS, currency="EUR", rates_file=str(rates))

    report = load_items([path], settings, dry=True)

    assert (report.sent, report.refused) == (2, {"invalid:currency": 1})


def test_a_table_without_ids_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "items.csv"
    path.write_text("id,title\n1,Lamp\n")

    with pytest.raises(UsageError, match=r"items\.csv: the first line names no column item_id"):
        load_items([path], SETTINGS, dry=True)


@pytest.mark.parametrize(("price", "code"), [("1", 0), ("one", 1)])
def test_the_command_fails_if_a_row_is_refused(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    price: str,
    code: int,
) -> None:
    monkeypatch.setenv("PROFILER_PSEUDONYM_KEY", "k" * 32)
    path = tmp_path / "items.csv"
    path.write_text(f"item_id,price\na,{price}\n")

    assert main(["items", "--check", str(path)]) == code
    assert capsys.readouterr().out.startswith(f"{1 - code} items good, {code} rows refused")


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (None, "cannot read"),
        (b"date,currency,rate\n2026-01-01,USD,x\n", "row 2, column rate"),
        (b"\xff\xfe", "is not UTF-8 text"),
    ],
)
def test_a_file_of_rates_that_cannot_be_used_stops_the_command(
    tmp_path: Path, text: bytes | None, problem: str
) -> None:
    rates = tmp_path / "rates.csv"
    if text is not None:
        rates.write_bytes(text)
    settings = msgspec.structs.replace(SETTINGS, currency="EUR", rates_file=str(rates))

    with pytest.raises(ConfigurationError, match=f"PROFILER_RATES_FILE: .*{problem}"):
        load_items([], settings, dry=True)
