"""Rows of Google Analytics 4, after the published schema of the export to BigQuery."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from profiler.decoding import Decoder
from profiler.events import AnyEvent, Browse, Cart, Click, Identify, Purchase, Refund, Search
from profiler.events import decode_batch as native
from profiler.records import RawRecord
from profiler.sources import source_named
from streams.files import read_lines

TS_MS = 1_772_355_600_123


def parameter(key: str, **value: Any) -> dict[str, Any]:
    return {"key": key, "value": value}


def row(name: str, *parameters: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return {
        "event_date": "20260301",
        "event_timestamp": TS_MS * 1000,
        "event_name": name,
        "event_params": [parameter("ga_session_id", int_value=1_772_355_000), *parameters],
        "user_pseudo_id": "1938642951.1666446282",
        "platform": "WEB",
        **fields,
    }


ITEMS = [
    {
        "item_id": "SKU_12345",
        "item_name": "Stan and Friends Tee",
        "item_brand": "Google",
        "item_category": "Apparel",
        "price": 10.01,
        "quantity": "3",
    },
    {"item_id": "SKU_12346", "item_name": "Sunglasses", "item_brand": "(not set)"},
]


def decoded(given: dict[str, Any]) -> list[AnyEvent]:
    record = RawRecord("t", 0, 0, None, None, msgspec.json.encode(given))
    events, _, rejected, _ = Decoder().decode([record])
    assert not rejected
    return events


def test_a_row_keeps_who_and_when() -> None:
    (event,) = decoded(row("page_view", parameter("page_title", string_value="Home"), user_id="u"))

    assert isinstance(event, Browse)
    assert (event.user_id, event.anonymous_id) == ("u", "1938642951.1666446282")
    assert (event.ts, event.session_id, event.title) == (TS_MS, "1772355000", "Home")


def test_whole_numbers_may_be_texts() -> None:
    given = row("page_view") | {"event_timestamp": str(TS_MS * 1000)}
    given["event_params"] = [parameter("ga_session_id", int_value="1772355000")]

    (event,) = decoded(given)

    assert (event.ts, event.session_id) == (TS_MS, "1772355000")


def test_an_order_is_one_purchase_per_item_in_its_currency() -> None:
    currency = parameter("currency", string_value="EUR", int_value=None)

    first, second = decoded(row("purchase", currency, items=ITEMS))

    assert isinstance(first, Purchase)
    assert (first.item_id, first.title, first.category, first.brand) == (
        "SKU_12345",
        "Stan and Friends Tee",
        "Apparel",
        "Google",
    )
    assert (first.price, first.quantity, first.currency) == (10.01, 3, "EUR")
    assert isinstance(second, Purchase)
    assert (second.brand, second.quantity) == (None, 1)
    assert second.event_id == f"{first.event_id}:1"


def test_an_order_without_items_is_a_purchase_of_its_value() -> None:
    (event,) = decoded(row("purchase", parameter("value", double_value=30.03)))

    assert isinstance(event, Purchase)
    assert event.price == 30.03


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("view_item", Browse),
        ("select_item", Click),
        ("add_to_cart", Cart),
        ("remove_from_cart", Cart),
        ("begin_checkout", Browse),
        ("refund", Refund),
    ],
)
def test_events_of_items_are_one_for_each(name: str, kind: type) -> None:
    events = decoded(row(name, items=ITEMS))

    assert [type(event) for event in events] == [kind, kind]


def test_removing_is_no_adding() -> None:
    (event,) = decoded(row("remove_from_cart", items=ITEMS[:1]))

    assert isinstance(event, Cart)
    assert event.action == "remove"


@pytest.mark.parametrize("name", ["search", "view_search_results"])
def test_a_search_keeps_its_words(name: str) -> None:
    (event,) = decoded(row(name, parameter("search_term", string_value="shirts")))

    assert isinstance(event, Search)
    assert event.query == "shirts"


def test_a_login_links_the_user_to_the_pseudonymous_one() -> None:
    properties = [parameter("plan", string_value="gold", set_timestamp_micros=1)]

    (event,) = decoded(row("login", user_id="u", user_properties=properties))

    assert isinstance(event, Identify)
    assert (event.user_id, event.anonymous_id) == ("u", "1938642951.1666446282")
    assert event.traits == {"plan": "gold"}


@pytest.mark.parametrize("name", ["session_start", "user_engagement", "first_visit", "my_event"])
def test_what_says_nothing_about_interests_is_unused(name: str) -> None:
    assert decoded(row(name)) == []


def test_rows_of_one_moment_differ_by_their_place_in_the_batch() -> None:
    ids = {
        event.event_id
        for place in range(3)
        for event in decoded(
            row("view_item", items=ITEMS[:1], batch_ordering_id=4, batch_event_index=place)
        )
    }

    assert len(ids) == 3


def test_the_same_row_has_the_same_id_every_time() -> None:
    assert decoded(row("page_view")) == decoded(row("page_view"))


def test_a_parquet_file_of_rows_is_a_source(tmp_path: Path) -> None:
    pa = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    path = tmp_path / "events_20260301.parquet"
    currency = parameter("currency", string_value="EUR")
    rows = [row("purchase", currency, items=ITEMS), row("page_view"), row("session_start")]
    parquet.write_table(pa.Table.from_pylist(rows), path)
    source = source_named("ga4")

    records = list(source.convert(read_lines(path, source.form), "events_20260301"))

    events, rejected = native([record.value for record in records])
    assert not rejected
    assert [type(event).__name__ for event in events] == ["Purchase", "Purchase", "Browse"]
    assert isinstance(events[0], Purchase)
    assert (events[0].currency, events[0].quantity) == ("EUR", 3)
