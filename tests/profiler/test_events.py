from __future__ import annotations

import datetime as dt
import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from profiler.contracts.examples import EXAMPLES
from profiler.events import (
    EVENT_BYTES_MAX,
    EVENT_TYPES,
    FIELDS,
    REASONS,
    TS_MAX_MS,
    TYPE_NAMES,
    Event,
    Rejected,
    decode_batch,
    timestamp_ms,
)

CLICK = b'{"type":"click","ts":1,"user_id":"u"'
LATER_STEPS = {"unknown_schema", "clock_skew", "too_old", "update_failed"}
"""Reasons that are found after decoding."""
FALLBACK = "invalid:event"
"""For faults that name no field; none is known."""


def reason_of(value: bytes | None) -> str | None:
    (event,), rejected = decode_batch([value])
    assert (event is None) == bool(rejected)
    return rejected[0].reason if rejected else None


def type_with(field: str) -> str:
    return next(
        name
        for name, event_type in zip(TYPE_NAMES, EVENT_TYPES, strict=True)
        if field in event_type.__struct_fields__
    )


def wrong(field: str, found: object) -> bytes:
    """An event whose only fault is `found` in `field`, if that is one."""
    name = type_with(field)
    example = next(e for e in EXAMPLES if type(e) is EVENT_TYPES[TYPE_NAMES.index(name)])
    return json.dumps(msgspec.to_builtins(example) | {field: found}).encode()


WRONG: list[tuple[bytes | None, str]] = [
    (None, "malformed"),
    (b"", "malformed"),
    (b"{", "malformed"),
    (CLICK + b"}}", "malformed"),
    (b"[]", "malformed"),
    (b"null", "malformed"),
    (b"7", "malformed"),
    (b'{"type":"click","ts":1,"user_id":"\xff"}', "malformed"),
    (b'{"type":"\xff","ts":1,"user_id":"u"}', "malformed"),
    (b'{"type":"click","ts":1,"user_id":"\\ud800"}', "malformed"),
    (b"\xef\xbb\xbf" + CLICK + b"}", "malformed"),
    (CLICK + b',"x":' + b"[" * 100_000 + b"]" * 100_000 + b"}", "malformed"),
    (b"[" * 200_000, "malformed"),
    (CLICK + b"}" + b" " * EVENT_BYTES_MAX, "oversize"),
    (b"x" * 1_000_000, "oversize"),
    (b'{"type":"dance","ts":1,"user_id":"u"}', "unknown_type"),
    (b'{"type":"","ts":1,"user_id":"u"}', "unknown_type"),
    (b'{"type":"at `$.ts`","ts":1,"user_id":"u"}', "unknown_type"),
    (b'{"ts":1,"user_id":"u"}', "invalid:type"),
    (b'{"type":3,"ts":1,"user_id":"u"}', "invalid:type"),
    (b'{"type":null,"ts":1,"user_id":"u"}', "invalid:type"),
    (b'{"type":"click","ts":1}', "invalid:subject"),
    (b'{"type":"click","ts":1,"user_id":null}', "invalid:subject"),
    (b'{"type":"click","ts":1,"user_id":""}', "invalid:user_id"),
    (b'{"type":"click","user_id":"u"}', "invalid:ts"),
    (b'{"type":"search","ts":1,"user_id":"u"}', "invalid:query"),
    *((wrong(field, [[]]), f"invalid:{field}") for field in FIELDS),
    *((wrong("ts", ts), "invalid:ts") for ts in (0, -1, 1.5, TS_MAX_MS + 1, True, "", "today")),
    (wrong("ts", "2026-01-01T00:00:00"), "invalid:ts"),
    (wrong("ts", "2100-01-01T00:00:00.001Z"), "invalid:ts"),
    (wrong("ts", "1969-12-31T23:59:59Z"), "invalid:ts"),
    (wrong("ts", "0001-01-01T00:00:00+10:00"), "invalid:ts"),
    (wrong("ts", "9999-12-31T23:59:59-10:00"), "invalid:ts"),
    *((wrong("price", float(x)), "invalid:price") for x in ("nan", "inf", "-inf", "-0.01", "1e13")),
    (CLICK + b',"price":1e999}', "invalid:price"),
    (wrong("latitude", float("nan")), "invalid:latitude"),
    (wrong("latitude", 90.001), "invalid:latitude"),
    (wrong("propensity", 0.0), "invalid:propensity"),
    *((wrong("quantity", n), "invalid:quantity") for n in (-1, 0, 10**7, 10**30, 1.5, "2")),
    (wrong("event_id", "x" * 129), "invalid:event_id"),
    (wrong("event_id", ""), "invalid:event_id"),
    (wrong("currency", "eur"), "invalid:currency"),
    (wrong("currency", "EURO"), "invalid:currency"),
    (wrong("data", "@@"), "invalid:data"),
    (wrong("data", "A" * 174_768), "invalid:data"),
    (wrong("action", "shown"), "invalid:action"),
    (wrong("action", "missing required field `price`"), "invalid:action"),
    (wrong("action", "x - at `$.price`"), "invalid:action"),
    (wrong("currency", "EUR\n"), "invalid:currency"),
    (wrong("traits", {"a": float("nan")}), "invalid:traits"),
    (wrong("traits", {"a": [[1]]}), "invalid:traits"),
    (wrong("traits", {str(n): n for n in range(65)}), "invalid:traits"),
    (wrong("purposes", {"a": "yes"}), "invalid:purposes"),
]


@pytest.mark.parametrize(("value", "reason"), WRONG, ids=lambda x: repr(x)[:60])
def test_what_does_not_fit_is_rejected_with_its_reason(value: bytes | None, reason: str) -> None:
    assert reason_of(value) == reason


def test_every_reason_of_the_list_is_produced_above_or_by_a_later_step() -> None:
    assert {reason for _, reason in WRONG} | LATER_STEPS | {FALLBACK} == set(REASONS)


@pytest.mark.parametrize(("value", "reason"), WRONG, ids=lambda x: repr(x)[:60])
def test_one_bad_record_leaves_the_rest_of_its_batch(value: bytes | None, reason: str) -> None:
    good = [msgspec.json.encode(example) for example in EXAMPLES[:3]]

    events, rejected = decode_batch([good[0], value, good[1], value, good[2]])

    assert [events[i] for i in (0, 2, 4)] == list(EXAMPLES[:3])
    assert rejected == [Rejected(1, reason), Rejected(3, reason)]


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda e: type(e).__name__)
def test_every_type_comes_back_as_it_went(example: Event) -> None:
    events, rejected = decode_batch([msgspec.json.encode(example)])

    assert events == [example]
    assert rejected == []


@pytest.mark.parametrize(
    "value",
    [
        CLICK + b',"colour":"red","n":{"a":[1]}}',
        CLICK + b',"price":null,"title":null}',
        CLICK + b',"price":3,"quantity":1000000}',
        b' \n{"user_id":"u", "ts":1 ,"type":"click"}\n ',
        b'{"type":"click","ts":4102444800000,"device_id":"d"}',
        b'{"type":"click","ts":"2026-01-01T00:00:00.123456Z","anonymous_id":"a"}',
        CLICK + b"}" + b" " * (EVENT_BYTES_MAX - len(CLICK) - 1),
    ],
)
def test_what_fits_is_accepted(value: bytes) -> None:
    assert reason_of(value) is None


@pytest.mark.parametrize(
    ("text", "ms"),
    [
        ("1970-01-01T00:00:01Z", 1_000),
        ("2026-01-01T08:00:00.0019+08:00", 1_767_225_600_001),
        ("2024-02-29T23:59:59.999-05:30", 1_709_270_999_999),
    ],
)
def test_rfc_3339_times_are_milliseconds_utc(text: str, ms: int) -> None:
    (event,), _ = decode_batch([json.dumps({"type": "erase", "user_id": "u", "ts": text}).encode()])

    assert event is not None
    assert timestamp_ms(event.ts) == ms


@given(ms=st.integers(1, TS_MAX_MS))
def test_a_time_is_the_same_as_a_number_and_as_text(ms: int) -> None:
    text = dt.datetime.fromtimestamp(ms // 1_000, dt.UTC) + dt.timedelta(milliseconds=ms % 1_000)

    assert timestamp_ms(text) == timestamp_ms(ms) == ms


def json_values() -> st.SearchStrategy[Any]:
    leaves = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20)
    return st.recursive(
        leaves,
        lambda inner: (
            st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
        ),
        max_leaves=5,
    )


def near_events() -> st.SearchStrategy[bytes]:
    """JSON objects that look like events, with anything in any field."""
    names = st.sampled_from(("type", *FIELDS))
    plausible = st.fixed_dictionaries(
        {"type": st.sampled_from(TYPE_NAMES), "ts": st.integers(-1, TS_MAX_MS + 1)},
        optional={"user_id": st.text(max_size=300), "query": st.text(), "text": st.text()},
    )
    changes = st.dictionaries(names, json_values(), max_size=4)
    return st.tuples(plausible, changes).map(lambda both: json.dumps(both[0] | both[1]).encode())


def cut_or_flipped() -> st.SearchStrategy[bytes]:
    """Valid events with one byte changed, or the end missing."""

    def damage(example: Event, place: int, byte: int, is_cut: bool) -> bytes:
        value = bytearray(msgspec.json.encode(example))
        place %= len(value)
        if is_cut:
            return bytes(value[:place])
        value[place] = byte
        return bytes(value)

    return st.builds(
        damage, st.sampled_from(EXAMPLES), st.integers(0, 999), st.integers(0, 255), st.booleans()
    )


@given(
    values=st.lists(
        st.none() | st.binary(max_size=200) | near_events() | cut_or_flipped(), max_size=8
    )
)
def test_decoding_never_raises_whatever_the_bytes(values: list[bytes | None]) -> None:
    events, rejected = decode_batch(values)

    assert len(events) == len(values)
    assert [r.index for r in rejected] == [i for i, e in enumerate(events) if e is None]
    assert {r.reason for r in rejected} <= set(REASONS)


@given(values=st.lists(st.binary(max_size=50) | near_events() | cut_or_flipped(), max_size=8))
def test_a_record_is_judged_alike_alone_and_in_a_batch(values: list[bytes]) -> None:
    together, _ = decode_batch(values)

    alone = [decode_batch([value])[0][0] for value in values]

    assert together == alone
