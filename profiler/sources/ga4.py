"""Google Analytics 4: rows of the export to BigQuery, as JSON lines or Parquet.

An event that names items becomes one event per item. Rows have no id of their own; one is made of
what tells them apart: who, when, what, and the place in its batch. Whole numbers may be texts, as
BigQuery writes those of 64 bits.
"""

from __future__ import annotations

from typing import Any, Final

from msgspec import Struct

from profiler.sources.message import Fields, Format, Message, event_id, numbered, present
from profiler.sources.values import (
    currency_of,
    epoch_ms,
    fields_of,
    first_of,
    flat_traits,
    number_of,
    objects_of,
    text_of,
    whole_of,
)

_BATCH: Final = (
    "event_bundle_sequence_id",
    "batch_page_id",
    "batch_ordering_id",
    "batch_event_index",
)
_VALUES: Final = ("string_value", "int_value", "double_value", "float_value")

OF_ITEMS: Final[dict[str, Fields]] = {
    "view_item": {"type": "browse"},
    "select_item": {"type": "click"},
    "add_to_wishlist": {"type": "click"},
    "add_to_cart": {"type": "cart", "action": "add"},
    "remove_from_cart": {"type": "cart", "action": "remove"},
    "view_cart": {"type": "browse"},
    "begin_checkout": {"type": "browse"},
    "purchase": {"type": "purchase"},
    "ecommerce_purchase": {"type": "purchase"},
    "refund": {"type": "refund"},
}
"""Events that are one of ours for each of their items."""

OTHERS: Final[dict[str, tuple[str, tuple[str, ...]]]] = {
    "page_view": ("browse", ("page_title",)),
    "screen_view": ("browse", ("firebase_screen", "screen_name", "firebase_screen_class")),
    "view_item_list": ("browse", ("item_list_name",)),
    "view_promotion": ("browse", ("promotion_name", "creative_name")),
    "select_promotion": ("click", ("promotion_name", "creative_name")),
    "select_content": ("click", ()),
    "share": ("click", ()),
    "click": ("click", ("link_text",)),
}
"""Events that are one of ours, and which of their parameters is its title."""

SEARCHES: Final = ("search", "view_search_results")
IDENTITIES: Final = ("login", "sign_up")


class GoogleAnalytics4(Struct, frozen=True):
    """Rows of the tables ``events_*`` and ``events_intraday_*``."""

    name: str = "ga4"

    def recognises(self, message: Message) -> bool:
        """By the event's name and time beside the pseudonymous user or the parameters."""
        row = message.object
        return (
            "event_name" in row
            and "event_timestamp" in row
            and ("user_pseudo_id" in row or "event_params" in row)
        )

    def events(self, message: Message) -> list[Fields]:
        """Give one event per item, or one."""
        row = message.object
        parameters = _by_key(row.get("event_params"))
        found = _found(row, parameters)
        if not found:
            return []
        envelope = _envelope(row, parameters)
        return numbered([envelope | event for event in found])


def _by_key(pairs: object) -> Fields:
    """Values of repeated records ``{key, value: {string_value, …}}``."""
    return {
        pair["key"]: first_of(fields_of(pair.get("value")), *_VALUES)
        for pair in objects_of(pairs)
        if isinstance(pair.get("key"), str)
    }


def _envelope(row: Fields, parameters: Fields) -> Fields:
    unique = [row.get(name) for name in ("user_pseudo_id", "event_timestamp", "event_name")]
    batch = [row[name] for name in _BATCH if row.get(name) is not None]
    return present(
        ts=epoch_ms(row.get("event_timestamp")),
        event_id=event_id(*unique, *batch),
        user_id=text_of(row.get("user_id")),
        anonymous_id=text_of(row.get("user_pseudo_id")),
        session_id=text_of(parameters.get("ga_session_id")),
    )


def _found(row: Fields, parameters: Fields) -> list[Fields]:
    name = row.get("event_name")
    if not isinstance(name, str):
        return []
    if name in OF_ITEMS:
        return [OF_ITEMS[name] | item for item in _items(row, parameters)]
    if name in OTHERS:
        kind, titles = OTHERS[name]
        title = text_of(first_of(parameters, *titles))
        item_id = text_of(first_of(parameters, "content_id", "item_id"))
        return [present(type=kind, title=title, item_id=item_id)]
    if name in SEARCHES:
        return [present(type="search", query=text_of(parameters.get("search_term")))]
    if name in IDENTITIES:
        return [{"type": "identify", "traits": flat_traits(_by_key(row.get("user_properties")))}]
    return []


def _items(row: Fields, parameters: Fields) -> list[Fields]:
    currency = currency_of(parameters.get("currency"))
    items = [_item(item, currency) for item in objects_of(row.get("items"))]
    if items:
        return items
    # A shop that names no items still tells what the order came to.
    ecommerce: dict[str, Any] = fields_of(row.get("ecommerce"))
    total = first_of(parameters, "value") or first_of(ecommerce, "purchase_revenue", "refund_value")
    is_order = row["event_name"] in ("purchase", "ecommerce_purchase", "refund")
    return [present(price=number_of(total) if is_order else None, currency=currency)]


def _item(item: Fields, currency: object) -> Fields:
    return present(
        item_id=text_of(item.get("item_id")),
        title=text_of(item.get("item_name")),
        category=text_of(item.get("item_category")),
        brand=text_of(item.get("item_brand")),
        price=number_of(item.get("price")),
        currency=currency,
        quantity=whole_of(item.get("quantity")),
    )


FORMAT: Final[Format] = GoogleAnalytics4()
