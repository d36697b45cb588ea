"""What a survey finds in native events and tables, against what was put there on purpose."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from profiler.batch import Screen
from profiler.columns import DAY_MS
from profiler.quality import Portion, Report, Survey, lines, page
from profiler.quality.repetition import Seen
from profiler.records import RawRecord
from profiler.sources import Row, source_named

NOW_MS = 20_000 * DAY_MS
SECRET = "wilhelmina"
CLICK = {"type": "click", "ts": NOW_MS - 5, "user_id": "u", "item_id": "cup"}
BUY = CLICK | {"type": "purchase", "price": 2.0}


def portion(values: Sequence[bytes], start: int) -> Portion:
    rows = [Row(offset, value) for offset, value in enumerate(values, start)]
    records = [RawRecord("events", 0, row.number, None, None, row.value) for row in rows]
    places = [f"events/0@{row.number}" for row in rows]
    return Portion(rows, places, records, np.arange(len(values)))


def surveyed(*events: dict[str, Any] | bytes, cut: int | None = None) -> Report:
    values = [e if isinstance(e, bytes) else json.dumps(e).encode() for e in events]
    survey = Survey(NOW_MS)
    middle = len(values) if cut is None else min(cut, len(values))
    for start, end in ((0, middle), (middle, len(values))):
        survey.add(portion(values[start:end], start))
    return survey.report(["events"], "native")


def of_table(name: str, text: str) -> Report:
    rows: list[Row] = []
    records: list[RawRecord] = []
    row_of = []

    def see(row: Row) -> bool:
        rows.append(row)
        return True

    for record in source_named(name).convert(text.encode().splitlines(keepends=True), "file", see):
        records.append(RawRecord("file", 0, rows[-1].number, None, record.key, record.value))
        row_of.append(len(rows) - 1)
    survey = Survey(NOW_MS)
    survey.add(Portion(rows, [f"row {r.number}" for r in rows], records, np.array(row_of)))
    return survey.report(["file"], name)


def counts(report: Report) -> dict[str, int]:
    return {finding.says: finding.count for finding in report.findings}


RETAIL = """\
InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID,Country
1,A,MUG,2,2010-12-01 08:26:00,2.5,17850,Japan
1,A,MUG,2,2010-12-01 08:26:00,2.5,17850,Japan
2,A, ,1,2010-12-01 08:27:00,0,,Unspecified
3,B,HAT ,-4,2010-12-01 08:28:00,-1,,Japan
4,A,Mug,1,2010-12-01 08:26:00,2.5,17850,Malta
5,B,HAT,1
"""


def test_a_table_is_judged_by_its_own_columns_and_by_what_becomes_of_them() -> None:
    report = of_table("online-retail", RETAIL)

    assert counts(report) == {
        "CustomerID is missing": 2,
        "Description is missing": 1,
        "Country says that there is nothing (nan, null, unknown …)": 1,
        "refused: invalid:subject": 1,
        "refused: invalid:quantity": 1,
        "refused: malformed": 1,
        "price ≤ 0": 2,
        "quantity ≤ 0": 1,
        "exact duplicate of an earlier row": 1,
        "comes after an event that is later": 1,
        "one item with several values of title": 1,
        "one CustomerID with several values of Country": 1,
    }
    by_name = {column.name: column for column in report.columns}
    assert (by_name["Description"].missing, by_name["Description"].padded) == (1, 2)
    assert (by_name["Country"].placeholders, by_name["StockCode"].distinct) == (1, 2)
    assert (report.rows, report.events, report.refused) == (6, 3, 3)


def test_the_worst_example_comes_first_with_its_row_and_without_the_person() -> None:
    report = of_table("online-retail", RETAIL)

    (prices,) = (f for f in report.findings if f.says == "price ≤ 0")
    assert [example.at for example in prices.examples] == ["row 4", "row 3"]
    (duplicates,) = (f for f in report.findings if f.problem == "exact_duplicate")
    assert duplicates.examples[0].shows["CustomerID"] == "***"
    assert duplicates.examples[0].shows["Description"] == "MUG"


def test_no_more_than_three_examples_are_kept_of_a_problem() -> None:
    report = surveyed(*[BUY | {"price": -k} for k in range(9)], cut=4)

    (prices,) = (f for f in report.findings if f.says == "price ≤ 0")
    assert prices.count == 9
    assert [example.shows["price"] for example in prices.examples] == ["-8", "-7", "-6"]


def test_the_same_id_with_other_content_is_told_from_a_mere_repetition() -> None:
    one, other = BUY | {"event_id": "1"}, BUY | {"event_id": "1", "price": 3.0}

    found = counts(surveyed(one, other, one, BUY | {"event_id": "2"}, cut=1))

    assert found["event_id has come before, with other content"] == 1
    assert found["event_id has come before, with the same content"] == 1
    assert found["exact duplicate of an earlier row"] == 1


def test_impossible_times_are_found() -> None:
    found = counts(surveyed(CLICK | {"ts": NOW_MS + 2 * DAY_MS}, CLICK | {"ts": 5}, CLICK))

    assert found["ts lies in the future"] == 1
    assert found["ts lies before 1990"] == 1


def test_a_purchase_without_price_or_item_is_incomplete() -> None:
    report = surveyed({"type": "purchase", "ts": NOW_MS, "user_id": "u", "event_id": "e"}, BUY)

    found = counts(report)
    assert (found["purchase.price is missing"], found["purchase.item_id is missing"]) == (1, 1)
    fields = {one.field: (one.missing, one.events) for one in report.fields}
    assert (fields["event_id"], fields["user_id"], fields["title"]) == ((1, 2), (0, 2), (2, 2))


def test_spellings_of_one_category_are_found() -> None:
    events = [CLICK | {"category": text} for text in ("Shoes", "shoes ", "Hats", "ＳＨＯＥＳ")]

    assert counts(surveyed(*events, cut=2))["one category in several spellings"] == 1


def test_events_in_other_formats_are_judged_as_the_worker_would_read_them() -> None:
    track = {
        "type": "track",
        "event": "Order Completed",
        "messageId": "m",
        "userId": "u",
        "timestamp": "2024-03-01T09:00:00Z",
        "properties": {"products": [{"product_id": "cup", "price": 0}, {"product_id": "hat"}]},
    }

    report = surveyed(track)

    assert report.types == {"purchase": 2}
    assert counts(report) == {"purchase.price is missing": 1, "price ≤ 0": 1}


@given(st.lists(st.sampled_from([CLICK, BUY, BUY | {"price": -1}, b"{", b""])), st.integers(0, 9))
def test_portions_do_not_matter(events: list[dict[str, Any] | bytes], cut: int) -> None:
    assert surveyed(*events, cut=cut) == surveyed(*events)


def test_what_the_worker_would_refuse_for_its_time_is_told_and_no_event() -> None:
    screen = Screen(
        clock_skew_max_ms=10, event_age_max_ms=100, historical_sources=frozenset({"old"})
    )
    times = {"ahead": 11, "on time": 10, "old": -101, "behind": -101, "young": -100}
    values = [
        json.dumps(CLICK | {"ts": NOW_MS - DAY_MS + age_ms, "source": source}).encode()
        for source, age_ms in times.items()
    ]
    erase = {"type": "erase", "ts": NOW_MS - 9, "user_id": "u"}
    records = [
        RawRecord("events", 0, k, NOW_MS - DAY_MS, None, value)
        for k, value in enumerate([*values, json.dumps(erase).encode()])
    ]
    broken = json.dumps(CLICK | {"ts": NOW_MS, "quantity": 0}).encode()
    records.append(RawRecord("events", 0, len(records), NOW_MS - DAY_MS, None, broken))
    rows = [Row(r.offset, r.value or b"") for r in records]
    survey = Survey(NOW_MS, screen=screen)

    survey.add(Portion(rows, [str(r.number) for r in rows], records, np.arange(len(rows))))

    report = survey.report(["events"], "native")
    refused = {f.says: [e.at for e in f.examples] for f in report.findings if f.field == "ts"}
    assert refused["refused: clock_skew"] == ["0"]
    assert refused["refused: too_old"] == ["3"]
    assert (report.events, report.refused) == (4, 3)


def test_ids_are_not_called_different_once_contents_are_no_longer_remembered(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Seen.__init__, "__defaults__", (20,))
    events = [BUY | {"event_id": str(k)} for k in range(40)]

    report = surveyed(*events, *events, cut=40)

    assert "event_id has come before, with other content" not in counts(report)
    assert report.limits


PERSONAL = ("user_id", "device_id", "anonymous_id", "session_id", "event_id", "query", "text")


@given(
    st.dictionaries(st.sampled_from([*PERSONAL, SECRET, "traits"]), st.just(SECRET), min_size=1),
    st.sampled_from(["search", "purchase", "identify", "message", "dance", 7, None]),
    st.sampled_from([NOW_MS, 5, -1, "soon", None]),
)
def test_nothing_that_names_a_person_or_that_one_typed_is_shown(
    fields: dict[str, Any], kind: object, ts: object
) -> None:
    event = {"type": kind, "ts": ts, "price": -1, **fields}
    report = surveyed(event, event, json.dumps(event).encode()[:-1], SECRET.encode())

    for written in (msgspec.json.encode(report).decode(), "\n".join(lines(report)), page(report)):
        assert SECRET not in written


def test_people_of_a_table_are_not_shown_even_as_a_key_with_several_values() -> None:
    report = of_table("online-retail", RETAIL.replace("17850", SECRET))

    (found,) = (f for f in report.findings if f.problem == "several_per_CustomerID")
    assert found.examples[0].at == "***"
    assert SECRET not in msgspec.json.encode(report).decode()


def test_a_text_that_holds_an_e_mail_address_is_not_shown() -> None:
    report = surveyed(BUY | {"price": -1, "title": "for bob@shop.org"})

    assert "bob@shop.org" not in msgspec.json.encode(report).decode()


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"[" * 5_000,
        b'{"type":"click","ts":' + b"9" * 400 + b',"price":' + b"9" * 400 + b"}",
        b'{"type":"click","ts":1,"price":[1,2],"quantity":{"a":1},"item_id":[],"event_id":5}',
        b'{"type":"purchase","ts":true,"price":true,"user_id":"u"}',
        b'{"type":"click","ts":"9999-99-99","category":{"a":[]}}',
        b'{"type":"click","type":"cart","ts":1e308,"price":-1e308}',
        b'{"type":"click","ts":1,"title":"\\u0000\\u202e"}',
        b"\xff\xfe\x00",
    ],
)
def test_hostile_records_are_refused_and_their_neighbours_are_counted(value: bytes) -> None:
    report = surveyed(BUY, value, BUY | {"price": 3.0})

    assert surveyed(value).rows == 1
    assert report.rows == 3
    assert report.types["purchase"] >= 2
    assert lines(report)
    assert page(report)


def test_of_nothing_nothing_is_said() -> None:
    report = surveyed()

    assert (report.rows, report.findings, report.fields) == (0, (), ())
    assert "No problems were found." in lines(report)
    assert "None were found." in page(report)
