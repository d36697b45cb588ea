"""Segment and RudderStack calls: track, page, screen, identify, alias, group; single or in a batch.

Of the tracked events those of the e-commerce specification that both share are used, by their names
of today and of its first version; other events say nothing that a profile could use. An order is
one event per product. ``identify``, ``alias`` and ``group`` become ``identify``: traits, and which
ids are one person's.

The time is corrected for a wrong clock of the device as Segment documents it: the moment of receipt
less the time between the event and its sending, both by the device's clock.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from msgspec import Struct

from profiler.sources.message import Fields, Format, Message, event_id, numbered, present
from profiler.sources.values import (
    currency_of,
    epoch_ms,
    fields_of,
    first_of,
    flat_traits,
    name_of,
    number_of,
    objects_of,
    text_of,
    whole_of,
)

CALLS: Final = frozenset({"track", "page", "screen", "identify", "alias", "group"})
_MARKS: Final = ("messageId", "anonymousId", "userId", "originalTimestamp", "context")


class Segment(Struct, frozen=True):
    """Calls of the analytics libraries of Segment and of RudderStack, as they are sent on."""

    name: str = "segment"

    def recognises(self, message: Message) -> bool:
        """By the call's type beside one of the fields that all libraries write in camel case."""
        document = message.object
        return _is_call(document) or any(map(_is_call, objects_of(document.get("batch"))))

    def events(self, message: Message) -> list[Fields]:
        """Give the events of one call, or of all calls of a batch."""
        document = message.object
        if _is_call(document):
            return _events(document, message.stamped_ms)
        shared = {name: document[name] for name in ("sentAt", "context") if name in document}
        return [
            event
            for call in document["batch"]
            for event in _of_batch(shared | fields_of(call), message.stamped_ms)
        ]


class _Meaning(NamedTuple):
    """What an event of the specification is with us: a type, its own fields, an event for each."""

    type: str
    fields: Fields = {}  # noqa: RUF012  # never changed
    is_of_products: bool = False


_BROWSE: Final = _Meaning("browse")
_CLICK: Final = _Meaning("click")
_LOOKED_AGAIN: Final = _Meaning("browse", is_of_products=True)
_ADD: Final = _Meaning("cart", {"action": "add"})
_REMOVE: Final = _Meaning("cart", {"action": "remove"})
_ORDER: Final = _Meaning("purchase", is_of_products=True)
_REFUND: Final = _Meaning("refund", is_of_products=True)
_SEARCH: Final = _Meaning("search")
_REVIEW: Final = _Meaning("message", {"channel": "review"})

TRACKED: Final[dict[str, _Meaning]] = {
    "products_searched": _SEARCH,
    "product_list_viewed": _BROWSE,
    "product_list_filtered": _BROWSE,
    "promotion_viewed": _BROWSE,
    "promotion_clicked": _CLICK,
    "product_clicked": _CLICK,
    "product_viewed": _BROWSE,
    "product_added": _ADD,
    "product_removed": _REMOVE,
    "cart_viewed": _LOOKED_AGAIN,
    "checkout_started": _LOOKED_AGAIN,
    "order_completed": _ORDER,
    "order_refunded": _REFUND,
    "order_cancelled": _REFUND,
    "product_added_to_wishlist": _CLICK,
    "wishlist_product_added_to_cart": _ADD,
    "product_shared": _CLICK,
    "product_reviewed": _REVIEW,
    # The first version of the specification, which many shops still send.
    "searched_products": _SEARCH,
    "viewed_product_category": _BROWSE,
    "viewed_promotion": _BROWSE,
    "clicked_promotion": _CLICK,
    "clicked_product": _CLICK,
    "viewed_product": _BROWSE,
    "added_product": _ADD,
    "removed_product": _REMOVE,
    "completed_order": _ORDER,
}
"""Tracked events by name, in lower case with ``_`` between words."""


def _is_call(document: Fields) -> bool:
    kind = document.get("type")
    return isinstance(kind, str) and kind in CALLS and any(mark in document for mark in _MARKS)


def _of_batch(call: Fields, stamped_ms: int | None) -> list[Fields]:
    # Of what is no call the decoder says that there is no such type.
    return _events(call, stamped_ms) if _is_call(call) else [{"type": call.get("type")}]


def _events(call: Fields, stamped_ms: int | None) -> list[Fields]:
    """Events of one call, each with the envelope."""
    kind = call["type"]
    if kind == "track":
        found = _tracked(call)
    elif kind in ("page", "screen"):
        found = [_page(call)]
    else:
        found = [_identity(call)]
    if not found:
        return []
    envelope = _envelope(call, stamped_ms)
    return numbered([envelope | event for event in found])


def _envelope(call: Fields, stamped_ms: int | None) -> Fields:
    context = fields_of(call.get("context"))
    return present(
        ts=_time(call, stamped_ms),
        event_id=event_id(call.get("messageId")),
        user_id=text_of(call.get("userId")),
        anonymous_id=text_of(call.get("anonymousId")),
        device_id=text_of(fields_of(context.get("device")).get("id")),
        session_id=text_of(context.get("sessionId")),
    )


def _time(call: Fields, stamped_ms: int | None) -> object:
    received, sent, original = (
        epoch_ms(call.get(name)) for name in ("receivedAt", "sentAt", "originalTimestamp")
    )
    if isinstance(received, int) and isinstance(sent, int) and isinstance(original, int):
        return received - (sent - original)
    ts = first_of(call, "timestamp", "originalTimestamp", "receivedAt")
    return stamped_ms if ts is None else epoch_ms(ts)


def _tracked(call: Fields) -> list[Fields]:
    meaning = TRACKED.get(name_of(call.get("event")))
    if meaning is None:
        return []
    properties = fields_of(call.get("properties"))
    base = {"type": meaning.type} | meaning.fields
    if meaning is _SEARCH:
        return [base | present(query=text_of(properties.get("query")))]
    if meaning is _REVIEW:
        text = first_of(properties, "review_body", "review")
        rating = number_of(properties.get("rating"))
        return [base | {"text": "" if text is None else text} | present(rating=rating)]
    products = objects_of(properties.get("products")) if meaning.is_of_products else []
    if products:
        return [base | _item({"currency": properties.get("currency")} | p) for p in products]
    item = _item(properties)
    if meaning in (_ORDER, _REFUND):
        item |= present(price=number_of(first_of(properties, "total", "revenue", "value")))
    return [base | item]


def _item(product: Fields) -> Fields:
    return present(
        item_id=text_of(first_of(product, "product_id", "sku", "id")),
        title=text_of(product.get("name")),
        category=text_of(product.get("category")),
        brand=text_of(product.get("brand")),
        price=number_of(product.get("price")),
        currency=currency_of(product.get("currency")),
        quantity=whole_of(product.get("quantity")),
    )


def _page(call: Fields) -> Fields:
    properties = fields_of(call.get("properties"))
    return present(
        type="browse",
        title=text_of(first_of(properties, "title", "name") or first_of(call, "name")),
        category=text_of(first_of(call, "category") or first_of(properties, "category")),
    )


def _identity(call: Fields) -> Fields:
    if call["type"] == "alias":
        return present(type="identify", anonymous_id=text_of(call.get("previousId")))
    if call["type"] == "group":
        return {"type": "identify", "traits": present(group_id=text_of(call.get("groupId")))}
    traits = call.get("traits") or fields_of(call.get("context")).get("traits")
    return {"type": "identify", "traits": flat_traits(fields_of(traits))}


FORMAT: Final[Format] = Segment()
