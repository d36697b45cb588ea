"""Hostile JSON: no crash, no hang, no lost neighbour.

The kinds are those of the public test suites of JSON parsers: what must be refused, what must be
accepted, and what is left to the parser and decided here. Every document is written here.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import msgspec
import pytest

from profiler.decoding import Decoder
from profiler.events import EVENT_BYTES_MAX, REASONS
from profiler.records import RawRecord
from profiler.sources import FORMATS, Format, Messages
from profiler.sources.mapping_file import parse_mapping
from profiler.sources.snowplow import COLUMNS
from tests.folding import Fold, assert_equal
from tests.profiler.sources.test_ga4 import ITEMS, parameter, row
from tests.profiler.sources.test_segment import ENVELOPE, PRODUCT
from tests.profiler.sources.test_snowplow import fields

HEAD = b'{"type":"click","ts":1,"user_id":"a","title":'


def holding(value: bytes) -> bytes:
    """A click that would be good, but for this value of its title."""
    return HEAD + value + b"}"


def beside(value: bytes) -> bytes:
    """A click that is good, and has this value in a field that nobody reads."""
    return b'{"type":"click","ts":1,"user_id":"a","other":' + value + b"}"


REFUSED = {
    # what is no text, or none in UTF-8
    "nothing": b"",
    "space": b" ",
    "NUL": b"\0",
    "NULs": b"\0" * 100,
    "byte order mark": b"\xef\xbb\xbf" + holding(b'"t"'),
    "byte order mark alone": b"\xef\xbb\xbf",
    "UTF-16": holding(b'"t"').decode().encode("utf-16"),
    "UTF-16 without a mark": holding(b'"t"').decode().encode("utf-16-be"),
    "UTF-32": holding(b'"t"').decode().encode("utf-32"),
    "Latin-1": holding(b'"\xe9"'),
    "overlong": holding(b'"\xc0\xaf"'),
    "overlong NUL": holding(b'"\xc0\x80"'),
    "beyond Unicode": holding(b'"\xf5\x80\x80\x80"'),
    "surrogate in UTF-8": holding(b'"\xed\xa0\x80"'),
    "half a character": holding(b'"\xe2\x82"'),
    "not UTF-8 in a field that nobody reads": beside(b'"\xff"'),
    "not UTF-8 in a name": b'{"\xff":1,' + holding(b'"t"')[1:],
    # texts
    "high surrogate": holding(rb'"\ud800"'),
    "low surrogate": holding(rb'"\udc00"'),
    "two high surrogates": holding(rb'"\ud800\ud800"'),
    "surrogates the wrong way round": holding(rb'"\udc00\ud800"'),
    "high surrogate and a letter": holding(rb'"\ud800a"'),
    "high surrogate and an escape": holding(rb'"\ud800\n"'),
    "surrogate in an id": b'{"type":"click","ts":1,"user_id":"\\ud800"}',
    "surrogate in a name": b'{"\\ud800":1,' + holding(b'"t"')[1:],
    "surrogate in a field that nobody reads": beside(rb'"\ud800"'),
    "truncated escape": holding(rb'"\u00"'),
    "escape of nothing": b'{"type":"click","ts":1,"user_id":"a\\',
    "unknown escape": holding(rb'"\x41"'),
    "control character": holding(b'"\x01"'),
    "tab": holding(b'"\t"'),
    "line feed": holding(b'"\n"'),
    "NUL in a text": holding(b'"\0"'),
    "single quotes": holding(b"'t'"),
    "no end": holding(b'"t'),
    "no quotes": holding(b"t"),
    # numbers
    "NaN": holding(b"NaN"),
    "Infinity": holding(b"Infinity"),
    "minus Infinity": b'{"type":"click","ts":1,"user_id":"a","price":-Infinity}',
    "hexadecimal": holding(b"0x1"),
    "leading zero": b'{"type":"click","ts":01,"user_id":"a"}',
    "plus": b'{"type":"click","ts":+1,"user_id":"a"}',
    "bare point": b'{"type":"click","ts":1,"user_id":"a","price":.5}',
    "bare exponent": b'{"type":"click","ts":1,"user_id":"a","price":1e}',
    "minus zero as a time": b'{"type":"click","ts":-0,"user_id":"a"}',
    "1e400": b'{"type":"click","ts":1,"user_id":"a","price":1e400}',
    "400 digits": b'{"type":"click","ts":1,"user_id":"a","price":' + b"9" * 400 + b"}",
    "5,000 digits": b'{"type":"click","ts":' + b"9" * 5_000 + b',"user_id":"a"}',
    "2^64": b'{"type":"click","ts":18446744073709551616,"user_id":"a"}',
    "huge exponent": b'{"type":"click","ts":1e' + b"9" * 1_000 + b',"user_id":"a"}',
    # structure
    "trailing garbage": holding(b'"t"') + b"x",
    "trailing brace": holding(b'"t"') + b"}",
    "trailing NUL": holding(b'"t"') + b"\0",
    "two documents": holding(b'"t"') * 2,
    "trailing comma": holding(b'"t",'),
    "comment": holding(b'"t"/* no */'),
    "number as a name": b'{1:1,"type":"click","ts":1,"user_id":"a"}',
    "name without value": b'{"type":"click","ts":1,"user_id":"a","title"}',
    "no colon": b'{"type" "click"}',
    "open object": b"{",
    "open list": b"[",
    "mismatched": b'{"type":"click"]',
    "list": b"[]",
    "list of an event": b"[" + holding(b'"t"') + b"]",
    "text": b'"click"',
    "number": b"1",
    "null": b"null",
    "empty object": b"{}",
    "type of another kind": b'{"type":["click"],"ts":1,"user_id":"a"}',
    "type that is an object": b'{"type":{},"userId":"a"}',
    "type twice, the last unknown": b'{"type":"click","type":"dance","ts":1,"user_id":"a"}',
    # depth and size
    "100,000 open lists": b"[" * 100_000,
    "50,000 open objects": b'{"a":' * 50_000,
    "deep": holding(b"[" * 50_000 + b"]" * 50_000),
    "deep in a field that nobody reads": beside(b"[" * 50_000 + b"]" * 50_000),
    "deep objects": beside(b'{"a":' * 30_000 + b"1" + b"}" * 30_000),
    "long title": holding(b'"' + b"x" * 200_000 + b'"'),
    "too long": holding(b'"' + b"x" * EVENT_BYTES_MAX + b'"'),
    "backslashes": holding(b'"' + b"\\" * 200_000),
    "quotes": holding(b'"' * 200_000),
    # the same in messages of other systems
    "segment: not JSON": b'{"type":"page","userId":"a","timestamp":1,"name":NaN}',
    "segment: a batch of nothing": b'{"batch":[{"type":"page","userId":"a","timestamp":9},{}]}',
    "segment: a batch of all": b'{"batch":[1,null,[],{"type":"page","userId":"a"}]}',
    "segment: too many": b'{"batch":[' + b'{"type":"page","userId":"a"},' * 9_000 + b"{}]}",
    "cloudevents: too many": b"[" + b'{"specversion":1},' * 14_000 + b'{"specversion":1}]',
    "cloudevents: not base64": b'{"specversion":"1.0","type":"a.click","data_base64":"\\u0000"}',
    "tabs": b"\t" * 200_000,
}

ACCEPTED = {
    "NUL in an escape": holding(rb'"\u0000"'),
    "surrogate pair": holding(rb'"\ud83d\ude00"'),
    "last plane": holding('"\U0010fffe"'.encode()),
    "noncharacter": holding(b'"\xef\xbf\xbf"'),
    "delete": holding(b'"\x7f"'),
    "escaped solidus": holding(rb'"\/"'),
    "byte order mark in a text": holding(b'"\xef\xbb\xbf"'),
    "white space": b"\r\n\t " + holding(b' \n"t"\t') + b"\r\n ",
    "minus zero": b'{"type":"click","ts":1,"user_id":"a","price":-0.0}',
    "tiny": b'{"type":"click","ts":1,"user_id":"a","price":1e-400}',
    "many digits": b'{"type":"click","ts":1,"user_id":"a","price":0.' + b"1" * 10_000 + b"}",
    "empty name": b'{"":1,' + holding(b'"t"')[1:],
    "unread 1e400": beside(b"1e400"),
    "unread digits": beside(b"9" * 5_000),
    "unread names twice": beside(b'1,"other":2'),
    "100,000 unread": beside(b"[" + b"1," * 99_999 + b"1]"),
}

HOSTILE = {**REFUSED, **ACCEPTED}

CALL = {**ENVELOPE, "type": "track", "event": "Order Completed", "receivedAt": 5, "sentAt": 4}
MAPPING = b"""
[order]
type = { path = "what", values = { buy = "purchase", rate = "message" } }
items = "lines"
[order.when]
kind = "order"
[order.fields]
ts = { path = "at", unit = "us" }
user_id = "who.0"
item_id = ".sku"
price = { path = ".cents", unit = "cents" }
quantity = ".n"
text = "what"
"""
FOREIGN: list[Any] = [
    {**CALL, "properties": {"products": [PRODUCT, PRODUCT]}, "context": {"device": {"id": 1}}},
    {**ENVELOPE, "type": "identify", "traits": {"a": 1, "b": {"c": 2}}, "originalTimestamp": 1},
    {"batch": [CALL, {**ENVELOPE, "type": "page"}], "sentAt": 7, "context": {}},
    row("purchase", parameter("currency", string_value="EUR"), items=ITEMS, ecommerce={}),
    row("login", user_properties=[parameter("plan", int_value=1)], batch_event_index=1),
    {"specversion": "1.0", "type": "a.click", "source": "s", "id": 1, "data": {"user_id": "a"}},
    [{"specversion": "1.0", "type": "a.click", "data_base64": "e30=", "time": "x", "subject": "a"}],
    fields("unstruct")
    | {
        "unstruct_event_com_snowplowanalytics_snowplow_site_search_1": {"terms": ["a"]},
        "contexts_com_snowplowanalytics_snowplow_client_session_1": [{"userId": "a"}],
    },
    {
        "kind": "order",
        "what": "buy",
        "at": 5,
        "who": [1],
        "lines": [{"sku": 1, "cents": 5, "n": 1}],
    },
]
FOREIGN_FORMATS: tuple[Format, ...] = (parse_mapping(MAPPING, "hostile.toml"), *FORMATS)
DECODER = Decoder(FOREIGN_FORMATS)


def click(user: str, offset: int) -> RawRecord:
    value = {"type": "click", "ts": 1_000 + offset, "user_id": user, "item_id": "cup"}
    return record(msgspec.json.encode(value), offset)


def record(value: bytes, offset: int = 0, headers: Any = ()) -> RawRecord:
    return RawRecord("t", 0, offset, None, None, value, headers)


each_hostile = pytest.mark.parametrize("value", HOSTILE.values(), ids=HOSTILE.keys())


@pytest.mark.parametrize("value", REFUSED.values(), ids=REFUSED.keys())
def test_what_is_no_event_is_refused_with_a_reason(value: bytes) -> None:
    events, _, rejected, n_unused = DECODER.decode([record(value)])

    assert (events, n_unused) == ([], 0)
    assert [r.index for r in rejected] == [0]
    assert rejected[0].reason in REASONS


@pytest.mark.parametrize("value", ACCEPTED.values(), ids=ACCEPTED.keys())
def test_what_is_odd_but_allowed_is_accepted(value: bytes) -> None:
    events, _, rejected, _ = DECODER.decode([record(value)])

    assert (len(events), rejected) == (1, [])


@each_hostile
def test_neighbours_are_kept(value: bytes) -> None:
    events, at, _, _ = DECODER.decode([click("b", 0), record(value, 1), click("c", 2)])

    assert [event.user_id for event in events if event.user_id in ("b", "c")] == ["b", "c"]
    assert {0, 2} <= set(at.tolist())


def test_all_of_them_at_once_leave_the_neighbours_profiles_as_they_were() -> None:
    alone, among = Fold(), Fold()
    good = [click(user, 2 * k) for k, user in enumerate("bcdebc" * 20)]
    bad = [record(value, 2 * k + 1) for k, value in enumerate(HOSTILE.values())]

    alone.apply(good)
    prepared, _ = among.apply(sorted([*good, *bad], key=lambda r: r.offset))

    assert {r.reason for r in prepared.rejected} <= set(REASONS)
    assert len(prepared.rejected) == len(REFUSED)
    for user in "bcde":
        assert_equal(alone.row("user", user), among.row("user", user))


@each_hostile
@pytest.mark.parametrize("format", FOREIGN_FORMATS, ids=lambda format: format.name)
def test_of_a_file_no_line_stops_the_others(format: Format, value: bytes) -> None:
    line = value.replace(b"\n", b" ").replace(b"\r", b" ") + b"\n"

    records = list(Messages(format).convert([b"{}\n", line, b"{}\n"], "file"))

    assert records[0].value == records[-1].value == b"{}"


def test_the_last_of_equal_names_counts() -> None:
    twice = b'{"ts":5,"user_id":"a","type":"click","ts":7,"user_id":"b"}'
    call = b'{"type":"page","userId":"a","timestamp":5,"userId":"c","timestamp":8}'

    (native, foreign), *_ = DECODER.decode([record(twice), record(call)])

    assert (native.user_id, native.ts) == ("b", 7)
    assert (foreign.user_id, foreign.ts) == ("c", 8_000)


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (b'{"type":"click","ts":5,"user_id":"a","type":"purchase"}', "unknown_type"),
        (b'{"type":"click","ts":5,"user_id":"a","item_id":5,"item_id":"q"}', "invalid:item_id"),
    ],
)
def test_two_types_are_none_and_each_of_equal_names_must_be_valid(
    value: bytes, reason: str
) -> None:
    _, _, rejected, _ = DECODER.decode([record(value)])

    assert [r.reason for r in rejected] == [reason]


def test_a_header_may_have_no_value_or_none_that_is_text() -> None:
    headers: Sequence[Any] = [("ce_specversion", None), ("ce_type", b"\xff"), ("\ud800", b"")]

    events, _, rejected, _ = DECODER.decode(
        [click("b", 0), record(click("a", 1).value or b"", 1, headers), click("c", 2)]
    )

    assert ([event.user_id for event in events], rejected) == (["b", "a", "c"], [])


def deep(n: int) -> Any:
    found: Any = 1
    for _ in range(n):
        found = [found]
    return found


HOSTILE_VALUES: list[Any] = [
    *(None, True, False, 0, -1, -0.0, 1e308, 5e-324, 2**63, 10**18, 1.5),
    *(
        "",
        " ",
        "\0",
        "\ud83d\ude00".encode("utf-16", "surrogatepass").decode("utf-16"),
        "x" * 5_000,
    ),
    *("NaN", "1e999", "9" * 400, "0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59-23:59"),
    *([], {}, [[]], [{}], [None], {"": {"": {}}}, deep(200), {"a": deep(200)}),
    {str(k): k for k in range(200)},
]


def places(document: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Every place in a document, as a path."""
    inner = (
        document.items()
        if isinstance(document, dict)
        else enumerate(document)
        if isinstance(document, list)
        else ()
    )
    return [path, *(found for key, value in inner for found in places(value, (*path, key)))]


def replaced(document: Any, path: tuple[Any, ...], value: Any) -> Any:
    if not path:
        return value
    document = copy.copy(document)
    document[path[0]] = replaced(document[path[0]], path[1:], value)
    return document


PLACES = [(k, path) for k, document in enumerate(FOREIGN) for path in places(document)]


@pytest.mark.parametrize("k", range(len(FOREIGN)))
def test_a_foreign_message_may_hold_anything_anywhere(k: int) -> None:
    values = [
        msgspec.json.encode(replaced(FOREIGN[k], path, value))
        for path in places(FOREIGN[k])
        for value in HOSTILE_VALUES
    ]

    for value in values:
        events, _, rejected, _ = DECODER.decode([click("b", 0), record(value, 1), click("c", 2)])
        assert [events[i].user_id for i in (0, -1)] == ["b", "c"]
        assert {r.reason for r in rejected} <= set(REASONS)
    for format in FOREIGN_FORMATS:
        assert list(Messages(format).convert([b"{}", *values, b"{}"], "file"))[-1].value == b"{}"


@pytest.mark.parametrize("event", ["page_view", "struct", "transaction_item", "unstruct"])
def test_a_column_of_text_may_hold_anything(event: str) -> None:
    texts = ["\0", "{", "[" * 1_000, '{"data":[{"schema":[]}]}', '{"data":{"data":5}}', "9" * 400]

    for name in COLUMNS:
        for text in texts:
            row = {**fields(event), name: text}
            value = "\t".join(row.get(column, "") for column in COLUMNS).encode()
            found = DECODER.decode([click("b", 0), record(value, 1), click("c", 2)])
            assert [found.events[i].user_id for i in (0, -1)] == ["b", "c"]


@pytest.mark.parametrize("digits", [19, 20, 309, 400, 4_300])
def test_a_foreign_number_may_be_of_any_size(digits: int) -> None:
    number = b"9" * digits
    calls = [msgspec.json.encode(replaced(FOREIGN[k], path, "HERE")) for k, path in PLACES if path]

    found = DECODER.decode([record(call.replace(b'"HERE"', number)) for call in calls])

    assert {r.reason for r in found.rejected} <= set(REASONS)
    for format in FOREIGN_FORMATS:
        lines = [call.replace(b'"HERE"', number) for call in calls]
        assert list(Messages(format).convert(lines, "file"))
