"""Calls of Segment and RudderStack, after their published specifications."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from profiler.decoding import Decoder
from profiler.events import AnyEvent, Cart, Identify, Message, Purchase, Search
from profiler.records import RawRecord

TS_MS = 1_772_355_600_000
ENVELOPE = {
    "anonymousId": "507f191e810c19729de860ea",
    "userId": "97980cfea0067",
    "messageId": "022bb90c-bbac-11e4-8dfc-aa07a5b093db",
    "timestamp": "2026-03-01T09:00:00.000Z",
    "context": {"library": {"name": "analytics.js", "version": "2.11.1"}},
}
PRODUCT = {
    "product_id": "507f1f77bcf86cd799439011",
    "sku": "45790-32",
    "category": "Games",
    "name": "Monopoly: 3rd Edition",
    "brand": "Hasbro",
    "price": 18.99,
    "quantity": 1,
    "currency": "usd",
}


def decoded(call: dict[str, Any], stamped_ms: int | None = None) -> list[AnyEvent]:
    record = RawRecord("t", 0, 0, stamped_ms, None, msgspec.json.encode(call))
    events, _, rejected, _ = Decoder().decode([record])
    assert not rejected
    return events


def tracked(name: str, /, **properties: Any) -> list[AnyEvent]:
    return decoded({**ENVELOPE, "type": "track", "event": name, "properties": properties})


def test_a_call_keeps_who_when_and_which() -> None:
    (event,) = tracked("Product Viewed", **PRODUCT)

    assert (event.user_id, event.anonymous_id) == ("97980cfea0067", "507f191e810c19729de860ea")
    assert event.event_id == "022bb90c-bbac-11e4-8dfc-aa07a5b093db"
    assert (event.ts, event.source) == (TS_MS, "segment")


def test_the_product_of_an_event_is_the_item() -> None:
    (event,) = tracked("Product Added", **PRODUCT | {"quantity": "2", "price": "18.99"})

    assert isinstance(event, Cart)
    assert (event.action, event.item_id) == ("add", "507f1f77bcf86cd799439011")
    assert (event.title, event.category, event.brand) == (
        "Monopoly: 3rd Edition",
        "Games",
        "Hasbro",
    )
    assert (event.price, event.currency, event.quantity) == (18.99, "USD", 2)


@pytest.mark.parametrize(
    ("name", "type_name"),
    [
        ("Product List Viewed", "Browse"),
        ("Promotion Viewed", "Browse"),
        ("Promotion Clicked", "Click"),
        ("Product Clicked", "Click"),
        ("Product Viewed", "Browse"),
        ("Product Removed", "Cart"),
        ("Product Added to Wishlist", "Click"),
        ("product_viewed", "Browse"),
        ("Viewed Product", "Browse"),
        ("Completed Order", "Purchase"),
    ],
)
def test_names_of_the_specification_have_a_meaning(name: str, type_name: str) -> None:
    (event,) = tracked(name, name="x")

    assert type(event).__name__ == type_name


def test_an_order_is_one_purchase_per_product() -> None:
    products = [PRODUCT, {"product_id": "505", "price": 3, "quantity": 2}]

    first, second = tracked("Order Completed", order_id="50314b", currency="EUR", products=products)

    assert isinstance(first, Purchase)
    assert isinstance(second, Purchase)
    assert (first.item_id, first.price, first.currency) == (PRODUCT["product_id"], 18.99, "USD")
    assert (second.item_id, second.price, second.quantity) == ("505", 3.0, 2)
    assert second.currency == "EUR"
    assert second.event_id == f"{first.event_id}:1"


def test_an_order_without_products_is_a_purchase_of_its_total() -> None:
    (event,) = tracked("Order Completed", order_id="50314b", total=27.5, currency="USD")

    assert isinstance(event, Purchase)
    assert (event.price, event.item_id) == (27.5, None)


@pytest.mark.parametrize("name", ["Order Refunded", "Order Cancelled"])
def test_what_is_returned_is_a_refund(name: str) -> None:
    events = tracked(name, order_id="50314b", products=[PRODUCT, PRODUCT])

    assert [type(event).__name__ for event in events] == ["Refund", "Refund"]


def test_a_search_and_a_review_keep_their_text() -> None:
    (search,) = tracked("Products Searched", query="blue hotpants")
    (review,) = tracked("Product Reviewed", product_id="5", review_body="Fine.", rating="5")

    assert isinstance(search, Search)
    assert search.query == "blue hotpants"
    assert isinstance(review, Message)
    assert (review.text, review.channel, review.rating) == ("Fine.", "review", 5.0)


def test_an_event_outside_the_specification_is_unused_and_not_refused() -> None:
    assert tracked("Coupon Applied", coupon_id="may_deals_2026") == []


@pytest.mark.parametrize("kind", ["page", "screen"])
def test_pages_and_screens_are_browsed(kind: str) -> None:
    (event,) = decoded({**ENVELOPE, "type": kind, "name": "Home", "category": "Docs"})

    assert type(event).__name__ == "Browse"
    assert (event.title, event.category) == ("Home", "Docs")


def test_identify_links_both_ids_and_keeps_single_traits_and_lists_of_them() -> None:
    traits = {
        "email": "peter@example.com",
        "logins": 5,
        "address": {"city": "East Greenwich", "lines": []},
        "tags": ["a", ["b"], {"c": 1}, "x" * 1_025, 7],
        "friends": [{"name": "Ann"}],
        "long": "x" * 1_025,
        "n" * 65: 1,
    }

    (event,) = decoded({**ENVELOPE, "type": "identify", "traits": traits})

    assert isinstance(event, Identify)
    assert (event.user_id, event.anonymous_id) == ("97980cfea0067", "507f191e810c19729de860ea")
    assert event.traits == {
        "email": "peter@example.com",
        "logins": 5,
        "address.city": "East Greenwich",
        "tags": ["a", 7],
    }


def test_more_traits_than_a_profile_holds_are_left_out() -> None:
    traits = {f"t{k}": k for k in range(100)}

    (event,) = decoded({**ENVELOPE, "type": "identify", "traits": traits})

    assert isinstance(event, Identify)
    assert len(event.traits) == 64


def test_alias_links_the_former_id() -> None:
    call = {"type": "alias", "previousId": "anon-7", "userId": "u", "timestamp": TS_MS}

    (event,) = decoded(call)

    assert isinstance(event, Identify)
    assert (event.user_id, event.anonymous_id, event.traits) == ("u", "anon-7", {})


def test_group_is_a_trait() -> None:
    (event,) = decoded({**ENVELOPE, "type": "group", "groupId": "0e8c78", "traits": {"name": "I"}})

    assert isinstance(event, Identify)
    assert event.traits == {"group_id": "0e8c78"}


def test_the_device_and_the_session_are_in_the_context() -> None:
    context = {"device": {"id": "B5372DB0"}, "sessionId": 1_772_355_500_000}

    (event,) = decoded({**ENVELOPE, "type": "page", "context": context})

    assert (event.device_id, event.session_id) == ("B5372DB0", "1772355500000")


def test_a_wrong_clock_of_the_device_is_corrected() -> None:
    # The device is a year ahead: sent two seconds after the event, received at nine o'clock.
    times = {
        "originalTimestamp": "2027-03-01T09:00:00.000Z",
        "sentAt": "2027-03-01T09:00:02.000Z",
        "receivedAt": "2026-03-01T09:00:02.000Z",
    }

    (event,) = decoded({**ENVELOPE, **times, "type": "page"})

    assert event.ts == TS_MS


@pytest.mark.parametrize(
    "times",
    [
        {"timestamp": "2026-03-01T10:00:00+01:00", "receivedAt": 5},
        {"timestamp": "2026-03-01T09:00:00"},
        {"originalTimestamp": 1_772_355_600, "receivedAt": 5},
        {"receivedAt": 1_772_355_600_000_000},
        {},
    ],
    ids=["timestamp", "no zone", "originalTimestamp in s", "receivedAt in µs", "record"],
)
def test_the_time_is_the_best_that_is_known(times: dict[str, Any]) -> None:
    (event,) = decoded({"type": "page", "userId": "u", **times}, stamped_ms=TS_MS)

    assert event.ts == TS_MS


def test_a_batch_is_all_of_its_calls() -> None:
    calls = [
        {**ENVELOPE, "type": "page"},
        {**ENVELOPE, "type": "track", "event": "Unknown", "messageId": "m2"},
        {"type": "track", "event": "Product Viewed", "userId": 7, "messageId": "m3"},
    ]
    batch = {"batch": calls, "sentAt": "2026-03-01T09:00:01Z", "writeKey": "k"}

    page, product = decoded(batch, stamped_ms=TS_MS)

    assert (page.event_id, product.event_id) == (ENVELOPE["messageId"], "m3")
    assert (product.user_id, product.ts) == ("7", TS_MS)


def test_a_call_of_nobody_is_refused_by_name() -> None:
    value = msgspec.json.encode({"type": "page", "messageId": "m", "timestamp": TS_MS})

    decoded = Decoder().decode([RawRecord("t", 0, 0, None, None, value)])

    assert [r.reason for r in decoded.rejected] == ["invalid:subject"]


def test_a_file_of_calls_is_a_source(convert: Callable[..., list[AnyEvent]]) -> None:
    order = {"type": "track", "event": "Order Completed", "userId": "u", "timestamp": TS_MS}
    lines = [
        msgspec.json.encode(order | {"messageId": "m", "properties": {"products": [PRODUCT] * 2}}),
        msgspec.json.encode(order),
    ]

    events = convert("segment", b"\n".join(lines).decode())

    assert [event.event_id for event in events] == ["m", "m:1", "segment:sample:2"]
