"""Mapping files: what they make of messages, and how they are refused."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import msgspec
import pytest

from profiler.decoding import Decoded, Decoder
from profiler.errors import ConfigurationError
from profiler.records import RawRecord
from profiler.sources import FORMATS, Messages
from profiler.sources.mapping_file import parse_mapping

PAGE = (Path(__file__).parents[3] / "docs/sources.md").read_text("utf-8")
STAMPED_MS = 1_772_355_610_000

GOOD = """
[view]
type = "browse"
[view.when]
kind = "view"
[view.fields]
user_id = "who"
"""


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.S)


def decoded(mapping: str, *messages: Any) -> Decoded:
    format = parse_mapping(mapping.encode(), "shop.toml")
    records = [
        RawRecord("t", 0, k, STAMPED_MS, None, msgspec.json.encode(message))
        for k, message in enumerate(messages)
    ]
    return Decoder((format, *FORMATS)).decode(records)


def only(mapping: str, message: Any) -> dict[str, Any]:
    events, _, rejected, _ = decoded(mapping, message)
    assert not rejected
    (event,) = events
    return dict(msgspec.to_builtins(event))


def refusal(mapping: str) -> ConfigurationError:
    with pytest.raises(ConfigurationError) as caught:
        parse_mapping(mapping.encode(), "shop.toml")
    return caught.value


def test_the_example_of_the_documentation_does_what_the_page_says() -> None:
    (mapping,) = blocks("toml")
    given, expected = (
        [msgspec.json.decode(line) for line in block.splitlines()] for block in blocks("json")
    )

    events, at, rejected, n_unused = decoded(mapping, *given)

    assert [msgspec.to_builtins(event) for event in events] == expected
    assert (at.tolist(), rejected, n_unused) == ([0, 0, 1, 3], [], 1)


def test_the_example_reads_files_as_well() -> None:
    (mapping,) = blocks("toml")
    order, *_ = blocks("json")[0].encode().splitlines()
    source = Messages(parse_mapping(mapping.encode(), "shop.toml"))

    records = list(source.convert([order + b"\n", b'{"kind": "other"}\n'], "orders"))

    assert [record.key for record in records] == [b"7", b"7", None]
    assert b'"event_id":"A1:1"' in records[1].value
    assert b'"source":"old-shop"' in records[1].value
    assert records[2].value == b'{"kind": "other"}'


@pytest.mark.parametrize(
    ("condition", "message", "fits"),
    [
        ('kind = "view"', {"kind": "view"}, True),
        ('kind = "view"', {"kind": "buy"}, False),
        ('kind = "view"', {}, False),
        ("kind = 1", {"kind": 1}, True),
        ("kind = 1", {"kind": "1"}, True),
        ("kind = true", {"kind": True}, True),
        ("kind = true", {"kind": "yes"}, False),
        ("kind = [1, 2]", {"kind": 2}, True),
        ('kind = "None"', {"kind": None}, False),
        ('"a.1.b" = "x"', {"a": [0, {"b": "x"}]}, True),
        ('"a.7.b" = "x"', {"a": [0, {"b": "x"}]}, False),
        ('"a.b" = { present = true }', {"a": {"b": 0}}, True),
        ('"a.b" = { present = true }', {"a": 5}, False),
        ('"a.b" = { present = false }', {"a": 5}, True),
    ],
)
def test_conditions(condition: str, message: dict[str, Any], fits: bool) -> None:
    mapping = GOOD.replace('kind = "view"', condition)

    events, *_ = decoded(mapping, {"who": "u", **message})

    assert bool(events) == fits


def test_the_first_section_that_fits_takes_a_message() -> None:
    second = GOOD.replace("view", "again").replace('kind = "again"', 'who = "u"')

    event = only(second.replace("browse", "click") + GOOD, {"kind": "view", "who": "u"})

    assert event["type"] == "click"


@pytest.mark.parametrize(
    ("binding", "value", "ts"),
    [
        ('"at"', 1_772_355_600, 1_772_355_600_000),
        ('"at"', "2026-03-01 09:00:00", 1_772_355_600_000),
        ('{ path = "at", unit = "s" }', "1772355600", 1_772_355_600_000),
        ('{ path = "at", unit = "s" }', 5.25, 5_250),
        ('{ path = "at", unit = "ms" }', 5, 5),
        ('{ path = "at", unit = "us" }', 5_999, 5),
        ('{ path = "at", unit = "iso" }', "1970-01-01T01:00:01+01:00", 1_000),
        ('"at"', None, STAMPED_MS),
    ],
)
def test_times_have_units(binding: str, value: Any, ts: int) -> None:
    event = only(f"{GOOD}ts = {binding}", {"kind": "view", "who": "u", "at": value})

    assert event["ts"] == ts


def test_values_are_brought_to_our_types() -> None:
    fields = 'price = "p"\nquantity = "n"\ncurrency = "c"\nitem_id = "i"'
    message = {"kind": "view", "who": 7, "p": "4.50", "n": "2", "c": "eur", "i": 12.0}

    event = only(f"{GOOD}{fields}", message)

    assert (event["price"], event["quantity"]) == (4.5, 2)
    assert (event["currency"], event["item_id"], event["user_id"]) == ("EUR", "12", "7")


def test_elements_of_a_list_may_be_the_values_themselves() -> None:
    mapping = GOOD.replace('type = "browse"', 'type = "browse"\nitems = "seen"')

    events, *_ = decoded(f'{mapping}item_id = "."', {"kind": "view", "who": "u", "seen": [1, "b"]})

    assert [event.item_id for event in events] == ["1", "b"]


@pytest.mark.parametrize("seen", [None, [], {}, "text", 5])
def test_without_elements_there_is_no_event(seen: Any) -> None:
    mapping = GOOD.replace('type = "browse"', 'type = "browse"\nitems = "seen"')

    events, _, rejected, n_unused = decoded(mapping, {"kind": "view", "who": "u", "seen": seen})

    assert (events, rejected, n_unused) == ([], [], 1)


@pytest.mark.parametrize("price", [{"a": 1}, "much", True, [5], -1])
def test_what_cannot_be_read_is_refused_by_the_decoder(price: Any) -> None:
    mapping = f'{GOOD}price = {{ path = "p", unit = "cents" }}'

    _, _, rejected, _ = decoded(mapping, {"kind": "view", "who": "u", "p": price})

    assert [r.reason for r in rejected] == ["invalid:price"]


@pytest.mark.parametrize(
    ("mapping", "place", "problem"),
    [
        ("[view", "shop.toml", "is not TOML"),
        ("", "shop.toml", "has no section"),
        ('view = "browse"', "shop.toml [view]", "is no table"),
        (GOOD.replace("type", "tipe"), "shop.toml [view] tipe", "did you mean type?"),
        (GOOD.replace("browse", "brows"), "shop.toml [view] type", "did you mean browse?"),
        (GOOD.replace("user_id", "userid"), "shop.toml [view] fields.userid", "mean user_id?"),
        (GOOD.replace('"browse"', "5"), "shop.toml [view] type", "is no table"),
        (GOOD.replace('"who"', '"a..b"'), "shop.toml [view] fields.user_id", "is no path"),
        (GOOD.replace('"who"', '""'), "shop.toml [view] fields.user_id", "is no path"),
        (GOOD.replace('"who"', '".a"'), "shop.toml [view] user_id", "set `items`"),
        (GOOD.replace("user_id", "title"), "shop.toml [view] fields", "bind one of user_id"),
        (GOOD + 'query = "q"', "shop.toml [view] fields.query", "unknown field"),
        (GOOD.replace("browse", "search"), "shop.toml [view] fields.query", "search needs it"),
        (
            GOOD + 'ts = { path = "at", unit = "min" }',
            "shop.toml [view] fields.ts.unit",
            "there are iso, ms, ns, s, us",
        ),
        (
            GOOD + 'price = { path = "p", currency = "EUR" }',
            "shop.toml [view] fields.price.currency",
            "unknown key",
        ),
        (GOOD + "price = { value = -1 }", "shop.toml [view] fields.price.value", "does not fit"),
        (GOOD + "price = { value = nan }", "shop.toml [view] fields.price.value", "finite"),
        (GOOD + "price = {}", "shop.toml [view] fields.price", "either `path` or `value`"),
        (
            GOOD.replace('"view"', "{ absent = true }"),
            "shop.toml [view] when.kind.absent",
            "there are present",
        ),
        (GOOD.replace("kind =", "a.b ="), "shop.toml [view] when.a.b", "there are present"),
        (
            GOOD.replace('kind = "view"', "") + GOOD.replace("view", "more"),
            "shop.toml [view] when",
            "move this one to the end",
        ),
        (
            GOOD.replace('"browse"', '{ path = "what", values = { a = "dance" } }'),
            "shop.toml [view] type.values.a",
            "unknown type 'dance'",
        ),
        (
            GOOD.replace("browse", "identify") + 'traits = "traits"',
            "shop.toml [view] fields.traits",
            '"traits.<name>", in quotes',
        ),
        (
            GOOD.replace("browse", "cart") + 'action = { path = "what", values = { in = "put" } }',
            "shop.toml [view] fields.action.values.in",
            "'put' does not fit",
        ),
    ],
)
def test_a_wrong_file_is_refused_with_the_place_and_what_is_right(
    mapping: str, place: str, problem: str
) -> None:
    fault = refusal(mapping)

    assert fault.setting == place
    assert problem in fault.problem
