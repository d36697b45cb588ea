"""What every listed source promises; a new one is covered by being listed."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from profiler.events import REASONS, decode_batch
from profiler.sources import SOURCE_NAMES, SOURCES, Source, source_named

every_source = pytest.mark.parametrize("source", SOURCES, ids=lambda source: source.name)

# One well-formed line of each original file, without an id of its own; a source without one here
# fails the suite.
GOOD_LINES = {
    "native": b'{"type":"click","ts":1511658000000,"user_id":"1","event_id":"e1"}',
    "taobao": b"1,2268318,2520377,pv,1511544070",
    "online-retail": b"536365,85123A,HOLDER,6,2010-12-01 08:26:00,2.55,17850,United Kingdom",
    "retailrocket": b"1433221332117,257597,view,355908,",
    "rees46": b"2019-11-01 00:00:00 UTC,view,1003461,2053,electronics,xiaomi,489.07,520088904,4d3b",
    "otto": b'{"session":0,"events":[{"aid":1,"ts":1659304800025,"type":"clicks"}]}',
    "yoochoose": b"1,2014-04-07T10:51:09.277Z,214536502,0",
    "cloudevents": b'{"specversion":"1.0","type":"click","source":"cloudevents","subject":"7",'
    b'"time":"2020-01-01T00:00:00Z"}',
    "snowplow": b"\t".join(
        {3: b"2020-01-01 00:00:00.000", 5: b"page_view", 12: b"7"}.get(k, b"") for k in range(131)
    ),
    "ga4": b'{"event_name":"page_view","event_timestamp":"1577836800000000","user_id":"7",'
    b'"event_params":[]}',
    "segment": b'{"type":"page","userId":"7","timestamp":"2020-01-01T00:00:00Z"}',
    "movielens": b"1,296,5.0,1147880044",
}


def lines_of(source: Source, n: int) -> list[bytes]:
    return [GOOD_LINES[source.name] + b"\n"] * n


@every_source
def test_a_good_line_becomes_an_accepted_event_of_its_subject(source: Source) -> None:
    (record,) = source.convert(lines_of(source, 1), "file")

    (event,), rejected = decode_batch([record.value])
    assert not rejected
    assert event is not None
    subject = event.user_id or event.device_id or event.anonymous_id
    assert subject is not None
    assert record.key == subject.encode()
    assert record.ts_ms == event.ts


@every_source
def test_equal_rows_are_different_events(source: Source) -> None:
    records = list(source.convert(lines_of(source, 3), "file"))

    events, _ = decode_batch([record.value for record in records])
    ids = {event.event_id for event in events if event is not None}
    # Ours are passed through unchanged: their ids are the producer's matter.
    assert len(ids) == (1 if source.name == "native" else 3)


@every_source
def test_an_event_names_its_source_and_its_row(source: Source) -> None:
    if source.name == "native":
        pytest.skip("native events keep what they say")

    *_, last = source.convert(lines_of(source, 12), "my-file")

    (event,), _ = decode_batch([last.value])
    assert event is not None
    assert event.source == source.name
    assert event.event_id is not None
    assert event.event_id.startswith(f"{source.name}:my-file:12")


@every_source
def test_a_long_file_name_does_not_break_the_event_id(source: Source) -> None:
    records = source.convert(lines_of(source, 1), "x" * 250)

    _, rejected = decode_batch([record.value for record in records])
    assert not rejected


@every_source
def test_long_file_names_that_differ_anywhere_give_different_events(source: Source) -> None:
    if source.name == "native":
        pytest.skip("native events keep what they say")
    names = ["a" + "x" * 250, "b" + "x" * 250, "x" * 250 + "a", "x" * 250 + "b"]

    records = [record for name in names for record in source.convert(lines_of(source, 1), name)]

    assert len({record.value for record in records}) == 4


@every_source
@pytest.mark.parametrize("line", [b"a\n", b"\xff\xfe\x00broken\n", b"[1,2\n", b"1,2\n"])
def test_a_broken_line_between_good_ones_is_passed_on_and_rejected(
    source: Source, line: bytes
) -> None:
    good = lines_of(source, 1)

    records = list(source.convert([*good, line, *good], "file"))

    _, rejected = decode_batch([record.value for record in records])
    assert [(r.index, r.reason) for r in rejected] == [(1, "malformed")]
    assert records[1].value == line.rstrip(b"\n")
    assert records[1].key is None


@every_source
def test_an_empty_file_has_no_records(source: Source) -> None:
    assert list(source.convert([], "file")) == []


@every_source
def test_blank_lines_are_no_records(source: Source) -> None:
    good = lines_of(source, 1)

    assert len(list(source.convert([*good, b"\n", b"\r\n", *good], "file"))) == 2


@every_source
def test_dos_line_ends_change_nothing(source: Source) -> None:
    unix = list(source.convert(lines_of(source, 2), "file"))

    dos = list(source.convert([GOOD_LINES[source.name] + b"\r\n"] * 2, "file"))

    assert dos == unix


@every_source
@given(lines=st.lists(st.binary(max_size=60).map(lambda line: line + b"\n"), max_size=6))
def test_whatever_the_bytes_conversion_does_not_raise(source: Source, lines: list[bytes]) -> None:
    records = list(source.convert([*lines_of(source, 1), *lines], "file"))

    events, rejected = decode_batch([record.value for record in records])
    assert records
    assert {r.reason for r in rejected} <= set(REASONS)
    assert len(events) == len(records)


@every_source
@given(
    fields=st.lists(
        st.one_of(
            st.text("0123456789.-eE", max_size=8),
            st.sampled_from(["", "nan", "inf", "-1", "9" * 400, "1e999", "0x10", "²", "1_0", "é"]),
        ),
        min_size=8,
        max_size=8,
    )
)
def test_odd_fields_reach_the_decoder_which_names_them(source: Source, fields: list[str]) -> None:
    if source.form != "csv":
        pytest.skip("not a table")
    width = GOOD_LINES[source.name].count(b",") + 1
    line = ",".join((fields * 2)[:width]).encode() + b"\n"

    records = list(source.convert([*lines_of(source, 1), line], "file"))

    _, rejected = decode_batch([record.value for record in records])
    assert len(records) == 2
    assert {r.reason for r in rejected} <= set(REASONS)


def test_names_are_unique_and_found() -> None:
    assert len(set(SOURCE_NAMES)) == len(SOURCES)
    assert [source_named(name) for name in SOURCE_NAMES] == list(SOURCES)
