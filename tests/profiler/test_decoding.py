"""Records of any format become events, each at its record's place."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from profiler.decoding import EVENTS_MAX, Decoder
from profiler.events import EVENT_BYTES_MAX, Rejected
from profiler.records import RawRecord
from profiler.sources import Message
from profiler.sources.message import Fields

CLICK: Fields = {"type": "click", "ts": 1_000, "user_id": "u"}


class Lists:
    """A format that gives the events its messages list."""

    name = "lists"

    def recognises(self, message: Message) -> bool:
        return "list" in message.object

    def events(self, message: Message) -> list[Fields]:
        return list(message.object["list"])


def record(value: Any, *headers: tuple[str, bytes]) -> RawRecord:
    data = value if isinstance(value, bytes | None) else msgspec.json.encode(value)
    return RawRecord("t", 0, 0, None, None, data, headers)


def test_native_and_foreign_records_stand_side_by_side() -> None:
    records = [record(CLICK), record({"list": [CLICK, CLICK]}), record(b"?"), record(CLICK)]

    events, at, rejected, n_unused = Decoder([Lists()]).decode(records)

    assert at.tolist() == [0, 1, 1, 3]
    assert [event.source for event in events] == [None, "lists", "lists", None]
    assert rejected == [Rejected(2, "malformed")]
    assert n_unused == 0


def test_of_a_record_with_one_broken_event_none_is_taken() -> None:
    records = [record({"list": [CLICK, {**CLICK, "ts": "soon"}]})]

    assert Decoder([Lists()]).decode(records)[2] == [Rejected(0, "invalid:ts")]


def test_a_record_without_events_is_unused_and_not_refused() -> None:
    events, _, rejected, n_unused = Decoder([Lists()]).decode([record({"list": []})])

    assert (events, rejected, n_unused) == ([], [], 1)


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (b" " * EVENT_BYTES_MAX + b'{"list":[]}', "oversize"),
        ({"list": [CLICK] * (EVENTS_MAX + 1)}, "oversize"),
        (None, "malformed"),
    ],
)
def test_what_is_too_big_or_nothing_is_refused(value: Any, reason: str) -> None:
    assert Decoder([Lists()]).decode([record(value)])[2] == [Rejected(0, reason)]


def test_a_fixed_format_takes_all_records() -> None:
    records = [record({"list": [CLICK]}), record(CLICK)]

    events, at, rejected, _ = Decoder(only=Lists()).decode(records)

    assert (len(events), at.tolist(), rejected) == (1, [0], [Rejected(1, "malformed")])
