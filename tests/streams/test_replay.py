"""Pace, order and choice of the rows that are replayed; sending itself is tested with a broker."""

from __future__ import annotations

import gzip
from collections.abc import Iterable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from profiler.errors import UsageError
from profiler.events import decode_batch
from profiler.sources import Converted, source_named
from streams.formats import source_of
from streams.replay import (
    MAX_SPEED,
    ReplayOptions,
    Speed,
    by_event_time,
    load,
    paced,
    parse_speed,
    replay,
)
from streams.settings import Secret, Settings

TAOBAO = source_named("taobao")


class FakeTime:
    """A clock that moves only when somebody sleeps, or when sending takes its time."""

    def __init__(self, sending_s: float = 0.0) -> None:
        self.now_s = 100.0
        self.sending_s = sending_s

    def clock_s(self) -> float:
        return self.now_s

    def sleep(self, seconds: float) -> None:
        self.now_s += seconds

    def sent_at_s(self, records: Iterable[Converted], speed: Speed) -> list[float]:
        times_s = []
        for _ in paced(records, speed, self.clock_s, self.sleep):
            times_s.append(round(self.now_s - 100.0, 6))
            self.now_s += self.sending_s
        return times_s


def at(ts_ms: int | None) -> Converted:
    return Converted(b"u", b"{}", ts_ms)


@pytest.mark.parametrize("text", ["", "x", "0", "-5", "0x", "nan", "inf", "fast", "10 x y"])
def test_a_speed_that_is_none_is_refused_with_what_to_write(text: str) -> None:
    with pytest.raises(UsageError, match="give max, a multiple like 10x"):
        parse_speed(text)


def test_speeds_are_multiples_rates_or_the_maximum() -> None:
    assert parse_speed("1x") == Speed(time_factor=1.0)
    assert parse_speed("0.5x") == Speed(time_factor=0.5)
    assert parse_speed("5000") == Speed(events_per_s=5000.0)
    assert parse_speed("max") == MAX_SPEED


def test_at_ten_times_speed_ten_seconds_pass_in_one() -> None:
    records = [at(1_000_000), at(1_005_000), at(None), at(1_020_000)]

    assert FakeTime().sent_at_s(records, Speed(time_factor=10)) == [0.0, 0.5, 0.5, 2.0]


def test_a_late_record_is_sent_at_once() -> None:
    records = [at(10_000), at(20_000), at(5_000), at(21_000)]

    assert FakeTime().sent_at_s(records, Speed(time_factor=1)) == [0.0, 10.0, 10.0, 11.0]


def test_a_rate_spreads_the_records_evenly() -> None:
    assert FakeTime().sent_at_s([at(None)] * 4, Speed(events_per_s=2)) == [0.0, 0.5, 1.0, 1.5]


def test_slow_sending_does_not_add_to_the_pace() -> None:
    times_s = FakeTime(sending_s=0.3).sent_at_s([at(None)] * 3, Speed(events_per_s=2))

    assert times_s == [0.0, 0.5, 1.0]


def test_at_full_speed_nobody_sleeps() -> None:
    assert FakeTime().sent_at_s([at(0), at(10**9)], MAX_SPEED) == [0.0, 0.0]


@given(st.lists(st.one_of(st.none(), st.integers(1, 100))))
def test_sorting_keeps_all_records_and_puts_times_in_order(times_ms: list[int | None]) -> None:
    records = [
        Converted(None, str(number).encode(), ts_ms) for number, ts_ms in enumerate(times_ms)
    ]

    ordered = by_event_time(records)

    known_ms = [record.ts_ms for record in ordered if record.ts_ms is not None]
    assert known_ms == sorted(known_ms)
    assert sorted(record.value for record in ordered) == sorted(r.value for r in records)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Grouped by user, as the real file is: times jump back. The third row repeats the first."""
    path = tmp_path / "grouped.csv"
    path.write_text("1,5,9,pv,200\n1,6,9,pv,300\n1,5,9,pv,200\n2,5,9,pv,100\n")
    return path


def times_of(records: Iterable[Converted]) -> list[int | None]:
    return [record.ts_ms for record in records]


def test_rows_keep_their_order_at_full_speed(path: Path) -> None:
    assert times_of(load([path], TAOBAO)) == [200_000, 300_000, 200_000, 100_000]


def test_pacing_by_event_time_sorts_first(path: Path) -> None:
    options = ReplayOptions(speed=Speed(time_factor=1.0))

    assert times_of(load([path], TAOBAO, options)) == [100_000, 200_000, 200_000, 300_000]


def test_a_limit_cuts_what_would_be_sent(path: Path) -> None:
    assert times_of(load([path], TAOBAO, ReplayOptions(limit=1))) == [200_000]
    assert times_of(load([path], TAOBAO, ReplayOptions(limit=1, sort=True))) == [100_000]


def test_exact_duplicates_are_different_events_unless_dropped(path: Path) -> None:
    kept = list(load([path, path], TAOBAO))
    dropped = list(load([path, path], TAOBAO, ReplayOptions(distinct=True)))

    assert len(kept) == 8
    assert times_of(dropped) == [200_000, 300_000, 100_000]


def test_distinct_rows_of_several_files_keep_the_header_of_each(tmp_path: Path) -> None:
    header = "InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID,Country\n"
    moved = "Country,InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID\n"
    row = "1,A,MUG,2,2010-12-01 08:26:00,2.5,17850,Japan\n"
    texts = [header + row, header + row + row.replace("MUG", "CUP"), moved + "Japan," + row[:-7]]
    paths = [tmp_path / f"{number}.csv" for number in range(3)]
    for path, text in zip(paths, texts, strict=True):
        path.write_text(text + "\n")

    records = load(paths, source_named("online-retail"), ReplayOptions(distinct=True))

    events, rejected = decode_batch([record.value for record in records])
    assert not rejected
    assert [e.title for e in events if e is not None] == ["MUG", "CUP", "MUG"]


def test_a_row_of_several_lines_is_one_row_when_duplicates_are_dropped(tmp_path: Path) -> None:
    path = tmp_path / "notes.csv"
    row = '{},A,"{}\nin a box",2,2010-12-01 08:26:00,2.5,17850,Japan\n'
    path.write_text("".join(row.format(*pair) for pair in ((1, "MUG"), (2, "CUP"), (1, "MUG"))))

    records = load([path], source_named("online-retail"), ReplayOptions(distinct=True))

    events, rejected = decode_batch([record.value for record in records])
    assert not rejected
    assert [e.title for e in events if e is not None] == ["MUG\nin a box", "CUP\nin a box"]


def test_a_row_has_the_same_id_whether_duplicates_before_it_are_dropped_or_not(path: Path) -> None:
    kept = {r.value for r in load([path], TAOBAO)}
    dropped = {r.value for r in load([path], TAOBAO, ReplayOptions(distinct=True))}

    assert dropped < kept


def test_files_of_one_name_in_two_folders_hold_different_events(tmp_path: Path) -> None:
    paths = [tmp_path / folder / "part.csv" for folder in ("monday", "tuesday")]
    for path in paths:
        path.parent.mkdir()
        path.write_text("1,5,9,pv,200\n")

    events, _ = decode_batch([record.value for record in load(paths, TAOBAO)])

    assert len({event.event_id for event in events if event is not None}) == 2


@pytest.mark.parametrize("name", ["events.csv", "events.CSV.gz", "events.tsv"])
def test_a_table_is_no_file_of_a_source_of_json(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_text("type,ts,user_id,item_id\nclick,5,alice,lamp-7\n")

    with pytest.raises(UsageError, match=r"native reads JSON lines.*: taobao, online-retail"):
        load([path], source_named("native"))


@pytest.mark.parametrize("name", ["orders.csv", "orders.CSV.gz", "orders.tsv"])
def test_a_mapping_file_binds_the_columns_of_a_table(tmp_path: Path, name: str) -> None:
    mapping = tmp_path / "shop.toml"
    mapping.write_text(
        """[order]
        type = "purchase"
        [order.fields]
        ts = { path = "at", unit = "iso" }
        user_id = "customer no"
        title = "what"
        price = { path = "cents", unit = "cents" }
        """
    )
    rows = [
        "at;customer no;what;cents",
        '2026-03-01;7;"a ""red"" cup; large";450',
        "2026-03-02;8;;",
        "2026-03-03;9",
        '2026-03-04;10;"not closed;5',
        "2026-03-05;11;hat;2000",
    ]
    text = "\ufeff" + "\r\n".join(rows) + "\r\n"
    if name.endswith(".tsv"):
        text = text.replace("cup; large", "cup, large").replace(";", "\t")
    path = tmp_path / name
    path.write_bytes(gzip.compress(text.encode()) if name.endswith(".gz") else text.encode())

    records = list(load([path], source_of("native", mapping)))

    events, rejected = decode_batch([record.value for record in records])
    assert [(r.index, r.reason) for r in rejected] == [(2, "malformed"), (3, "malformed")]
    assert records[2].value == rows[3].replace(";", "\t" if name.endswith(".tsv") else ";").encode()
    found = [event for event in events if event is not None]
    assert [(e.user_id, e.price) for e in found] == [("7", 4.5), ("8", None), ("11", 20.0)]
    assert found[0].title in ('a "red" cup; large', 'a "red" cup, large')
    assert len({event.event_id for event in found}) == 3


def test_a_ledger_that_cannot_be_written_is_told_before_anything_is_sent(path: Path) -> None:
    nowhere = path.with_name("absent") / "ledger.jsonl"
    settings = Settings(pseudonym_key=Secret("k" * 32), brokers="127.0.0.1:1")

    with pytest.raises(UsageError, match=r"absent/ledger\.jsonl: No such file or directory"):
        replay([path], TAOBAO, settings, ReplayOptions(ledger=nowhere))


def test_missing_files_are_named_before_anything_is_read(path: Path) -> None:
    with pytest.raises(UsageError, match=r"no such file: .*absent\.csv"):
        load([path, path.with_name("absent.csv")], TAOBAO)


def test_a_format_of_text_is_read_whatever_the_file_is_called(tmp_path: Path) -> None:
    row = {3: "2026-03-01 09:00:00.000", 5: "page_view", 6: "e1", 12: "u"}
    path = tmp_path / "enriched.tsv"
    path.write_text("\t".join(row.get(k, "") for k in range(131)) + "\n")

    (record,) = load([path], source_named("snowplow"))

    assert (record.key, record.ts_ms) == (b"u", 1_772_355_600_000)
