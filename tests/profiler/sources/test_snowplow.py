"""Snowplow's enriched events, after the canonical event model and the schemas of Iglu Central."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from profiler.decoding import Decoder
from profiler.events import AnyEvent, Browse, Cart, Click, Purchase, Refund, Search
from profiler.records import RawRecord
from profiler.sources.snowplow import COLUMNS

TS_MS = 1_772_355_600_123
SHOP = "iglu:com.snowplowanalytics.snowplow.ecommerce"
ACTION = f"{SHOP}/snowplow_ecommerce_action/jsonschema/1-0-2"
PRODUCT = f"{SHOP}/product/jsonschema/1-0-0"
SNOWPLOW = "iglu:com.snowplowanalytics.snowplow"

CUP = {"id": "P125", "name": "Cup", "category": "Home/Kitchen", "price": 4.5, "currency": "EUR"}
HAT = {"id": "P126", "brand": "Hatter", "price": 20, "currency": "EUR", "quantity": 2}


def fields(event: str, **others: str) -> dict[str, str]:
    return {
        "app_id": "shop",
        "platform": "web",
        "collector_tstamp": "2026-03-01 09:00:01.000",
        "derived_tstamp": "2026-03-01 09:00:00.123",
        "event": event,
        "event_id": "c6ef3124-b53a-4b13-a233-0088f79dcbcb",
        "user_id": "u",
        "domain_userid": "bc2e92ec6c204a14",
        "domain_sessionid": "5a1b",
        **others,
    }


def contexts(*entities: tuple[str, Any]) -> str:
    data = [{"schema": schema, "data": one} for schema, one in entities]
    outer = {"schema": f"{SNOWPLOW}/contexts/jsonschema/1-0-0", "data": data}
    return msgspec.json.encode(outer).decode()


def unstruct(schema: str, data: Any) -> str:
    inner = {"schema": schema, "data": data}
    outer = {"schema": f"{SNOWPLOW}/unstruct_event/jsonschema/1-0-0", "data": inner}
    return msgspec.json.encode(outer).decode()


def shopped(kind: str, *entities: tuple[str, Any]) -> dict[str, str]:
    action = unstruct(ACTION, {"type": kind})
    return fields("unstruct", unstruct_event=action, contexts=contexts(*entities))


def decoded(value: bytes) -> list[AnyEvent]:
    events, _, rejected, _ = Decoder().decode([RawRecord("t", 0, 0, None, None, value)])
    assert not rejected
    return events


def from_text(row: dict[str, str]) -> list[AnyEvent]:
    return decoded("\t".join(row.get(name, "") for name in COLUMNS).encode())


def test_the_model_has_131_columns() -> None:
    assert len(COLUMNS) == len(set(COLUMNS)) == 131


def test_an_event_keeps_who_when_and_which() -> None:
    (event,) = from_text(fields("page_view", page_title="Home"))

    assert isinstance(event, Browse)
    assert (event.user_id, event.anonymous_id) == ("u", "bc2e92ec6c204a14")
    assert event.event_id == "c6ef3124-b53a-4b13-a233-0088f79dcbcb"
    assert (event.ts, event.session_id, event.title) == (TS_MS, "5a1b", "Home")


def test_without_a_derived_time_the_collectors_counts() -> None:
    (event,) = from_text(fields("page_view", derived_tstamp=""))

    assert event.ts == 1_772_355_601_000


def test_the_network_id_stands_in_for_the_domains() -> None:
    (event,) = from_text(fields("page_view", domain_userid="", network_userid="ecdff4d0"))

    assert event.anonymous_id == "ecdff4d0"


def test_an_app_has_the_id_of_its_installation() -> None:
    session = {"userId": "app-7", "sessionId": "s-1"}
    schema = f"{SNOWPLOW}/client_session/jsonschema/1-0-2"
    screen = unstruct(
        "iglu:com.snowplowanalytics.mobile/screen_view/jsonschema/1-0-0", {"name": "A"}
    )
    row = fields("unstruct", unstruct_event=screen, contexts=contexts((schema, session)))

    (event,) = from_text(row | {"domain_userid": "", "domain_sessionid": ""})

    assert isinstance(event, Browse)
    assert (event.anonymous_id, event.session_id, event.title) == ("app-7", "s-1", "A")


def test_a_transaction_is_one_purchase_per_product() -> None:
    row = shopped("transaction", (PRODUCT, CUP), (PRODUCT, HAT), ("iglu:com.acme/x/y/1-0-0", {}))

    first, second = from_text(row)

    assert isinstance(first, Purchase)
    assert isinstance(second, Purchase)
    assert (first.item_id, first.title, first.category) == ("P125", "Cup", "Home/Kitchen")
    assert (first.price, first.currency, first.quantity) == (4.5, "EUR", 1)
    assert (second.brand, second.price, second.quantity) == ("Hatter", 20.0, 2)
    assert second.event_id == f"{first.event_id}:1"


def test_a_transaction_without_products_is_a_purchase_of_its_revenue() -> None:
    schema = f"{SHOP}/transaction/jsonschema/1-0-0"

    (event,) = from_text(shopped("transaction", (schema, {"revenue": 99, "currency": "GBP"})))

    assert isinstance(event, Purchase)
    assert (event.price, event.currency) == (99.0, "GBP")


@pytest.mark.parametrize(
    ("kind", "event_type", "action"),
    [
        ("product_view", Browse, None),
        ("list_click", Click, None),
        ("add_to_cart", Cart, "add"),
        ("remove_from_cart", Cart, "remove"),
        ("refund", Refund, None),
    ],
)
def test_an_action_has_its_meaning(kind: str, event_type: type, action: str | None) -> None:
    (event,) = from_text(shopped(kind, (PRODUCT, CUP)))

    assert type(event) is event_type
    assert event.item_id == "P125"
    assert getattr(event, "action", None) == action


def test_products_of_a_list_that_was_shown_were_not_viewed() -> None:
    (event,) = from_text(shopped("list_view", (PRODUCT, CUP), (PRODUCT, HAT)))

    assert event.item_id is None


@pytest.mark.parametrize(
    ("schema", "data", "expected"),
    [
        ("link_click", {"targetUrl": "https://a.b", "elementContent": "More"}, Click),
        ("site_search", {"terms": ["red", "shoes"], "totalResults": 3}, Search),
        ("add_to_cart", {"sku": "a", "unitPrice": 2.5, "quantity": 1}, Cart),
    ],
)
def test_events_of_snowplow_itself(schema: str, data: dict[str, Any], expected: type) -> None:
    event = unstruct(f"{SNOWPLOW}/{schema}/jsonschema/1-0-1", data)

    (found,) = from_text(fields("unstruct", unstruct_event=event))

    assert type(found) is expected
    if isinstance(found, Search):
        assert (found.query, found.n_results) == ("red shoes", 3)


@pytest.mark.parametrize("action", ["add-to-basket", "Add To Cart", "add_to_basket"])
def test_a_structured_event_is_read_by_its_action(action: str) -> None:
    (event,) = from_text(fields("struct", se_category="ecomm", se_action=action, se_label="PBZ1"))

    assert isinstance(event, Cart)
    assert event.item_id == "PBZ1"


def test_of_the_oldest_calls_the_items_are_the_purchases() -> None:
    whole = fields("transaction", tr_orderid="T1", tr_total="9", tr_currency="EUR")
    item = {"ti_orderid": "T1", "ti_sku": "S1", "ti_price": "4.5", "ti_quantity": "2"}

    (event,) = from_text(fields("transaction_item", ti_currency="EUR", **item))

    assert from_text(whole) == []
    assert isinstance(event, Purchase)
    assert (event.item_id, event.price, event.quantity, event.currency) == ("S1", 4.5, 2, "EUR")


@pytest.mark.parametrize(
    "row",
    [
        fields("page_ping"),
        fields("struct", se_action="play"),
        fields("unstruct", unstruct_event=unstruct("iglu:com.acme/thing/jsonschema/1-0-0", {})),
        fields("unstruct", unstruct_event="{broken"),
        shopped("checkout_step"),
    ],
    ids=["ping", "struct", "vendor", "broken", "step"],
)
def test_what_has_no_meaning_here_is_unused(row: dict[str, str]) -> None:
    assert from_text(row) == []


def test_json_of_the_sdks_gives_the_same_events() -> None:
    row = shopped("transaction", (PRODUCT, CUP), (PRODUCT, HAT))
    of_sdk: dict[str, Any] = dict.fromkeys(COLUMNS) | fields("unstruct")
    shop = "com_snowplowanalytics_snowplow_ecommerce"
    del of_sdk["contexts"], of_sdk["unstruct_event"]
    of_sdk |= {
        "derived_tstamp": "2026-03-01T09:00:00.123Z",
        f"contexts_{shop}_product_1": [CUP, HAT],
        f"unstruct_event_{shop}_snowplow_ecommerce_action_1": {"type": "transaction"},
    }

    assert decoded(msgspec.json.encode(of_sdk)) == from_text(row)


def test_text_that_is_not_utf_8_is_refused() -> None:
    value = b"\t".join([b"\xff"] * 131)

    decoded = Decoder().decode([RawRecord("t", 0, 0, None, None, value)])

    assert [r.reason for r in decoded.rejected] == ["malformed"]
