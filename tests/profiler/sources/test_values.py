"""Times of other systems: units of the epoch told apart by size, and zones brought to UTC."""

from __future__ import annotations

import datetime as dt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from profiler.decoding import Decoder
from profiler.records import RawRecord
from profiler.sources.mapping_file import parse_mapping
from profiler.sources.values import epoch_ms

MS = 1_767_225_600_123
MARCH_1973_MS = 100_000_000_000
LATEST_MS = 4_102_444_800_000


@pytest.mark.parametrize(
    "value",
    [1_767_225_600.123, MS, MS * 1_000, MS * 1_000 + 999, MS * 1_000_000, MS * 1_000_000 + 999_999],
    ids=["s", "ms", "us", "us, cut", "ns", "ns, cut"],
)
def test_the_unit_of_an_epoch_shows_in_its_size(value: float) -> None:
    assert epoch_ms(value) == MS
    assert epoch_ms(str(value)) == MS


@given(st.integers(MARCH_1973_MS, LATEST_MS))
def test_every_unit_gives_the_same_millisecond(ms: int) -> None:
    seconds, rest_ms = divmod(ms, 1_000)
    found = [epoch_ms(ms), epoch_ms(ms * 1_000), epoch_ms(ms * 1_000_000)]

    assert found == [ms, ms, ms]
    assert epoch_ms(f"{seconds}.{rest_ms:03}") == ms
    assert epoch_ms(seconds) == seconds * 1_000


@pytest.mark.parametrize(
    "text",
    [
        "2026-01-01T00:00:00.123Z",
        "2026-01-01T00:00:00.123+00:00",
        "2026-01-01T01:00:00.123+01:00",
        "2026-01-01T01:00:00.123+0100",
        "2025-12-31T16:00:00.123-08",
        "2026-01-01T05:45:00.123456789+05:45",
        "2026-01-01 00:00:00.123",
        "2026-01-01 00:00:00.123 UTC",
        "20260101T000000.123Z",
        "2026-W01-4T00:00:00.123Z",
    ],
)
def test_a_time_with_a_zone_is_that_moment_and_without_one_it_is_utc(text: str) -> None:
    assert epoch_ms(text) == MS


@given(
    st.integers(MARCH_1973_MS, LATEST_MS),
    st.integers(-14 * 60, 14 * 60).map(lambda m: dt.timezone(dt.timedelta(minutes=m))),
)
def test_no_zone_changes_the_moment(ms: int, zone: dt.timezone) -> None:
    moment = dt.datetime.fromtimestamp(0, zone) + dt.timedelta(milliseconds=ms)

    assert epoch_ms(moment.isoformat()) == ms


@pytest.mark.parametrize(
    "value",
    [
        "2026-13-01T00:00:00Z",
        "2026-01-01T00:00:00 Europe/Berlin",
        "01/02/2026",
        "tomorrow",
        "",
        None,
        True,
        [],
        1e30,
    ],
)
def test_what_is_no_time_stays_for_the_decoder_to_name(value: object) -> None:
    assert epoch_ms(value) == value


@pytest.mark.parametrize(
    ("unit", "value"),
    [
        ("s", b"1767225600.123"),
        ("ms", b"1767225600123"),
        ("us", b"1767225600123000"),
        ("ns", b"1767225600123000000"),
        ("iso", b'"2026-01-01T01:00:00.123+01:00"'),
        (None, b"1767225600123000000"),
        (None, b'"2026-01-01T01:00:00.123+01:00"'),
    ],
)
def test_a_mapping_file_names_the_unit_or_lets_it_be_recognised(
    unit: str | None, value: bytes
) -> None:
    at = "{ path = 'at' }" if unit is None else f"{{ path = 'at', unit = '{unit}' }}"
    text = f"[click]\ntype = 'click'\n[click.fields]\nuser_id = 'who'\nts = {at}\n"
    format = parse_mapping(text.encode(), "shop.toml")

    (event,) = Decoder([format]).decode([_record(b'{"who":"u","at":%s}' % value)]).events

    assert event.ts == MS


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
def test_a_named_unit_holds_whatever_the_size(unit: str) -> None:
    text = "[click]\ntype = 'click'\n[click.fields]\nuser_id = 'who'\n"
    text += f"ts = {{ path = 'at', unit = '{unit}' }}\n"
    per_ms = {"s": 0.001, "ms": 1, "us": 1_000, "ns": 1_000_000}[unit]
    value = b'{"who":"u","at":%d}' % (86_400_000 * per_ms)

    decoded = Decoder([parse_mapping(text.encode(), "shop.toml")]).decode([_record(value)])

    assert decoded.events[0].ts == 86_400_000


def _record(value: bytes) -> RawRecord:
    return RawRecord("t", 0, 0, MS, None, value)
