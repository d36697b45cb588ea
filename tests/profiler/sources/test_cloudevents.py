"""CloudEvents, in the three modes of their binding to Kafka."""

from __future__ import annotations

import base64
from typing import Any

import msgspec
import pytest

from profiler.decoding import Decoder
from profiler.events import AnyEvent, Purchase
from profiler.records import RawRecord

ATTRIBUTES = {
    "specversion": "1.0",
    "type": "com.example.shop.purchase",
    "source": "/shop",
    "id": "A234-1234",
    "time": "2026-03-01T10:00:00.250+01:00",
}
DATA = {"user_id": "alice", "item_id": "cup", "price": 3.5}
TS_MS = 1_772_355_600_250


def decoded(value: Any, headers: dict[str, str] | None = None) -> list[AnyEvent]:
    data = value if isinstance(value, bytes) else msgspec.json.encode(value)
    pairs = [(name, text.encode()) for name, text in (headers or {}).items()]
    events, _, rejected, _ = Decoder().decode([RawRecord("t", 0, 0, None, None, data, pairs)])
    assert not rejected
    return events


def binary(**attributes: str) -> dict[str, str]:
    return {f"ce_{name}": text for name, text in {**ATTRIBUTES, **attributes}.items()}


def assert_purchase(event: AnyEvent) -> None:
    assert isinstance(event, Purchase)
    assert (event.user_id, event.item_id, event.price) == ("alice", "cup", 3.5)
    assert event.event_id == "/shop:A234-1234"
    assert event.source == "/shop"
    assert event.ts.timestamp() * 1000 == TS_MS  # type: ignore[union-attr]


def test_binary_mode() -> None:
    (event,) = decoded(DATA, binary())

    assert_purchase(event)


@pytest.mark.parametrize(
    "data",
    [{"data": DATA}, {"data_base64": base64.b64encode(msgspec.json.encode(DATA)).decode()}],
    ids=["data", "data_base64"],
)
def test_structured_mode(data: dict[str, Any]) -> None:
    (event,) = decoded({**ATTRIBUTES, **data})

    assert_purchase(event)


def test_batched_mode() -> None:
    first, second = decoded([{**ATTRIBUTES, "data": DATA}, {**ATTRIBUTES, "data": DATA, "id": "9"}])

    assert_purchase(first)
    assert second.event_id == "/shop:9"


def test_the_subject_attribute_is_the_user_where_the_data_names_nobody() -> None:
    (event,) = decoded({"item_id": "cup"}, binary(subject="bob"))
    (named,) = decoded(DATA, binary(subject="bob"))

    assert (event.user_id, named.user_id) == ("bob", "alice")


def test_attributes_complete_a_native_event_and_never_overrule_it() -> None:
    native = {"type": "click", "ts": 5, "user_id": "alice"}

    (event,) = decoded(native, binary())

    assert event.__class__.__name__ == "Click"
    assert (event.ts, event.event_id) == (5, "/shop:A234-1234")


@pytest.mark.parametrize("mode", ["binary", "structured"])
def test_without_a_time_an_event_has_that_of_its_record(mode: str) -> None:
    attributes = {name: text for name, text in ATTRIBUTES.items() if name != "time"}
    headers = [(f"ce_{name}", text.encode()) for name, text in attributes.items()]
    document = DATA if mode == "binary" else {**attributes, "data": DATA}
    data = msgspec.json.encode(document)

    (event,), *_ = Decoder().decode(
        [RawRecord("t", 0, 0, TS_MS, None, data, headers if mode == "binary" else [])]
    )

    assert event.ts == TS_MS


def test_other_headers_change_nothing() -> None:
    (event,) = decoded({"type": "click", "ts": 5, "user_id": "a"}, {"traceparent": "00-1-2-01"})

    assert event.event_id is None


@pytest.mark.parametrize("data", ["é", "e30", "bm9uZQ==", 5, None, ["e30="]])
def test_data_that_are_none_leave_the_attributes(data: Any) -> None:
    (event,) = decoded({**ATTRIBUTES, "type": "a.click", "subject": "bob", "data_base64": data})

    assert (type(event).__name__, event.user_id) == ("Click", "bob")
