"""Values of registered schemas become what JSON would have; hostile bytes become dead letters."""

from __future__ import annotations

import io
import json
import struct
from collections.abc import Iterator
from typing import Any

import fastavro
import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from profiler.decoding import Decoder
from profiler.errors import UnusableSchema
from profiler.events import EVENT_BYTES_MAX, REASONS
from profiler.records import RawRecord
from profiler.schemas import (
    AvroSchema,
    JsonSchema,
    Known,
    ProtobufSchema,
    Schemas,
    reader_of,
)
from profiler.schemas.avro import DECIMAL_BYTES_MAX, DEPTH_MAX, avro_reader
from profiler.schemas.protobuf import protobuf_reader
from profiler.schemas.wire import read_varint
from tests.registered import AVRO, descriptors

EVERYTHING = """
syntax = "proto3";
import "google/protobuf/duration.proto";
import "google/protobuf/struct.proto";
import "google/protobuf/timestamp.proto";
import "google/protobuf/wrappers.proto";
message Everything {
  enum Colour { RED = 0; BLUE = 5; }
  double price = 1;
  float share = 2;
  optional int32 quantity = 3;
  sint64 change = 4;
  bytes data = 5;
  Colour colour = 6;
  repeated Colour colours = 7;
  google.protobuf.Timestamp ts = 8;
  google.protobuf.Duration dwell = 9;
  google.protobuf.Struct traits = 10;
  google.protobuf.StringValue user_id = 11;
  google.protobuf.DoubleValue amount = 12;
  google.protobuf.BytesValue raw = 13;
  google.protobuf.Value any = 14;
  map<bool, Colour> flags = 15;
  map<int32, Everything> tree = 16;
  Everything next = 17;
  repeated int64 packed = 18;
}
message Other { string a = 1; }
"""
FILES = descriptors({"everything.proto": EVERYTHING}).SerializeToString()
READ_PROTOBUF = protobuf_reader(FILES)
READ_AVRO = avro_reader(AVRO)


def record_of(**fields: Any) -> dict[str, Any]:
    named = [{"name": name, "type": of} for name, of in fields.items()]
    return {"type": "record", "name": "shop.Thing", "fields": named}


def logical(kind: str, of: str, **more: Any) -> dict[str, Any]:
    return {"type": kind, "logicalType": of, **more}


AVRO_VALUES: dict[str, tuple[Any, Any, Any]] = {
    "null": (["null", "int"], None, None),
    "boolean": ("boolean", True, True),
    "long": ("long", -(2**63), -(2**63)),
    "double": ("double", 2.5, 2.5),
    "float": ("float", 0.5, 0.5),
    "not a number": ("double", float("nan"), "nan"),
    "infinity": ("float", float("-inf"), "-inf"),
    "text": ("string", "Zürich", "Zürich"),
    "bytes": ("bytes", b"\0\1", "AAE="),
    "fixed": ({"type": "fixed", "name": "F", "size": 2}, b"\0\1", "AAE="),
    "enum": ({"type": "enum", "name": "E", "symbols": ["A", "B"]}, "B", "B"),
    "array": ({"type": "array", "items": "double"}, [1.0, float("inf")], [1.0, "inf"]),
    "map": ({"type": "map", "values": ["null", "bytes"]}, {"a": b"\0", "b": None}, None),
    "record": (record_of(a="int") | {"name": "Inner"}, {"a": 1}, {"a": 1}),
    "union": (["null", "int", "string"], "x", "x"),
    "ms": (logical("long", "timestamp-millis"), 1_772_355_600_123, 1_772_355_600_123),
    "µs": (logical("long", "timestamp-micros"), 1_772_355_600_123_999, 1_772_355_600_123),
    "ns": (logical("long", "timestamp-nanos"), 1_772_355_600_123_999_999, 1_772_355_600_123),
    "local ms": (logical("long", "local-timestamp-millis"), 5, 5),
    "local µs": (logical("long", "local-timestamp-micros"), 5_999, 5),
    "before 1970": (logical("long", "timestamp-micros"), -1, -1),
    "beyond all years": (logical("long", "timestamp-millis"), 2**62, 2**62),
    "date": (logical("int", "date"), 20_513, "2026-03-01"),
    "date beyond all years": (logical("int", "date"), 2**31 - 1, 2**31 - 1),
    "time": (logical("int", "time-millis"), 5, 5),
    "uuid": (logical("string", "uuid"), "not checked", "not checked"),
    "decimal": (logical("bytes", "decimal", precision=9, scale=2), b"\x07\xcf", 19.99),
    "negative": (logical("bytes", "decimal", precision=9, scale=2), b"\xff\x9c", -1.0),
    "whole decimal": (logical("bytes", "decimal", precision=9), b"\x07", 7),
    "unknown": (logical("string", "colour"), "red", "red"),
}


@pytest.mark.parametrize(("of", "value", "read"), AVRO_VALUES.values(), ids=AVRO_VALUES.keys())
def test_avro_becomes_what_json_would_have(of: Any, value: Any, read: Any) -> None:
    # Written without logical types: what is on the wire is the value itself.
    plain = {"type": of["type"]} if isinstance(of, dict) and "logicalType" in of else of
    schema = record_of(it=plain)
    stream = io.BytesIO()
    fastavro.schemaless_writer(stream, fastavro.parse_schema(schema), {"it": value})

    found = avro_reader(json.dumps(record_of(it=of)))(stream.getvalue())

    expected = {"a": "AA==", "b": None} if isinstance(value, dict) and "b" in value else read
    assert found.get("it") == expected


def test_fixed_uuids_and_decimals_are_read_too() -> None:
    uuid_of = logical("fixed", "uuid", name="U", size=16)
    price = logical("fixed", "decimal", name="P", size=4, precision=9, scale=3)
    read = avro_reader(json.dumps(record_of(u=uuid_of, p=price)))

    found = read(bytes(range(16)) + (1_250).to_bytes(4, "big"))

    assert found == {"u": "00010203-0405-0607-0809-0a0b0c0d0e0f", "p": 1.25}


@pytest.mark.parametrize(
    ("name", "kind"), [("a.b.Click", "click"), ("Purchase", "purchase"), ("a.Thing", None)]
)
def test_a_record_without_a_type_is_of_the_type_that_it_is_named_after(
    name: str, kind: str | None
) -> None:
    schema = record_of(ts="long") | {"name": name}

    assert avro_reader(json.dumps(schema))(b"\2").get("type") == kind
    assert avro_reader(json.dumps(["null", schema]))(b"\2\2").get("type") == kind


@pytest.mark.parametrize("branch", [-1, -2, 2, 2**40])
def test_a_branch_that_is_none_does_not_fit(branch: int) -> None:
    read = avro_reader(json.dumps(["null", record_of(ts="long")]))

    with pytest.raises(ValueError, match="no such branch"):
        read(zigzag(branch) + b"\2")


def test_a_type_that_the_message_has_counts() -> None:
    schema = record_of(type="string") | {"name": "Click"}

    assert avro_reader(json.dumps(schema))(b"\x0csearch") == {"type": "search"}


def unusable(schema: Any) -> str:
    with pytest.raises(UnusableSchema) as fault:
        avro_reader(schema if isinstance(schema, str) else json.dumps(schema))
    return str(fault.value)


EMPTY = {"type": "record", "name": "Empty", "fields": []}


@pytest.mark.parametrize(
    "of",
    [
        {"type": "array", "items": "null"},
        {"type": "array", "items": EMPTY},
        {"type": "array", "items": {"type": "fixed", "name": "F", "size": 0}},
        {"type": "array", "items": record_of(a=EMPTY, b="Empty") | {"name": "Two"}},
        record_of(a=["null", EMPTY], b={"type": "array", "items": "Empty"}) | {"name": "Later"},
        {"type": "array", "items": {"type": "null"}},
    ],
    ids=str,
)
def test_types_that_take_no_bytes_are_refused(of: Any) -> None:
    assert "takes no bytes" in unusable(record_of(it=of))


def test_an_empty_record_may_stand_in_a_union() -> None:
    read = avro_reader(json.dumps(record_of(it=["null", EMPTY])))

    assert read(b"\2") == {"it": {}}


def test_types_that_hold_themselves_are_refused() -> None:
    tree = record_of(of={"type": "array", "items": "shop.Thing"})
    mutual = record_of(it=record_of(back=["null", "shop.Thing"]) | {"name": "Inner"})

    assert "holds itself" in unusable(tree)
    assert "holds itself" in unusable(mutual)


def test_types_that_are_too_deep_are_refused_however_they_are_written() -> None:
    nested: Any = "int"
    for _ in range(DEPTH_MAX):
        nested = {"type": "array", "items": nested}
    named: list[dict[str, Any]] = [record_of(a="int") | {"name": "N0"}]
    for k in range(1, DEPTH_MAX):
        named.append(record_of(a=f"N{k - 1}") | {"name": f"N{k}"})
    fields = {f"f{k}": one for k, one in enumerate(named)}

    assert "deep" in unusable(record_of(it=nested))
    assert "deep" in unusable(record_of(**fields))
    assert "recursion" in unusable('{"type":"array","items":' * 9_000 + '"int"' + "}" * 9_000)


@pytest.mark.parametrize(
    "schema",
    [
        *("", "{", "5", "null", "true", '""', '"Unknown"', "{}", '{"type":5}', "[5]"),
        *('{"type":"record"}', '{"type":"record","name":"A","fields":5}', '{"type":"array"}'),
        *('{"type":"fixed","name":"A"}', '{"type":"fixed","name":"A","size":"x"}'),
        *('{"type":"enum","name":"A"}', '{"type":"enum","name":"A","symbols":5}'),
        '{"type":"record","name":"A","fields":[{"name":"a"}]}',
        '{"type":"record","name":"A","fields":[{"name":"a","type":"B"}]}',
        '{"type":"bytes","logicalType":"decimal","precision":400,"scale":301}',
        '{"type":"bytes","logicalType":"decimal","precision":4,"scale":-1}',
        '{"type":"bytes","logicalType":"decimal","precision":4,"scale":"a"}',
    ],
)
def test_what_is_no_schema_is_unusable(schema: str) -> None:
    assert unusable(schema)


def zigzag(number: int) -> bytes:
    rest = (number << 1) ^ (number >> 63)
    found = b""
    while rest > 0x7F:
        found += bytes([rest & 0x7F | 0x80])
        rest >>= 7
    return found + bytes([rest])


@given(st.integers(-(2**63), 2**63 - 1))
def test_numbers_of_variable_length_are_read_as_they_were_written(number: int) -> None:
    data = zigzag(number)

    assert read_varint(b"x" + data + b"y", 1) == (number, 1 + len(data))


BOMB = record_of(
    lists={"type": "array", "items": "long"},
    texts={"type": "map", "values": "string"},
    price=logical("bytes", "decimal", precision=9, scale=2),
)
PARTS = (b"\0", b"\0", b"\2\1")
HUGE = [zigzag(2**62), zigzag(-(2**62)), zigzag(-1), zigzag(2**31), b"\xff" * 20, b"\xff" * 200_000]
AVRO_BOMBS = [
    *(head + huge + rest for huge in HUGE for head, rest in ((b"", b"\0" * 99), (b"\0", b""))),
    *(zigzag(-9) + zigzag(huge) + b"\2" * 99 for huge in (2**62, -(2**62), 0)),
    b"\2" + b"\1\2" * 131_000,
    zigzag(262_000) + b"\0" * 262_000,
    b"",
]


def framed(number: int, payload: bytes) -> bytes:
    return b"\0" + number.to_bytes(4, "big") + payload


def known(schema: AvroSchema | ProtobufSchema | JsonSchema) -> Known:
    return Known(reader_of(schema))


SCHEMAS = {
    1: known(AvroSchema(json.dumps(BOMB))),
    2: known(ProtobufSchema(FILES)),
    3: known(JsonSchema()),
    4: known(AvroSchema(AVRO)),
}
DECODER = Decoder(schemas=Schemas(SCHEMAS.get))


def decoded_among_neighbours(value: bytes) -> list[str]:
    """Reasons for which a value is refused; its neighbours are kept."""
    click = b'{"type":"click","ts":5,"user_id":"%b"}'
    values = [click % b"b", value, click % b"c"]

    events, at, rejected, _ = DECODER.decode(
        [RawRecord("t", 0, k, None, None, v) for k, v in enumerate(values)]
    )

    assert [events[k].user_id for k in (0, -1)] == ["b", "c"]
    assert {0, 2} <= set(at.tolist())
    assert [r.index for r in rejected] in ([], [1])
    return [r.reason for r in rejected]


@pytest.mark.parametrize("bomb", AVRO_BOMBS, ids=lambda bomb: f"{bomb[:12].hex()} {len(bomb)}")
def test_bombs_of_avro_are_dead_letters(bomb: bytes) -> None:
    assert decoded_among_neighbours(framed(1, bomb)) == ["malformed"]


def test_a_decimal_of_many_digits_is_no_number_and_costs_nothing() -> None:
    data = b"\x7f" * 200_000
    value = b"\0\0" + zigzag(len(data)) + data
    read = avro_reader(json.dumps(BOMB))

    assert isinstance(read(value)["price"], str)
    longest = b"\0\0" + zigzag(DECIMAL_BYTES_MAX) + data[:DECIMAL_BYTES_MAX]
    assert isinstance(read(longest)["price"], float)


def varint(number: int) -> bytes:
    found = b""
    while number > 0x7F:
        found += bytes([number & 0x7F | 0x80])
        number >>= 7
    return found + bytes([number])


def nested(depth: int) -> bytes:
    inner = b""
    for _ in range(depth):
        inner = b"\x8a\x01" + varint(len(inner)) + inner
    return inner


PROTOBUF_BOMBS = {
    "no message": b"",
    "an index that does not end": b"\xff" * 20,
    "many indexes": zigzag(2**40) + b"\0" * 99,
    "fewer than none": zigzag(-5),
    "no such message": zigzag(1) + zigzag(9),
    "before the first": zigzag(1) + zigzag(-1),
    "no such inner message": zigzag(2) + zigzag(1) + zigzag(0),
    "deep": b"\0" + nested(20_000),
    "truncated": b"\0\x2a\xff\xff\xff\x7f",
    "not UTF-8": zigzag(1) + zigzag(1) + b"\x0a\x02\xff\xff",
    "group without end": b"\0\x0b",
    "noise": b"\0" + b"\xff" * 200_000,
}


@pytest.mark.parametrize("bomb", PROTOBUF_BOMBS.values(), ids=PROTOBUF_BOMBS.keys())
def test_bombs_of_protobuf_are_dead_letters(bomb: bytes) -> None:
    assert decoded_among_neighbours(framed(2, bomb)) == ["malformed"]


def test_a_long_list_of_protobuf_is_read_in_full_and_is_no_event() -> None:
    many = b"\x92\x01" + varint(250_000) + b"\1" * 250_000

    assert len(READ_PROTOBUF(b"\0" + many)["packed"]) == 250_000
    assert decoded_among_neighbours(framed(2, b"\0" + many)) == ["invalid:type"]


def test_what_is_too_large_is_not_opened() -> None:
    assert decoded_among_neighbours(framed(3, b" " * EVENT_BYTES_MAX)) == ["oversize"]


def cuts(value: bytes) -> Iterator[bytes]:
    yield from (value[:k] for k in range(len(value)))


def test_every_beginning_of_a_good_value_is_refused_or_read() -> None:
    value = b"\2" + zigzag(1) + b"a" + bytes(20)

    for cut in cuts(framed(4, value)):
        assert set(decoded_among_neighbours(cut)) <= set(REASONS)


@given(st.sampled_from(sorted(SCHEMAS)), st.binary(max_size=200))
@example(1, b"\1" * 100)
def test_no_bytes_do_any_harm(number: int, payload: bytes) -> None:
    assert set(decoded_among_neighbours(framed(number, payload))) <= set(REASONS)


def test_protobuf_becomes_what_json_would_have() -> None:
    double = struct.Struct("<d").pack
    moment = b"\x08\x80\x82\x84\xb2\x01\x10\xff\x93\xeb\xdc\x03"
    payload = b"".join(
        (
            *(b"\x09" + double(float("nan")), b"\x18\x00", b"\x20\x01", b"\x2a\x02\0\1"),
            *(b"\x30\x05", b"\x3a\x02\x00\x07", b"\x42" + varint(len(moment)) + moment),
            *(b"\x4a\x02\x08\x02", b"\x52\x0a\x0a\x08\x0a\x01a\x12\x03\x1a\x01b"),
            *(b"\x5a\x03\x0a\x01u", b"\x62\x00", b"\x6a\x03\x0a\x01\0", b"\x72\x02\x08\x00"),
            *(b"\x7a\x04\x08\x01\x10\x05", b"\x82\x01\x06\x08\x07\x12\x02\x18\x09"),
        )
    )

    assert READ_PROTOBUF(b"\0" + payload) == {
        "price": "nan",
        "quantity": 0,
        "change": -1,
        "data": "AAE=",
        "colour": "BLUE",
        "colours": ["RED", 7],
        "ts": 373_358_848_999,
        "dwell": 2_000,
        "traits": {"a": "b"},
        "user_id": "u",
        "amount": 0.0,
        "raw": "AA==",
        "flags": {"true": "BLUE"},
        "tree": {"7": {"quantity": 9}},
    }


@pytest.mark.parametrize("files", [b"", b"\xff", b"\x0a\x03\x1a\x01x", FILES[:-20]])
def test_what_are_no_descriptors_is_unusable(files: bytes) -> None:
    with pytest.raises(UnusableSchema):
        protobuf_reader(files)


def test_a_batch_without_such_values_is_decoded_as_before() -> None:
    values = [b'{"type":"click","ts":%d,"user_id":"u"}' % k for k in range(1, 50)] + [b"{", None]
    records = [RawRecord("t", 0, k, None, None, v) for k, v in enumerate(values)]

    plain, opening = Decoder().decode(records), DECODER.decode(records)

    assert (plain.events, plain.rejected) == (opening.events, opening.rejected)
    assert msgspec.to_builtins(plain.record.tolist()) == opening.record.tolist()
